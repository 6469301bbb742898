"""Top-k counts, intervals, class scores and calibration equal naive loops, scikit-learn and published values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.metrics import top_k_accuracy_score
from torch import Tensor

from fourfold.evaluate.metrics import (
    ClassScore,
    averages,
    calibration,
    class_scores,
    confusion,
    log_loss,
    top_k_hits,
    wilson,
)


def count_slowly(scores: Tensor, labels: Tensor, k: int) -> int:
    """A label is among the k best if fewer than k classes beat it: by score, or by a lower index at the same score."""
    hits = 0
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        better = [i for i, score in enumerate(row) if score > row[label] or (score == row[label] and i < label)]
        hits += len(better) < k
    return hits


@pytest.mark.parametrize("k", [1, 2, 5])
def test_hits_are_those_of_scikit_learn_where_no_scores_are_equal(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    scores = torch.rand(300, 9, generator=generator)
    labels = torch.randint(0, 9, (300,), generator=generator)

    expected = top_k_accuracy_score(labels, scores, k=k, labels=range(9), normalize=False)
    assert top_k_hits(scores, labels, k) == expected


@settings(deadline=None)  # a busy machine is no error
@given(
    st.integers(1, 7).flatmap(
        lambda classes: st.lists(
            st.tuples(st.lists(st.integers(0, 3), min_size=classes, max_size=classes), st.integers(0, classes - 1)),
            min_size=1,
            max_size=8,
        )
    ),
    st.integers(1, 9),
)
def test_among_equal_scores_the_lower_index_comes_first(rows: list[tuple[list[int], int]], k: int) -> None:
    scores = torch.tensor([row for row, _ in rows], dtype=torch.float32)
    labels = torch.tensor([label for _, label in rows])

    assert top_k_hits(scores, labels, k) == count_slowly(scores, labels, k)


def test_with_fewer_classes_than_k_every_image_is_a_hit() -> None:
    assert top_k_hits(torch.rand(4, 3), torch.tensor([0, 2, 1, 2]), 5) == 4


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),  # Newcombe 1998, table I, method 3
    [(81, 263, 25.53, 36.62), (15, 148, 6.24, 16.05), (0, 20, 0.0, 16.11), (1, 29, 0.61, 17.18)],
)
def test_the_interval_is_the_published_one(hits: int, count: int, low: float, high: float) -> None:
    interval = wilson(hits, count)

    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.005)  # printed to two places


@settings(deadline=None)  # a busy machine is no error
@given(st.integers(1, 10_000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_ends_are_the_shares_that_lie_196_deviations_away(numbers: tuple[int, int]) -> None:
    hits, count = numbers
    interval = wilson(hits, count)

    assert 0 <= interval.low <= 100 * hits / count <= interval.high <= 100
    for end in (interval.low / 100, interval.high / 100):
        distance, deviation2 = hits / count - end, end * (1 - end) / count
        assert distance**2 == pytest.approx(1.959964**2 * deviation2, abs=1e-9)


def some_guesses(classes: int, images: int = 400) -> tuple[Tensor, Tensor]:
    """Guesses right half of the time; the last class has no image, and the one before it is never guessed."""
    generator = torch.Generator().manual_seed(classes)
    truth = torch.randint(0, classes - 1, (images,), generator=generator)
    guesses = torch.randint(0, classes, (images,), generator=generator)
    guesses = torch.where(torch.rand(images, generator=generator) < 0.5, truth, guesses)
    return truth, torch.where(guesses == classes - 2, 0, guesses)


def scores_of_sklearn(truth: Tensor, guesses: Tensor, labels: range, average: str | None = None) -> Any:
    """Precision, recall, F1 and support; its own annotation allows a text alone for what cannot be counted."""
    score: Any = sklearn_metrics.precision_recall_fscore_support
    return score(truth, guesses, labels=labels, average=average, zero_division=0)


@pytest.mark.parametrize("classes", [3, 7, 40])
def test_class_scores_are_those_of_scikit_learn_with_zero_for_what_cannot_be_counted(classes: int) -> None:
    truth, guesses = some_guesses(classes)
    scores = class_scores(truth, guesses, [f"class {index}" for index in range(classes)])

    expected = scores_of_sklearn(truth, guesses, range(classes))
    have = zip(*((each.precision, each.recall, each.f1, each.support) for each in scores), strict=True)
    for column, wanted in zip(have, expected, strict=True):
        assert list(column) == pytest.approx(list(wanted), abs=1e-12)
    assert [each.guessed for each in scores] == [int((guesses == index).sum()) for index in range(classes)]
    assert [each.label for each in scores] == [f"class {index}" for index in range(classes)]
    assert scores[-1].support == 0 < scores[-1].guessed
    assert scores[-2].guessed == 0 < scores[-2].support


def test_the_averages_are_over_the_classes_that_have_images() -> None:
    truth, guesses = some_guesses(7)
    means = averages(class_scores(truth, guesses, "abcdefg"))

    expected = scores_of_sklearn(truth, guesses, range(6), average="macro")
    assert (means.precision, means.recall, means.f1) == pytest.approx(expected[:3], abs=1e-12)
    assert means.classes == 6


def test_without_any_image_there_is_no_average() -> None:
    with pytest.raises(ValueError, match="no class has an image"):
        averages([ClassScore("cat", 0.0, 0.0, 0.0, 0, 3)])


def test_a_confusion_has_the_truth_in_its_rows() -> None:
    truth, guesses = some_guesses(7)
    matrix = confusion(truth, guesses, 7)

    assert matrix.dtype == torch.int64
    assert matrix.tolist() == sklearn_metrics.confusion_matrix(truth, guesses, labels=range(7)).tolist()
    assert matrix.tolist() != matrix.T.tolist()


def sort_slowly(answers: list[tuple[float, bool]], count: int) -> list[list[tuple[float, bool]]]:
    """Guo et al. 2017, 2: B_m holds those in ((m - 1) / M, m / M]; 0 is put into the first."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(count)]
    for answer in answers:
        bins[next((at for at in range(count) if answer[0] <= (at + 1) / count), count - 1)].append(answer)
    return bins


