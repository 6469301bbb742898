"""Pages are whole HTML that loads nothing, shows the numbers of the evaluation, and lets no name of the data act."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold.evaluate.answers import Reply, reply
from fourfold.evaluate.page import WORST, comparison_page, page
from fourfold.evaluate.summary import Evaluation

EMPTY = {"meta", "img", "br", "link", "input", "hr"}  # elements that have no end
HOSTILE = (
    "<script>alert(1)</script>",
    'x" onclick="alert(1)',
    "a\x00b\nc",
    "\udcff\udc80",
    "\u202egpj.exe",
    "$title &amp; {0}",
    "猫",
)


@dataclass
class Element:
    """A part of a page: its name, its attributes, the texts in it, and the elements in it."""

    tag: str
    attributes: dict[str, str]
    texts: list[str] = field(default_factory=list)
    inside: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        return [found for child in self.inside for found in ([child] if child.tag == tag else []) + child.all(tag)]

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Reader(HTMLParser):
    """A page as a tree; an end that has no beginning is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inside.append(element)
        if tag not in EMPTY:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.texts.append(data)


def read(content: str) -> Element:
    assert content.encode("utf-8")  # it can be written
    reader = Reader()
    reader.feed(content)
    reader.close()
    assert len(reader.open) == 1, "all is closed"
    return reader.open[0]


def rows_of(table: Element) -> list[list[str]]:
    return [[cell.text for cell in row.inside] for row in table.all("tbody")[0].all("tr")]


def table_called(tree: Element, caption: str) -> Element:
    found = [table for table in tree.all("table") if table.all("caption")[0].text.startswith(caption)]
    assert len(found) == 1
    return found[0]


def cards_of(tree: Element) -> dict[str, str]:
    cards = tree.all("dl")[0]
    return {name.text: value.text for name, value in zip(cards.all("dt"), cards.all("dd"), strict=True)}


def pictures_of(tree: Element) -> list[Image.Image]:
    data = [image.attributes["src"].partition(";base64,")[2] for image in tree.all("img")]
    return [Image.open(io.BytesIO(base64.b64decode(each, validate=True))) for each in data]


def evaluation_of(labels: tuple[str, ...], count: int = 200, strength: float = 2.0, broken: int = 0) -> Evaluation:
    """Made-up answers, right more often than not; then images that could not be read."""
    generator = torch.Generator().manual_seed(len(labels))
    truth = torch.arange(count) % len(labels)
    scores = torch.randn(count, len(labels), generator=generator)
    scores[torch.arange(count), truth] += strength
    posteriors = scores.softmax(1)
    replies = [reply(at, f"{labels[truth[at]]}/{at}.jpg", int(truth[at]), posteriors[at]) for at in range(count)]
    errors = [Reply(count + at, f"bad/{at}.jpg", 0, error=f"bad/{at}.jpg is <no> image") for at in range(broken)]
    return Evaluation("a & b", "ten views <of> 224", labels, (*replies, *errors), 10, 0.0123 * count, 1.0)


ANIMALS = ("ant", "bee", "cat", "dog", "eel")


def test_a_page_loads_nothing_and_all_that_should_be_is_described() -> None:
    found = evaluation_of(ANIMALS, broken=2)
    images = {each.index: torch.full((3, 20, 30), 90, dtype=torch.uint8) for each in found.worst(WORST)}
    content = page(found, images, Image.new("RGB", (40, 30)))
    for tree in (read(content), read(comparison_page([("one", found), ("two", found)]))):
        assert not tree.all("link")
        assert all(image.attributes["src"].startswith("data:image/") for image in tree.all("img"))
        assert all(image.attributes["alt"] for image in tree.all("img"))
        assert [script.attributes for script in tree.all("script")] == [{}]
        assert all(head.attributes["scope"] in ("row", "col") for head in tree.all("th"))
        assert all(table.all("caption")[0].text for table in tree.all("table"))
        assert all(len(row.all("th")) == 1 for table in tree.all("table") for row in table.all("tbody")[0].all("tr"))
        assert tree.all("html")[0].attributes["lang"] == "en"
        assert "url(" not in tree.all("style")[0].text
        assert "@import" not in tree.all("style")[0].text
        assert "prefers-color-scheme: dark" in tree.all("style")[0].text
    assert "$body" not in content
    assert [picture.format for picture in pictures_of(read(content))] == ["JPEG", "PNG", "PNG", "JPEG"]


