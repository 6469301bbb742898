"""What the numbers say of a claim, by one rule.

Each contrast is a number for each seed: the two arms of a seed saw the same images in the same order. Its mean has a 95 %
interval by Student's t; of a ratio the logarithms are averaged. What is exact is its own interval. The contrast is

- confirmed where the interval lies wholly inside the band that the claim states,
- contradicted where it lies wholly outside,
- not shown otherwise, and where chance plays a part and there is one seed only, or the images were made (smoke).

A claim is confirmed where all its contrasts are, contradicted where one of them is, and else not shown at this scale.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from fourfold.reproduce.claim import Claim, Contrast
from fourfold.reproduce.effort import PAPER, SMOKE
from fourfold.reproduce.record import Result

CONFIRMED, CONTRADICTED, NOT_SHOWN = "confirmed", "contradicted", "not shown at this scale"
NOT_RUN, NEEDS_IMAGENET = "not run yet", "needs ImageNet"
T_975 = (  # Student's t, 97.5 %, for 1, 2, ... degrees of freedom
    12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139,
    2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922, 2.093024, 2.085963,
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What was found of a contrast: its number with each seed, their mean, and the 95 % interval, None with one seed.

    effect: the mean difference over its standard deviation (Cohen's d of pairs), None where that is not defined.
    """

    contrast: Contrast
    numbers: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None
    effect: float | None
    verdict: str


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict, and the findings that it follows from."""

    verdict: str
    findings: tuple[Finding, ...]


def judge(claim: Claim, result: Result) -> Judgement:
    """The verdict on a claim. Raises ValueError where the result lacks an arm or a measurement that the claim needs."""
    findings = tuple(_find(claim, contrast, result) for contrast in claim.contrasts)
    verdicts = {finding.verdict for finding in findings}
    whole = CONTRADICTED if CONTRADICTED in verdicts else CONFIRMED if verdicts == {CONFIRMED} else NOT_SHOWN
    return Judgement(whole, findings)


def status(claim: Claim, result: Result | None) -> str:
    """The verdict, or why there is none."""
    if result is not None:
        return judge(claim, result).verdict
    return NEEDS_IMAGENET if claim.least == PAPER else NOT_RUN


def interval(numbers: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean by Student's t; None of fewer than two numbers."""
    if len(numbers) < 2:
        return None
    error = statistics.stdev(numbers) / math.sqrt(len(numbers))
    mean, t = statistics.fmean(numbers), _t_975(len(numbers) - 1)
    return mean - t * error, mean + t * error


def _t_975(degrees: int) -> float:
    """Beyond the table Cornish and Fisher's expansion, which is right to four digits there."""
    if degrees <= len(T_975):
        return T_975[degrees - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def _find(claim: Claim, contrast: Contrast, result: Result) -> Finding:
    numbers = _numbers(contrast, result)
    arms = [claim.arms[name] for name in (contrast.first, contrast.second) if name is not None]
    is_ratio = contrast.form == "ratio"
    scaled = [math.log(number) for number in numbers] if is_ratio else list(numbers)
    mean = statistics.fmean(scaled)
    is_exact = all(arm.is_exact for arm in arms)
    found = (mean, mean) if is_exact else interval(scaled)
    spread = statistics.stdev(scaled) if len(scaled) > 1 and not is_exact else 0.0
    effect = mean / spread if spread > 0 else None
    if is_ratio:
        mean, found = math.exp(mean), None if found is None else (math.exp(found[0]), math.exp(found[1]))
    says_nothing = result.budget == SMOKE and not is_exact
    return Finding(contrast, numbers, mean, found, effect, NOT_SHOWN if says_nothing else _verdict(contrast, found))


def _verdict(contrast: Contrast, found: tuple[float, float] | None) -> str:
    if found is None:
        return NOT_SHOWN
    low, high = found
    if contrast.low < low and high < contrast.high:
        return CONFIRMED
    return CONTRADICTED if high < contrast.low or low > contrast.high else NOT_SHOWN


def _numbers(contrast: Contrast, result: Result) -> tuple[float, ...]:
    first = _values(contrast.first, contrast.measure, result)
    if contrast.second is None:
        return first
    second = _values(contrast.second, contrast.measure, result)
    pairs = zip(first, second, strict=True)
    if contrast.form == "difference":
        return tuple(round(one - other, 9) for one, other in pairs)  # 87.5 - 87.5 is 1e-14 where one was 100 * 0.875
    if min(*first, *second) <= 0:
        raise ValueError(f"{contrast.words}: a ratio of numbers that are not above 0; measure again")
    return tuple(one / other for one, other in pairs)


def _values(arm: str, measure: str, result: Result) -> tuple[float, ...]:
    try:
        values = tuple(each.values[measure] for each in result.measured[arm])
    except KeyError as error:
        raise ValueError(f"the result of {result.claim} has no {error}; measure it again with this version") from None
    return values
