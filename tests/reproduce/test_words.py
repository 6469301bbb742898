"""Numbers and bands in words."""

from __future__ import annotations

import math

import pytest

from fourfold.reproduce.claim import Claim, Contrast, Measured, Table, alike, amount, higher, no_lower, times
from fourfold.reproduce.counted import Counted
from fourfold.reproduce.record import Result
from fourfold.reproduce.trained import Trained
from fourfold.reproduce.verdict import judge
from fourfold.reproduce.words import FOUND_HEADS, band, cells, figures_in_short, found_row, of_contrast, ours


@pytest.mark.parametrize(
    ("contrast", "said"),
    [
        (higher("val_error", "a", "b"), "above 0.00 points"),
        (higher("val_error", "a", "b", by=1.5), "above +1.50 points"),
        (no_lower("error", "a", "b", by=1.4), "above -1.40 points"),
        (alike("error", "a", "b", 1.0), "-1.00 points to +1.00 points"),
        (times("seconds", "a", "b", 24), "above 24 times"),
        (times("parameters", "a", "b", 11.5, 12.5), "11.5 times to 12.5 times"),
        (amount("train_error", "a", -math.inf, 0.1), "below 0.10 %"),
        (amount("parameters", "a", 132.5e6, 133.5e6), "132,500,000 to 133,500,000"),
        (amount("depth", "a", 21.5, 22.5), "22"),
        (amount("least", "a", 1e-3, 1.0), "0.001 to 1"),
    ],
)
def test_a_band_is_said_with_its_unit(contrast: Contrast, said: str) -> None:
    assert band(contrast) == said


def test_numbers_have_the_unit_of_their_contrast() -> None:
    assert of_contrast(higher("val_error", "a", "b"), 2.345) == "+2.35 points"
    assert of_contrast(higher("val_error", "a", "b"), -2.345) == "-2.35 points"
    assert of_contrast(times("seconds", "a", "b"), 102.4) == "102 times"
    assert of_contrast(amount("seconds", "a", 0, 1), 0.01234) == "0.0123 s"
    assert higher("val_error", "a", "b").words == "validation error of a less that of b"


TABLE = Table(("net", "error %"), (("a", 29.6), ("b", "24.0"), ("c", 1008), ("d", None)))


def test_figures_are_as_the_paper_prints_them() -> None:
    claim = Claim("x-y", "P", "1", "S.", TABLE, {"a": Counted("nin")}, (amount("depth", "a", 1, 2),))
    assert [cells(row) for row in TABLE.rows] == [["a", "29.6"], ["b", "24.0"], ["c", "1,008"], ["d", "–"]]
    assert figures_in_short(claim) == "a 29.6; b 24.0; c 1,008; d –"


def test_ours_has_means_and_deviations_of_what_the_claim_is_about() -> None:
    arms = {"a": Trained("resnet20", "resnet-cifar"), "b": Trained("resnet32", "resnet-cifar"), "c": Counted("nin")}
    contrasts = (higher("val_error", "a", "b"), amount("parameters", "c", 0, 1e9))
    claim = Claim("x-y", "P", "1", "S.", TABLE, arms, contrasts)
    values = {"a": [1.0, 2.0, 6.0], "b": [4.0, 4.0, 4.0]}
    measured = {arm: tuple(Measured({"val_error": v, "train_error": 0.0}) for v in many) for arm, many in values.items()}
    measured["c"] = (Measured({"parameters": 966_986.0}),) * 3
    result = Result("x-y", "cpu", (0, 1, 2), {arm: {} for arm in arms}, measured, "", {}, 0.0)
    table = ours(claim, result)
    assert table.columns == ("arm", "validation error, %", "parameters")
    assert table.rows == (("a", "3.00 ± 2.65", "–"), ("b", "4.00", "–"), ("c", "–", "966,986"))
    first, second = judge(claim, result).findings
    assert found_row(first) == (
        "validation error of a less that of b", "above 0.00 points", "-1.00 points",
        "-7.57 points to +5.57 points", "-0.38", "not shown at this scale",
    )  # fmt: skip
    assert found_row(second)[2:] == ("966,986", "±0", "–", "confirmed")
    assert len(found_row(first)) == len(FOUND_HEADS)
