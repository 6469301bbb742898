"""Pictures have the size they should, keep the photo, and draw bars as long as the probabilities are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from fourfold.draw import (
    BAR,
    GREEN,
    RED,
    Tile,
    captioned,
    chosen,
    colour_of,
    contact_sheet,
    heatmap_over,
    to_pillow,
    val_examples,
)


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


def framed(picture: Image.Image, colour: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) of what is framed in a colour, row by row: the long lines of that colour."""
    here = (np.asarray(picture) == np.array(colour)).all(2)
    boxes = []
    for top in np.flatnonzero(here.sum(1) > 90):
        for left, right in runs(here[top]):
            if right - left > 60 and not any(box[0] == left and top < box[3] for box in boxes):
                below = here[top:, left]
                boxes.append((left, int(top), right, int(top) + (len(below) if below.all() else int(below.argmin()))))
    return boxes


def runs(row: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def answers(right: int, wrong: int) -> tuple[Tensor, Tensor, Tensor]:
    """Right ones of classes 0, 1, 2, 0, 1, ... and behind them wrong ones, less and less sure."""
    truth = torch.arange(right + wrong) % 3
    guesses = torch.where(torch.arange(right + wrong) < right, truth, (truth + 1) % 3)
    return truth, guesses, torch.linspace(1.0, 0.4, right + wrong)


def test_a_sheet_frames_right_answers_green_above_and_wrong_ones_red_below() -> None:
    images = torch.zeros(40, 3, 32, 32, dtype=torch.uint8)

    sheet = val_examples(images, *answers(20, 20), ["cat", "dog", "a very long name of a class"])

    green, red = framed(sheet, GREEN), framed(sheet, RED)
    assert (len(green), len(red)) == (12, 12)
    assert max(box[3] for box in green) < min(box[1] for box in red)
    assert {(right - left, bottom - top) for left, top, right, bottom in green + red} == {(230, 230)}  # 7 x 32, 3 of frame
    assert len({box[0] for box in green}) == 6  # columns


def test_small_images_are_enlarged_by_a_whole_number_without_a_new_colour() -> None:
    image = noise(32, 20)

    sheet = val_examples(image[None], torch.tensor([0]), torch.tensor([0]), torch.tensor([0.9]), ["cat"])

    ((left, top, right, bottom),) = framed(sheet, GREEN)
    shown = np.asarray(sheet)[top + 3 : bottom - 3, left + 3 : right - 3]
    assert np.array_equal(shown, image.permute(1, 2, 0).numpy().repeat(7, 0).repeat(7, 1))


def test_an_image_of_224_pixels_is_shown_as_it_is_and_a_larger_one_reduced() -> None:
    images = [noise(224, 224), torch.full((3, 300, 600), 90, dtype=torch.uint8)]

    sheet = val_examples(images, torch.tensor([0, 0]), torch.tensor([0, 0]), torch.tensor([0.9, 0.8]), ["cat"])

    first, second = sorted(framed(sheet, GREEN))  # from left to right
    left, top, right, bottom = first
    assert np.array_equal(np.asarray(sheet)[top + 3 : bottom - 3, left + 3 : right - 3], images[0].permute(1, 2, 0).numpy())
    assert (second[2] - second[0] - 6, second[3] - second[1] - 6) == (224, 112)


@pytest.mark.parametrize(("right", "wrong"), [(1, 0), (0, 1), (5, 0), (0, 30), (2, 7), (100, 1)])
def test_a_sheet_shows_what_there_is(right: int, wrong: int) -> None:
    sheet = val_examples(noise(32, 32).expand(right + wrong, -1, -1, -1), *answers(right, wrong), ["a", "b\nc", ""])

    assert len(framed(sheet, GREEN)) == min(right, 12)
    assert len(framed(sheet, RED)) == min(wrong, 12)


def test_the_same_answers_make_the_same_sheet_and_only_its_images_are_looked_up() -> None:
    truth, guesses, probabilities = answers(500, 60)
    right, wrong = chosen(truth, guesses, probabilities)
    images = {index: noise(32, 32) for index in right + wrong}

    first = val_examples(images, truth, guesses, probabilities, ["a", "b", "c"])

    again = val_examples(noise(32, 32).expand(560, -1, -1, -1), truth, guesses, probabilities, ["a", "b", "c"])
    assert first.tobytes() == again.tobytes()


def test_right_answers_come_from_all_classes_and_wrong_ones_are_the_surest() -> None:
    truth = torch.tensor([2] * 10 + [0] * 10 + [1] * 10 + [0, 1, 2])
    guesses = truth.clone()
    guesses[-3:] = torch.tensor([1, 2, 0])
    probabilities = torch.full((33,), 0.5)
    probabilities[-3:] = torch.tensor([0.6, 0.9, 0.6])

    right, wrong = chosen(truth, guesses, probabilities)

    assert truth[right].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(set(right)) == 12
    assert wrong == [31, 30, 32]  # of two that are equally sure the first comes first


def test_right_and_wrong_differ_also_without_colour() -> None:
    signs = []
    for is_right in (True, False):
        sheet = contact_sheet([("", [Tile(torch.zeros(3, 112, 112, dtype=torch.uint8), ("",), is_right)])])
        ((left, _, _, bottom),) = framed(sheet, GREEN if is_right else RED)
        signs.append(np.asarray(sheet.convert("L"))[bottom + 2 : bottom + 24, left : left + 20] < 200)

    tick, cross = signs
    assert tick.sum() > 20
    assert cross.sum() > 20
    assert (tick != cross).sum() > 30


def test_answers_of_different_lengths_are_refused() -> None:
    truth, guesses, probabilities = answers(3, 3)

    with pytest.raises(ValueError, match=r"the vector of guesses has shape \(5,\); expected \(6\)"):
        val_examples(noise(32, 32)[None], truth, guesses[:5], probabilities, ["a", "b", "c"])
