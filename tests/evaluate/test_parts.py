"""The parts of pages: words of the data do nothing, tables fold when they are long, and numbers are written alike."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from PIL import Image

from fourfold.evaluate import parts
from fourfold.evaluate.parts import Head, Table


def table_of(count: int) -> Table:
    rows = tuple((f"name {at}", f"{at}") for at in range(count))
    return Table("A <caption>", (parts.words_head("class"), Head("number")), rows)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;"), ("a\nb", "a\\nb"), ("\udcff", "\\udcff"), ("猫", "猫"),
    ],
)  # fmt: skip
def test_words_are_shown_and_do_nothing(words: str, wanted: str) -> None:
    assert parts.shown(words) == wanted


def test_a_table_has_a_row_for_each_of_its_rows() -> None:
    made = parts.table_html(table_of(3))
    assert re.findall(r'<th scope="row">([^<]*)</th><td class="number">([^<]*)</td>', made) == [
        ("name 0", "0"), ("name 1", "1"), ("name 2", "2"),
    ]  # fmt: skip
    assert '<th scope="col">class</th><th scope="col" class="number">number</th>' in made
    assert "<caption><span>A &lt;caption&gt;</span></caption>" in made
    assert 'class="sortable"' in made
    assert 'class="sortable"' not in parts.table_html(Table("", (), (), is_sortable=False))


def test_a_row_of_another_length_than_the_heads_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        parts.table_html(Table("", (Head("one"), Head("two")), (("1",),)))


@pytest.mark.parametrize(("count", "at_once"), [(40, 40), (41, 20)])
def test_long_tables_are_folded(count: int, at_once: int) -> None:
    made = parts.at_sight(table_of(count), "classes of one kind")
    first, _, folded = made.partition("<details>")
    assert first.count('scope="row"') == at_once
    assert folded.count('scope="row"') == (count if count > at_once else 0)
    assert ("The 20 classes of one kind" in first) == (count > at_once)
    assert (f"<summary>All {count} classes</summary>" in folded) == (count > at_once)


def test_cards_are_terms_with_a_number_and_a_note() -> None:
    made = parts.cards([("mAP", "54.2 %", "of 20"), ("Time", "1 s", "")])
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?) <small>(.*?)</small></dd>", made) == [
        ("mAP", "54.2 %", "of 20"), ("Time", "1 s", ""),
    ]  # fmt: skip


def test_pictures_lie_in_the_page() -> None:
    picture = parts.jpeg_bytes(Image.new("RGBA", (8, 6), (200, 30, 30, 255)))
    assert picture[:3] == b"\xff\xd8\xff"
    made = parts.figure_html(picture, "jpeg", 'a "photo"', "with <words>", kind="sheet")
    data = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', made)
    assert base64.b64decode(data[0], validate=True) == picture
    assert 'alt="a &quot;photo&quot;"' in made
    assert "<figcaption>with &lt;words&gt;</figcaption>" in made
    assert "figcaption" not in parts.figure_html(picture, "jpeg", "a photo")


def test_drawn_gives_what_was_written_and_leaves_no_file() -> None:
    places: list[Path] = []

    def write(path: Path) -> None:
        places.append(path)
        path.write_bytes(b"some bytes")

    assert parts.drawn(write) == b"some bytes"
    assert not places[0].parent.exists()


def test_a_page_is_framed_once_with_its_title_and_without_empty_parts() -> None:
    made = parts.framed("<title> $body", ["<p>one</p>", "", "<p>$title two</p>"])
    assert "<title>&lt;title&gt; $body</title>" in made
    assert "<p>one</p>\n<p>$title two</p>" in made


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(0.1234, "0.12"), (9.994, "9.99"), (12.34, "12.3"), (99.9, "99.9"), (123.4, "123"), (12345.6, "12,346")],
)
def test_three_digits(value: float, wanted: str) -> None:
    assert parts.three(value) == wanted


def test_plurals() -> None:
    assert [parts.plural(count, "class", "es") for count in (0, 1, 2)] == ["classes", "class", "classes"]
