"""Dice hand out the same rows however a batch is divided, and draw from the distributions that they name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from fourfold.data.dice import Dice, dice_for, generator_for

DRAWS = 10_000
UNLIKELY = 1e-3  # the seeds are fixed: of correct draws one in a thousand would be refused


def all_draws(dice: Dice) -> list[Tensor]:
    return [dice.uniform(2, 3), dice.normal(5), dice.integers(7, 1, 1), dice.beta(0.2), dice.turns()]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.data())
def test_two_parts_of_a_batch_draw_the_rows_of_the_whole(total: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, total))
    whole = all_draws(dice_for(total, 4, "batch", 2))

    first, second = (
        all_draws(Dice(generator_for(4, "batch", 2), total, start, stop)) for start, stop in ((0, cut), (cut, total))
    )

    for rows, upper, lower in zip(whole, first, second, strict=True):
        assert torch.equal(rows, torch.cat([upper, lower]))


def test_shapes_types_and_ranges() -> None:
    uniform, normal, integers, beta, turns = all_draws(dice_for(DRAWS, 0))

    assert (uniform.shape, normal.shape, integers.shape) == ((DRAWS, 2, 3), (DRAWS, 5), (DRAWS, 1, 1))
    assert (beta.shape, beta.dtype, turns.shape, turns.dtype) == ((DRAWS,), torch.float32, (DRAWS,), torch.bool)
    assert (uniform.dtype, normal.dtype, integers.dtype) == (torch.float32, torch.float32, torch.int64)
    assert 0 <= float(uniform.min()) < 0.001
    assert 0.999 < float(uniform.max()) < 1
    assert integers.unique().tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_draws_follow_their_distributions() -> None:
    dice = dice_for(DRAWS, 1)

    assert stats.kstest(dice.uniform(1).flatten().numpy(), "uniform").pvalue > UNLIKELY
    assert stats.kstest(dice.normal(1).flatten().numpy(), "norm").pvalue > UNLIKELY
    assert stats.kstest(dice.beta(0.2).double().numpy(), "beta", (0.2, 0.2)).pvalue > UNLIKELY
    assert stats.chisquare(dice.integers(9, 1).flatten().bincount().numpy()).pvalue > UNLIKELY


def test_coins_are_the_loaders_or_thrown_anew() -> None:
    coins = torch.arange(DRAWS) % 3 == 0

    assert torch.equal(replace(dice_for(DRAWS, 2), coins=coins).turns(), coins)
    thrown = dice_for(DRAWS, 2)
    first, second = thrown.turns(), thrown.turns()
    assert abs(float(first.double().mean()) - 0.5) < 2 / DRAWS**0.5  # four deviations
    assert abs(float((first == second).double().mean()) - 0.5) < 2 / DRAWS**0.5


def test_rows_are_unrelated() -> None:
    values = dice_for(DRAWS, 2).uniform(2)

    series = torch.cat([values[:-1], values[1:]], dim=1)
    assert (torch.corrcoef(series.T) - torch.eye(4)).abs().max() < 4 / DRAWS**0.5


@pytest.mark.parametrize("other", [(1, 2, 4), (1, 3, 3), (2, 2, 3), (1, 23), (12, 3), (1, 2, "3")])
def test_other_numbers_give_other_draws(other: tuple[int | str, ...]) -> None:
    draws = dice_for(DRAWS, 1, 2, 3).uniform(1).flatten()

    again, different = dice_for(DRAWS, 1, 2, 3).uniform(1).flatten(), dice_for(DRAWS, *other).uniform(1).flatten()

    assert torch.equal(draws, again)
    assert abs(float(torch.corrcoef(torch.stack([draws, different]))[0, 1])) < 4 / DRAWS**0.5
