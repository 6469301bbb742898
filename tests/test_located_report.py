"""Where things are, as records and tables."""

from __future__ import annotations

from pathlib import Path

import torch

from fourfold.localize.replies import LocationReply
from fourfold.localize.summary import LocalizationEvaluation
from fourfold.localizer_training import TrainedLocalizer
from fourfold.localizing import Located, Spot
from fourfold.located_report import located_record, located_table, trained_localizer_record
from fourfold.sources import Failure

IMAGE = torch.zeros(3, 40, 60, dtype=torch.uint8)
TOP = (Spot("cat [x]", 1, 0.87654321, (1.234, 2, 30.5, 40)), Spot("dog", 0, 0.1, (0, 0, 60, 40)))


def test_a_photo_has_its_guesses_and_a_failure_its_reason() -> None:
    assert located_record(Located("a.jpg", TOP, "net", "words", IMAGE)) == {
        "source": "a.jpg",
        "height": 40,
        "width": 60,
        "top": [
            {"label": "cat [x]", "index": 1, "probability": 0.876543, "box": [1.23, 2, 30.5, 40]},
            {"label": "dog", "index": 0, "probability": 0.1, "box": [0, 0, 60, 40]},
        ],
        "model": "net",
        "protocol": "words",
    }
    assert located_record(Failure("b.jpg", "b.jpg is broken")) == {"source": "b.jpg", "error": "b.jpg is broken"}


def test_a_table_has_a_row_for_each_guess_and_names_a_photo_once() -> None:
    records = [located_record(Located(name, TOP, "net", "words", IMAGE)) for name in ("a.jpg", "b\n.jpg")]
    table = located_table(records)
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows[0] == ("a.jpg", "cat [x]", "87.7 %", "1", "2", "30", "40")
    assert rows[1] == ("", "dog", "10.0 %", "0", "0", "60", "40")
    assert rows[2][0] == "b\\n.jpg"
    assert table.caption == "net; words"


def test_a_localizer_that_was_made_says_where_it_is_and_how_it_did() -> None:
    replies = (LocationReply(0, "x", 0, (0, 0, 1, 1), (), (0, 0, 1, 1)),)
    evaluation = LocalizationEvaluation("net", "words", ("a",), replies)
    record = trained_localizer_record(TrainedLocalizer(Path("runs/one"), (("dense", evaluation),), "val"))
    (result,) = record["protocols"]
    assert (record["folder"], record["checked_on"], result["name"], result["images"]) == ("runs/one", "val", "dense", 1)
    assert result["given_class_error"] == 0
    assert trained_localizer_record(TrainedLocalizer(Path("r"), (), "none"))["protocols"] == []
