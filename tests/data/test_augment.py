"""Augmentation against loops over images, against Pillow, and against the distributions that the papers ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import stats
from torch import Tensor

from fourfold.data.augment import (
    AlternateFlip,
    Augment,
    ColourShift,
    Erase,
    Flip,
    PadCrop,
    Photometric,
    measured_colour_shift,
)
from fourfold.data.dice import Dice, dice_for, generator_for
from fourfold.data.randaugment import RandAugment

DRAWS = 20_000
SIGMAS = 4  # a seed is fixed, so this only says how far from the mean a correct draw may lie: 1 in 16,000 lies beyond
UNLIKELY = 1e-3  # likewise: one correct draw in a thousand would be refused


STEPS: list[Augment] = [
    PadCrop(3, 9),
    Flip(),
    AlternateFlip(),
    ColourShift(),
    Photometric(),
    Erase(9),
    RandAugment(30, 3),
]


def made_images(count: int, height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator_for(height))


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
    tops, lefts = dice_for(count, seed).integers(2 * padding + 1, 2).T.tolist()

    crops = PadCrop(padding, value)(images, dice_for(count, seed))

    loop = [crop_by_loop(i, padding, value, top, left) for i, top, left in zip(images, tops, lefts, strict=True)]
    assert torch.equal(crops, torch.stack(loop))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7), st.integers(0, 999))
def test_flip_equals_a_loop_over_images(count: int, height: int, width: int, seed: int) -> None:
    images = made_images(count, height, width)
    is_flipped = dice_for(count, seed).integers(2, 1, 1, 1).flatten().tolist()

    flipped = Flip()(images, dice_for(count, seed))

    for before, after, is_mirrored in zip(images, flipped, is_flipped, strict=True):
        columns = range(width - 1, -1, -1) if is_mirrored else range(width)
        assert torch.equal(after, torch.stack([before[:, :, column] for column in columns], dim=2))


def test_the_default_pads_four_zeros_as_resnet_does() -> None:
    images = pixel_numbers(400, 6, 5)

    places = cut_places(PadCrop()(images, dice_for(400, 0)), 4, 5)

    assert places.amin(0).tolist() == [0, 0]
    assert places.amax(0).tolist() == [8, 8]


def test_crops_are_uniform_over_nine_by_nine_places() -> None:
    crops = PadCrop(4)(pixel_numbers(DRAWS, 5, 7), dice_for(DRAWS, 1))

    places = cut_places(crops, 4, 7)

    counts = (places[:, 0] * 9 + places[:, 1]).bincount(minlength=81).double()
    expected = DRAWS / 81
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert len(counts) == 81
    assert chi_square < 124.8  # 80 degrees of freedom: one correct sample in a thousand lies above (tables)
    assert chi_square > 46.5  # and one in a thousand below: draws from a list would be too even


def test_crop_places_of_neighbouring_images_are_unrelated() -> None:
    places = cut_places(PadCrop(4)(pixel_numbers(DRAWS, 5, 7), dice_for(DRAWS, 2)), 4, 7).double()

    series = torch.cat([places[:-1], places[1:]], dim=1)  # top, left, next top, next left
    correlations = torch.corrcoef(series.T) - torch.eye(4)

    assert correlations.abs().max() < SIGMAS / DRAWS**0.5


def test_half_of_the_images_are_flipped_whatever_their_neighbours_are() -> None:
    flips = (Flip()(pixel_numbers(DRAWS, 1, 2), dice_for(DRAWS, 3))[:, 0, 0, 0] == 2).double()

    assert abs(float(flips.mean()) - 0.5) < SIGMAS * 0.5 / DRAWS**0.5
    agreement = float((flips[1:] == flips[:-1]).double().mean())
    assert abs(agreement - 0.5) < SIGMAS * 0.5 / DRAWS**0.5


def test_images_turn_over_with_the_coins_that_the_loader_hands_in() -> None:
    images, coins = made_images(6, 4, 5), torch.tensor([True, False, False, True, True, False])

    flipped = AlternateFlip()(images, replace(dice_for(6, 0), coins=coins))
    other = AlternateFlip()(images, replace(dice_for(6, 0), coins=~coins))

    assert torch.equal(flipped[coins], images[coins][..., [4, 3, 2, 1, 0]])
    assert torch.equal(flipped[~coins], images[~coins])
    assert torch.equal(torch.where(coins[:, None, None, None], flipped, other), images.flip(3))
    thrown = AlternateFlip()(pixel_numbers(DRAWS, 1, 2), dice_for(DRAWS, 3))[:, 0, 0, 0] == 2
    assert abs(float(thrown.double().mean()) - 0.5) < SIGMAS * 0.5 / DRAWS**0.5


@pytest.mark.parametrize("value", [0, 77, 255])
def test_pixels_outside_the_image_have_the_padding_value(value: int) -> None:
    images = torch.full((500, 3, 6, 4), 130, dtype=torch.uint8)

    crops = PadCrop(3, value)(images, dice_for(500, 4))

    assert set(crops.unique().tolist()) == {130, value}
    corner = crops[:, :, 0, 0].unique()  # cut above or left of the image in 33 of 49 places
    assert value in corner.tolist()


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_a_batch_depends_on_the_dice_alone_and_the_input_stays(step: Augment) -> None:
    images = made_images(16, 18, 16)
    before = images.clone()

    first, again, other = (step(images, dice_for(16, seed)) for seed in (5, 5, 6))
    torch.manual_seed(99)
    third = step(images, dice_for(16, 5))

    assert torch.equal(first, again)
    assert torch.equal(first, third)
    assert not torch.equal(first, other)
    assert torch.equal(images, before)
    assert first.dtype == torch.uint8
    assert first.shape == images.shape


@pytest.mark.parametrize("step", STEPS, ids=repr)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 53), (224, 224)])
def test_two_parts_of_a_batch_become_what_the_whole_becomes(step: Augment, height: int, width: int) -> None:
    images = made_images(23, height, width)

    whole = step(images, dice_for(23, 7))

    for cut in (1, 8, 22):
        parts = [step(images[start:stop], Dice(generator_for(7), 23, start, stop)) for start, stop in ((0, cut), (cut, 23))]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_the_number_of_threads_changes_nothing(step: Augment) -> None:
    images, threads = made_images(3, 200, 224), torch.get_num_threads()

    alone = step(images, dice_for(3, 8))
    torch.set_num_threads(3)
    together = step(images, dice_for(3, 8))
    torch.set_num_threads(threads)

    assert torch.equal(alone, together)


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_images_that_are_alike_become_different(step: Augment) -> None:
    images = made_images(1, 20, 20).repeat(64, 1, 1, 1)

    seen = {image.numpy().tobytes() for image in step(images, dice_for(64, 9))}

    is_either = isinstance(step, Flip | AlternateFlip)
    assert len(seen) == 2 if is_either else len(seen) > 25  # of 49 crops, of 400 places, of a continuum


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_an_empty_part_of_a_batch_stays_empty(step: Augment) -> None:
    assert step(made_images(4, 20, 20)[:0], Dice(generator_for(1), 4, 2, 2)).shape == (0, 3, 20, 20)


def colour_shifts(step: ColourShift, draws: int) -> Tensor:
    """float64 (N,3): what is added to mid-grey, from whose neighbourhood no shift of this size leaves the range."""
    images = torch.full((draws, 3, 2, 2), 128, dtype=torch.uint8)
    shifted = step(images, dice_for(draws, 10)).double() - 128
    assert torch.equal(shifted, shifted[:, :, :1, :1].expand_as(shifted))  # all pixels alike
    return shifted[:, :, 0, 0]


def test_colours_shift_along_the_principal_components_by_a_tenth_of_the_eigenvalue() -> None:
    vectors = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]).double()
    deviations = 0.1 * torch.tensor([0.2175, 0.0188, 0.0045]).double() * 255  # 5.5, 0.5 and 0.1 grey levels
    expected = vectors @ deviations.square().diag() @ vectors.T

    shifts = colour_shifts(ColourShift(), DRAWS)

    assert shifts.mean(0).abs().max() < SIGMAS * 3.3 / DRAWS**0.5
    rounding = torch.eye(3).double() / 12  # variance of what is lost by rounding to grey levels
    torch.testing.assert_close(torch.cov(shifts.T), expected + rounding, rtol=0.03, atol=0.03)  # 2 sigma of a variance of 10
    assert float((shifts @ vectors[:, 0]).std()) == pytest.approx(5.546, rel=0.03)
    assert abs(float(torch.corrcoef(torch.stack([shifts[:-1, 0], shifts[1:, 0]]))[0, 1])) < SIGMAS / DRAWS**0.5


def test_the_components_of_imagenet_are_orthonormal_columns() -> None:
    vectors = torch.tensor(ColourShift().vectors)

    torch.testing.assert_close(vectors.T @ vectors, torch.eye(3), rtol=0, atol=2e-4)  # printed with four digits


def test_components_are_measured_as_numpy_measures_them() -> None:
    generator, mixed = generator_for(11), torch.tensor([[50.0, 20.0, 5.0], [40.0, -10.0, 8.0], [45.0, 3.0, -20.0]])
    values = (128 + torch.randn(6, 20, 30, 3, generator=generator) @ mixed.T / 3).clamp(0, 255).to(torch.uint8)
    covariance = np.cov(values.reshape(-1, 3).numpy().T / 255)

    step = measured_colour_shift(values.permute(0, 3, 1, 2))

    eigenvalues, vectors = np.array(step.values), np.array(step.vectors)
    assert eigenvalues.tolist() == sorted(eigenvalues, reverse=True)
    np.testing.assert_allclose(vectors @ np.diag(eigenvalues) @ vectors.T, covariance, atol=1e-12)
    np.testing.assert_allclose(covariance @ vectors, vectors * eigenvalues, atol=1e-12)
    assert hash(step) == hash(measured_colour_shift(values.permute(0, 3, 1, 2)))


def test_brightness_varies_evenly_from_a_half_to_one_and_a_half() -> None:
    images = torch.full((DRAWS, 3, 1, 1), 160, dtype=torch.uint8)  # grey, which contrast and saturation leave alone

    values = Photometric()(images, dice_for(DRAWS, 12))[:, :, 0, 0].double()

    assert torch.equal(values[:, 0], values[:, 2])
    assert (float(values.min()), float(values.max())) == (80, 240)
    jitter = torch.rand(DRAWS, generator=generator_for(13)).double() - 0.5  # undoes the steps of rounding
    assert stats.kstest((values[:, 0] + jitter).numpy(), "uniform", (80, 160)).pvalue > UNLIKELY


def test_the_six_orders_are_equally_likely() -> None:
    image = torch.tensor([[250, 20, 130], [90, 200, 60], [30, 110, 255]], dtype=torch.uint8).view(1, 3, 1, 3)
    orders = [by_pillow(image[0], order, (1.5, 1.5, 1.5)) for order in permutations(range(3))]

    images = Photometric(1.5, 1.5)(image.expand(6000, -1, -1, -1), dice_for(6000, 14))  # clipping tells orders apart

    distances = torch.stack([(images.int() - order.int()).abs().double().mean((1, 2, 3)) for order in orders])
    assert float(distances.amin(0).max()) < 2  # Pillow cuts off fractions, which later factors enlarge
    assert len(images.unique(dim=0)) == 6
    assert stats.chisquare(distances.argmin(0).bincount(minlength=6).numpy()).pvalue > UNLIKELY


def by_pillow(image: Tensor, order: Sequence[int], factors: Sequence[float]) -> Tensor:
    changed = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    for number in order:
        enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[number]
        changed = enhance(changed).enhance(factors[number])
    return torch.from_numpy(np.array(changed)).permute(2, 0, 1)


def test_photometric_distortions_are_pillows_one_after_the_other() -> None:
    images = made_images(30, 13, 17)
    dice = dice_for(30, 15)
    orders, factors = dice.uniform(3).argsort(1).tolist(), (0.5 + dice.uniform(3)).tolist()

    ours = Photometric()(images, dice_for(30, 15))

    theirs = torch.stack([by_pillow(*each) for each in zip(images, orders, factors, strict=True)])
    off = (ours.int() - theirs.int()).abs()
    assert int(off.max()) <= 5  # a grey level cut off, times 1.5 and cut off, and again
    assert off.double().mean() < 1.5  # half a level at each of three steps


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(0, 12), st.integers(0, 999))
def test_erase_equals_a_loop_over_pixels(count: int, height: int, width: int, side: int, seed: int) -> None:
    images = made_images(count, height, width)
    dice = dice_for(count, seed)
    rows, columns = dice.integers(height, 1).flatten().tolist(), dice.integers(width, 1).flatten().tolist()

    erased = Erase(side, value=77)(images, dice_for(count, seed))

    expected = images.clone()
    for image, row, column in zip(expected, rows, columns, strict=True):
        for y in range(max(0, row - side // 2), min(height, row - side // 2 + side)):
            for x in range(max(0, column - side // 2), min(width, column - side // 2 + side)):
                image[:, y, x] = 77
    assert torch.equal(erased, expected)


def test_squares_are_erased_about_every_pixel_equally_often() -> None:
    erased = Erase(1)(torch.zeros(DRAWS, 3, 7, 5, dtype=torch.uint8), dice_for(DRAWS, 16))

    assert (erased[:, 0].flatten(1) == 128).sum(1).eq(1).all()
    counts = (erased[:, 0] == 128).sum(0).flatten()
    assert stats.chisquare(counts.numpy()).pvalue > UNLIKELY


def test_a_whole_square_has_as_many_pixels_as_its_side_says() -> None:
    covered = (Erase(8)(torch.zeros(500, 3, 32, 32, dtype=torch.uint8), dice_for(500, 17))[:, 0] == 128).sum((1, 2))

    assert int(covered.max()) == 64
    assert int(covered.min()) >= 16  # in a corner: 4 x 4
    assert abs(float((covered == 64).double().mean()) - (25 / 32) ** 2) < SIGMAS * 0.5 / 500**0.5
