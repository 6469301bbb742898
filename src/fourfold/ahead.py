"""Slow work, such as decoding, done in threads a few items ahead of its use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
WORKERS = 2


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], ahead: int, workers: int = WORKERS
) -> Iterator[Result]:
    """`function` of each item, in the order of the items, with at most `ahead` results waiting to be taken."""
    pool = ThreadPoolExecutor(workers)
    try:
        rest = iter(items)
        waiting = deque(pool.submit(function, item) for item in islice(rest, ahead))
        while waiting:
            done = waiting.popleft()
            waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # an error, or a reader who leaves, need not wait for what was queued
