"""Learning rates at the steps that the papers print, and at points of a cosine that are known by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fourfold.train.schedule import Cosine, Steps

RESNET = Steps(rate=0.1, at=(0.5, 0.75))


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)]
)
def test_steps_drop_at_32k_and_48k_of_64k(step: int, rate: float) -> None:
    assert RESNET(step, 64_000) == pytest.approx(rate, rel=1e-12)  # powers of 0.1 are not exact in binary


@pytest.mark.parametrize("steps", [4, 100, 1000, 7777])
def test_stretched_steps_keep_the_shares(steps: int) -> None:
    rates = [RESNET(step, steps) for step in range(steps)]

    shares = [sum(abs(rate - level) < 1e-9 for rate in rates) / steps for level in (0.1, 0.01, 0.001)]

    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=1 / steps)  # a drop comes at a whole step


def test_steps_without_drops_stay_and_another_factor_multiplies() -> None:
    assert [Steps(0.3, ())(step, 10) for step in (0, 9)] == [0.3, 0.3]
    assert [Steps(8.0, (0.5,), factor=0.25)(step, 10) for step in (4, 5)] == [8.0, 2.0]


@pytest.mark.parametrize(
    ("step", "share"),  # of 100 steps, the first tenth warms up: done = (step + 1) / 100
    [(0, 0.1), (4, 0.5), (9, 1.0), (54, 0.5), (39, 0.75), (69, 0.25), (99, 0.0)],  # cos 90, 60, 120, 180 degrees
)
def test_a_cosine_at_points_known_by_hand(step: int, share: float) -> None:
    assert Cosine(rate=0.4, warm_up=0.1)(step, 100) == pytest.approx(0.4 * share, abs=1e-12)  # rounding of cos


def test_a_cosine_rises_then_falls_and_never_leaves_its_range() -> None:
    rates = [Cosine(rate=0.1, warm_up=0.05)(step, 240) for step in range(240)]

    assert all(later > earlier for earlier, later in pairwise(rates[:12]))  # 5 % of 240
    assert all(later < earlier for earlier, later in pairwise(rates[11:]))
    assert max(rates) == pytest.approx(0.1, rel=1e-12)
    assert min(rates) >= 0


def test_a_cosine_without_warm_up_falls_from_the_first_step() -> None:
    assert Cosine(rate=1.0, warm_up=0.0)(0, 2) == pytest.approx(0.5, rel=1e-12)  # half-way: cos 90 degrees


def test_a_cosine_keeps_its_shares_when_stretched() -> None:
    short, long = (Cosine(rate=0.1, warm_up=0.05) for _ in range(2))

    assert [short(k, 40) for k in (0, 19, 39)] == pytest.approx([long(k, 4000) for k in (99, 1999, 3999)], abs=1e-12)
