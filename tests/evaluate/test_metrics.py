"""Top-k counts and Wilson intervals equal naive loops, scikit-learn and published values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score
from torch import Tensor

from fourfold.evaluate.metrics import top_k_hits, wilson


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
