"""Boxes as records, tables and files: rounded once, read back as they were, and names shown as they are."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from fourfold import found_report
from fourfold.detect.detections import Detections
from fourfold.detecting import Found
from fourfold.sources import Failure

IMAGE = torch.full((3, 40, 60), 90, dtype=torch.uint8)
LABELS = ("blue", "red [cell]")


def found_of(source: str, *rows: tuple[int, float, tuple[float, float, float, float]]) -> Found:
    boxes = torch.tensor([box for _, _, box in rows]).reshape(-1, 4)
    labels = torch.tensor([label for label, _, _ in rows], dtype=torch.int64)
    return Found(source, Detections(boxes, labels, torch.tensor([score for _, score, _ in rows])), LABELS, "run", IMAGE)


def shown(table: Any) -> str:
    text = io.StringIO()
    Console(file=text, width=200, markup=False, emoji=False).print(table)
    return text.getvalue()


ONE = found_of(
    "one.png", (1, 0.123456789, (1.23456, 2.0, 30.5, 39.999)), (0, 0.5, (0.0, 0.0, 60.0, 40.0)), (1, 0.25, (3, 4, 5, 6))
)


def test_a_record_has_the_surest_first_and_numbers_that_are_rounded() -> None:
    assert found_report.found_record(ONE) == {
        "source": "one.png",
        "model": "run",
        "height": 40,
        "width": 60,
        "objects": [
            {"class": "blue", "score": 0.5, "box": [0, 0, 60, 40]},
            {"class": "red [cell]", "score": 0.25, "box": [3, 4, 5, 6]},
            {"class": "red [cell]", "score": 0.12346, "box": [1.23, 2, 30.5, 40]},
        ],
    }
    assert found_report.found_record(found_of("empty.png"))["objects"] == []
    assert found_report.found_record(Failure("x.png", "gone")) == {"source": "x.png", "error": "gone"}


def test_a_table_counts_objects_by_class_the_most_frequent_first() -> None:
    text = shown(found_report.found_table([found_report.found_record(each) for each in (ONE, found_of("two.png"))]))

    lines = [line.split() for line in text.splitlines()]
    assert ["one.png", "3", "0.50", "2", "red", "[cell],", "1", "blue"] in lines
    assert ["two.png", "0", "nothing"] in lines


def test_a_table_names_twelve_classes_and_counts_the_others() -> None:
    objects = [{"class": f"c{number:02}", "score": 0.5, "box": [0, 0, 1, 1]} for number in range(14)]
    text = shown(found_report.found_table([{"source": "a", "model": "m", "objects": objects}]))

    assert "1 c11 and 2 classes more" in text
    assert "c12" not in text


def test_proposals_as_a_record_a_table_and_a_picture() -> None:
    boxes = torch.tensor([[0.0, 1.0, 20.126, 30.0], [5, 6, 7, 8], [1, 1, 9, 9]])
    assert found_report.proposals_record("a.png", IMAGE, boxes) == {
        "source": "a.png", "height": 40, "width": 60, "count": 3, "boxes": [[0, 1, 20.13, 30], [5, 6, 7, 8], [1, 1, 9, 9]],
    }  # fmt: skip
    table = found_report.proposals_table("a.png", IMAGE, boxes, rows=2)
    assert (table.row_count, table.caption) == (2, "3 boxes on a.png, 60x40 pixels; the likeliest 2")
    picture, other = (found_report.proposals_picture(IMAGE, boxes, count) for count in (1, 3))
    assert picture.tobytes() != other.tobytes()
    assert picture.tobytes() == found_report.proposals_picture(IMAGE, boxes[:1], 50).tobytes()
    with pytest.raises(ValueError, match="0 boxes cannot be drawn"):
        found_report.proposals_picture(IMAGE, boxes, 0)


def test_no_proposals_are_a_record_and_a_table_too() -> None:
    none = torch.zeros(0, 4)
    assert found_report.proposals_record("a.png", IMAGE, none)["boxes"] == []
    assert found_report.proposals_table("a.png", IMAGE, none).row_count == 0


def test_boxes_of_all_images_as_files(tmp_path: Path) -> None:
    places = {each.source: found_report.place_of(each) for each in (ONE, found_of("two.png"))}
    found_report.write_found(places, LABELS, tmp_path / "all.json", tmp_path / "texts")

    records = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert [(each["file_name"], each["category"]) for each in records] == [
        ("one.png", "blue"), ("one.png", "red [cell]"), ("one.png", "red [cell]"),
    ]  # fmt: skip
    assert records[1]["bbox"] == [3, 4, 2, 2]
    lines = (tmp_path / "texts" / "one.txt").read_text(encoding="utf-8").splitlines()
    assert list(map(float, lines[0].split())) == [0, 0.5, 0.5, 1, 1, 0.5]
    assert list(map(float, lines[1].split())) == pytest.approx([1, 4 / 60, 5 / 40, 2 / 60, 2 / 40, 0.25], abs=1e-8)
    assert (tmp_path / "texts" / "two.txt").read_text(encoding="utf-8") == ""


def test_a_file_that_is_not_asked_for_is_not_written(tmp_path: Path) -> None:
    found_report.write_found({}, LABELS, None, None)
    found_report.write_found({ONE.source: found_report.place_of(ONE)}, LABELS, tmp_path / "all.json", None)

    assert [path.name for path in tmp_path.iterdir()] == ["all.json"]
