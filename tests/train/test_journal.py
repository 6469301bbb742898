"""metrics.csv gives back the numbers it was given, opens in a spreadsheet, and is cut where a run goes on."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.train import journal
from fourfold.train.journal import Epoch

FIRST = Epoch(1, 390, 0.1, 1.6180339887498949, 0.5, 1.25, 0.4375, 61.5)
SECOND = Epoch(2, 780, 0.1 + 0.2, 1 / 3, 0.25, None, None, 60.0)
THIRD = Epoch(3, 1170, 1e-05, 5e-324, 0.0, 0.75, 0.0625, 59.0)

numbers = st.floats(allow_nan=False)
maybe = st.none() | numbers
epochs = st.builds(Epoch, st.integers(1), st.integers(1), numbers, numbers, numbers, maybe, maybe, numbers)


def written(folder: Path, *lines: Epoch) -> Path:
    for line in lines:
        journal.append(folder, line)
    return folder / "metrics.csv"


def test_the_file_is_a_table_with_a_header_and_full_precision(tmp_path: Path) -> None:
    path = written(tmp_path, FIRST, SECOND)

    assert path.read_bytes().decode("utf-8") == (
        "epoch,step,rate,train_loss,train_error,val_loss,val_error,seconds\n"
        "1,390,0.1,1.618033988749895,0.5,1.25,0.4375,61.5\n"
        "2,780,0.30000000000000004,0.3333333333333333,0.25,,,60.0\n"
    )


def test_a_csv_reader_sees_the_same_cells(tmp_path: Path) -> None:
    with written(tmp_path, FIRST, SECOND, THIRD).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert [int(row["step"]) for row in rows] == [390, 780, 1170]
    assert float(rows[2]["train_loss"]) == 5e-324  # the smallest double there is
    assert rows[1]["val_error"] == ""


@given(st.lists(epochs, max_size=5))
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, lines: list[Epoch]) -> None:
    folder = tmp_path_factory.mktemp("run")
    journal.cut(folder, 0)
    written(folder, *lines)

    assert journal.read(folder) == lines


def test_a_loss_that_is_no_number_is_read_back_as_such(tmp_path: Path) -> None:
    written(tmp_path, Epoch(1, 1, 0.1, math.inf, 1.0, math.nan, 1.0, 0.1))

    (line,) = journal.read(tmp_path)

    assert line.train_loss == math.inf
    assert line.val_loss is not None
    assert math.isnan(line.val_loss)


def test_lines_after_a_step_are_dropped_and_the_others_keep_their_bytes(tmp_path: Path) -> None:
    before = written(tmp_path, FIRST, SECOND).read_bytes()
    written(tmp_path, THIRD)

    journal.cut(tmp_path, 1000)

    assert (tmp_path / "metrics.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]  # no temporary file stays


def test_a_line_at_the_step_itself_is_kept(tmp_path: Path) -> None:
    written(tmp_path, FIRST, SECOND)

    journal.cut(tmp_path, 780)

    assert journal.read(tmp_path) == [FIRST, SECOND]


@pytest.mark.parametrize("length", [1, 4, 30, 50])
def test_a_last_line_written_by_half_is_dropped_wherever_it_was_cut(length: int, tmp_path: Path) -> None:
    path = written(tmp_path, FIRST)
    whole = path.read_bytes()
    line = written(tmp_path, THIRD).read_bytes()[len(whole) :]
    path.write_bytes(whole + line[: min(length, len(line) - 1)])  # the last case lacks the end of the line alone

    assert journal.read(tmp_path) == [FIRST]
    journal.cut(tmp_path, 10_000)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("start", [b"", b"epoch,st"])
def test_a_journal_that_was_hardly_begun_is_begun_again(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(start)

    journal.cut(tmp_path, 500)
    written(tmp_path, SECOND)

    assert journal.read(tmp_path) == [SECOND]


def test_cut_begins_a_journal_where_there_is_none(tmp_path: Path) -> None:
    journal.cut(tmp_path, 500)

    assert journal.read(tmp_path) == []


def test_what_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, FIRST, SECOND)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    assert journal.read(tmp_path) == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"step;loss\n1;2\n", "begins with 'step;loss'"),
        (b"epoch,step,rate,train_loss,train_error,val_loss,val_error,seconds\n1,2,3\n", "line 2 of .* has 3 cells"),
        (b"epoch,step,rate,train_loss,train_error,val_loss,val_error,seconds\n1,2,3,4,five,6,7,8\n", "'five'"),
        (b"epoch,step,rate,train_loss,train_error,val_loss,val_error,seconds\n1,,3,4,5,6,7,8\n", "line 2"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_no_journal_is_refused_and_left_alone(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)

    with pytest.raises(ValueError, match=reason) as caught:
        journal.cut(tmp_path, 10)

    assert "\n" not in str(caught.value)
    assert (tmp_path / "metrics.csv").read_bytes() == content


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no metrics\.csv"):
        journal.read(tmp_path)
