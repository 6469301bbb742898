"""The recipes of ResNet 3.4 and 4.2 as the paper prints them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fourfold.data.dice import dice_for
from fourfold.papers.resnet import CIFAR, CIFAR_110, CIFAR_COSINE, RESNET
from fourfold.train.initialise import He
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Progress


def rates(recipe: Recipe) -> list[float]:
    return [recipe.rate(Progress(step, recipe.steps)) for step in range(recipe.steps)]


def test_the_rate_is_a_tenth_until_32k_a_hundredth_until_48k_a_thousandth_until_64k() -> None:
    expected = [0.1] * 32_000 + [0.01] * 16_000 + [0.001] * 16_000

    assert rates(CIFAR) == pytest.approx(expected, rel=1e-12)  # powers of 0.1 are not exact in binary


def test_batch_weight_decay_and_momentum_are_the_papers() -> None:
    assert (CIFAR.images, CIFAR.batch_size, CIFAR.weight_decay, CIFAR.momentum) == (50_000, 128, 1e-4, 0.9)
    assert not CIFAR.nesterov
    assert CIFAR.deviations == ()
    assert "4.2" in CIFAR.source


def test_a_stretched_schedule_keeps_its_shares() -> None:
    fitted = CIFAR.fitted(45_000)  # the paper's split for choosing the schedule: 351 whole batches, 163.84 epochs
    stretched = rates(fitted)

    assert fitted.steps == 57_508
    for level, share in ((0.1, 1 / 2), (0.01, 1 / 4), (0.001, 1 / 4)):
        count = sum(abs(rate - level) < level / 100 for rate in stretched)
        assert abs(count - share * 57_508) <= 1
    assert any("57,508 mini-batches, not 64,000" in text for text in fitted.deviations)


def test_the_per_pixel_mean_is_subtracted_and_nothing_is_scaled() -> None:
    images = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    pixels = CIFAR.pixels(images)

    mean = torch.zeros(3, 32, 32, dtype=torch.float64)
    for image in images:
        mean += image.double() / 9
    torch.testing.assert_close(pixels(images[:2]), (images[:2].double() - mean).float(), rtol=0, atol=1e-4)  # of 255


def test_views_are_crops_of_the_image_padded_by_four_zeros_and_their_mirror_images() -> None:
    image = torch.arange(1, 1 + 32 * 32).remainder(251).to(torch.uint8).view(1, 1, 32, 32).repeat(1, 3, 1, 1)
    canvas = torch.zeros(3, 40, 40, dtype=torch.uint8)
    canvas[:, 4:36, 4:36] = image[0]
    crops = [canvas[:, top : top + 32, left : left + 32] for top in range(9) for left in range(9)]
    allowed = {view.numpy().tobytes() for crop in crops for view in (crop, crop.flip(2))}

    views, dice = image.repeat(600, 1, 1, 1), dice_for(600, 0)
    for step in CIFAR.augment:
        views = step(views, dice)

    seen = {view.numpy().tobytes() for view in views}
    assert len(allowed) == 162
    assert seen <= allowed
    assert len(seen) > 145  # 600 draws miss 162 * exp(-600/162) = 4 of the views on average


def test_the_cosine_recipe_says_that_it_is_not_the_papers() -> None:
    text = " ".join(CIFAR_COSINE.deviations)

    assert all(word in text for word in ("cosine", "5e-4", "Nesterov", "mean"))
    assert CIFAR_COSINE.source != CIFAR.source
    assert (CIFAR_COSINE.weight_decay, CIFAR_COSINE.nesterov, CIFAR_COSINE.batch_size) == (5e-4, True, 128)


def test_the_cosine_recipe_warms_up_to_a_tenth_and_ends_at_zero() -> None:
    curve = rates(CIFAR_COSINE)

    assert max(curve) == pytest.approx(0.1)
    assert curve.index(max(curve)) == pytest.approx(0.05 * 24_000, abs=1)
    assert curve[-1] == pytest.approx(0, abs=1e-12)  # rounding of cos


def test_110_layers_begin_at_a_hundredth_until_the_training_error_is_below_80_per_cent() -> None:
    def rate(step: int, *train_errors: float) -> float:
        return CIFAR_110.rate(Progress(step, 64_000, train_errors))

    assert [rate(0), rate(389), rate(390, 0.85), rate(780, 0.85, 0.8)] == [0.01] * 4
    assert [rate(390, 0.79), rate(780, 0.85, 0.7), rate(31_999, 0.85, 0.7)] == [0.1] * 3
    assert [rate(32_000, 0.7), rate(48_000, 0.7)] == pytest.approx([0.01, 0.001], rel=1e-12)
    same = {f.name for f in dataclasses.fields(CIFAR) if getattr(CIFAR, f.name) == getattr(CIFAR_110, f.name)}
    assert {f.name for f in dataclasses.fields(CIFAR)} - same == {"source", "rate"}


def test_imagenet_trains_for_600_000_mini_batches_of_256() -> None:
    assert (RESNET.batch_size, RESNET.steps, RESNET.momentum, RESNET.weight_decay) == (256, 600_000, 0.9, 1e-4)
    assert RESNET.epochs == pytest.approx(120, abs=0.2)
    assert RESNET.initialise == He()
    assert RESNET.pixels is CIFAR.pixels
    assert [type(step).__name__ for step in RESNET.augment] == ["Flip", "ColourShift"]
    assert "3.4" in RESNET.source


def test_imagenets_rate_falls_by_ten_where_the_error_stands_still() -> None:
    curve = [RESNET.rate(Progress(0, 600_000, val_errors=(0.4,) * count)) for count in range(121)]

    assert sorted({round(rate, 9) for rate in curve}) == [0.001, 0.01, 0.1]
    assert curve[0] == 0.1


def test_imagenets_shorter_side_is_drawn_from_256_to_480() -> None:
    crop = RESNET.crop
    assert crop is not None
    sides = {round(crop(20_000, 10_000, (number / 1000, 0.2, 0.7)).width, 6) for number in range(1000)}

    assert sides == {round(224 * 10_000 / scale, 6) for scale in range(256, 481)}
