"""Random crops and flips against a loop over images, and against the distribution that ResNet 4.2 asks for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fourfold.data.augment import Flip, PadCrop

DRAWS = 20_000
SIGMAS = 4  # a seed is fixed, so this only says how far from the mean a correct draw may lie: 1 in 16,000 lies beyond


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made_images(count: int, height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator(height))


def pixel_numbers(count: int, height: int, width: int) -> Tensor:
    """Every image the same, pixel (y,x) holding 1 + y * width + x, so that a crop shows where it was cut."""
    return (torch.arange(height * width, dtype=torch.uint8) + 1).view(1, 1, height, width).repeat(count, 3, 1, 1)


def crop_by_loop(image: Tensor, padding: int, value: int, top: int, left: int) -> Tensor:
    out = torch.full_like(image, value)
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            row, column = y + top - padding, x + left - padding
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                out[:, y, x] = image[:, row, column]
    return out


def cut_places(crops: Tensor, padding: int, width: int) -> Tensor:
    """(N,2): top and left of each crop of `pixel_numbers`, read from the last pixel that is not padding."""
    places = []
    for crop in crops[:, 0]:
        y, x = crop.nonzero()[-1].tolist()
        row, column = divmod(int(crop[y, x]) - 1, width)
        places.append((row - y + padding, column - x + padding))
    return torch.tensor(places)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(2, 9), st.integers(2, 9), st.integers(0, 5), st.integers(0, 255), st.integers(0, 999))
def test_pad_crop_equals_a_loop_over_images_and_pixels(
    count: int, height: int, width: int, padding: int, value: int, seed: int
) -> None:
    images = made_images(count, height, width)
    tops, lefts = torch.randint(2 * padding + 1, (2, count), generator=generator(seed)).tolist()

    crops = PadCrop(padding, value)(images, generator(seed))

    loop = [crop_by_loop(i, padding, value, top, left) for i, top, left in zip(images, tops, lefts, strict=True)]
    assert torch.equal(crops, torch.stack(loop))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7), st.integers(0, 999))
def test_flip_equals_a_loop_over_images(count: int, height: int, width: int, seed: int) -> None:
    images = made_images(count, height, width)
    is_flipped = torch.randint(2, (count, 1, 1, 1), generator=generator(seed)).flatten().tolist()

    flipped = Flip()(images, generator(seed))

    for before, after, is_mirrored in zip(images, flipped, is_flipped, strict=True):
        columns = range(width - 1, -1, -1) if is_mirrored else range(width)
        assert torch.equal(after, torch.stack([before[:, :, column] for column in columns], dim=2))


def test_the_default_pads_four_zeros_as_resnet_does() -> None:
    images = pixel_numbers(400, 6, 5)

    places = cut_places(PadCrop()(images, generator(0)), 4, 5)

    assert places.amin(0).tolist() == [0, 0]
    assert places.amax(0).tolist() == [8, 8]


def test_crops_are_uniform_over_nine_by_nine_places() -> None:
    crops = PadCrop(4)(pixel_numbers(DRAWS, 5, 7), generator(1))

    places = cut_places(crops, 4, 7)

    counts = (places[:, 0] * 9 + places[:, 1]).bincount(minlength=81).double()
    expected = DRAWS / 81
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert len(counts) == 81
    assert chi_square < 124.8  # 80 degrees of freedom: one correct sample in a thousand lies above (tables)
    assert chi_square > 46.5  # and one in a thousand below: draws from a list would be too even


def test_crop_places_of_neighbouring_images_are_unrelated() -> None:
    places = cut_places(PadCrop(4)(pixel_numbers(DRAWS, 5, 7), generator(2)), 4, 7).double()

    series = torch.cat([places[:-1], places[1:]], dim=1)  # top, left, next top, next left
    correlations = torch.corrcoef(series.T) - torch.eye(4)

    assert correlations.abs().max() < SIGMAS / DRAWS**0.5


def test_half_of_the_images_are_flipped_whatever_their_neighbours_are() -> None:
    flips = (Flip()(pixel_numbers(DRAWS, 1, 2), generator(3))[:, 0, 0, 0] == 2).double()

    assert abs(float(flips.mean()) - 0.5) < SIGMAS * 0.5 / DRAWS**0.5
    agreement = float((flips[1:] == flips[:-1]).double().mean())
    assert abs(agreement - 0.5) < SIGMAS * 0.5 / DRAWS**0.5


@pytest.mark.parametrize("value", [0, 77, 255])
def test_pixels_outside_the_image_have_the_padding_value(value: int) -> None:
    images = torch.full((500, 3, 6, 4), 130, dtype=torch.uint8)

    crops = PadCrop(3, value)(images, generator(4))

    assert set(crops.unique().tolist()) == {130, value}
    corner = crops[:, :, 0, 0].unique()  # cut above or left of the image in 33 of 49 places
    assert value in corner.tolist()


@pytest.mark.parametrize("step", [PadCrop(4), Flip()], ids=["crop", "flip"])
def test_a_batch_depends_on_the_generator_alone_and_the_input_stays(step: PadCrop | Flip) -> None:
    images = made_images(16, 8, 6)
    before = images.clone()

    first, again, other = (step(images, generator(seed)) for seed in (5, 5, 6))
    torch.manual_seed(99)
    third = step(images, generator(5))

    assert torch.equal(first, again)
    assert torch.equal(first, third)
    assert not torch.equal(first, other)
    assert torch.equal(images, before)
    assert first.dtype == torch.uint8