def test_the_headline_says_what_was_measured_and_how() -> None:
    right = tuple(Reply(at, f"{at}", 0, 0, 0.8, ((0, 0.8),)) for at in range(3))
    wrong = (Reply(3, "3", 1, 6, 0.05, ((0, 0.7), (2, 0.1))), Reply(4, "4", 1, error="4 is no image"))
    found = Evaluation("vgg-d", "centre 224 crop", tuple("abcdefgh"), (*right, *wrong), 3, 0.05, 1.0)

    tree = read(page(found, {}, None))

    assert tree.all("title")[0].text == "vgg-d: top-1 75.00 %"
    assert tree.all("h1")[0].text == "vgg-d"
    assert tree.all("p")[0].text == "Protocol: centre 224 crop"
    assert cards_of(tree) == {
        "Top-1": "75.00 % 95 %: 30.06 to 95.44",  # Wilson's formula with z = 1.959964, for 3 of 4
        "Top-5": "75.00 % 95 %: 30.06 to 95.44",
        "Images": "4 of 2 classes",
        "Broken images": "1 not counted",
        "Time for an image": "12.5 ms 3 views",
        "Calibration error": "32.50 % of the probabilities",  # (3 * 0.2 + 0.7) / 4: 0.7 and 0.8 lie in two of 15 bins
        "Log loss": "0.916 of the true class, in nats",  # -(3 ln 0.8 + ln 0.05) / 4
        "Mean F1": "42.86 % each class counts alike",  # (6 / 7 + 0) / 2
    }
    assert rows_of(table_called(tree, "All classes")) == [
        ["b", "1", "–", "0.0", "0.0", "a (1)"],
        ["a", "3", "75.0", "100.0", "85.7", "–"],
    ]
    assert "6 of the model's 8 classes have no image here" in table_called(tree, "All classes").text
    assert rows_of(table_called(tree, "The surest mistakes")) == [["3", "b", "a", "70.0"]]
    assert rows_of(table_called(tree, "Images that could not be used")) == [["4", "4 is no image"]]
    assert len(pictures_of(tree)) == 2  # no sheet without photos, no views without a picture


def test_a_class_that_is_only_guessed_has_no_recall() -> None:
    replies = (Reply(0, "0", 0, 1, 0.2, ((1, 0.8), (0, 0.2))), Reply(1, "1", 0, 0, 0.9, ((0, 0.9), (1, 0.1))))
    found = Evaluation("net", "one view", ("a", "b", "c"), replies, 1, 1.0, 1.0)

    assert rows_of(table_called(read(page(found, {}, None)), "All classes")) == [
        ["a", "2", "100.0", "50.0", "66.7", "b (1)"],
        ["b", "0", "0.0", "–", "–", "–"],
    ]


def test_names_of_the_data_are_shown_and_do_nothing() -> None:
    found = evaluation_of(HOSTILE, broken=1)
    images = {each.index: torch.zeros(3, 8, 8, dtype=torch.uint8) for each in found.worst(WORST)}

    quoted = comparison_page([(HOSTILE[1], found), *((name, found) for name in HOSTILE if name != HOSTILE[1])])
    for content in (page(found, images, None), comparison_page([(name, found) for name in reversed(HOSTILE)]), quoted):
        tree = read(content)
        plain = read(comparison_page([("one", evaluation_of(ANIMALS))]))
        assert len(tree.all("script")) == 1
        assert tree.all("script")[0].text == plain.all("script")[0].text
        around = tree.all("div") + tree.all("img") + tree.all("th") + tree.all("td")
        assert {name for element in around for name in element.attributes} <= {
            "alt", "aria-label", "class", "role", "scope", "src", "tabindex",
        }  # fmt: skip
        names = {row[0] for row in rows_of(tree.all("table")[0])}
        assert names == {
            "<script>alert(1)</script>", 'x" onclick="alert(1)', "a\\x00b\\nc", "\\udcff\\udc80", "\\u202egpj.exe",
            "$title &amp; {0}", "猫",
        }  # fmt: skip
    assert ["bad/0.jpg", "bad/0.jpg is <no> image"] in rows_of(read(page(found, {}, None)).all("table")[-1])


