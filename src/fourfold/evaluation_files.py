"""What an evaluation leaves in its folder: answers.csv and evaluation.json, from which it goes on, and what people look at.

report.html holds all pictures and needs no other file; report.json has its numbers.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fourfold.cluster import evaluate_on_ray
from fourfold.data.listing import Broken, Listing, read_in_order
from fourfold.evaluate import figures, runner
from fourfold.evaluate.page import WORST, comparison_page, page
from fourfold.evaluate.predictor import Predictor
from fourfold.evaluate.summary import Evaluation
from fourfold.evaluate.views_picture import views_picture
from fourfold.evaluation import evaluate_into
from fourfold.files import write_text, write_whole
from fourfold.parallel import ALONE, Group
from fourfold.report import PAGE, comparison_record, evaluation_record

NUMBERS, VIEWS, COMPARISON = "report.json", "views.png", "comparison.png"


@dataclass(frozen=True)
class Job:
    """The images to measure on, what to call them, and who works on them: a group of processes, or a Ray cluster."""

    listing: Listing
    name: str
    group: Group = ALONE
    ray: str | None = None


def evaluate_all(
    asked: Sequence[tuple[str, Predictor]],
    job: Job,
    folder: Path | None,
    watch: Callable[[str, int, int], None] = lambda _name, _done, _all: None,
) -> list[tuple[str, Evaluation]]:
    """Evaluate each of several named predictors on the same images; none on all processes of the group but the first.

    folder: for answers and reports; of several predictors each has its own in it, and it gets a comparison. Raises
    ValueError where there is none and several processes or a cluster were to share it.
    """
    if folder is None and (job.group.world > 1 or job.ray is not None):
        raise ValueError("several processes share their answers through a folder; name it with --out FOLDER")
    found = []
    for name, predictor in asked:
        place = folder / name if folder is not None and len(asked) > 1 else folder
        result = _evaluate(predictor, job, place, functools.partial(watch, name))
        if result is not None:
            found.append((name, result))
    if folder is not None and len(found) > 1:
        write_comparison(folder, found)
    return found


def _evaluate(asked: Predictor, job: Job, folder: Path | None, watch: Callable[[int, int], None]) -> Evaluation | None:
    if folder is None:
        return runner.evaluate(asked, job.listing, watch)
    if job.ray is not None:
        result = evaluate_on_ray(asked, job.listing, folder, data_name=job.name, address=job.ray, watch=watch)
    else:
        result = evaluate_into(asked, job.listing, folder, data_name=job.name, group=job.group, watch=watch)
    if result is not None:
        write_report(folder, result, asked, job.listing)
    return result


def write_report(folder: Path, result: Evaluation, asked: Predictor, listing: Listing) -> None:
    """report.html, report.json and views.png. Raises ValueError where they cannot be written."""
    shown = [each.index for each in result.worst(WORST)]
    first = result.answered[0].index
    images = _read(listing, sorted({first, *shown}))
    picture = views_picture(images[first], asked.members[0].protocol) if first in images else None
    _write(folder / NUMBERS, json.dumps(evaluation_record(result), indent=2) + "\n")
    if picture is not None:
        write_whole(folder / VIEWS, lambda path: picture.save(path, format="PNG"))
    _write(folder / PAGE, page(result, {index: images[index] for index in shown if index in images}, picture))


def write_comparison(folder: Path, found: Sequence[tuple[str, Evaluation]]) -> None:
    """The same of several protocols, beside the folders of each."""
    _write(folder / NUMBERS, json.dumps(comparison_record(found), indent=2) + "\n")
    write_whole(folder / COMPARISON, lambda path: figures.costs(found, path))
    _write(folder / PAGE, comparison_page(found))


def _read(listing: Listing, indices: Sequence[int]) -> dict[int, Tensor]:
    read = zip(indices, read_in_order([listing.items[index] for index in indices]), strict=True)
    return {index: image for index, image in read if not isinstance(image, Broken)}


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise ValueError(f"cannot write {path} ({error.strerror or error}); choose another place") from error
