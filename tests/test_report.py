"""Records are plain data with the promised keys, and tables show every name as it is, on one line."""

from __future__ import annotations

import io
import json
import math

import pytest
import torch
from rich.console import Console
from rich.table import Table

from fourfold import report
from fourfold.evaluate.answers import Reply
from fourfold.evaluate.summary import Evaluation
from fourfold.verbs import Answer, Failure, Guess, explain, models

IMAGE = torch.zeros(3, 8, 8, dtype=torch.uint8)
GUESSES = (Guess("cat", 3, 0.87654321), Guess("dog", 5, 0.1), Guess("frog", 6, 0.0000001))


def answer(source: str, *guesses: Guess) -> Answer:
    return Answer(source, guesses or GUESSES, "net", "centre 8", IMAGE)


def text_of(table: Table, width: int = 120) -> str:
    file = io.StringIO()
    Console(file=file, width=width, markup=False, emoji=False).print(table)
    return file.getvalue()


def test_an_answer_is_its_source_and_classes_with_probabilities() -> None:
    assert report.answer_record(answer("a/b.jpg")) == {
        "source": "a/b.jpg",
        "top": [
            {"label": "cat", "index": 3, "probability": 0.876543},
            {"label": "dog", "index": 5, "probability": 0.1},
            {"label": "frog", "index": 6, "probability": 0.0},
        ],
        "model": "net",
        "protocol": "centre 8",
    }


def test_a_failure_is_its_source_and_error() -> None:
    assert report.answer_record(Failure("x.jpg", "it is empty")) == {"source": "x.jpg", "error": "it is empty"}


def test_a_table_has_a_row_for_each_answer_in_order() -> None:
    records = [report.answer_record(answer(name)) for name in ("one.jpg", "two.jpg")]

    lines = text_of(report.answer_table(records)).splitlines()

    assert lines[1].split()[:4] == ["one.jpg", "cat", "87.7", "%"]
    assert "dog 10.0 %, frog 0.0 %" in lines[1]
    assert lines[2].startswith("two.jpg")
    assert lines[3].strip() == "net, centre 8"


def test_a_long_path_loses_its_beginning_and_keeps_its_name() -> None:
    line = text_of(report.answer_table([report.answer_record(answer("folder/" * 30 + "photo.jpg"))])).splitlines()[1]

    assert line.startswith("…")
    assert "/photo.jpg" in line
    assert "cat" in line


def test_a_narrow_terminal_keeps_the_name_the_class_and_the_probability() -> None:
    for line in text_of(report.answer_table([report.answer_record(answer("photo.jpg"))]), width=44).splitlines()[1:2]:
        assert "photo.jpg" in line
        assert "cat" in line
        assert "87.7 %" in line


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("new\nline.jpg", r"new\nline.jpg"),
        ("bell\x07\x1b[31m.jpg", r"bell\x07\x1b[31m.jpg"),
        ("bytes\udc80.jpg", r"bytes\udc80.jpg"),
        ("two\u2028lines.jpg", r"two\u2028lines.jpg"),
        ("größe 3×3 猫.jpg", "größe 3×3 猫.jpg"),
        ("[red]x[/blue] :cat:.jpg", "[red]x[/blue] :cat:.jpg"),
        ("C:\\photo.jpg", "C:\\photo.jpg"),
    ],
)
def test_names_are_shown_on_one_line_without_controls_and_without_being_read_as_markup(name: str, shown: str) -> None:
    lines = text_of(report.answer_table([report.answer_record(answer(name))])).splitlines()

    assert report.one_line(name) == shown
    assert len(lines) == 3
    assert lines[1].startswith(shown)


def evaluation() -> Evaluation:
    """Three images of four that can be read: two right, one of them barely, and one whose class comes third."""
    replies = (
        Reply(0, "a.png", 0, 0, 0.9, ((0, 0.9), (1, 0.1))),
        Reply(1, "b.png", 1, 0, 0.4, ((1, 0.4), (0, 0.35), (2, 0.25))),
        Reply(2, "c.png", 1, error="c.png is empty"),
        Reply(3, "d.png", 2, 2, 0.123456789, ((0, 0.5), (1, 0.3765432))),
    )
    return Evaluation("net", "centre 8", ("x", "y", "z", "unused"), replies, views=7, seconds=0.0123456, wall_seconds=1.0)


