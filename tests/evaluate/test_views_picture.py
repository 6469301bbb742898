"""The picture of a protocol has every view in a panel that one can read, a box where the view lies, and a bounded size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fourfold.evaluate.crops import Crops
from fourfold.evaluate.views import CENTRE, GRID, THREE_SQUARES
from fourfold.evaluate.views_picture import COLOURS, MOST, Panel, panels, views_picture
from fourfold.papers.protocols import PROTOCOLS, protocol_named


def photo(height: int, width: int) -> Tensor:
    """Grey, so that every colour in the picture is drawn."""
    return torch.full((3, height, width), 90, dtype=torch.uint8)


def count(panel: Panel) -> int:
    return sum(box.plain + box.mirrored for box in panel.boxes)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("size", [224, 32])
@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (300, 300), (5, 4)])
def test_every_view_is_in_one_panel_of_few_boxes(name: str, size: int, height: int, width: int) -> None:
    protocol = protocol_named(name, size)

    shown = panels(protocol, height, width)

    views = protocol.views(height, width)
    assert sum(map(count, shown)) == len(views)
    assert all(1 <= len(panel.boxes) <= MOST == 10 for panel in shown)
    drawn = {(panel.scaled, box.place.top, box.place.left, box.place.height) for panel in shown for box in panel.boxes}
    assert drawn == {(view.scaled, view.top, view.left, view.height) for view in views}


@pytest.mark.parametrize(
    ("name", "boxes"),
    [
        ("single", [1]),
        ("ten", [5]),
        ("dense3", [1, 1, 1]),
        ("grid50", [5] * 5),
        ("grid150", [5] * 15),
        ("crops144", [6] * 12),
        ("views96", [3, 9, 9, 9, 9, 9]),
        ("views98", [3, 10, 9, 9, 9, 9]),
        ("dense+ten", [1, 5]),
        ("single+ten", [1, 5]),
    ],
)
def test_boxes_are_grouped_as_the_papers_name_them(name: str, boxes: list[int]) -> None:
    assert [len(panel.boxes) for panel in panels(protocol_named(name, 224), 375, 500)] == boxes


def test_a_panel_of_the_144_is_one_square_with_its_corners_centre_and_whole() -> None:
    shown = panels(protocol_named("crops144", 224), 375, 500)[:3]

    for panel, begin in zip(shown, (0, 42, 85), strict=True):
        assert [(box.place.top, box.place.left, box.place.height) for box in panel.boxes] == [
            (0, begin, 224),
            (0, begin + 32, 224),
            (32, begin, 224),
            (32, begin + 32, 224),
            (16, begin + 16, 224),
            (0, begin, 256),
        ]
    assert [box.number for panel in shown for box in panel.boxes] == list(range(1, 19))


@pytest.mark.parametrize(
    ("name", "size", "caption"),
    [
        ("crops144", (375, 500), "256 (341x256): 6 boxes, each mirrored too"),
        ("single", (375, 500), "256 (341x256): 1 box"),
        ("dense", (500, 375), "256 (256x341): the whole image, mirrored too"),
        ("full", (500, 375), "256 (256x341): the whole image"),
        ("views96", (300, 300), "224 (224x224): the whole image, mirrored too"),
    ],
)
def test_a_caption_counts_boxes_and_mirrored_twins(name: str, size: tuple[int, int], caption: str) -> None:
    assert panels(protocol_named(name, 224), *size)[0].caption == caption


def test_places_that_coincide_are_drawn_once_and_counted() -> None:
    (grid,) = panels(Crops((224,), 224, GRID), 375, 500)
    (squares,) = panels(Crops((224,), 224, THREE_SQUARES), 375, 500)

    assert grid.caption == "224 (298x224): 5 boxes, each mirrored too, each 5 times"
    assert squares.caption == "224 (298x224): 3 boxes, each mirrored too, each 6 times"


@pytest.mark.parametrize("name", [*PROTOCOLS, "dense+grid50"])
@pytest.mark.parametrize(("height", "width"), [(37, 50), (50, 37)])
def test_pictures_have_a_bounded_size(name: str, height: int, width: int) -> None:
    picture = views_picture(photo(height, width), protocol_named(name, 224))

    assert 400 < picture.width < 4000
    assert 200 < picture.height < 4000


@pytest.mark.parametrize("name", ["single", "crops144", "dense3", "views98", "grid150"])
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (4, 200), (200, 4), (9, 12)])
def test_tiny_images_strips_and_small_networks_can_be_drawn(name: str, size: int, height: int, width: int) -> None:
    picture = views_picture(photo(height, width), protocol_named(name, size))

    assert picture.width < 4000


def extent(picture: Image.Image, colour: tuple[int, int, int], within: tuple[int, int, int, int]) -> tuple[int, ...]:
    """The edges of what has a colour in a part of the picture."""
    left, top, right, bottom = within
    pixels = np.asarray(picture)[top:bottom, left:right]
    rows, columns = (pixels == colour).all(2).nonzero()
    return columns.min() + left, rows.min() + top, columns.max() + 1 + left, rows.max() + 1 + top


@pytest.mark.parametrize(("height", "width"), [(330, 440), (440, 330)])
def test_a_box_is_drawn_where_the_view_lies(height: int, width: int) -> None:
    picture = views_picture(photo(height, width), Crops((256,), 128, CENTRE, are_mirrored=False))

    # the photo has its own size in the picture; half of its shorter side is 165, in the middle of both sides
    pixels = np.asarray(picture)
    grey = np.abs(pixels.astype(int) - (0.7 * 90 + 0.3 * 255)).max(2) <= 1
    rows, columns = grey.nonzero()
    corner = (columns.min(), rows.min())
    photo_part = (corner[0], corner[1], corner[0] + width, corner[1] + height)
    assert (columns.max() + 1, rows.max() + 1) >= photo_part[2:]
    edges = extent(picture, COLOURS[0], photo_part)
    expected = [corner[0] + (width - 165) / 2, corner[1] + (height - 165) / 2]
    expected += [expected[0] + 165, expected[1] + 165]
    assert edges == pytest.approx(expected, abs=2.5)  # a dark line of one pixel is around it, and pixels are whole


def test_edges_that_coincide_are_drawn_beside_each_other() -> None:
    picture = np.asarray(views_picture(photo(330, 440), protocol_named("ten", 224)))

    grey = np.abs(picture.astype(int) - (0.7 * 90 + 0.3 * 255)).max(2) <= 1
    rows, columns = grey.nonzero()
    middle = picture[rows.min() : rows.min() + 330, columns.min() + 220]  # a line down the middle of the photo
    top, bottom = ({tuple(pixel) for pixel in part.tolist()} for part in (middle[:15], middle[-15:]))
    assert {COLOURS[0], COLOURS[1]} <= top  # the two upper corners; then come the lower ones
    assert {COLOURS[2], COLOURS[3]} <= bottom


def test_an_image_that_the_protocol_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="an image of 200x4 becomes 32000x640"):
        views_picture(photo(4, 200), protocol_named("dense5", 224))
