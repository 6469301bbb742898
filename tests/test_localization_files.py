"""What an evaluation leaves in its folder: whole files that say what the evaluation says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fourfold.data.annotated import Annotations
from fourfold.data.boxed import find_boxed_parts
from fourfold.data.boxes_csv import read_boxes_csv
from fourfold.localization_files import drawn_reply, write_localization
from fourfold.localization_report import comparison_record, localization_record
from fourfold.localize.replies import Guess, LocationReply
from fourfold.localize.summary import LocalizationEvaluation

Make = Callable[..., Path]  # conftest's
LABELS = ("blue", "green", "red [cell]")
NAMES = ["boxes.csv", "per_class.csv", "report.html", "result.json"]


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def part(tmp_path: Path, put_single: Make) -> Annotations:
    return find_boxed_parts(put_single(tmp_path / "data", 5) / "boxes.csv")["train"]


def evaluation(part: Annotations) -> LocalizationEvaluation:
    """Of images 0, 1 and 2 the box is right, of 3 it is not; 4 could not be used."""
    replies = []
    for index, image in enumerate(part.images):
        (left, top, right, bottom), label = image.boxes[0].tolist(), int(image.labels[0])
        given = (left, top, right, bottom if index < 3 else top + 2)
        guesses = (Guess(label, 0.75, given), Guess((label + 1) % 3, 0.25, (0.0, 0.0, 9.0, 9.0)))
        name = image.item.name
        reply = LocationReply(index, name, label, (left, top, right, bottom), guesses, given)
        replies.append(reply if index < 4 else LocationReply(index, name, -1, reply.box, error="unknown, so\nleft out"))
    return LocalizationEvaluation("net", "all windows", LABELS, tuple(replies))


def test_files_say_what_the_evaluation_says(part: Annotations, tmp_path: Path) -> None:
    found = evaluation(part)
    write_localization([("dense", found)], part, tmp_path / "new" / "out")

    out = tmp_path / "new" / "out"
    assert sorted(path.name for path in out.iterdir()) == NAMES
    assert json.loads((out / "result.json").read_text(encoding="utf-8")) == localization_record(found)
    classes = lines_of(out / "per_class.csv")
    assert [(each["class"], each["images"]) for each in classes] == [("blue", "2"), ("green", "1"), ("red [cell]", "1")]
    replies = lines_of(out / "boxes.csv")
    assert [each["path"] for each in replies] == [image.item.name for image in part.images]
    assert [each["iou"] for each in replies[:3]] == ["1.0"] * 3
    assert float(replies[3]["iou"]) < 0.5
    assert [each["error"] for each in replies] == ["", "", "", "", "unknown, so\\nleft out"]
    assert "protocol" not in replies[0]
    content = (out / "report.html").read_text(encoding="utf-8")
    assert content.count("data:image/jpeg;base64,") == 4


def test_boxes_csv_holds_the_truth_as_data_do(part: Annotations, tmp_path: Path) -> None:
    write_localization([("dense", evaluation(part))], part, tmp_path / "out")
    read = read_boxes_csv(tmp_path / "out" / "boxes.csv")[""]
    assert read.classes == LABELS
    kept = [image for image in read.images if len(image)]
    for one, two in zip(kept, part.images[:4], strict=True):
        assert torch.equal(one.boxes, two.boxes)
        assert one.labels.tolist() == two.labels.tolist()


def test_of_several_protocols_each_line_says_of_which_it_is(part: Annotations, tmp_path: Path) -> None:
    found = [("dense", evaluation(part)), ("heat", evaluation(part))]
    write_localization(found, part, tmp_path / "out")
    assert [each["protocol"] for each in lines_of(tmp_path / "out" / "boxes.csv")] == ["dense"] * 5 + ["heat"] * 5
    assert [each["protocol"] for each in lines_of(tmp_path / "out" / "per_class.csv")] == ["dense"] * 3 + ["heat"] * 3
    assert json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8")) == comparison_record(found)


def test_photos_that_are_gone_are_left_out_of_the_report(part: Annotations, tmp_path: Path) -> None:
    found = evaluation(part)
    Path(part.images[1].item.name).unlink()
    write_localization([("dense", found)], part, tmp_path / "out")
    content = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert content.count("data:image/jpeg;base64,") == 3


def test_a_place_that_cannot_be_written_is_said(part: Annotations, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot write to .*file.*choose another place"):
        write_localization([("dense", evaluation(part))], part, tmp_path / "file")


def test_both_boxes_are_drawn_in_their_colours() -> None:
    guesses = (Guess(1, 0.6, (0, 0, 5, 5)),)
    reply = LocationReply(0, "x", 1, (40.0, 200.0, 300.0, 380.0), guesses, (400.0, 60.0, 560.0, 340.0))
    picture = np.asarray(drawn_reply(torch.full((3, 400, 600), 128, dtype=torch.uint8), reply, LABELS))
    for colour, edges in (((230, 159, 0), reply.given), ((0, 158, 115), reply.box)):
        assert edges is not None
        rows, columns = np.nonzero((picture == colour).all(2))
        height = (rows.min(), rows.max(), columns.min(), columns.max())
        wanted = (edges[1], edges[3] - 1, edges[0], edges[2] - 1)
        assert all(abs(one - two) <= 25 for one, two in zip(height, wanted, strict=True)), "but for the words' height"
        assert int(np.median(rows)) in range(int(edges[1]), int(edges[3]))
