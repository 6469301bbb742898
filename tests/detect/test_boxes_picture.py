"""Boxes are drawn where they lie in the colour of their class, words stay in the picture, and photos keep their size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.boxes_picture import (
    COLOURS,
    boxes_picture,
    boxes_sheet,
    proposals_picture,
    side_by_side,
    truth_picture,
)
from fourfold.detect.detections import Detections, nothing_found
from fourfold.draw import INK

CLASSES = ("RBC", "WBC", "a very long name of a class, with all of its synonyms and a few words more than anyone would need")


def grey(height: int = 400, width: int = 600) -> Tensor:
    return torch.full((3, height, width), 120, dtype=torch.uint8)


def detections(*rows: tuple[float, ...]) -> Detections:
    """From rows of x1, y1, x2, y2, label, score."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4].long(), table[:, 5])


def where(picture: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.asarray(picture).astype(int) == np.array(colour)).all(2)


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """left, top, right, bottom of what is true."""
    rows, columns = mask.nonzero()
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def changed(picture: Image.Image, image: Tensor) -> np.ndarray:
    return (np.asarray(picture) != image.permute(1, 2, 0).numpy()).any(2)


def test_a_box_is_drawn_from_its_edges_inwards_and_the_photo_is_kept() -> None:
    image = grey()

    picture = proposals_picture(image, torch.tensor([[100.0, 50, 400, 250]]))

    assert picture.size == (600, 400)
    mask = changed(picture, image)
    assert extent(mask) == (100, 50, 400, 250)
    assert not mask[60:240, 110:390].any()
    assert extent(where(picture, COLOURS[0])) == (101, 51, 399, 249)  # between two dark lines


def test_each_class_has_its_colour_and_its_words() -> None:
    picture = boxes_picture(grey(), detections((50, 80, 200, 300, 0, 0.9), (300, 80, 500, 300, 1, 0.8)), CLASSES)

    for colour, left, right in ((COLOURS[0], 50, 200), (COLOURS[1], 300, 500)):
        mask = where(picture, colour)
        assert mask[150:250, left : left + 6].any(1).all()
        assert mask[150:250, right - 6 : right].any(1).all()
        assert mask[60:80, left + 2 : left + 40].mean() > 0.4  # the ground of the words, above the box


def test_the_words_are_the_class_and_the_score() -> None:
    one, same, other, score = (
        np.asarray(boxes_picture(grey(), detections((50, 80, 200, 300, label, value)), names))
        for label, value, names in ((0, 0.93, ["RBC"]), (0, 0.9303, ["RBC"]), (0, 0.93, ["RBD"]), (0, 0.94, ["RBC"]))
    )

    assert np.array_equal(one, same)
    assert (one != other).any()
    assert (one != score).any()


@pytest.mark.parametrize(
    "box", [(0, 0, 600, 400), (0, 0, 5, 5), (590, 390, 600, 400), (-50, -20, 700, 900), (595, 0, 600, 4), (3, 3, 3, 3)]
)
@pytest.mark.parametrize("name", ["RBC", CLASSES[2]])
def test_words_stay_within_the_picture(box: tuple[float, ...], name: str) -> None:
    size = words_size((150, 200, 300, 300), name)

    assert words_size(box, name) == pytest.approx(size, abs=5)  # less where they lie on lines of their colour
    assert size[0] <= 600
    assert (size[0] > 500) == (name == CLASSES[2])  # which is shortened


def words_size(box: tuple[float, ...], name: str) -> tuple[int, int]:
    """Width and height of what is there with words and not without."""
    found = detections((*box, 0, 0.5))
    bare = np.asarray(proposals_picture(grey(), found.boxes))
    left, top, right, bottom = extent((np.asarray(boxes_picture(grey(), found, [name])) != bare).any(2))
    return right - left, bottom - top


def closed_frames(ink: np.ndarray) -> int:
    """Rectangles of dark lines between 15 and 30 pixels high, whole on all sides."""
    count = 0
    for top in range(ink.shape[0] - 15):
        row = ink[top]
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        for start, stop in zip(edges[::2], edges[1::2] - 1, strict=True):
            if stop - start < 30:
                continue
            for bottom in range(top + 15, min(top + 30, ink.shape[0])):
                sides = ink[top : bottom + 1, start].all() and ink[top : bottom + 1, stop].all()
                count += bool(sides and ink[bottom, start : stop + 1].all())
    return count


def test_the_best_is_drawn_on_top() -> None:
    low, high = (100, 100, 300, 300, 0, 0.2), (100, 100, 300, 300, 1, 0.9)

    picture = boxes_picture(grey(), detections(low, high), CLASSES)

    assert where(picture, COLOURS[1])[200, 100:300].any()
    assert not where(picture, COLOURS[0])[200, 100:300].any()


