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


@pytest.mark.parametrize("workers", [1, 3, 5])
def test_as_many_items_are_worked_on_at_a_time_as_there_are_workers(workers: int) -> None:
    at_work, most, lock = 0, 0, threading.Lock()
    all_of_them = threading.Barrier(workers, timeout=10)  # fewer threads would wait for ever

    def work(_item: int) -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        all_of_them.wait()
        with lock:
            at_work -= 1

    list(in_order(work, range(4 * workers), ahead=4 * workers, workers=workers))

    assert most == workers


@pytest.mark.parametrize("leaves", ["closes", "has an error"])
def test_a_reader_who_leaves_cancels_what_has_not_begun_and_ends_the_threads(leaves: str) -> None:
    before, begun = threading.active_count(), []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.002)
        if item == 1 and leaves == "has an error":
            raise OSError(item)
        return item

    results = in_order(work, range(10_000), ahead=1000, workers=2)
    assert next(results) == 0
    if leaves == "closes":
        results.close()  # type: ignore[attr-defined]
    else:
        with pytest.raises(OSError, match="1"):
            next(results)

    count = len(begun)
    assert count < 100  # of 1000 that were queued
    assert threading.active_count() == before
    time.sleep(0.02)
    assert len(begun) == count


def test_an_error_in_the_items_themselves_reaches_the_reader_and_ends_the_threads() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("no third item")

    before = threading.active_count()
    results = in_order(str, items(), ahead=2)
    with pytest.raises(RuntimeError, match="no third item"):
        list(results)

    assert threading.active_count() == before


def test_an_error_reaches_the_one_who_takes_the_result() -> None:
    results = in_order(lambda item: 1 / item, [1, 0], ahead=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_of_nothing_comes_nothing() -> None:
    assert list(in_order(str, [], ahead=3)) == []
