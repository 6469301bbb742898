"""A localizer's page is whole HTML that loads nothing, shows the numbers of its evaluations, and lets no name act."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from fourfold.localize.page import PHOTOS, page, shown_replies
from fourfold.localize.replies import Edges, Guess, LocationReply
from fourfold.localize.summary import LocalizationEvaluation

HOSTILE = ("<script>alert(1)</script>", 'x" onclick="alert(1)')
TRUE: Edges = (0, 0, 10, 10)


class Checker(HTMLParser):
    """Each end has its beginning, and nothing is left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(content: str) -> str:
    checker = Checker()
    checker.feed(content)
    checker.close()
    assert checker.open == []
    assert "onclick" not in checker.attributes
    assert content.count("<script") == 1
    assert not re.search(r'src="(?!data:image/)', content)
    return content


def rows_of(content: str, caption: str) -> list[list[str]]:
    """Cells of the first table whose caption begins so."""
    table = re.search(rf"<caption><span>{re.escape(caption)}.*?<tbody>(.*?)</tbody>", content, re.DOTALL)
    assert table
    rows = re.findall(r"<tr>(.*?)</tr>", table[1])
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def reply(index: int, truth: int, guess: int, height: float) -> LocationReply:
    """An image whose box for the true class overlaps by height / 10."""
    box: Edges = (0, 0, 10, height)
    guesses = (Guess(guess, 0.9, box), Guess(1 - guess, 0.1, box))
    return LocationReply(index, f"p{index}.png", truth, TRUE, guesses, box)


def evaluation(labels: tuple[str, ...] = ("cat", "dog")) -> LocalizationEvaluation:
    """Of ten images one is of dog; 0 to 4 have an overlap of a tenth to a half and are wrong, 9 has the wrong class."""
    replies = [reply(index, int(index == 8), int(index in (8, 9)), 1 + index) for index in range(10)]
    return LocalizationEvaluation("net", "all windows", labels, tuple(replies), 5.0)


def test_numbers_stand_on_the_page() -> None:
    found = evaluation()
    content = checked(page([("dense", found), ("heat", replace(found, protocol="maps", seconds=None))], {}))
    cards = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?) <small>", content))
    assert cards["Top-1 localization error"] == "60.0 %"
    assert cards["Top-5 localization error"] == cards["Error with the class given"] == "50.0 %"
    assert cards["Top-1 classification error"] == "10.0 %"
    assert cards["Top-5 classification error"] == "0.0 %"
    assert cards["Mean overlap"] == "0.550"
    assert cards["Time for an image"] == "0.50 s"
    assert rows_of(content, "Localization errors by protocol") == [
        ["dense", "50.0", "23.7 to 76.3", "60.0", "31.3 to 83.2", "50.0", "23.7 to 76.3", "0.550", "0.50"],
        ["heat", "50.0", "23.7 to 76.3", "60.0", "31.3 to 83.2", "50.0", "23.7 to 76.3", "0.550", "–"],
    ]
    assert rows_of(content, "Errors by class under dense") == [
        ["cat", "9", "55.6", "66.7", "55.6", "11.1", "0.511"],
        ["dog", "1", "0.0", "0.0", "0.0", "0.0", "0.900"],
    ]
    assert [row[::2] for row in rows_of(content, "Images whose class is right and whose box is not")] == [
        [f"p{index}.png", f"0.{index + 1}00"] for index in range(5)
    ]
    assert "4 of 10 images; some of them" not in content, "without pictures there is no such section"


def test_one_protocol_needs_no_table_of_protocols() -> None:
    assert "Localization errors by protocol" not in page([("dense", evaluation())], {})


def test_pictures_of_the_worst_and_of_right_ones_are_on_the_page() -> None:
    found = evaluation()
    wanted = shown_replies(found)
    assert [each.index for each in wanted] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    pictures = {each.index: Image.new("RGB", (8, 6)) for each in wanted if each.index != 3}
    content = checked(page([("dense", found)], pictures))
    assert content.count("data:image/jpeg;base64,") == 8
    assert "Overlap 0.20. p1.png" in content
    assert "Overlap 0.40. p3.png" not in content
    assert "4 of 10 images; some of them, the least overlap first" in content


def test_right_ones_are_spread_from_the_least_overlap_to_the_most() -> None:
    many = replace(evaluation(), replies=tuple(reply(index, 0, 0, 10 - 0.04 * index) for index in range(90)))
    shown = shown_replies(many)
    assert len(shown) == PHOTOS
    assert [each.index for each in shown] == [84, 74, 64, 54, 44, 34, 24, 14, 4]
    assert "Wherever the first class was right, so was its box" in page([("dense", many)], {})


@pytest.mark.parametrize("name", HOSTILE)
def test_names_do_nothing(name: str) -> None:
    found = evaluation((name, "dog"))
    replies = tuple(replace(each, name=f"{name}{each.index}") for each in found.replies)
    hostile = replace(found, model=name, protocol=name, replies=replies)
    content = checked(page([(name, hostile), ("b", hostile)], {0: Image.new("RGB", (8, 6))}))
    assert html.escape(name) in content


def test_images_that_could_not_be_used_are_counted() -> None:
    found = evaluation()
    broken = LocationReply(10, "bad.png", -1, TRUE, error="broken")
    content = page([("dense", replace(found, replies=(*found.replies, broken)))], {})
    assert "<dd>10 <small>1 more could not be used</small></dd>" in content
