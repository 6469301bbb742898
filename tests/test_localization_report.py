"""Errors of localization as records and tables, against counts by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fourfold.localization_report import (
    class_records,
    comparison_record,
    interval_words,
    localization_record,
    localization_table,
    reply_record,
)
from fourfold.localize.replies import Edges, Guess, LocationReply
from fourfold.localize.summary import ErrorRate, LocalizationEvaluation

TRUE: Edges = (0, 0, 10, 10)
GOOD: Edges = (0, 0, 10, 7.123)
POOR: Edges = (0, 0, 10, 3)


def reply(index: int, truth: int, order: tuple[int, ...], boxes: tuple[Edges, ...], given: Edges) -> LocationReply:
    guesses = tuple(Guess(label, 0.5 - 0.1 * at, box) for at, (label, box) in enumerate(zip(order, boxes, strict=True)))
    return LocationReply(index, f"{index}.png", truth, TRUE, guesses, given)


FOUND = LocalizationEvaluation(
    "net",
    "all windows",
    ("a", "b [x]", "c"),
    (
        reply(0, 0, (0, 1), (GOOD, POOR), GOOD),
        reply(1, 0, (1, 0), (GOOD, POOR), POOR),
        reply(2, 1, (0, 1), (POOR, GOOD), GOOD),
        LocationReply(3, "bad.png", -1, TRUE, error="bad.png is broken"),
    ),
    seconds=2.0,
)


def test_a_record_has_the_errors_their_intervals_and_what_was_left_out() -> None:
    record = localization_record(FOUND)
    assert json.loads(json.dumps(record)) == record
    assert (record["model"], record["protocol"], record["images"]) == ("net", "all windows", 3)
    assert record["given_class_error"] == 33.333
    assert record["top1_error"] == record["top1_class_error"] == 66.667
    assert record["top5_error"] == 33.333
    assert record["top5_class_error"] == 0.0
    assert record["top1_error_interval"] == [20.766, 93.851]  # Wilson's, of 2 in 3
    assert record["mean_iou"] == pytest.approx((0.7123 + 0.3 + 0.7123) / 3, abs=1e-5)
    assert record["seconds_per_image"] == 0.5
    assert record["broken"] == [{"source": "bad.png", "error": "bad.png is broken"}]
    assert localization_record(replace(FOUND, seconds=None))["seconds_per_image"] is None


def test_classes_that_have_images_have_records() -> None:
    first, second = class_records(FOUND)
    assert (first["class"], first["images"], first["top1_error"], first["top1_class_error"]) == ("a", 2, 50.0, 50.0)
    assert (first["top5_error"], first["given_class_error"], first["mean_iou"]) == (50.0, 50.0, 0.50615)
    assert (second["class"], second["images"], second["top1_error"], second["top5_error"]) == ("b [x]", 1, 100.0, 0.0)


def test_a_reply_is_a_flat_line_of_truth_and_guesses() -> None:
    record = reply_record(FOUND, FOUND.replies[2])
    assert [record[key] for key in ("path", "label", "x1", "y1", "x2", "y2")] == ["2.png", "b [x]", 0, 0, 10, 10]
    assert [record[key] for key in ("iou", "given_x2", "given_y2")] == [0.7123, 10, 7.12]
    assert [record[key] for key in ("guess1", "probability1", "guess1_y2", "guess2", "guess2_y2")] == [
        "a",
        0.5,
        3,
        "b [x]",
        7.12,
    ]
    assert [record[key] for key in ("guess3", "probability3", "guess3_x1", "error")] == [""] * 4
    bad = reply_record(FOUND, FOUND.replies[3])
    assert list(bad) == list(record)
    assert [bad[key] for key in ("label", "iou", "given_x1", "guess1", "error")] == ["", "", "", "", "bad.png is broken"]


def test_a_table_has_a_row_for_each_protocol() -> None:
    other = replace(FOUND, replies=FOUND.replies[:1], seconds=None)
    table = localization_table([("dense", FOUND), ("heat", other)])
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert [column.header for column in table.columns][:5] == ["protocol", "images", "class given", "95 % interval", "top-1"]
    assert rows[0] == (
        "dense", "3", "33.3 %", "6.1 to 79.2", "66.7 %", "20.8 to 93.9", "33.3 %", "6.1 to 79.2", "66.7 %", "0.0 %", "0.575",
        "0.5",
    )  # fmt: skip
    assert rows[1][:3] == ("heat", "1", "0.0 %")
    assert rows[1][-1] == "–"
    assert str(table.caption).startswith("net: errors in per cent")


def test_a_comparison_names_its_protocols() -> None:
    record = comparison_record([("dense", FOUND), ("heat", FOUND)])
    assert [each["name"] for each in record["protocols"]] == ["dense", "heat"]
    assert {key: value for key, value in record["protocols"][0].items() if key != "name"} == localization_record(FOUND)


def test_an_interval_in_words() -> None:
    assert interval_words(ErrorRate(0, 10)) == "0.0 to 27.8"
