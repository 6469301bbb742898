"""Records of detectors are plain JSON without what is no number, and tables say the same in rounded words."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.table import Table

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.detections import Detections, nothing_found
from fourfold.detect.summary import DetectionEvaluation, Seconds
from fourfold.detect_report import class_records, class_table, detection_record, detection_table

CLASSES = ("cat", "dog", "car", "bus")


def image_of(labels: list[int], difficult: tuple[int, ...] = ()) -> Annotated:
    boxes = torch.tensor([(100.0 * at, 0.0, 100.0 * at + 40, 50.0) for at in range(len(labels))]).view(-1, 4)
    is_difficult = torch.tensor([at in difficult for at in range(len(labels))], dtype=torch.bool)
    return Annotated(File(Path("a.jpg")), 60, 900, boxes, torch.tensor(labels, dtype=torch.int64), is_difficult)


def evaluation_of(seconds: Seconds | None = None, proposals: bool = False) -> DetectionEvaluation:
    """Of two cats one is found, surer than a false alarm; a dog is not; a car is difficult, and a bus is not there."""
    images = (image_of([0, 1, 2], (2,)), image_of([0]))
    far = torch.tensor([[500.0, 0, 540, 50]])
    found = (
        Detections(torch.cat((images[0].boxes[:1], far)), torch.tensor([0, 0]), torch.tensor([0.7, 1 / 3])),
        nothing_found(),
    )
    near = images[0].boxes.clone()
    near[1, 2] -= 16  # three fifths of the dog
    boxes = (near, torch.zeros(0, 4)) if proposals else None
    return DetectionEvaluation("spp", "scale 688", CLASSES, images, found, boxes, seconds)


def words_of(table: Table) -> list[list[str]]:
    return [list(row) for row in zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True)]


def test_a_record_holds_what_was_measured() -> None:
    record = detection_record(evaluation_of(Seconds(0.2, 1.0, 0.4), proposals=True))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert {key: record[key] for key in ("detector", "protocol", "images", "objects", "detections")} == {
        "detector": "spp", "protocol": "scale 688", "images": 2, "objects": 3, "detections": 2,
    }  # fmt: skip
    # cats: by points 6/11 (recalls 0 to 0.5), by area 1/2; dogs 0; cars and buses have no object that counts
    assert (record["map_2007"], record["map_2010"]) == (round(3 / 11, 5), 0.25)
    low, high = record["map_2010_interval"]
    assert 0 <= low <= 0.25 <= high <= 1
    assert record["coco"]["ap_small"] is None
    assert record["coco"]["ap_50"] == pytest.approx(0.25, abs=0.01)
    assert record["why_no_coco"] is None
    assert record["seconds_per_image"] == {"propose": 0.1, "features": 0.5, "rest": 0.2, "total": 0.8}
    assert record["proposals"] == [
        {"at_most": 3, "per_image": 1.5, "recall_50": 0.66667, "recall_70": 0.33333, "mabo": 0.55}
    ]


def test_what_there_is_not_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    image = image_of([0])
    record = detection_record(DetectionEvaluation("spp", "", CLASSES, (image,), (nothing_found(),)))
    for key in ("coco", "seconds_per_image", "proposals", "map_2007_interval", "map_2010_interval"):
        assert record[key] is None
    assert "fourfold[detect]" in record["why_no_coco"]
    assert (record["map_2007"], record["map_2010"]) == (0, 0)


def test_json_gets_no_number_that_is_not_finite() -> None:
    record = detection_record(evaluation_of(Seconds(math.inf, 1.0, math.nan)))
    assert record["seconds_per_image"] == {"propose": None, "features": 0.5, "rest": None, "total": None}


def test_a_class_has_a_flat_record() -> None:
    records = class_records(evaluation_of().per_class)
    assert records[0] == {
        "class": "cat", "objects": 2, "difficult": 0, "found": 2, "ap_2007": 0.54545, "ap_2010": 0.5,
        "threshold": float(torch.tensor(0.7)), "precision": 1.0, "recall": 0.5, "f1": 0.66667,
        "right": 1, "localization": 0, "similar": 0, "other": 0, "background": 1,
    }  # fmt: skip
    assert [each["class"] for each in records] == list(CLASSES)
    assert [each["ap_2010"] for each in records] == [0.5, 0, None, None]
    assert [each["difficult"] for each in records] == [0, 0, 1, 0]
    assert records[1]["threshold"] is None


def test_the_table_has_the_same_numbers_in_words() -> None:
    row = words_of(detection_table(evaluation_of(Seconds(0.2, 1.0, 0.4))))[0]
    assert row[:3] == ["2", "3", "27.27 %"]
    assert " to " in row[3]
    assert (row[4], row[7]) == ("25.00 %", "0.8")
    console = Console(width=200)
    with console.capture() as printed:
        console.print(detection_table(evaluation_of()))
    assert "spp, scale 688" in printed.get()
    assert printed.get().split("\n")[1].rstrip().endswith("–")  # not timed


def test_the_table_says_nothing_where_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    image = image_of([0])
    row = words_of(detection_table(DetectionEvaluation("spp", "", CLASSES, (image,), (nothing_found(),))))[0]
    assert row == ["1", "1", "0.00 %", "–", "0.00 %", "–", "–", "–"]


def test_classes_that_occur_have_a_row() -> None:
    assert words_of(class_table(evaluation_of().per_class)) == [
        ["cat", "2", "54.55 %", "50.00 %", "0.700", "100.00 %", "50.00 %", "2"],
        ["dog", "1", "0.00 %", "0.00 %", "–", "–", "–", "0"],
        ["car", "0", "–", "–", "–", "–", "–", "0"],
    ]
