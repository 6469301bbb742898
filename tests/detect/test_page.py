"""A detector's page is whole HTML that loads nothing, shows the numbers of the evaluation, and lets no name act."""

from __future__ import annotations

import html
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.detections import Detections, nothing_found
from fourfold.detect.page import PHOTOS, page, shown_photos
from fourfold.detect.summary import DetectionEvaluation, Seconds

HOSTILE = ("<script>alert(1)</script>", 'x" onclick="alert(1)', "a\x00b\n$title")


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
    assert checker.attributes <= {
        "alt", "aria-label", "charset", "class", "content", "lang", "name", "role", "scope", "src", "tabindex",
    }  # fmt: skip
    assert content.count("<script") == 1
    assert not re.search(r'src="(?!data:image/)', content)
    return content


def rows_of(content: str, caption: str) -> list[list[str]]:
    """Cells of the first table whose caption begins so."""
    table = re.search(rf"<caption><span>{re.escape(caption)}.*?<tbody>(.*?)</tbody>", content, re.DOTALL)
    assert table
    rows = re.findall(r"<tr>(.*?)</tr>", table[1])
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def cards_of(content: str) -> dict[str, str]:
    cards = re.findall(r"<dt>(.*?)</dt><dd>(.*?) <small>(.*?)</small>", content)
    return {term: f"{value} | {note}" for term, value, note in cards}


def image_of(name: str, labels: list[int], size: tuple[float, float] = (40, 50)) -> Annotated:
    """Objects side by side, 100 pixels apart, of this width and height."""
    boxes = torch.tensor([(100.0 * at, 0.0, 100.0 * at + size[0], size[1]) for at in range(len(labels))]).view(-1, 4)
    made = torch.tensor(labels, dtype=torch.int64)
    return Annotated(File(Path("some folder", name)), 60, 900, boxes, made, torch.zeros(len(labels), dtype=torch.bool))


def evaluation_of(
    classes: tuple[str, ...] = ("cat", "dog", "car"), size: tuple[float, float] = (40, 50), **more: object
) -> DetectionEvaluation:
    """Three photos: a cat and a dog found; of two cats one, and one where there is none; nothing of a dog."""
    images = (image_of("a.jpg", [0, 1], size), image_of("b.jpg", [0, 0], size), image_of("c.jpg", [1], size))
    boxes = images[1].boxes.clone()
    boxes[1] = torch.tensor((500.0, 0, 540, 50))
    found = (
        Detections(images[0].boxes, images[0].labels, torch.tensor([0.9, 0.7])),
        Detections(boxes, torch.tensor([0, 0]), torch.tensor([0.6, 0.8])),
        nothing_found(),
    )
    fields = {"detector": "spp <net>", "protocol": "scale 688 & SVMs", "seconds": Seconds(0.3, 1.2, 1.5)} | more
    return DetectionEvaluation(classes=classes, images=images, found=found, **fields)  # type: ignore[arg-type]


def test_the_headline_says_how_well_and_how_much() -> None:
    content = checked(page(evaluation_of(), {}))
    assert "<title>spp &lt;net&gt;: mAP 54.55 %</title>" in content
    assert "<h1>spp &lt;net&gt;</h1>\n<p>scale 688 &amp; SVMs</p>" in content
    cards = cards_of(content)
    # cats: right, wrong, right, of three: by points (4 * 1 + 3 * 2/3) / 11 = 6/11, by area (1 + 2/3) / 3 = 5/9
    # dogs: right, of two: by points 6/11 (recalls 0 to 0.5), by area 1/2
    assert cards["mAP, VOC 2007"].startswith("54.55 % | 95 %: ")
    assert cards["mAP, VOC 2010"].startswith("52.78 % | 95 %: ")
    assert cards["Objects"] == "5 | on 3 images"
    assert cards["Detections"] == "4 | 1.33 an image"
    assert cards["Photos without a mistake"] == "1 | of 3"
    assert cards["Time for an image"] == "1.00 s | see below"


def test_the_tables_hold_the_numbers() -> None:
    content = checked(page(evaluation_of(), {}))
    assert sorted(rows_of(content, "All classes that occur, lowest average precision first. 1 of 3 classes")) == [
        ["cat", "3", "54.5", "55.6", "0.600", "66.7", "66.7", "66.7", "3"],
        ["dog", "2", "54.5", "50.0", "0.700", "100.0", "50.0", "66.7", "1"],
    ]
    assert rows_of(content, "Of each class as many") == [["cat", "2", "0", "0", "1"], ["dog", "1", "0", "0", "0"]]
    sizes = rows_of(content, "Average precision over overlaps")
    assert [row[0].split(",")[0] for row in sizes] == ["all", "small", "medium", "large"]
    assert [row[1:] == ["–", "–"] for row in sizes] == [False, True, False, True]  # all objects have 2,000 pixels
    by_size = page(evaluation_of(size=(20, 30)), {})
    assert [row[1:] == ["–", "–"] for row in rows_of(by_size, "Average precision over overlaps")] == [
        False,
        False,
        True,
        True,
    ]
    assert rows_of(content, "Where the time goes") == [
        ["propose boxes", "100", "10"], ["features of boxes", "400", "40"], ["all else", "500", "50"],
    ]  # fmt: skip
    assert rows_of(content, "The photos with most mistakes") == [
        ["some folder/b.jpg", "2", "1", "1", "1"], ["some folder/c.jpg", "1", "0", "1", "0"],
    ]  # fmt: skip


