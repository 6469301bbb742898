"""What the evaluation of a localizer leaves in its folder.

report.html holds all pictures and needs no other file; result.json and per_class.csv have its numbers, and boxes.csv has
what was said of each image, beside what is true.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fourfold.data.annotated import Annotated, Annotations
from fourfold.data.listing import Broken, read_in_order
from fourfold.detect.boxes_picture import marked_picture
from fourfold.files import write_text
from fourfold.localization_report import Found, class_records, comparison_record, localization_record, reply_record
from fourfold.localize.page import page, shown_replies
from fourfold.localize.replies import LocationReply
from fourfold.localize.summary import LocalizationEvaluation
from fourfold.report import PAGE, Record, one_line

if TYPE_CHECKING:
    from PIL import Image as Pillow

RESULT, CLASSES, BOXES = "result.json", "per_class.csv", "boxes.csv"
LONGEST = 640  # pixels of a picture in the report
GIVEN, TRUE = 0, 2  # of boxes_picture.COLOURS: orange and green


def write_localization(found: Found, images: Annotations, folder: Path) -> None:
    """result.json, per_class.csv, boxes.csv and report.html, each whole or not at all; the folder is made.

    found: evaluations on `images` by their protocols' names; of several each line of the tables says of which it is. Photos
    that cannot be read any more are left out of the report. Raises ValueError where a file cannot be written.
    """
    alone = len(found) == 1
    examples = _examples(found[0][1], {image.item.name: image for image in images.images})
    classes = [(name, record) for name, result in found for record in class_records(result)]
    replies = [(name, reply_record(result, reply)) for name, result in found for reply in result.replies]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record = localization_record(found[0][1]) if alone else comparison_record(found)
        write_text(folder / RESULT, json.dumps(record, indent=2, allow_nan=False) + "\n")
        write_text(folder / CLASSES, _csv(classes, alone=alone))
        write_text(folder / BOXES, _csv(replies, alone=alone))
        write_text(folder / PAGE, page(found, examples))
    except OSError as error:
        raise ValueError(f"cannot write to {folder} ({error.strerror or error}); choose another place") from error


def drawn_reply(image: Tensor, reply: LocationReply, labels: tuple[str, ...]) -> Pillow.Image:
    """A photo uint8 (3,H,W) with the box that was given for the true class, and the true one below it."""
    assert reply.given is not None, "a reply without an error has a box"
    guess = next((each for each in reply.guesses if each.label == reply.truth), None)
    sure = "" if guess is None else f" {guess.probability:.2f}"
    words = [f"{labels[reply.truth]}{sure}", "true"]
    return marked_picture(image, torch.tensor([reply.given, reply.box]), [GIVEN, TRUE], words)


def _examples(result: LocalizationEvaluation, images: Mapping[str, Annotated]) -> dict[int, Pillow.Image]:
    replies = shown_replies(result)
    read = read_in_order([images[reply.name].item for reply in replies])
    made = {}
    for reply, image in zip(replies, read, strict=True):
        if not isinstance(image, Broken):
            made[reply.index] = drawn_reply(image, reply, result.labels)
            made[reply.index].thumbnail((LONGEST, LONGEST))
    return made


def _csv(rows: list[tuple[str, Record]], *, alone: bool) -> str:
    """The records; of several protocols each with its name."""
    lines = [record if alone else {"protocol": name, **record} for name, record in rows]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: one_line(str(value)) for key, value in line.items()} for line in lines)
    return text.getvalue()
