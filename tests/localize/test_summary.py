"""Errors of an evaluation are counted over usable images, in all and by class."""

from __future__ import annotations

import pytest
from sklearn.metrics import top_k_accuracy_score

from fourfold.data.listing import Broken
from fourfold.evaluate.metrics import Interval
from fourfold.localize.replies import Edges, Guess, LocationReply
from fourfold.localize.summary import ErrorRate, LocalizationEvaluation

LABELS = ("a", "b", "c")
TRUE: Edges = (0, 0, 10, 10)
GOOD: Edges = (0, 0, 10, 8)
POOR: Edges = (0, 0, 10, 3)


def reply(index: int, truth: int, order: tuple[int, ...], boxes: tuple[Edges, ...], given: Edges) -> LocationReply:
    guesses = tuple(Guess(label, 0.5 - 0.1 * at, box) for at, (label, box) in enumerate(zip(order, boxes, strict=True)))
    return LocationReply(index, f"{index}.png", truth, TRUE, guesses, given)


REPLIES = (
    reply(0, 0, (0, 1, 2), (GOOD, POOR, POOR), GOOD),  # right at once
    reply(1, 0, (0, 1, 2), (POOR, GOOD, GOOD), POOR),  # the class right, its box wrong
    reply(2, 0, (1, 0, 2), (GOOD, GOOD, GOOD), GOOD),  # right at the second guess
    reply(3, 1, (1, 2, 0), ((0, 0, 10, 1), GOOD, POOR), (0, 0, 10, 1)),  # the box worse than that of 1
    LocationReply(4, "bad.png", 2, TRUE, error="cannot be read"),
)
FOUND = LocalizationEvaluation("net", "dense", LABELS, REPLIES)


def test_errors_by_hand() -> None:
    assert FOUND.images == 4
    assert FOUND.localization(1) == ErrorRate(3, 4)
    assert FOUND.localization(5) == ErrorRate(2, 4)
    assert FOUND.classification(1) == ErrorRate(1, 4)
    assert FOUND.classification(5) == ErrorRate(0, 4)
    assert FOUND.given_class == ErrorRate(2, 4)
    assert FOUND.overlap == pytest.approx((0.8 + 0.3 + 0.8 + 0.1) / 4)
    assert FOUND.localization(5).per_cent == 50
    assert FOUND.broken == (Broken("bad.png", "cannot be read"),)


def test_classification_errors_equal_scikit_learn() -> None:
    truth = [each.truth for each in FOUND.answered]
    scores = [[-[g.label for g in each.guesses].index(label) for label in range(3)] for each in FOUND.answered]
    for k in (1, 2):
        wanted = 1 - float(top_k_accuracy_score(truth, scores, k=k, labels=[0, 1, 2]))
        assert FOUND.classification(k).per_cent == pytest.approx(100 * wanted)


def test_classes_have_their_own_images() -> None:
    first, second, third = FOUND.per_class
    assert (first.label, first.classification, first.top1, first.top5, first.given) == (
        "a",
        ErrorRate(1, 3),
        ErrorRate(2, 3),
        ErrorRate(1, 3),
        ErrorRate(1, 3),
    )
    assert first.overlap == pytest.approx(1.9 / 3)
    assert (second.top1, second.classification) == (ErrorRate(1, 1), ErrorRate(0, 1))
    assert third.top1 == ErrorRate(0, 0)
    assert (third.top1.per_cent, third.overlap, third.top1.interval) == (0, 0, Interval(0.0, 100.0))


def test_an_interval_is_wilson_s() -> None:
    found = ErrorRate(30, 100).interval
    assert (found.low, found.high) == pytest.approx((21.895, 39.585), abs=1e-2)  # statsmodels' proportion_confint


def test_the_worst_are_those_of_the_right_class_with_the_least_overlap() -> None:
    assert [each.index for each in FOUND.worst(5)] == [3, 1]
    assert [each.index for each in FOUND.worst(1)] == [3]


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(ValueError, match="no image to evaluate"):
        LocalizationEvaluation("net", "dense", LABELS, ())
    with pytest.raises(ValueError, match="none of the 1 images can be used; the first: cannot be read"):
        LocalizationEvaluation("net", "dense", LABELS, REPLIES[4:])
