"""Pieces of work are done once each, in threads or without, and what fails in one is heard of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from fourfold.detect.threads import share


@pytest.fixture(params=[1, 2, 3], autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_every_piece_is_done_once(count: int, threads: int) -> None:
    done: list[int] = []
    parts: list[tuple[int, int]] = []

    def work(first: int, end: int) -> None:
        parts.append((first, end))
        done.extend(range(first, end))

    share(count, work)

    assert sorted(done) == list(range(count))
    assert len(parts) == max(1, min(threads, count))


def test_an_error_is_raised_here() -> None:
    def work(first: int, end: int) -> None:
        if first <= 6 < end:
            raise OSError("piece 6")

    with pytest.raises(OSError, match="piece 6"):
        share(7, work)
