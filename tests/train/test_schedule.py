"""Learning rates at the steps that the papers print, at points known by hand, and against torch's stateful schedulers."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fourfold.train.schedule import Cosine, Decay, Plateau, Progress, Schedule, Steps, WarmUntil

RESNET = Steps(rate=0.1, at=(0.5, 0.75))
VGG = Plateau(rate=0.01, drops=3, patience=2)


def rates(schedule: Schedule, steps: int) -> list[float]:
    return [schedule(Progress(step, steps)) for step in range(steps)]


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)]
)
def test_steps_drop_at_32k_and_48k_of_64k(step: int, rate: float) -> None:
    assert RESNET(Progress(step, 64_000)) == pytest.approx(rate, rel=1e-12)  # powers of 0.1 are not exact in binary


@pytest.mark.parametrize("steps", [4, 100, 1000, 7777])
def test_stretched_steps_keep_the_shares(steps: int) -> None:
    shares = [sum(abs(rate - level) < 1e-9 for rate in rates(RESNET, steps)) / steps for level in (0.1, 0.01, 0.001)]

    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=1 / steps)  # a drop comes at a whole step


def test_steps_without_drops_stay_and_another_factor_multiplies() -> None:
    assert [Steps(0.3, ())(Progress(step, 10)) for step in (0, 9)] == [0.3, 0.3]
    assert [Steps(8.0, (0.5,), factor=0.25)(Progress(step, 10)) for step in (4, 5)] == [8.0, 2.0]


@pytest.mark.parametrize(
    ("step", "share"),  # of 100 steps, the first tenth warms up: done = (step + 1) / 100
    [(0, 0.1), (4, 0.5), (9, 1.0), (54, 0.5), (39, 0.75), (69, 0.25), (99, 0.0)],  # cos 90, 60, 120, 180 degrees
)
def test_a_cosine_at_points_known_by_hand(step: int, share: float) -> None:
    assert Cosine(rate=0.4, warm_up=0.1)(Progress(step, 100)) == pytest.approx(0.4 * share, abs=1e-12)  # rounding of cos


def test_a_cosine_rises_then_falls_and_never_leaves_its_range() -> None:
    curve = rates(Cosine(rate=0.1, warm_up=0.05), 240)

    assert all(later > earlier for earlier, later in pairwise(curve[:12]))  # 5 % of 240
    assert all(later < earlier for earlier, later in pairwise(curve[11:]))
    assert max(curve) == pytest.approx(0.1, rel=1e-12)
    assert min(curve) >= 0


def test_a_cosine_without_warm_up_falls_from_the_first_step() -> None:
    assert Cosine(rate=1.0, warm_up=0.0)(Progress(0, 2)) == pytest.approx(0.5, rel=1e-12)  # half-way: cos 90 degrees


def test_a_cosine_keeps_its_shares_when_stretched() -> None:
    short, long = (Cosine(rate=0.1, warm_up=0.05) for _ in range(2))

    assert [short(Progress(k, 40)) for k in (0, 19, 39)] == pytest.approx(
        [long(Progress(k, 4000)) for k in (99, 1999, 3999)], abs=1e-12
    )


@pytest.mark.parametrize(
    ("errors", "drops"),  # patience 2
    [
        ((), 0),
        ((0.9,), 0),
        ((0.9, 0.9), 0),
        ((0.9, 0.9, 0.95), 1),  # twice no better than 0.9
        ((0.9, 0.91, 0.8, 0.81), 0),  # a new best begins the count again
        ((0.9, 0.91, 0.8, 0.81, 0.8), 1),  # equal to the best is not better
        ((0.5, 0.6, 0.6, 0.55), 1),  # better than before the drop does not count: the best stays
        ((0.5, 0.6, 0.6, 0.55, 0.55), 2),
        ((0.5, 0.6, 0.6, 0.4, 0.45), 1),
        ((0.5, *[0.6] * 6), 3),
        ((0.5, *[0.6] * 20), 3),  # VGG 3.1: three times in total
    ],
)
def test_a_plateau_drops_after_two_validations_without_a_new_best(errors: tuple[float, ...], drops: int) -> None:
    rate = VGG(Progress(10, 100, val_errors=errors))

    assert rate == pytest.approx(0.01 / 10**drops, rel=1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=30), st.integers(1, 5))
def test_a_plateau_drops_where_torchs_scheduler_does(errors: list[float], patience: int) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = ReduceLROnPlateau(optimiser, factor=0.5, patience=patience - 1, threshold=0, threshold_mode="abs", eps=0)
    ours = Plateau(rate=1.0, drops=100, patience=patience, factor=0.5)

    for count, error in enumerate(errors, start=1):
        theirs.step(error)  # torch drops when more than its patience have passed
        assert ours(Progress(0, 1, val_errors=tuple(errors[:count]))) == optimiser.param_groups[0]["lr"]


def test_a_plateau_asks_for_validations_alone() -> None:
    errors = (0.5, 0.6, 0.6)

    assert {VGG(Progress(step, 100, train_errors=(0.9, 0.1), val_errors=errors)) for step in range(100)} == {0.01 * 0.1}
    assert Plateau(rate=0.01, drops=0, patience=1)(Progress(0, 1, val_errors=errors)) == 0.01


@pytest.mark.parametrize("epoch", [0, 7, 8, 15, 16, 100, 247])
def test_googlenets_rate_falls_by_four_per_cent_every_eight_epochs(epoch: int) -> None:
    schedule = Decay(rate=0.01, every=8 / 250)

    rate = schedule(Progress(epoch * 40_000, 250 * 40_000))

    assert rate == pytest.approx(0.01 * 0.96 ** math.floor(epoch / 8), rel=1e-12)


@pytest.mark.parametrize(("steps", "every"), [(250 * 40_000, 320_000), (600, 7), (999, 10), (77, 11), (49, 49)])
def test_a_decay_comes_exactly_at_a_whole_step(steps: int, every: int) -> None:
    schedule = Decay(rate=1.0, every=every / steps, factor=0.5)

    for drop in range(1, min(steps // every, 50) + 1):
        assert schedule(Progress(drop * every - 1, steps)) == 0.5 ** (drop - 1)
        assert schedule(Progress(drop * every, steps)) == 0.5**drop


def test_a_decay_is_by_0_96_unless_another_factor_is_given() -> None:
    assert Decay(rate=1.0, every=0.5)(Progress(1, 2)) == 0.96


@pytest.mark.parametrize(
    ("train_errors", "rate"),
    [((), 0.01), ((0.9,), 0.01), ((0.8,), 0.01), ((0.799,), 0.1), ((0.9, 0.7), 0.1), ((0.7, 0.9), 0.1)],
)
def test_110_layers_warm_up_until_the_training_error_is_below_80_per_cent(
    train_errors: tuple[float, ...], rate: float
) -> None:
    schedule = WarmUntil(rate=0.01, then=RESNET, error=0.8)

    assert schedule(Progress(1000, 64_000, train_errors)) == rate


def test_after_the_warm_up_the_schedule_counts_from_the_first_mini_batch() -> None:
    schedule = WarmUntil(rate=0.01, then=RESNET, error=0.8)

    assert schedule(Progress(31_999, 64_000, (0.7,))) == 0.1
    assert schedule(Progress(32_000, 64_000, (0.7,))) == pytest.approx(0.01, rel=1e-12)
    assert schedule(Progress(40_000, 64_000, (0.9,))) == 0.01


def test_a_warm_up_can_end_at_a_share_of_the_training() -> None:
    schedule = WarmUntil(rate=0.01, then=RESNET, share=0.02)

    assert [schedule(Progress(step, 1000, (0.0,))) for step in (0, 19, 20, 499, 500)] == pytest.approx(
        [0.01, 0.01, 0.1, 0.1, 0.01]
    )
    either = WarmUntil(rate=0.01, then=RESNET, error=0.8, share=0.02)
    assert [either(Progress(10, 1000, errors)) for errors in ((), (0.5,))] == [0.01, 0.1]
    assert either(Progress(20, 1000)) == 0.1


@pytest.mark.parametrize("schedule", [RESNET, Cosine(0.1, 0.05), VGG, Decay(0.01, 0.03), WarmUntil(0.01, RESNET, 0.8)])
def test_a_rate_is_the_same_python_float_whenever_it_is_asked_for(schedule: Schedule) -> None:
    progress = Progress(37, 101, (0.9, 0.7), (0.8, 0.9, 0.9))

    first = schedule(progress)
    schedule(Progress(0, 101))

    assert type(first) is float
    assert schedule(Progress(37, 101, (0.9, 0.7), (0.8, 0.9, 0.9))) == first


def test_progress_says_what_share_is_done() -> None:
    assert [Progress(step, 8).share for step in (0, 2, 8)] == [0.0, 0.25, 1.0]
