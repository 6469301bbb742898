"""`fourfold reproduce`: parse, call the verb, print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fourfold.terminal import INTERRUPTED, Json, progress, show_table

BUDGETS = "smoke (seconds, made images), cpu, gpu, or paper (ImageNet: prints the commands)."


def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[CLAIM...]", help="Claims to run; by default all are listed.")
    ] = None,
    budget: Annotated[str, typer.Option(help=BUDGETS)] = "cpu",
    data: Annotated[str | None, typer.Option(help="CIFAR-10, or other images; for paper, ImageNet.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each network; by default the budget's.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder for results and trainings; by default reproduced.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write all claims: one HTML page, or FILE.md, a table.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default the best that is there.")] = None,
    as_json: Json = False,
) -> int:
    """List what the papers claim, or run claims again; one that was stopped goes on.

    Results in the folder --out take the place of those that came with the package.
    """
    from fourfold import reproduce_report, verbs_reproduce

    if report is not None:
        if names:
            raise ValueError("--report is a page of all claims; run claims first, then leave their names out")
        verbs_reproduce.write_claims_page(report, out)
        print(f"wrote {report}", file=sys.stderr)
        return 0
    if not names:
        found = verbs_reproduce.claims(out)
        if as_json:
            print(json.dumps(reproduce_report.claims_record(found)))
        else:
            show_table(reproduce_report.claims_table(found))
        return 0
    place = Path(verbs_reproduce.OUT) if out is None else out
    if budget == "paper":
        return _plan(names, data, seeds, place, as_json=as_json)
    return _run(names, budget, data, seeds, place, device, as_json=as_json)


def _plan(names: list[str], data: str | None, seeds: int | None, out: Path, *, as_json: bool) -> int:
    from fourfold import reproduce_report, verbs_reproduce

    plans = [verbs_reproduce.plan_on_imagenet(name, data or "IMAGENET", seeds=seeds, out=out) for name in names]
    for plan in plans:
        if as_json:
            print(json.dumps(reproduce_report.launches_record(plan)))
        else:
            print("\n".join(reproduce_report.launches_lines(plan)))
    return 0


def _run(
    names: list[str], budget: str, data: str | None, seeds: int | None, out: Path, device: str | None, *, as_json: bool
) -> int:
    from fourfold import reproduce_report, verbs_reproduce
    from fourfold.reproduce.claims import claim_named

    for name in names:
        claim_named(name)  # what is wrong with the last is said before the first has run
    for name in names:
        try:
            with progress(name, is_quiet=as_json, unit="measurements") as show:
                done = verbs_reproduce.reproduce(
                    name, budget=budget, data=data, seeds=seeds, out=out, device=device, watch=show
                )
        except KeyboardInterrupt:
            print("stopped and saved; the same command goes on", file=sys.stderr)
            return INTERRUPTED
        if as_json:
            print(json.dumps(reproduce_report.reproduced_record(done)), flush=True)
        else:
            show_table(reproduce_report.reproduced_table(done))
            print(f"wrote {done.folder}", file=sys.stderr)
    return 0
