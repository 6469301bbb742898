"""A row of pieces of work shared among as many threads as torch has; for kernels that let go of Python's lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def share(count: int, work: Callable[[int, int], None]) -> None:
    """Call work(first, end) on parts that cover 0 up to `count`, one for each thread, and wait for all of them."""
    parts = min(torch.get_num_threads(), count)
    if parts <= 1:
        work(0, count)
        return
    edges = [part * count // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        for _ in pool.map(work, edges[:-1], edges[1:]):
            pass  # an error of a thread is raised here
