"""A claim and what was found of it in words and rounded numbers: rows for terminals, README.md and pages."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from fourfold.reproduce.claim import MEASURES, Cell, Claim, Contrast, Table
from fourfold.reproduce.record import Result
from fourfold.reproduce.verdict import Finding

PERCENTS = ("train_error", "val_error", "error", "error5")
COUNTS = ("parameters", "multiply_adds", "depth")
NOTHING = "–"


def number(measure: str, value: float) -> str:
    """A value of this measure, without its unit."""
    if measure in PERCENTS:
        return f"{value:.2f}"
    return f"{value:,.0f}" if measure in COUNTS else f"{value:.3g}"


def of_contrast(contrast: Contrast, value: float) -> str:
    """The number of a contrast: "+1.20 points", "2.31 times", or the measure's own."""
    if contrast.form == "ratio":
        return f"{value:.3g} times"
    sign = "+" if contrast.second is not None and value > 0 else ""
    unit = " points" if contrast.second is not None and contrast.measure in PERCENTS else unit_of(contrast.measure)
    return f"{sign}{number(contrast.measure, value)}{unit}"


def unit_of(measure: str) -> str:
    """With a blank before it, or nothing."""
    return " %" if measure in PERCENTS else " s" if measure == "seconds" else ""


def band(contrast: Contrast) -> str:
    """Where the claim says that the number lies."""
    if (
        contrast.measure in COUNTS and contrast.form != "ratio" and contrast.high - contrast.low == 1
    ):  # a whole number, half above and half below
        return f"{(contrast.low + contrast.high) / 2:,.0f}"
    low, high = (of_contrast(contrast, value) if math.isfinite(value) else "" for value in (contrast.low, contrast.high))
    if low and high:
        return f"{low} to {high}"
    return f"above {low}" if low else f"below {high}"


def found_row(finding: Finding) -> tuple[str, ...]:
    """What the number is, where it should lie, its mean, the 95 % interval, the effect and the verdict."""
    contrast = finding.contrast
    reach = NOTHING
    if finding.interval is not None and finding.interval[0] != finding.interval[1]:
        reach = " to ".join(of_contrast(contrast, end) for end in finding.interval)
    elif finding.interval is not None:
        reach = "±0"
    effect = NOTHING if finding.effect is None else f"{finding.effect:.2f}"
    return contrast.words, band(contrast), of_contrast(contrast, finding.mean), reach, effect, finding.verdict


FOUND_HEADS = ("number", "the claim says", "mean", "95 % interval", "effect size", "verdict")


def ours(claim: Claim, result: Result) -> Table:
    """What was measured of each arm, mean and standard deviation over the seeds, in the measures that the claim is about."""
    measures = list(dict.fromkeys(contrast.measure for contrast in claim.contrasts))
    columns = tuple(f"{MEASURES[name].rstrip(',')}{_column_unit(name)}" for name in measures)
    rows = tuple((arm, *(_mean(result, arm, name) for name in measures)) for arm in claim.arms)
    return Table(("arm", *columns), rows)


def cells(row: Iterable[Cell]) -> list[str]:
    """A paper's figures as it prints them."""
    return [NOTHING if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]


def figures_in_short(claim: Claim) -> str:
    """The paper's figures in one line."""
    return "; ".join(f"{row[0]} {'/'.join(cells(row[1:]))}" for row in claim.figures.rows)


def _column_unit(measure: str) -> str:
    return ", %" if measure in PERCENTS else ", s" if measure == "seconds" else ""


def _mean(result: Result, arm: str, measure: str) -> str:
    values = [each.values[measure] for each in result.measured[arm] if measure in each.values]
    if not values:
        return NOTHING
    mean = number(measure, statistics.fmean(values))
    is_same = len(set(values)) == 1
    return mean if is_same else f"{mean} ± {number(measure, statistics.stdev(values))}"