@settings(deadline=None)  # a busy machine is no error
@given(
    st.lists(
        st.tuples(st.floats(0, 1) | st.integers(0, 15).map(lambda place: place / 15), st.booleans()), min_size=1, max_size=30
    )
)
def test_the_calibration_error_is_that_of_the_obvious_loop(answers: list[tuple[float, bool]]) -> None:
    found = calibration(
        torch.tensor([value for value, _ in answers], dtype=torch.float64), torch.tensor([right for _, right in answers])
    )
    bins = sort_slowly(answers, 15)
    error = 0.0
    for have, want in zip(found.bins, bins, strict=True):
        confidence = sum(value for value, _ in want) / max(1, len(want))
        accuracy = sum(right for _, right in want) / max(1, len(want))
        assert (have.count, have.confidence, have.accuracy) == pytest.approx((len(want), confidence, accuracy), abs=1e-12)
        error += len(want) / len(answers) * abs(accuracy - confidence)
    assert found.error == pytest.approx(error, abs=1e-12)


def test_calibration_by_hand() -> None:
    found = calibration(torch.tensor([0.9, 0.8, 0.8, 0.3]), torch.tensor([True, True, False, True]), 2)

    assert [(each.low, each.high, each.count) for each in found.bins] == [(0, 0.5, 1), (0.5, 1, 3)]
    assert [each.accuracy for each in found.bins] == pytest.approx([1, 2 / 3])
    assert found.error == pytest.approx((1 * 0.7 + 3 * (2.5 / 3 - 2 / 3)) / 4, abs=1e-7)  # single precision


def test_a_probability_that_rounding_lifted_above_one_is_in_the_last_bin() -> None:
    assert calibration(torch.tensor([1.0000001]), torch.tensor([True])).bins[-1].count == 1


def test_the_log_loss_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    posteriors = torch.randn(200, 6, generator=generator, dtype=torch.float64).mul(3).softmax(1)
    truth = torch.randint(0, 6, (200,), generator=generator)

    expected = sklearn_metrics.log_loss(truth, posteriors.numpy(), labels=range(6))
    assert log_loss(posteriors[torch.arange(200), truth]) == pytest.approx(expected, rel=1e-9)


def test_a_probability_of_zero_has_a_finite_log_loss() -> None:
    assert log_loss(torch.tensor([0.0, 1.0])) == pytest.approx(12 * 2.302585 / 2, rel=1e-6)  # 1e-12 stands for zero


def test_as_many_guesses_as_images_are_wanted() -> None:
    for function in (lambda: confusion(torch.zeros(3).long(), torch.zeros(2).long(), 4), lambda: calibration(
        torch.zeros(3), torch.zeros(2, dtype=torch.bool)
    )):  # fmt: skip
        with pytest.raises(ValueError, match=r"has shape \(2,\); expected \(3\)"):
            function()
