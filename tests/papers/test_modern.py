"""The recipes that are not the papers' say all that they change, and warm up, fall to zero and average."""

from __future__ import annotations

import pytest

from fourfold.papers.modern import MODERN, MODERN_CIFAR, MODERN_FINE_TUNE
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Progress

EACH = pytest.mark.parametrize("recipe", [MODERN, MODERN_CIFAR, MODERN_FINE_TUNE])


@EACH
def test_what_is_not_the_papers_is_said(recipe: Recipe) -> None:
    text = " ".join(recipe.deviations)

    assert all(word in text for word in ("cosine", "5e-4", "Nesterov", "smoothed by 0.1", "running mean", "deviation"))
    assert ("not decayed" in text) == (not recipe.decays_all)
    assert ("erased" in text) == any(type(step).__name__ == "Erase" for step in recipe.augment)
    assert ("RandAugment" in text) == any(type(step).__name__ == "RandAugment" for step in recipe.augment)
    assert ("every other epoch" in text) == any(type(step).__name__ == "AlternateFlip" for step in recipe.augment)
    assert (recipe.nesterov, recipe.weight_decay, recipe.label_smoothing) == (True, 5e-4, 0.1)
    assert 0.9 < recipe.average < 1


@EACH
def test_the_rate_warms_up_and_ends_at_zero(recipe: Recipe) -> None:
    curve = [recipe.rate(Progress(step, 1000)) for step in range(1000)]

    assert curve[0] < max(curve) / 10
    assert 20 < curve.index(max(curve)) < 200
    assert curve[-1] == pytest.approx(0, abs=1e-12)  # rounding of cos


@EACH
def test_the_epochs_that_are_said_are_those_that_are_trained(recipe: Recipe) -> None:
    whole = recipe.steps // (recipe.images // recipe.batch_size)

    assert f"{whole} epochs in place of" in " ".join(recipe.deviations)


def test_small_images_have_the_side_that_is_said() -> None:
    small = MODERN_CIFAR.sizes(32, 0, 0.0, 0.5)

    assert f"images of {small}x{small} pixels" in " ".join(MODERN_CIFAR.deviations)
    assert [MODERN_CIFAR.sizes(32, 0, share, 0.5) for share in (0.44, 0.46, 1.0)] == [24, 32, 32]