def test_classes_come_worst_first_and_what_is_only_found_last() -> None:
    result = evaluation_of()
    more = Detections(result.images[2].boxes, torch.tensor([2]), torch.tensor([0.1]))
    content = page(DetectionEvaluation("net", "", result.classes, result.images, (*result.found[:2], more)), {})
    rows = rows_of(content, "All classes")
    assert rows[-1] == ["car", "0", "–", "–", "–", "–", "–", "–", "1"]
    worse = page(DetectionEvaluation("net", "", result.classes, result.images, (nothing_found(), *result.found[1:])), {})
    assert [row[0] for row in rows_of(worse, "All classes")] == ["dog", "cat"]  # dogs are not found at all
    assert rows_of(worse, "All classes")[0] == ["dog", "2", "0.0", "0.0", "–", "–", "–", "–", "0"]


def test_what_was_not_measured_is_left_out_or_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    content = checked(page(evaluation_of(seconds=None), {}))
    assert cards_of(content)["Time for an image"] == "– | not measured"
    assert cards_of(content)["AP, COCO"].startswith("– | ")
    assert "pip install &#x27;fourfold[detect]&#x27;" in content
    assert "<h2>Time</h2>" not in content
    assert "<h2>Proposals</h2>" not in content
    assert "a class alike" not in content


def test_proposals_and_groups_have_their_columns() -> None:
    boxes = (image_of("a.jpg", [0, 1]).boxes, torch.zeros(0, 4), image_of("c.jpg", [1]).boxes + 4)
    content = checked(page(evaluation_of(proposals=boxes, groups=((0, 1),)), {}))
    # three of five objects have a proposal: two overlap by 1, one by 36 * 46 / (2 * 2000 - 36 * 46) = 0.706
    # best overlaps of the cats are 1, 0, 0 and of the dogs 1 and 0.706
    assert rows_of(content, "How the first proposals") == [["2", "1", "60.00", "60.00", "59.33"]]
    assert "a class alike" in content


def test_photos_have_their_pictures_as_far_as_they_are_there() -> None:
    result = evaluation_of()
    assert [photo.index for photo in shown_photos(result)] == [1, 2, 0]
    pictures = {index: Image.new("RGB", (30, 20)) for index in (0, 1)}
    content = checked(page(result, pictures))
    captions = re.findall(r"data:image/jpeg.*?<figcaption>(.*?)</figcaption>", content)
    assert captions == ["1 of 2 found, 1 false alarm. b.jpg", "2 of 2 found. a.jpg"]
    assert content.count('class="photos"') == 2
    assert "<h2>Without a mistake</h2>" in content
    assert 'class="photos"' not in page(result, {})
    assert "<h2>Without a mistake</h2>" not in page(result, {})


def test_where_all_is_right_there_are_no_mistakes_to_show() -> None:
    images = tuple(image_of(f"{at}.jpg", [0]) for at in range(9))
    found = tuple(Detections(each.boxes, each.labels, torch.tensor([0.5])) for each in images)
    result = DetectionEvaluation("net", "", ("cat",), images, found)
    assert "No object was missed, and nothing was found where there is none." in checked(page(result, {}))
    assert len(shown_photos(result)) == PHOTOS


def test_one_image_has_no_interval() -> None:
    image = image_of("a.jpg", [0])
    found = Detections(image.boxes, image.labels, torch.tensor([0.5]))
    content = checked(page(DetectionEvaluation("net", "", ("cat",), (image,), (found,)), {}))
    assert cards_of(content)["mAP, VOC 2007"] == "100.00 % | no interval of one image"
    assert cards_of(content)["Objects"] == "1 | on 1 image"


def test_names_of_the_data_are_shown_and_do_nothing() -> None:
    result = evaluation_of(HOSTILE, detector=HOSTILE[0], protocol=HOSTILE[1])
    images = tuple(
        Annotated(File(Path(name)), each.height, each.width, each.boxes, each.labels, each.is_difficult)
        for name, each in zip(HOSTILE, result.images, strict=True)
    )
    pictures = {index: Image.new("RGB", (30, 20)) for index in range(3)}
    hostile = DetectionEvaluation(HOSTILE[0], HOSTILE[1], HOSTILE, images, result.found)
    content = checked(page(hostile, pictures))
    assert {row[0] for row in rows_of(content, "All classes")} == set(HOSTILE[:2])
    assert {row[0] for row in rows_of(content, "The photos with")} == {HOSTILE[1], "a\\x00b\\n$title"}


def test_many_classes_are_folded() -> None:
    images = tuple(image_of(f"{at}.jpg", [at]) for at in range(41))
    found = tuple(Detections(each.boxes, each.labels, torch.tensor([0.5])) for each in images)
    content = checked(page(DetectionEvaluation("net", "", tuple(f"c{at}" for at in range(41)), images, found), {}))
    assert len(rows_of(content, "The 20 classes with the lowest average precision")) == 20
    assert len(rows_of(content, "All classes")) == 41
