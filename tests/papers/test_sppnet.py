"""The recipes of SPP-net 2.3 and 3.1 as the paper prints them."""

from __future__ import annotations

import dataclasses

import pytest

from fourfold.data.crops import CornerCrop
from fourfold.papers.sppnet import SPPNET, SPPNET_MULTI, SPPNET_RANDOM
from fourfold.train.initialise import Gaussian
from fourfold.train.schedule import Progress


def test_the_numbers_of_the_paper_and_of_alexnet_whose_practice_it_follows() -> None:
    assert (SPPNET.batch_size, SPPNET.momentum, SPPNET.weight_decay) == (128, 0.9, 5e-4)
    assert SPPNET.epochs == pytest.approx(70, abs=0.01)
    assert SPPNET.initialise == Gaussian(0.01, ones=("conv2", "conv4", "conv5", "fc6", "fc7"))
    assert SPPNET.crop == CornerCrop(256)
    assert [type(step).__name__ for step in SPPNET.augment] == ["Flip", "ColourShift"]


def test_the_rate_falls_twice_by_ten_while_the_error_stands_still() -> None:
    curve = [SPPNET.rate(Progress(0, SPPNET.steps, val_errors=(0.4,) * count)) for count in range(71)]

    assert sorted({round(rate, 9) for rate in curve}) == [0.0001, 0.001, 0.01]
    assert curve[0] == 0.01


def test_the_sizes_are_224_alone_or_224_and_180_by_turns_or_one_of_180_to_224() -> None:
    draws = [(epoch, number / 200) for epoch in range(4) for number in range(200)]
    single, multi, random = (
        [recipe.sizes(224, epoch, epoch / 70, number) for epoch, number in draws]
        for recipe in (SPPNET, SPPNET_MULTI, SPPNET_RANDOM)
    )

    assert set(single) == {224}
    assert multi == [size for size in (224, 180, 224, 180) for _ in range(200)]
    assert set(random) == set(range(180, 225))


def test_nothing_else_differs_between_the_three() -> None:
    for recipe in (SPPNET_MULTI, SPPNET_RANDOM):
        fields = {f.name for f in dataclasses.fields(recipe) if getattr(recipe, f.name) != getattr(SPPNET, f.name)}
        assert fields == {"source", "sizes"}
