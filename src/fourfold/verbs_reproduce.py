"""What users do with the papers' claims, as functions: list them, run one, plan one on ImageNet, write the page of all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fourfold.files import write_text, write_whole
from fourfold.parallel import joined
from fourfold.reproduce.claim import Claim
from fourfold.reproduce.claims import CLAIMS, claim_named
from fourfold.reproduce.effort import CPU, SMOKE
from fourfold.reproduce.figures import picture
from fourfold.reproduce.launches import Launch, launches
from fourfold.reproduce.page import claims_markdown, claims_page, readme
from fourfold.reproduce.record import RESULT, Result, read, recorded, write
from fourfold.reproduce.run import Watch, measure_claim, scene_for
from fourfold.reproduce.verdict import Judgement, judge, status

OUT = "reproduced"
README, PLOT = "README.md", "plot.png"


@dataclass(frozen=True)
class ClaimStatus:
    """A claim, its verdict or why there is none, and the result that it follows from."""

    claim: Claim
    status: str
    result: Result | None


@dataclass(frozen=True)
class Reproduced:
    """A claim that was measured, its verdict, and the folder with result.json, plot.png and README.md."""

    claim: Claim
    result: Result
    judgement: Judgement
    folder: Path


def claims(out: str | Path | None = None) -> list[ClaimStatus]:
    """Every claim with its status, by the results that came with the package, or in their place those in the folder `out`.

    Results of made images (smoke) count for nothing. Raises ValueError for a result that is damaged.
    """
    found = []
    for claim in CLAIMS.values():
        result = _own_result(claim, out) or recorded(claim.name)
        found.append(ClaimStatus(claim, status(claim, result), result))
    return found


def reproduce(
    claim: str,
    *,
    budget: str = CPU,
    data: str | Path | None = None,
    seeds: int | None = None,
    out: str | Path = OUT,
    device: str | None = None,
    watch: Watch = lambda _done, _all, _note: None,
) -> Reproduced:
    """Measure what a paper claims, and judge it: into the folder `out`/CLAIM.

    claim: a name of `claims`. budget: smoke, cpu or gpu. data: images, where the claim needs some: CIFAR-10, or whatever
    `train` takes. Trainings lie in `out`/runs, claims share them, and one that was stopped goes on. Raises ValueError for
    names, budgets or data that will not do; KeyboardInterrupt once Ctrl-C has been answered, with everything saved.
    """
    asked, place = claim_named(claim), Path(out)
    with joined(device) as group:
        if group.world > 1:
            raise ValueError("an experiment runs in one process; leave out torchrun, or run another claim beside it")
        scene = scene_for(asked, budget, data, place, seeds, group)
        result = measure_claim(asked, scene, watch)
    folder = place / asked.name
    folder.mkdir(parents=True, exist_ok=True)
    write(result, folder / RESULT)
    write_whole(folder / PLOT, lambda path: picture(asked, result, path))
    write_text(folder / README, readme(asked, result))
    return Reproduced(asked, result, judge(asked, result), folder)


def plan_on_imagenet(claim: str, data: str | Path, *, seeds: int | None = None, out: str | Path = OUT) -> list[Launch]:
    """The commands of the paper's own experiment on ImageNet, with their cost; nothing is run.

    Raises ValueError for a claim that there is not, or that has no experiment on ImageNet.
    """
    if seeds is not None and seeds < 1:
        raise ValueError(f"{seeds} seeds cannot be; choose 1 or more")
    return launches(claim_named(claim), str(data), Path(out) / "imagenet", seeds or 1)


def write_claims_page(path: str | Path, out: str | Path | None = None) -> list[ClaimStatus]:
    """All claims, from their results alone: as a table in Markdown where the path ends in .md, else as one HTML page.

    Raises ValueError where it cannot be written.
    """
    found, place = claims(out), Path(path)
    write_as = claims_markdown if place.suffix == ".md" else claims_page
    page = write_as([each.claim for each in found], {each.claim.name: each.result for each in found if each.result})
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, page)
    except OSError as error:
        raise ValueError(f"cannot write {place} ({error.strerror or error}); choose another place") from error
    return found


def _own_result(claim: Claim, out: str | Path | None) -> Result | None:
    path = None if out is None else Path(out) / claim.name / RESULT
    if path is None or not path.is_file():
        return None
    result = read(path)
    return None if result.budget == SMOKE and not claim.is_exact else result
