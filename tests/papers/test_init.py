"""Every recipe that `fourfold train --recipe` takes keeps what all recipes promise."""

from __future__ import annotations

import json

import pytest
import torch

from fourfold.papers import RECIPES
from fourfold.train.recipe import Recipe

EACH = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def test_the_recipes_have_the_names_that_are_documented() -> None:
    assert set(RECIPES) >= {"resnet-cifar", "resnet-cifar-cosine"}


@EACH
def test_a_recipe_names_its_source_and_those_after_a_paper_say_how_they_differ(recipe: Recipe) -> None:
    assert any(paper in recipe.source for paper in ("VGG", "ResNet", "GoogLeNet", "SPP-net", "AlexNet"))
    assert recipe.source.startswith("after ") == bool(recipe.deviations)


@EACH
def test_rates_are_positive_until_the_last_step_for_any_length(recipe: Recipe) -> None:
    for steps in (1, 2, 7, 1000):
        rates = [recipe.rate(step, steps) for step in range(steps)]
        assert all(rate > 0 for rate in rates[:-1])
        assert all(0 <= rate <= 0.1 for rate in rates)


@EACH
def test_augmentation_keeps_shape_type_and_number_of_images(recipe: Recipe) -> None:
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)

    for step in recipe.augment:
        images = step(images, generator)

    assert images.shape == (3, 3, 32, 32)
    assert images.dtype == torch.uint8


@EACH
def test_a_recipe_can_be_written_as_json(recipe: Recipe) -> None:
    written = json.loads(json.dumps(recipe.description()))

    assert written["batch_size"] == recipe.batch_size
    assert "0x" not in str(written)  # no addresses, which would differ between two processes and forbid a resume
