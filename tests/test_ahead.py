"""Work done ahead keeps its order, its bound and its errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from fourfold.ahead import in_order


def test_results_come_in_the_order_of_the_items_though_early_ones_take_longer() -> None:
    def work(item: int) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * item

    assert list(in_order(work, range(20), ahead=5)) == [item * item for item in range(20)]


@pytest.mark.parametrize("ahead", [1, 4])
def test_no_more_items_are_taken_than_asked_for(ahead: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(50):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items(), ahead)
    for used in range(1, 6):
        next(results)
        assert len(taken) == used + ahead
    results.close()  # type: ignore[attr-defined]


def test_two_items_are_worked_on_at_a_time() -> None:
    both = threading.Barrier(2, timeout=10)
    list(in_order(lambda _: both.wait(), range(4), ahead=4))  # alone, a thread would wait for ever


def test_an_error_reaches_the_one_who_takes_the_result() -> None:
    results = in_order(lambda item: 1 / item, [1, 0], ahead=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_of_nothing_comes_nothing() -> None:
    assert list(in_order(str, [], ahead=3)) == []