def test_of_many_classes_the_worst_are_at_sight_and_all_on_demand() -> None:
    found = evaluation_of(tuple(f"class {at}" for at in range(1000)), 3000, strength=4.0)

    tree = read(page(found, {}, None))

    few, everything = table_called(tree, "The 20 classes"), table_called(tree, "All classes")
    folded = tree.all("details")[0]
    assert "open" not in folded.attributes
    assert folded.all("table") == [everything]
    assert few not in folded.all("table")
    assert folded.all("summary")[0].text == "All 1,000 classes"
    assert rows_of(few) == rows_of(everything)[:20]
    assert {row[0] for row in rows_of(everything)} == set(found.labels)
    scores = [float(row[4]) for row in rows_of(everything)]
    assert scores == sorted(scores)
    assert scores[0] < 50 < scores[-1]


def test_the_surest_mistakes_are_on_the_sheet_as_far_as_their_photos_are_there() -> None:
    found = evaluation_of(ANIMALS, strength=1.0)
    worst = found.worst(WORST)
    images = {each.index: torch.full((3, 100, 100), 10 * place, dtype=torch.uint8) for place, each in enumerate(worst)}

    sheet = np.asarray(pictures_of(read(page(found, images, None)))[-1].convert("L")).astype(int)
    assert [int((abs(sheet - 10 * place) < 3).sum()) > 30_000 for place in range(1, 11)] == [True] * 10  # 200x200 each

    del images[worst[1].index]
    sheet = np.asarray(pictures_of(read(page(found, images, None)))[-1].convert("L")).astype(int)
    assert (abs(sheet - 10) < 3).sum() < 30_000 < (abs(sheet - 20) < 3).sum()


def test_where_all_is_right_there_are_no_mistakes_to_show() -> None:
    found = evaluation_of(ANIMALS, 20, strength=99.0)

    tree = read(page(found, {}, None))

    assert "No image was taken for another class." in [paragraph.text for paragraph in tree.all("p")]
    assert not [table for table in tree.all("table") if table.text.startswith("The surest mistakes")]


def test_of_very_many_broken_images_some_are_listed() -> None:
    table = table_called(read(page(evaluation_of(ANIMALS, broken=1500), {}, None)), "Images that could not be used")

    assert len(rows_of(table)) == 1000
    assert "the first 1,000 of them" in table.text


def test_the_picture_of_the_views_is_that_which_was_given() -> None:
    tree = read(page(evaluation_of(ANIMALS), {}, Image.new("RGBA", (123, 45), (200, 30, 30, 255))))

    picture = pictures_of(tree)[0]
    assert picture.size == (123, 45)
    assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - (200, 30, 30)).max() < 4
    assert tree.all("figcaption")[0].text == "What the network is shown of an image: ten views <of> 224"


def timed(hits: int, seconds: float, views: int, model: str = "net") -> Evaluation:
    replies = tuple(
        Reply(at, f"{at}", 0, 0, 0.9, ((0, 0.9),)) if at < hits else Reply(at, f"{at}", 0, 6, 0.0, ((1, 0.9),))
        for at in range(100)
    )
    return Evaluation(model, f"{views} views", tuple("abcdefgh"), replies, views, seconds, 1.0)


def test_protocols_are_compared_with_the_first() -> None:
    rows = [("single", timed(50, 2.0, 1)), ("ten", timed(56, 18.5, 10)), ("all", timed(49, 250.0, 1440))]
    tree = read(comparison_page(rows))

    assert tree.all("h1")[0].text == "net: 3 protocols"
    assert rows_of(table_called(tree, "Accuracy and cost; the cost is the time for an image against that of single")) == [
        ["single", "1", "1.00", "20.0", "50.00", "40.38 to 59.62", "50.00", "–", "100"],
        ["ten", "10", "9.25", "185", "56.00", "46.23 to 65.33", "56.00", "+6.00", "100"],
        ["all", "1,440", "125", "2,500", "49.00", "39.42 to 58.65", "49.00", "-1.00", "100"],
    ]
    assert rows_of(table_called(tree, "The protocols in words"))[1] == ["ten", "10 views", "net"]
    assert len(pictures_of(tree)) == 1


def test_what_was_not_timed_has_no_cost_and_no_plot() -> None:
    tree = read(comparison_page([("read", timed(50, 0.0, 1)), ("again", timed(50, 0.0, 1, "another"))]))

    assert tree.all("h1")[0].text == "net; another: 2 evaluations"
    assert [row[2:4] for row in rows_of(tree.all("table")[0])] == [["–", "–"], ["–", "–"]]
    assert not pictures_of(tree)


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="there is no evaluation to compare"):
        comparison_page([])
