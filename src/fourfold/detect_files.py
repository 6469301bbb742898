"""What the evaluation of a detector leaves in its folder.

report.html holds all pictures and needs no other file; result.json and per_class.csv have its numbers, and detections.json
has what was found, as COCO's results, so that other programs can count it too.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.listing import Broken, read_in_order
from fourfold.detect.box_files import stem_of
from fourfold.detect.box_writers import write_coco_results, write_csv
from fourfold.detect.detections import Detections
from fourfold.detect.page import page, shown_photos
from fourfold.detect.summary import DetectionEvaluation
from fourfold.detect_report import class_records, detection_record
from fourfold.files import write_text
from fourfold.report import PAGE, one_line

if TYPE_CHECKING:
    from PIL import Image as Pillow

RESULT, CLASSES, FOUND, FOUND_CSV = "result.json", "per_class.csv", "detections.json", "detections.csv"
LONGEST = 960  # pixels of a picture in the report

Draw = Callable[[Tensor, Detections, Annotated], "Pillow.Image"]
"""Draws what was found on an image uint8 (3,H,W), and its objects."""


def write_detection_report(evaluation: DetectionEvaluation, folder: Path, draw: Draw | None = None) -> None:
    """result.json, per_class.csv, detections.json and report.html, each whole or not at all; the folder is made.

    draw: for the photos with most mistakes, and those with most objects and no mistake; it gets those detections alone that
    reach the thresholds of their classes. Without it the report has no photos. Images that cannot be read any more are left
    out. Where two images have the same name but for folder and ending, which COCO's results cannot tell apart, there is
    detections.csv in place of detections.json. Raises ValueError where a file cannot be written.
    """
    examples = _examples(evaluation, draw) if draw is not None else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / RESULT, json.dumps(detection_record(evaluation), indent=2, allow_nan=False) + "\n")
        write_text(folder / CLASSES, _csv(class_records(evaluation.per_class)))
        _write_found(evaluation, folder)
        write_text(folder / PAGE, page(evaluation, examples))
    except OSError as error:
        raise ValueError(f"cannot write to {folder} ({error.strerror or error}); choose another place") from error


def _examples(evaluation: DetectionEvaluation, draw: Draw) -> dict[int, Pillow.Image]:
    places = [photo.index for photo in shown_photos(evaluation)]
    read = read_in_order([evaluation.images[index].item for index in places])
    made = {}
    for index, image in zip(places, read, strict=True):
        if not isinstance(image, Broken):
            made[index] = draw(image, evaluation.sure(index), evaluation.images[index])
            made[index].thumbnail((LONGEST, LONGEST))
    return made


def _write_found(evaluation: DetectionEvaluation, folder: Path) -> None:
    names = [one_line(image.item.name) for image in evaluation.images]
    found, classes = dict(zip(names, evaluation.found, strict=True)), [one_line(name) for name in evaluation.classes]
    if len({stem_of(name) for name in names}) == len(names):
        write_coco_results(folder / FOUND, {PurePath(name).name: each for name, each in found.items()}, classes)
        other = FOUND_CSV
    else:
        write_csv(folder / FOUND_CSV, found, classes)
        other = FOUND
    (folder / other).unlink(missing_ok=True)  # of an evaluation before this one


def _csv(records: list[dict[str, object]]) -> str:
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    rows.writeheader()
    rows.writerows({**record, "class": one_line(str(record["class"]))} for record in records)
    return text.getvalue()
