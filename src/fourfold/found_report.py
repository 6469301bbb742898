"""Boxes that were proposed or found, as JSON records, terminal tables and files; rounding is done here, as in report.py."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fourfold.detect import boxes_picture
from fourfold.detect.box_writers import write_coco_results, write_yolo
from fourfold.detect.detections import Detections
from fourfold.detect_report import detection_record
from fourfold.detecting import Found
from fourfold.detector_training import TrainedDetector
from fourfold.report import Record, one_line, plain_table
from fourfold.sources import Failure

if TYPE_CHECKING:
    from PIL import Image as Pillow
    from rich.table import Table

NAMED = 12  # classes in a table of one line for each photo


def proposals_record(source: str, image: Tensor, boxes: Tensor) -> Record:
    """The boxes of one photo, likeliest first."""
    return {
        "source": source,
        "height": image.shape[1],
        "width": image.shape[2],
        "count": len(boxes),
        "boxes": [[round(edge, 2) for edge in box] for box in boxes.tolist()],
    }


def proposals_table(source: str, image: Tensor, boxes: Tensor, rows: int = 10) -> Table:
    """How many there are, and the likeliest few."""
    table = plain_table("rank", "x1", "y1", "x2", "y2", caption=f"{len(boxes):,} boxes on {one_line(source)}, "
                        f"{image.shape[2]}x{image.shape[1]} pixels; the likeliest {min(rows, len(boxes))}")  # fmt: skip
    for rank, box in enumerate(boxes[:rows].tolist(), start=1):
        table.add_row(str(rank), *(f"{edge:.0f}" for edge in box))
    return table


def proposals_picture(image: Tensor, boxes: Tensor, shown: int) -> Pillow.Image:
    """The photo with the likeliest boxes. Raises ValueError for fewer than one."""
    if shown < 1:
        raise ValueError(f"{shown} boxes cannot be drawn; give 1 or more")
    return boxes_picture.proposals_picture(image, boxes[:shown])


def found_record(found: Found | Failure) -> Record:
    """What was found on one image, or why there is nothing."""
    if isinstance(found, Failure):
        return {"source": found.source, "error": found.error}
    each = found.detections
    rows = zip(each.boxes.tolist(), each.labels.tolist(), each.scores.tolist(), strict=True)
    return {
        "source": found.source,
        "model": found.model,
        "height": found.image.shape[1],
        "width": found.image.shape[2],
        "objects": [
            {"class": found.labels[label], "score": round(score, 5), "box": [round(edge, 2) for edge in box]}
            for box, label, score in rows
        ],
    }


def found_table(records: Sequence[Record]) -> Table:
    """One line for each photo: how many objects of each class, and the surest."""
    table = plain_table("photo", "objects", "surest", "classes", caption=str(records[0]["model"]))
    for record in records:
        objects = record["objects"]
        counts: dict[str, int] = {}
        for each in objects:
            counts[each["class"]] = counts.get(each["class"], 0) + 1
        listed = sorted(counts.items(), key=lambda pair: -pair[1])
        words = ", ".join(f"{count} {one_line(name)}" for name, count in listed[:NAMED])
        more = f" and {len(listed) - NAMED} classes more" if len(listed) > NAMED else ""
        surest = f"{objects[0]['score']:.2f}" if objects else ""
        table.add_row(one_line(record["source"]), str(len(objects)), surest, words + more or "nothing")
    return table


@dataclass(frozen=True, eq=False)
class Place:
    """What files of boxes need of an image: so that its pixels need not be held until they are written."""

    detections: Detections
    size: tuple[int, int]  # height and width


def place_of(found: Found) -> Place:
    """A Found without its image."""
    return Place(found.detections, (found.image.shape[1], found.image.shape[2]))


def check_places(coco: Path | None, yolo: Path | None) -> None:
    """Raises ValueError where `write_found` could not write, so that it is said before the photos are looked at."""
    for place, folder in ((coco, coco and coco.parent), (yolo, yolo)):
        if place is None or folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if place == coco and place.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise ValueError(f"cannot write {place} ({error.strerror}); choose another place") from error


def write_found(found: Mapping[str, Place], labels: Sequence[str], coco: Path | None, yolo: Path | None) -> None:
    """The boxes of all images as COCO's results, as YOLO's text files, or both."""
    boxes = {name: each.detections for name, each in found.items()}
    if coco is not None:
        write_coco_results(coco, boxes, labels)
    if yolo is not None:
        write_yolo(yolo, boxes, {name: each.size for name, each in found.items()})


def trained_detector_record(trained: TrainedDetector) -> Record:
    """Where a detector is, and how it did."""
    result = None if trained.evaluation is None else detection_record(trained.evaluation)
    return {"folder": str(trained.folder), "checked_on": trained.origin, "result": result}
