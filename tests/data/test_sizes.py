"""The sides that SPP-net 2.3 names, for networks of 224 pixels and of others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fourfold.data.sizes import Alternate, Growing, RandomSize, Sizes, own_size

ALL = [own_size, Alternate(), RandomSize(), Growing()]


def test_224_and_180_alternate_by_epoch() -> None:
    assert [Alternate()(224, epoch, 0.5, 0.3) for epoch in range(6)] == [224, 180, 224, 180, 224, 180]


@pytest.mark.parametrize(("size", "other"), [(32, 26), (64, 51), (227, 182)])  # 25.7, 51.4, 182.4
def test_other_networks_alternate_in_proportion(size: int, other: int) -> None:
    assert [Alternate()(size, epoch, 0.0, 0.0) for epoch in (0, 1)] == [size, other]


def test_random_sizes_are_the_45_from_180_to_224_equally_often() -> None:
    numbers = np.random.default_rng(0).random(10_000)

    sizes = [RandomSize()(224, 3, 0.5, float(number)) for number in numbers]

    values, counts = np.unique(sizes, return_counts=True)
    assert values.tolist() == list(range(180, 225))
    assert stats.chisquare(counts).pvalue > 1e-3  # the seed is fixed


def test_a_random_size_is_the_numbers_alone() -> None:
    assert RandomSize()(224, 0, 0.0, 0.0) == RandomSize()(224, 9, 0.9, 0.0) == 180
    assert RandomSize()(224, 0, 0.0, 1 - 2**-53) == 224
    assert {RandomSize()(32, 0, 0.0, k / 7) for k in range(7)} == set(range(26, 33))


def test_images_have_three_quarters_of_the_side_for_two_fifths_of_training_then_all_of_it() -> None:
    sizes = [Growing()(224, 0, share, 0.5) for share in (0.0, 0.2, 0.39, 0.4, 0.7, 1.0)]

    assert sizes == [168, 168, 168, 224, 224, 224]


def test_where_images_begin_and_when_they_grow_can_be_chosen() -> None:
    assert [Growing(start=0.5, until=0.9)(64, 0, share, 0.5) for share in (0.0, 0.89, 0.9)] == [32, 32, 64]
    assert Growing(until=0.0)(64, 0, 0.0, 0.5) == 64


@pytest.mark.parametrize("sizes", ALL)
@settings(deadline=None)
@given(st.integers(1, 500), st.integers(0, 300), st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_a_side_is_whole_positive_and_never_beyond_the_networks(
    sizes: Sizes, size: int, epoch: int, share: float, number: float
) -> None:
    side = sizes(size, epoch, share, number)

    assert isinstance(side, int)
    assert 0.74 * size - 1 <= side <= size
    assert side >= 1
