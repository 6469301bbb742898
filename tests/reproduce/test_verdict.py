"""The rule that makes verdicts of numbers, against scipy's intervals and by cases; no verdict is stored."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from fourfold.reproduce.claim import (
    Arm,
    Claim,
    Contrast,
    Measured,
    Scene,
    Table,
    alike,
    amount,
    higher,
    no_lower,
    times,
)
from fourfold.reproduce.claims import CLAIMS
from fourfold.reproduce.counted import Counted
from fourfold.reproduce.record import Result
from fourfold.reproduce.trained import Trained
from fourfold.reproduce.verdict import (
    CONFIRMED,
    CONTRADICTED,
    NEEDS_IMAGENET,
    NOT_RUN,
    NOT_SHOWN,
    interval,
    judge,
    status,
)

ERROR = "val_error"


def claim_of(*contrasts: Contrast, arms: dict[str, Arm] | None = None) -> Claim:
    noisy: dict[str, Arm] = {name: Trained("resnet20", "resnet-cifar") for name in ("a", "b", "c")}
    return Claim("made", "Nobody", "1", "A is worse.", Table(("net",), (("a",),)), arms or noisy, contrasts)


def result_of(budget: str = "cpu", measure: str = ERROR, **values: list[float]) -> Result:
    measured = {arm: tuple(Measured({measure: value}) for value in many) for arm, many in values.items()}
    seeds = tuple(range(len(next(iter(values.values())))))
    return Result("made", budget, seeds, {arm: {} for arm in measured}, measured, "made", {}, 0.0)


@given(some.lists(some.floats(-50, 50), min_size=2, max_size=40))
def test_the_interval_is_that_of_scipy(numbers: list[float]) -> None:
    found = interval(numbers)
    assert found is not None
    spread = np.std(numbers, ddof=1) / math.sqrt(len(numbers))
    low, high = np.mean(numbers) + np.array(stats.t.ppf([0.025, 0.975], len(numbers) - 1)) * spread
    assert found == pytest.approx((low, high), abs=float(6e-4 * spread + 1e-9))  # the table has three decimals


def test_one_number_has_no_interval() -> None:
    assert interval([3.0]) is None


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        ([12.0, 13.0, 12.5], CONFIRMED),  # 2.5 above, by 0.5: 1.26 to 3.74
        ([7.0, 8.0, 7.5], CONTRADICTED),
        ([9.0, 13.0, 11.0], NOT_SHOWN),  # 1 above, by 2: -3.97 to 5.97
        ([10.0, 10.0, 10.0], NOT_SHOWN),  # no difference at all is not above nothing
    ],
)
def test_a_difference_is_judged_by_its_interval(first: list[float], verdict: str) -> None:
    found = judge(claim_of(higher(ERROR, "a", "b")), result_of(a=first, b=[10.0, 10.0, 10.0]))
    assert found.verdict == found.findings[0].verdict == verdict


def test_arms_are_compared_seed_by_seed() -> None:
    """Seeds differ by 30 points, the arms by 1 each time: without pairs nothing could be said."""
    found = judge(claim_of(higher(ERROR, "a", "b")), result_of(a=[11.0, 41.5, 71.0], b=[10.0, 40.0, 70.0]))
    assert found.verdict == CONFIRMED
    finding = found.findings[0]
    assert finding.numbers == pytest.approx((1.0, 1.5, 1.0))
    assert finding.mean == pytest.approx(7 / 6)
    assert finding.effect == pytest.approx((7 / 6) / np.std([1.0, 1.5, 1.0], ddof=1))
    shuffled = judge(claim_of(higher(ERROR, "a", "b")), result_of(a=[41.5, 11.0, 71.0], b=[10.0, 40.0, 70.0]))
    assert shuffled.verdict == NOT_SHOWN


def test_arms_that_change_places_turn_the_verdict_round() -> None:
    a, b = [12.0, 13.0, 12.5], [10.0, 10.0, 10.0]
    assert judge(claim_of(higher(ERROR, "a", "b")), result_of(a=a, b=b)).verdict == CONFIRMED
    assert judge(claim_of(higher(ERROR, "a", "b")), result_of(a=b, b=a)).verdict == CONTRADICTED


def test_a_margin_moves_the_line() -> None:
    result = result_of(a=[12.0, 13.0, 12.5], b=[10.0, 10.0, 10.0])  # 1.26 to 3.74
    assert judge(claim_of(higher(ERROR, "a", "b", by=1.2)), result).verdict == CONFIRMED
    assert judge(claim_of(higher(ERROR, "a", "b", by=1.3)), result).verdict == NOT_SHOWN
    assert judge(claim_of(higher(ERROR, "a", "b", by=3.8)), result).verdict == CONTRADICTED
    assert judge(claim_of(no_lower(ERROR, "b", "a", by=3.8)), result).verdict == CONFIRMED
    assert judge(claim_of(no_lower(ERROR, "b", "a", by=3.7)), result).verdict == NOT_SHOWN
    assert judge(claim_of(no_lower(ERROR, "b", "a", by=1.2)), result).verdict == CONTRADICTED
    assert judge(claim_of(alike(ERROR, "a", "b", 3.8)), result).verdict == CONFIRMED
    assert judge(claim_of(alike(ERROR, "b", "a", 3.8)), result).verdict == CONFIRMED
    assert judge(claim_of(alike(ERROR, "a", "b", 1.2)), result).verdict == CONTRADICTED


def test_ratios_are_averaged_as_logarithms() -> None:
    """2, 4 and 8 times: 4 in the middle, and the interval is as wide upward as downward in proportion."""
    result = result_of(measure="seconds", a=[2.0, 8.0, 8.0], b=[1.0, 2.0, 1.0])
    finding = judge(claim_of(times("seconds", "a", "b")), result).findings[0]
    assert finding.mean == pytest.approx(4.0)
    assert finding.interval is not None
    half = stats.t.ppf(0.975, 2) * math.log(2) / math.sqrt(3)
    assert finding.interval == pytest.approx((4 / math.exp(half), 4 * math.exp(half)), rel=1e-5)
    with pytest.raises(ValueError, match="not above 0"):
        judge(claim_of(times("seconds", "a", "b")), result_of(measure="seconds", a=[1.0, 1.0], b=[0.0, 1.0]))


def test_all_contrasts_must_hold_and_one_can_refute() -> None:
    both = claim_of(higher(ERROR, "a", "b"), higher(ERROR, "a", "c"))
    a, low, same, high = [12.0, 13.0, 12.5], [10.0] * 3, [12.0, 12.0, 13.0], [20.0] * 3
    assert judge(both, result_of(a=a, b=low, c=low)).verdict == CONFIRMED
    assert judge(both, result_of(a=a, b=low, c=same)).verdict == NOT_SHOWN
    assert judge(both, result_of(a=a, b=low, c=high)).verdict == CONTRADICTED
    assert judge(both, result_of(a=a, b=same, c=high)).verdict == CONTRADICTED


def test_one_seed_and_made_images_say_nothing() -> None:
    claim = claim_of(higher(ERROR, "a", "b"))
    assert judge(claim, result_of(a=[90.0], b=[10.0])).verdict == NOT_SHOWN
    assert judge(claim, result_of(a=[90.0, 91.0, 90.5], b=[10.0] * 3)).verdict == CONFIRMED
    assert judge(claim, result_of("smoke", a=[90.0, 91.0, 90.5], b=[10.0] * 3)).verdict == NOT_SHOWN


def test_what_is_exact_needs_one_measurement_at_any_budget() -> None:
    claim = claim_of(amount("parameters", "a", 99.5, 100.5), arms={"a": Counted("resnet20")})
    for budget in ("smoke", "cpu"):
        assert judge(claim, result_of(budget, "parameters", a=[100.0])).verdict == CONFIRMED
        assert judge(claim, result_of(budget, "parameters", a=[101.0])).verdict == CONTRADICTED


def test_a_result_without_what_the_claim_needs_is_refused() -> None:
    with pytest.raises(ValueError, match="has no 'b'"):
        judge(claim_of(higher(ERROR, "a", "b")), result_of(a=[1.0, 2.0]))
    with pytest.raises(ValueError, match="has no 'val_error'"):
        judge(claim_of(higher(ERROR, "a", "b")), result_of(measure="seconds", a=[1.0, 2.0], b=[1.0, 2.0]))


def test_a_status_without_a_result_says_why() -> None:
    claim = claim_of(higher(ERROR, "a", "b"))
    assert status(claim, None) == NOT_RUN
    assert status(replace(claim, least="paper"), None) == NEEDS_IMAGENET
    assert status(claim, result_of(a=[12.0, 13.0, 12.5], b=[10.0] * 3)) == CONFIRMED


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.name)
def test_every_claim_can_be_confirmed_and_can_be_refuted(claim: Claim) -> None:
    """Numbers inside of all bands, then the same outside of one: a claim that nothing could refute says nothing."""
    for contrast in claim.contrasts:
        low, high = contrast.low, contrast.high
        assert low < high
        assert math.isfinite(low) or math.isfinite(high)
        inside = low + 1 if math.isinf(high) else high - 1 if math.isinf(low) else (low + high) / 2
        outside = low - 1 if math.isfinite(low) else high + 1
        if contrast.form == "ratio":
            outside = low / 2 if low > 0 else high * 2
        for number, verdict in ((inside, CONFIRMED), (outside, CONTRADICTED)):
            base = 1.0 if contrast.form == "ratio" else 0.0
            first = number * base if contrast.form == "ratio" else number + base
            values = {contrast.first: [first] * 3} | ({contrast.second: [base] * 3} if contrast.second else {})
            alone = replace(claim, contrasts=(contrast,))
            found = judge(alone, result_of("cpu", contrast.measure, **values))
            assert found.verdict == verdict, contrast


def test_a_scene_without_images_says_what_to_give(tmp_path) -> None:
    scene = Scene("cpu", CLAIMS["vgg-lrn"].effort, None, tmp_path)
    with pytest.raises(ValueError, match="give --data"):
        _ = scene.data
