"""A recipe keeps its paper's epochs and shares when it is fitted to other images, and says what it changed."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.data.augment import Flip, PadCrop
from fourfold.data.crops import ScaleCrop
from fourfold.data.sizes import Alternate
from fourfold.images import channel_pixels
from fourfold.train.initialise import He
from fourfold.train.recipe import Budget, Recipe
from fourfold.train.schedule import Plateau, Steps, WarmUntil

PAPER = Recipe(
    source="a paper 1.2",
    images=1000,
    batch_size=100,
    steps=400,
    rate=Steps(0.1, (0.5,)),
    initialise=He(),
    augment=(PadCrop(3, 7), Flip()),
    pixels=channel_pixels,
    momentum=0.9,
    weight_decay=1e-4,
    deviations=("one already",),
)


def test_epochs_are_passes_over_the_papers_images() -> None:
    assert PAPER.epochs == 40
    assert dataclasses.replace(PAPER, images=50_000, batch_size=128, steps=64_000).epochs == 163.84  # ResNet 4.2


def test_the_papers_own_images_leave_the_recipe_as_it_is() -> None:
    assert PAPER.fitted(1000) == PAPER
    assert PAPER.fitted(1000, batch_size=100) == PAPER


@pytest.mark.parametrize("images", [50_000, 50_127])
def test_the_papers_steps_hold_for_the_papers_images_only(images: int) -> None:
    cifar = dataclasses.replace(PAPER, images=50_000, batch_size=128, steps=64_000)

    # 390 whole batches an epoch, which makes 163.84 epochs 63,898 mini-batches; 391 of 50,127
    assert cifar.fitted(images).steps == {50_000: 64_000, 50_127: 64_061}[images]


def test_fewer_images_have_as_many_epochs_of_fewer_batches() -> None:
    fitted = PAPER.fitted(450)

    assert (fitted.batch_size, fitted.steps) == (100, 160)  # 40 epochs of 4 whole batches
    assert fitted.deviations == ("one already", "160 mini-batches, not 400; the schedule is stretched to that")


def test_images_that_do_not_fill_four_batches_get_batches_of_a_quarter() -> None:
    fitted = PAPER.fitted(90)

    assert (fitted.batch_size, fitted.steps) == (22, 160)
    assert fitted.deviations[1:] == (
        "batches of 22 images, not 100",
        "160 mini-batches, not 400; the schedule is stretched to that",
    )


def test_epochs_and_batch_can_be_chosen() -> None:
    fitted = PAPER.fitted(1000, budget=Budget(epochs=2.5), batch_size=30)

    assert (fitted.batch_size, fitted.steps) == (30, 82)  # 2.5 epochs of 33 whole batches, 82.5 to the even number
    assert PAPER.fitted(1000, budget=Budget(epochs=0.001)).steps == 1
    assert PAPER.fitted(3, budget=Budget(epochs=1)).batch_size == 1


def test_nothing_else_of_a_recipe_changes() -> None:
    modern = dataclasses.replace(
        PAPER,
        nesterov=True,
        crop=ScaleCrop(256, 480),
        sizes=Alternate(),
        decays_all=False,
        label_smoothing=0.1,
        mixup=0.2,
        average=0.999,
        patience=7,
        starts_from="another recipe",
    )
    fitted = modern.fitted(90, budget=Budget(epochs=3))
    names = [field.name for field in dataclasses.fields(PAPER)]
    changed = {name for name in names if getattr(fitted, name) != getattr(modern, name)}

    assert changed == {"batch_size", "steps", "deviations"}


@pytest.mark.parametrize("batch", [0, -1, 91])
def test_a_batch_that_cannot_be_filled_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match=rf"a batch of {batch} cannot be filled from 90 images; choose 1 to 90"):
        PAPER.fitted(90, batch_size=batch)


@pytest.mark.parametrize("epochs", [0, -2.0, math.nan, math.inf])
def test_a_length_that_is_none_is_refused(epochs: float) -> None:
    with pytest.raises(ValueError, match="epochs is not a length of training; choose more than 0"):
        Budget(epochs=epochs)


@pytest.mark.parametrize("images", [0, -5])
def test_a_number_of_images_that_is_none_is_refused(images: int) -> None:
    with pytest.raises(ValueError, match=f"{images} images is not a length of training; choose 1 or more"):
        Budget(images=images)


def test_a_budget_in_two_units_is_refused() -> None:
    with pytest.raises(ValueError, match="in epochs or in images, not both"):
        Budget(epochs=1, images=100)


def test_a_budget_of_images_is_so_many_whatever_an_epoch_has() -> None:
    assert PAPER.fitted(1000, budget=Budget(images=12_345)).steps == 123  # batches of 100
    assert PAPER.fitted(450, budget=Budget(images=12_345)).steps == 123
    assert PAPER.fitted(450, budget=Budget(images=12_345), batch_size=30).steps == 412  # 411.5 to the even number
    assert PAPER.fitted(450, budget=Budget(images=1)).steps == 1


def test_no_budget_is_as_long_as_the_paper() -> None:
    assert Budget().steps(450, 100) is None
    assert PAPER.fitted(450, budget=Budget()) == PAPER.fitted(450)


def test_a_budget_of_the_papers_own_length_is_no_deviation() -> None:
    assert PAPER.fitted(1000, budget=Budget(epochs=40)) == PAPER
    assert PAPER.fitted(1000, budget=Budget(images=40_000)) == PAPER


@given(st.integers(1, 5000), st.floats(0.01, 50))
def test_a_fitted_recipe_trains_the_epochs_asked_for(images: int, epochs: float) -> None:
    fitted = PAPER.fitted(images, budget=Budget(epochs=epochs))
    batches = images // fitted.batch_size

    assert 1 <= fitted.batch_size <= min(100, images)
    assert fitted.steps >= 1
    assert abs(fitted.steps - epochs * batches) <= 1  # rounded to whole mini-batches, one at least


def test_the_description_can_be_read_by_people_and_by_json() -> None:
    description = json.loads(json.dumps(PAPER.description()))

    assert description == {
        "source": "a paper 1.2",
        "images": 1000,
        "batch_size": 100,
        "steps": 400,
        "rate": "Steps(rate=0.1, at=(0.5,), factor=0.1)",
        "initialise": "He()",
        "augment": ["PadCrop(padding=3, value=7)", "Flip()"],
        "pixels": "channel_pixels",
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "nesterov": False,
        "crop": None,
        "sizes": "own_size",
        "decays_all": True,
        "label_smoothing": 0.0,
        "mixup": 0.0,
        "average": 0.0,
        "patience": None,
        "starts_from": "",
        "deviations": ["one already"],
    }


def test_values_in_the_description_are_written_as_python_writes_them() -> None:
    crops = dataclasses.replace(PAPER, crop=ScaleCrop(256, 480), sizes=Alternate(0.75), patience=3)
    description = json.loads(json.dumps(crops.description()))

    assert description["crop"] == "ScaleCrop(low=256, high=480)"
    assert description["sizes"] == "Alternate(other=0.75)"
    assert description["patience"] == 3


def test_another_rate_or_a_patience_is_said_among_the_deviations() -> None:
    changed = PAPER.at_rate(0.02).with_patience(3)

    assert changed.rate == Steps(0.02, (0.5,))
    assert changed.patience == 3
    assert changed.deviations[-2:] == (
        "a learning rate of 0.02, not 0.1",
        "ended after 3 validations without a new best",
    )
    warm = dataclasses.replace(PAPER, rate=WarmUntil(0.01, PAPER.rate, error=0.8)).at_rate(0.02)
    assert warm.rate == WarmUntil(pytest.approx(0.002), Steps(0.02, (0.5,)), error=0.8)  # type: ignore[arg-type]
    for rate in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="is not a learning rate; choose more than 0"):
            PAPER.at_rate(rate)
    with pytest.raises(ValueError, match="a patience of 0 validations"):
        PAPER.with_patience(0)


def test_the_patience_of_a_plateau_is_stretched_with_the_training() -> None:
    recipe = dataclasses.replace(PAPER, rate=Plateau(0.1, drops=2, patience=20))

    assert recipe.fitted(1000).rate == recipe.rate
    assert recipe.fitted(1000, budget=Budget(epochs=10)).rate == Plateau(0.1, drops=2, patience=5)  # a quarter of 40 epochs
    assert recipe.fitted(1000, budget=Budget(epochs=1)).rate == Plateau(0.1, drops=2, patience=2)  # never less
    assert recipe.fitted(500).rate == recipe.rate  # as many epochs of fewer images