def test_an_evaluation_is_in_per_cent_and_its_classes_in_shares() -> None:
    record = report.evaluation_record(evaluation())

    assert (record["model"], record["protocol"], record["images"], record["classes"]) == ("net", "centre 8", 3, 3)
    assert (record["top1"], record["top5"], record["views"]) == (66.667, 100.0, 7)
    assert record["top1_interval"] == pytest.approx([20.77, 93.85], abs=0.01)  # Wilson's, of 2 in 3
    assert record["ms_per_image"] == 4.115
    assert record["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.123456789)) / 3, abs=1e-5)
    assert record["calibration_error"] == pytest.approx((0.1 + 0.6 + 0.5) / 3, abs=1e-5)  # one answer in each bin
    assert record["per_class"] == [
        {"class": "x", "precision": 0.5, "recall": 1.0, "f1": 0.66667, "images": 1, "guessed": 2},
        {"class": "y", "precision": 1.0, "recall": 1.0, "f1": 1.0, "images": 1, "guessed": 1},
        {"class": "z", "precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 1, "guessed": 0},
    ]
    assert record["broken"] == [{"source": "c.png", "error": "c.png is empty"}]
    json.dumps(record)


def test_tables_of_evaluations_have_accuracy_and_cost() -> None:
    alone, both = evaluation(), [("single", evaluation()), ("ten", evaluation())]

    assert text_of(report.evaluation_table(alone)).split("\n")[1].split() == [
        "3", "66.67", "%", "20.77", "to", "93.85", "100.00", "%", "40.0", "%", "7", "4.12",
    ]  # fmt: skip
    lines = text_of(report.comparison_table(both)).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["single", "ten"]
    assert [row["name"] for row in report.comparison_record(both)["protocols"]] == ["single", "ten"]


def test_every_protocol_has_a_row_that_fits_a_terminal() -> None:
    records = report.protocol_records(224)

    lines = text_of(report.protocol_table(records), 100).splitlines()

    for row in records:
        (line,) = [line for line in lines if line.split()[0] == row["name"] and str(row["views"]) in line.split()[1:2]]
        assert row["source"] in line
        assert row["does"].split()[0] in line


def test_an_explanation_has_totals_and_every_layer() -> None:
    record = report.explanation_record(explain("vgg-d"))

    # VGG 2.3 and table 2: D has 138 million parameters; 13 convolutions, 5 pools and 3 fc layers
    assert record["parameters"] == 138_357_544
    assert record["stride"] == 32
    assert len(record["layers"]) == 21
    assert record["layers"][0] == {
        "name": "conv1_1",
        "kind": "conv 3x3",
        "output": [64, 224, 224],
        "receptive_field": 3,
        "stride": 1,
        "parameters": 1792,
        "multiply_adds": 86_704_128,
    }
    assert record["layers"][-1]["receptive_field"] is None
    assert json.loads(json.dumps(record)) == record


def test_the_table_of_an_explanation_names_every_layer_and_the_total() -> None:
    text = text_of(report.explanation_table(explain("resnet20")))

    assert all(f"conv{stage}_{block}" in text for stage in (2, 3, 4) for block in (1, 2, 3))
    assert "269,722" in text  # 268,346 weights and biases and 1,376 numbers of batch norm; ResNet 4.2 says 0.27M


def test_lists_of_models_are_plain_data_and_tables() -> None:
    record = report.model_records(*models())

    networks = {row["name"]: row for row in record["networks"]}
    assert networks["vgg-d"]["aliases"] == ["vgg16"]
    assert networks["vgg-d"]["parameters"] == 138_357_544
    assert [row["name"] for row in record["weights"] if row["is_bundled"]] == ["resnet20-cifar10"]
    assert json.loads(json.dumps(record)) == record
    shown = [text_of(table, 300) for table in report.model_tables(record)]
    assert "138,357,544" in shown[0]
    assert "resnet20-cifar10" in shown[1]
