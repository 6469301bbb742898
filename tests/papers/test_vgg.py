"""The recipes of VGG 3.1 as the paper prints them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fourfold.papers.vgg import VGG, VGG_384, VGG_JITTER, VGG_PAPER_INIT, mean_colour_pixels
from fourfold.train.initialise import Gaussian, Glorot
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Progress

ALL = [VGG, VGG_PAPER_INIT, VGG_384, VGG_JITTER]


def sides(recipe: Recipe) -> set[float]:
    """Of the windows of a photo whose shorter side is 10,000, over draws of the scale."""
    assert recipe.crop is not None
    return {recipe.crop(10_000, 20_000, (number / 1000, 0.5, 0.5)).height for number in range(1000)}


@pytest.mark.parametrize("recipe", ALL)
def test_the_numbers_of_the_paper(recipe: Recipe) -> None:
    assert (recipe.batch_size, recipe.momentum, recipe.weight_decay) == (256, 0.9, 5e-4)
    assert recipe.steps == 370_000
    assert recipe.epochs == pytest.approx(74, abs=0.1)  # "370K iterations (74 epochs)"
    assert "VGG 3.1" in recipe.source


@pytest.mark.parametrize(("recipe", "rate"), [(VGG, 1e-2), (VGG_PAPER_INIT, 1e-2), (VGG_384, 1e-3), (VGG_JITTER, 1e-3)])
def test_the_rate_falls_three_times_by_ten_while_the_error_stands_still(recipe: Recipe, rate: float) -> None:
    curve = [recipe.rate(Progress(0, 370_000, val_errors=(0.3,) * count)) for count in range(75)]

    levels = sorted({round(value / rate, 9) for value in curve}, reverse=True)
    assert levels == [1, 0.1, 0.01, 0.001]
    assert curve[0] == rate
    improving = tuple(1 - n / 100 for n in range(74))
    assert recipe.rate(Progress(369_999, 370_000, val_errors=improving)) == rate


@pytest.mark.parametrize(
    ("recipe", "low", "high"), [(VGG, 256, 256), (VGG_PAPER_INIT, 256, 256), (VGG_384, 384, 384), (VGG_JITTER, 256, 512)]
)
def test_crops_are_224_of_the_scales_of_the_paper(recipe: Recipe, low: int, high: int) -> None:
    expected = {round(224 * 10_000 / scale, 6) for scale in range(low, high + 1)}

    assert {round(side, 6) for side in sides(recipe)} == expected


def test_weights_are_glorots_or_have_a_variance_of_a_hundredth() -> None:
    assert VGG.initialise == Glorot()
    assert VGG_PAPER_INIT.initialise == Gaussian(std=1e-2**0.5)
    changed = {f.name for f in dataclasses.fields(VGG) if getattr(VGG, f.name) != getattr(VGG_PAPER_INIT, f.name)}
    assert changed == {"source", "initialise"}


def test_images_are_flipped_and_their_colours_shifted() -> None:
    assert [type(step).__name__ for step in VGG.augment] == ["Flip", "ColourShift"]


def test_the_mean_colour_is_subtracted_and_nothing_is_scaled() -> None:
    images = torch.randint(0, 200, (9, 3, 12, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, 1] //= 2

    pixels = mean_colour_pixels(images)

    mean = images.double().mean((0, 2, 3)).view(3, 1, 1)
    torch.testing.assert_close(pixels(images), (images.double() - mean).float(), rtol=0, atol=1e-3)  # means to 3 digits
    assert all(recipe.pixels is mean_colour_pixels for recipe in ALL)


def test_later_scales_say_whose_weights_they_start_from() -> None:
    assert "from the weights of S = 256" in VGG_384.source
    assert "from the weights of S = 384" in VGG_JITTER.source
