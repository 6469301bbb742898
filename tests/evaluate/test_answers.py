"""answers.csv gives back what was written, to the last bit, whatever the names; what is damaged is refused in one line."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.evaluate.answers import COLUMNS, Reply, append, begin, read, reply, whole

LABELS = ("cat", "dog, hot", 'the "owl"', "été", " ", "bird", "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    begin(tmp_path / "answers.csv")
    return tmp_path / "answers.csv"


def test_a_reply_says_how_many_classes_were_likelier_than_the_true_one() -> None:
    posterior = torch.tensor([0.05, 0.3, 0.02, 0.4, 0.13, 0.1])

    said = reply(7, "x.png", 1, posterior)

    assert (said.index, said.name, said.truth, said.rank, said.error) == (7, "x.png", 1, 1, "")
    assert [index for index, _ in said.top] == [3, 1, 4, 5, 0]
    assert [probability for _, probability in said.top] == pytest.approx([0.4, 0.3, 0.13, 0.1, 0.05])
    assert said.probability == pytest.approx(0.3)
    assert reply(0, "", 3, posterior).rank == 0
    assert reply(0, "", 2, posterior).rank == 5


def test_of_classes_that_are_equally_likely_the_lower_index_comes_first() -> None:
    posterior = torch.tensor([0.25, 0.25, 0.0, 0.5, 0.0])

    assert [index for index, _ in reply(0, "", 0, posterior).top] == [3, 0, 1, 2, 4]
    assert [reply(0, "", truth, posterior).rank for truth in range(5)] == [1, 2, 3, 0, 4]
    many = torch.tensor([0.001] * 1000)
    assert [reply(0, "", truth, many).rank for truth in (0, 17, 500, 999)] == [0, 17, 500, 999]


def test_fewer_classes_than_five_are_all_kept() -> None:
    assert reply(0, "", 1, torch.tensor([0.25, 0.75])).top == ((1, 0.75), (0, 0.25))


floats = st.floats(0, 1, width=32)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=20)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Reply,
            index=st.integers(0, 10**9),
            name=names,
            truth=st.integers(0, len(LABELS) - 1),
            rank=st.integers(-1, 999),
            probability=floats,
            top=st.lists(st.tuples(st.integers(0, len(LABELS) - 1), floats), max_size=5).map(tuple),
            error=names,
        ),
        max_size=5,
    )
)
def test_what_was_written_is_read_back_to_the_last_bit(replies: list[Reply]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.csv"
        begin(path)
        append(path, replies[:2], LABELS)
        append(path, replies[2:], LABELS)

        assert read(path, LABELS) == replies


@pytest.mark.parametrize(
    "name",
    [
        "a,b.png",
        'the "best".png',
        "ends in space ",
        "'",
        "=1+1",
        "\x00",
        "\u2028\x0b\x0c\x1c\x85",
        "été",
    ],
)
def test_odd_names_are_kept(path: Path, name: str) -> None:
    replies = [Reply(0, name, 1, 0, 0.5, ((1, 0.5),), "e"), Reply(1, "next", 0, -1, error=name)]
    append(path, replies, LABELS)

    assert read(path, LABELS) == replies


@pytest.mark.parametrize("code", [0xDCFF, 0xD800])
def test_what_is_no_unicode_is_written_as_an_escape(path: Path, code: int) -> None:
    name = chr(code)
    append(path, [Reply(0, name, 1, 0, 0.5, ((1, 0.5),)), Reply(1, "next", 0, -1, error=name)], LABELS)

    first, second = read(path, LABELS)
    assert first.name == second.error == name.encode("unicode_escape").decode()


def test_names_with_ends_of_lines_stay_on_one_line_in_letters(path: Path) -> None:
    labels = ("one\ntwo", "three")
    append(path, [Reply(0, "a\nb\r.png", 0, 0, 0.5, ((0, 0.5), (1, 0.5)), "bad\nfile")], labels)

    assert path.read_bytes().count(b"\n") == 2
    (read_back,) = read(path, labels)
    assert (read_back.name, read_back.error) == (r"a\nb\r.png", r"bad\nfile")
    assert read_back.top == ((0, 0.5), (1, 0.5))


def test_a_spreadsheet_sees_one_row_for_each_image(path: Path) -> None:
    append(path, [Reply(3, "a,b.png", 1, 0, 0.75, ((1, 0.75), (0, 0.25)))], LABELS)

    with path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["image"] == "a,b.png"
    assert (row["index"], row["truth"], row["rank"], row["probability"]) == ("3", "dog, hot", "0", "0.75")
    assert (row["class1"], row["probability1"], row["class2"], row["class3"], row["error"]) == (
        "dog, hot",
        "0.75",
        "cat",
        "",
        "",
    )


def test_a_last_line_that_was_written_by_half_is_left_out_and_cut_off(path: Path) -> None:
    replies = [reply(number, f"{number}.png", 1, torch.rand(7).softmax(0)) for number in range(3)]
    append(path, replies, LABELS)
    content = path.read_bytes()
    for end in range(content.rfind(b"\n", 0, -1) + 1, len(content)):  # every byte of the last line
        path.write_bytes(content[:end])

        assert read(path, LABELS) == replies[:2]
        whole(path)
        append(path, replies[2:], LABELS)
        assert path.read_bytes() == content


def test_a_whole_file_stays_as_it_is(path: Path) -> None:
    append(path, [Reply(0, "a", 0)], LABELS)
    before = path.read_bytes()

    whole(path)

    assert path.read_bytes() == before


def test_a_file_without_answers_has_none_and_beginning_again_takes_away_what_was_there(path: Path) -> None:
    append(path, [Reply(0, "a", 0)], LABELS)
    begin(path)

    assert read(path, LABELS) == []
    assert path.read_text(encoding="utf-8") == ",".join(COLUMNS) + "\n"


GOOD = b"0,a.png,cat,0,0.5,cat,0.5,bird,0.25,,,,,,,\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"0,a.png,zebra,0,0.5,cat,0.5,,,,,,,,,\n", r"line 3 of .*answers\.csv is not a line of answers \('zebra'\)"),
        (b"0,a.png,cat,0,0.5,zebra,0.5,,,,,,,,,\n", "line 3 of .*'zebra'"),
        (b"x,a.png,cat,0,0.5,cat,0.5,,,,,,,,,\n", "line 3 of .*invalid literal"),
        (b"0,a.png,cat,0,half,cat,0.5,,,,,,,,,\n", "line 3 of .*could not convert"),
        (b"0,a.png,cat\n", "line 3 of .*3 cells in place of 16"),
        (GOOD[:-1] + b",\n", "line 3 of .*17 cells in place of 16"),
        (b"\n", "line 3 of .*0 cells in place of 16"),
        (b'0,"a.png,cat,0,0.5,cat,0.5,,,,,,,,,\n', "line 3 of .* cells in place of 16"),
        (b'0,"' + b"z" * 140_000 + b"\n", r"answers\.csv is damaged \(field larger than field limit"),
        (b"\xff\xfe\x00\n", "line 3 of .*1 cells in place of 16"),
    ],
)
def test_a_damaged_line_is_refused_in_one_line(path: Path, line: bytes, message: str) -> None:
    path.write_bytes(path.read_bytes() + GOOD + line + GOOD)

    with pytest.raises(ValueError, match=message) as caught:
        read(path, LABELS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"index,image", b"a,b,c\n1,2,3\n", b"\x89PNG\r\n\x1a\n\x00", GOOD])
def test_another_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(
        ValueError, match=r"answers\.csv does not begin with index,image,truth,rank,probability, \.\.\.; move it away"
    ):
        read(path, LABELS)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.csv cannot be read \(No such file or directory\); give a folder that"):
        read(tmp_path / "none.csv", LABELS)
