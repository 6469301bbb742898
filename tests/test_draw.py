"""Pictures have the size they should, keep the photo, and draw bars as long as the probabilities are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from fourfold.draw import BAR, captioned, colour_of, heatmap_over, to_pillow


def noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def bar_lengths(picture: Image.Image, below: int) -> list[int]:
    """Lengths of the bars of a picture, top to bottom: runs of rows whose left end has the colour of a bar."""
    pixels = np.asarray(picture)[below:]
    is_bar = (pixels == np.array(BAR)).all(2)
    lengths: list[int] = []
    inside = False
    for row in is_bar:
        if row.any() and not inside:
            lengths.append(int(row.nonzero()[0].max() - row.nonzero()[0].min() + 1))
        inside = bool(row.any())
    return lengths


def test_a_tensor_becomes_the_same_picture() -> None:
    image = noise(5, 8)

    picture = to_pillow(image)

    assert picture.size == (8, 5)
    assert picture.getpixel((7, 2)) == tuple(image[:, 2, 7].tolist())


def test_the_photo_stays_above_its_caption_pixel_by_pixel() -> None:
    image = noise(300, 400)

    picture = captioned(image, [("cat", 0.5)], "a note")

    assert picture.width == 400
    assert picture.height > 300
    assert np.array_equal(np.asarray(picture)[:300], image.permute(1, 2, 0).numpy())


def test_bars_are_as_long_as_the_probabilities() -> None:
    shares = [0.6, 0.3, 0.15, 0.05]

    lengths = bar_lengths(captioned(torch.zeros(3, 300, 800, dtype=torch.uint8), [("x", share) for share in shares]), 300)

    assert len(lengths) == 4
    per_share = [(length - 1) / share for length, share in zip(lengths, shares, strict=True)]  # ends are both drawn
    assert per_share == pytest.approx([per_share[0]] * 4, abs=0.5 / 0.05 + 0.5 / 0.6)  # each is rounded to a pixel
    assert 0.5 * 800 < per_share[0] < 800


def test_a_class_of_no_probability_has_no_more_than_a_trace_of_a_bar() -> None:
    assert bar_lengths(captioned(torch.zeros(3, 300, 400, dtype=torch.uint8), [("x", 0.0)]), 300) <= [2]


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [(32, 32, (360, 360)), (20, 72, (360, 100)), (2000, 3000, (960, 640)), (3000, 500, (160, 960)), (400, 500, (500, 400))],
)
def test_small_photos_are_enlarged_and_large_ones_reduced(height: int, width: int, shown: tuple[int, int]) -> None:
    bare = captioned(noise(height, width), [])  # without rows only a margin is below

    assert bare.width == shown[0]
    assert shown[1] < bare.height < shown[1] + 40


def test_long_names_and_strips_are_drawn_within_the_picture() -> None:
    picture = captioned(noise(800, 20), [("a very long name of a class " * 9, 1.0), ("", 0.0)], "n" * 400)

    assert picture.mode == "RGB"


def test_colours_are_those_of_viridis_at_nine_places_and_between_them_in_brightness() -> None:
    values = torch.linspace(0, 1, 33)

    shown = colour_of(values[None]).double()[:, 0]

    expected = torch.from_numpy(colormaps["viridis"](values.numpy())[:, :3] * 255).T
    assert (shown - expected)[:, ::4].abs().max() <= 4  # its table of 256 colours has no exact eighths
    assert (shown - expected).mean(0).abs().max() <= 8  # straight lines in between
    assert (shown[1].diff() > 0).all()  # green, and with it brightness, grows all the way


def test_values_outside_the_range_get_the_colours_of_its_ends() -> None:
    assert torch.equal(colour_of(torch.tensor([[-1.0, 2.0]])), colour_of(torch.tensor([[0.0, 1.0]])))


def test_a_heatmap_has_the_photos_size_and_its_cells_where_they_were_computed() -> None:
    heat = torch.zeros(3, 5)
    heat[1, 4] = 1.0  # the middle row, the last column

    shown = heatmap_over(torch.zeros(3, 60, 100, dtype=torch.uint8), heat, top=10, left=20)

    assert shown.shape == (3, 60, 100)
    assert shown.dtype == torch.uint8
    row, column = divmod(int(shown[1].argmax()), 100)
    assert row in (29, 30)  # halfway between row 10 and row 50
    assert column >= 79  # the last column lies 20 pixels from the right edge, and its value goes on to the edge
    assert shown[:, 30, 99].tolist() == shown[:, 30, 79].tolist()


def test_weak_places_show_the_photo_and_strong_ones_the_colour() -> None:
    image = torch.full((3, 40, 60), 200, dtype=torch.uint8)

    shown = heatmap_over(image, torch.tensor([[0.0, 1.0]]), top=5, left=5)

    assert shown[:, 20, 0].tolist() == [round(0.75 * 200 + 0.25 * end) for end in (68, 1, 84)]
    assert shown[:, 20, 59].tolist() == [round(0.25 * 200 + 0.75 * end) for end in (253, 231, 37)]


@pytest.mark.parametrize(("top", "left"), [(0, 0), (19, 29), (30, 40)])
def test_a_map_of_one_cell_covers_the_whole_photo(top: int, left: int) -> None:
    shown = heatmap_over(torch.zeros(3, 40, 60, dtype=torch.uint8), torch.ones(1, 1), top=min(top, 19), left=min(left, 29))

    assert (shown == shown[:, :1, :1]).all()
