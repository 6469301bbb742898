"""Every recipe that `fourfold train --recipe` takes keeps what all recipes promise, on images as training reads them."""

from __future__ import annotations

import ast
import json
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from fourfold.data.crops import Crop
from fourfold.data.dice import Dice, generator_for
from fourfold.networks import build
from fourfold.papers import RECIPES
from fourfold.train.initialise import Xavier
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Plateau, Progress
from fourfold.windows import Window, read_window

EACH = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
PAPERS = {
    *("vgg", "vgg-paper-init", "vgg-384", "vgg-jitter"),
    *("resnet", "resnet-cifar", "resnet-cifar-110"),
    *("sppnet", "sppnet-multi", "sppnet-random", "alexnet"),
}
PHOTO_RECIPES = {name: recipe for name, recipe in RECIPES.items() if recipe.crop}


def made_photos() -> list[Tensor]:
    generator = generator_for("photos")
    sides = ((40, 61), (90, 47), (64, 64), (33, 200), (300, 260), (128, 31), (50, 51))
    return [torch.randint(0, 256, (3, *side), dtype=torch.uint8, generator=generator) for side in sides]


def batch_of(recipe: Recipe, size: int, numbers: Tensor) -> Tensor:
    """uint8 (N,3,size,size): windows of photos of many sides, or whole images where the recipe has no windows."""
    crop = recipe.crop
    if crop is None:
        return torch.randint(0, 256, (len(numbers), 3, size, size), dtype=torch.uint8, generator=generator_for(1))
    rows = zip(made_photos(), numbers.tolist(), strict=True)
    return torch.stack([read_window(photo, partial(window_of, crop, row), size) for photo, row in rows])


def window_of(crop: Crop, row: list[float], height: int, width: int) -> Window:
    return crop(height, width, row)


def augmented(recipe: Recipe, start: int, stop: int, total: int = 7) -> Tensor:
    """Rows `start` to `stop` of one batch, from the photo to the network's images."""
    draws = recipe.crop.draws if recipe.crop else 1
    windows, dice = (Dice(generator_for(3, what), total, start, stop) for what in ("window", "augment"))
    numbers = windows.uniform(draws)
    everything = torch.zeros(total, draws)
    everything[start:stop] = numbers
    images = batch_of(recipe, 32, everything)[start:stop]
    for step in recipe.augment:
        images = step(images, dice)
    return images


def test_the_recipes_have_the_names_that_are_documented() -> None:
    assert set(RECIPES) >= {*PAPERS, "resnet-cifar-cosine", "googlenet", "modern", "modern-cifar"}


def test_photos_have_windows_and_images_of_32_pixels_are_seen_whole() -> None:
    assert {name for name in RECIPES if name not in PHOTO_RECIPES} == {name for name in RECIPES if "cifar" in name}
    assert all(recipe.images == (50_000 if recipe.crop is None else 1_281_167) for recipe in RECIPES.values())


@EACH
def test_a_recipe_names_its_source_and_those_after_a_paper_say_how_they_differ(recipe: Recipe) -> None:
    assert any(paper in recipe.source for paper in ("VGG", "ResNet", "GoogLeNet", "SPP-net", "AlexNet"))
    assert recipe.source.startswith("after ") == bool(recipe.deviations)


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_a_papers_own_recipe_has_nothing_that_came_later(name: str) -> None:
    recipe = RECIPES[name]

    assert recipe.deviations == ()
    assert (recipe.nesterov, recipe.label_smoothing, recipe.mixup, recipe.average) == (False, 0, 0, 0)
    assert recipe.momentum == 0.9
    assert recipe.decays_all
    assert recipe.patience is None  # every paper says how long it trains


@EACH
def test_rates_are_positive_until_the_last_step_for_any_length(recipe: Recipe) -> None:
    for steps in (1, 2, 7, 1000):
        rates = [recipe.rate(Progress(step, steps)) for step in range(steps)]
        assert all(rate > 0 for rate in rates[:-1])
        assert all(0 <= rate <= 0.1 for rate in rates)


@EACH
def test_images_pass_the_windows_and_the_augmentation_of_a_recipe(recipe: Recipe) -> None:
    images = augmented(recipe, 0, 7)

    assert images.shape == (7, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert int(images.max()) > int(images.min())


@EACH
def test_two_processes_see_what_one_would(recipe: Recipe) -> None:
    whole = augmented(recipe, 0, 7)

    assert torch.equal(torch.cat([augmented(recipe, 0, 3), augmented(recipe, 3, 7)]), whole)


@EACH
def test_the_sizes_of_epochs_can_be_read_and_pixels_measured(recipe: Recipe) -> None:
    draws = recipe.crop.draws if recipe.crop else 1
    for epoch, share, number in ((0, 0.0, 0.1), (1, 0.3, 0.9), (9, 0.9, 0.5)):
        size = recipe.sizes(32, epoch, share, number)
        images = batch_of(recipe, size, torch.full((7, draws), number))
        pixels = recipe.pixels(batch_of(recipe, 32, torch.full((7, draws), 0.5)))

        values = pixels(images)

        assert 24 <= size <= 32
        assert values.shape == (7, 3, size, size)
        assert values.dtype == torch.float32


@EACH
def test_a_recipe_initialises_a_network(recipe: Recipe) -> None:
    network = build("vgg-a", classes=3, width=0.0625, input_size=32)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(7)

    recipe.initialise(network, generator_for(0))

    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert all(weight.std() > 0 for weight in weights)
    biases = {float(bias) for name, p in network.state_dict().items() if name.endswith("bias") for bias in p.unique()}
    assert biases <= ({0.0, 0.20000000298023224} if isinstance(recipe.initialise, Xavier) else {0.0, 1.0})


@EACH
def test_a_recipe_can_be_written_as_json(recipe: Recipe) -> None:
    written = json.loads(json.dumps(recipe.description()))

    assert written["batch_size"] == recipe.batch_size
    assert "0x" not in str(written)  # no addresses, which would differ between two processes and forbid a resume
    assert ast.parse(written["rate"]).body  # reads as the value it was


@EACH
def test_a_plateau_waits_for_validations(recipe: Recipe) -> None:
    if not isinstance(recipe.rate, Plateau):
        return
    worse = (0.5, *[0.6] * recipe.rate.patience)

    rates = [recipe.rate(Progress(500, 1000, val_errors=errors)) for errors in ((), worse[:-1], worse, (*worse, 0.4))]

    first = recipe.rate.rate
    assert rates == pytest.approx([first, first, first / 10, first / 10])