def test_words_do_not_hide_each_other() -> None:
    rows = [(100 + 2 * number, 100 + 2 * number, 300, 300, number % 2, 0.9 - number / 10) for number in range(4)]

    picture = boxes_picture(grey(), detections(*rows), CLASSES)

    dark = closed_frames(where(picture, INK))
    assert dark >= 4


def test_words_that_would_be_hidden_are_left_out() -> None:
    crowd = [(300, 200, 304, 204, int(number >= 20), 0.9 - number / 100) for number in range(60)]

    picture = boxes_picture(grey(), detections(*crowd), CLASSES)

    alone = where(boxes_picture(grey(), detections(crowd[0]), CLASSES), COLOURS[0]).sum()
    assert where(picture, COLOURS[0]).sum() > 3 * alone
    assert not where(picture, COLOURS[1]).any()  # WBC is wider than RBC, and would show beside it


@pytest.mark.parametrize(("size", "drawn"), [((20, 30), (480, 320)), ((240, 200), (400, 480)), ((241, 9), (9, 241))])
def test_small_photos_are_enlarged_by_a_whole_number_with_their_boxes(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    image = grey(*size)
    times = drawn[0] // size[1]

    picture = proposals_picture(image, torch.tensor([[2.0, 3, 8, 15]]))

    assert picture.size == drawn
    dark = where(picture, INK)
    assert extent(dark) == tuple(times * edge for edge in (2, 3, 8, 15))


def test_nothing_found_leaves_the_photo_as_it_is() -> None:
    image = torch.randint(0, 256, (3, 500, 300), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    for picture in (boxes_picture(image, nothing_found(), CLASSES), proposals_picture(image, torch.zeros(0, 4))):
        assert np.array_equal(np.asarray(picture), image.permute(1, 2, 0).numpy())


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="a label is 3 of 3 classes"):
        boxes_picture(grey(), detections((1, 1, 5, 5, 3, 0.5)), CLASSES)
    with pytest.raises(ValueError, match="box 0 of the boxes to draw is"):
        proposals_picture(grey(), torch.tensor([[5.0, 1, 2, 3]]))


def truth() -> Annotated:
    boxes = torch.tensor([[50.0, 80, 200, 300], [20, 20, 560, 380]])
    return Annotated(File(Path("a.jpg")), 400, 600, boxes, torch.tensor([0, 1]), torch.tensor([False, True]))


def test_the_truth_is_drawn_with_what_is_difficult() -> None:
    picture = np.asarray(truth_picture(grey(), truth(), CLASSES))
    plain = replace(truth(), is_difficult=torch.tensor([False, False]))

    assert (picture != np.asarray(truth_picture(grey(), plain, CLASSES))).any()
    assert where(Image.fromarray(picture), COLOURS[0])[200, 50:60].any()
    assert where(Image.fromarray(picture), COLOURS[1])[200, 20:30].any()


def test_small_objects_are_drawn_above_large_ones() -> None:
    for small in (0, 1):
        boxes = torch.tensor([[50.0, 20, 560, 380], [50, 20, 560, 380]])
        boxes[small] = torch.tensor([50.0, 80, 200, 300])

        picture = truth_picture(grey(), replace(truth(), boxes=boxes), CLASSES)

        assert where(picture, COLOURS[small])[200, 50:60].any()
        assert not where(picture, COLOURS[1 - small])[200, 50:60].any()


def test_the_truth_is_on_the_left_and_what_was_found_on_the_right() -> None:
    picture = side_by_side(grey(), truth(), detections((300, 80, 500, 300, 2, 0.7)), CLASSES)

    middle = picture.width // 2
    assert not where(picture, COLOURS[2])[:, :middle].any()
    assert where(picture, COLOURS[2])[:, middle:].any()
    assert not where(picture, COLOURS[0])[:, middle:].any()


def test_a_sheet_has_its_photos_in_rows_without_overlap() -> None:
    inks = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    sizes = [(960, 480), (240, 480), (480, 480), (100, 50)]
    pictures = [Image.new("RGB", size, ink) for size, ink in zip(sizes, inks, strict=True)]

    sheet = boxes_sheet(pictures, ["one", "two words " * 30, "", "four"], across=3)

    boxes = [extent(where(sheet, ink)) for ink in inks]
    assert [(right - left, bottom - top) for left, top, right, bottom in boxes] == [
        (480, 240),
        (240, 480),
        (480, 480),
        (480, 240),
    ]
    assert boxes[0][1] == boxes[1][1] == boxes[2][1] < 480 < boxes[3][1]
    assert boxes[0][2] < boxes[1][0] < boxes[1][2] < boxes[2][0]
    assert boxes[3][0] == boxes[0][0]
    with pytest.raises(ValueError, match="there are 1 headings for 2 pictures"):
        boxes_sheet(pictures[:2], ["one"])
    with pytest.raises(ValueError, match="there are 0 headings for 0 pictures"):
        boxes_sheet([], [])
