"""The side of the images of an epoch, for a network that takes more than one (SPP-net 2.3).

A window of a photo does not depend on it: the same window is scaled to the side of the epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Sizes = Callable[[int, int, float, float], int]
"""(the network's own size, epoch from 0, share of training done, a uniform number) -> side in pixels of this epoch"""

OTHER = 180 / 224  # SPP-net 2.3: the second size, as a share of the first


def own_size(size: int, _epoch: int, _share: float, _number: float) -> int:
    """The network's own."""
    return size


@dataclass(frozen=True)
class Alternate:
    """One full epoch at the network's size, the next at `other` of it, and so on (SPP-net 2.3)."""

    other: float = OTHER

    def __call__(self, size: int, epoch: int, _share: float, _number: float) -> int:
        return size if epoch % 2 == 0 else _side(size, self.other)


@dataclass(frozen=True)
class RandomSize:
    """Drawn anew for each epoch, every whole size from `low` of the network's to all of it as likely (SPP-net 3.1.3)."""

    low: float = OTHER

    def __call__(self, size: int, _epoch: int, _share: float, number: float) -> int:
        lowest = _side(size, self.low)
        return min(size, lowest + int(number * (size - lowest + 1)))


@dataclass(frozen=True)
class Growing:
    """`start` of the network's size until `until` of the training is done, then all of it.

    Not from the papers: small images are cheap while the network learns coarse things.
    """

    start: float = 0.75
    until: float = 0.4

    def __call__(self, size: int, _epoch: int, share: float, _number: float) -> int:
        return size if share >= self.until else _side(size, self.start)


def _side(size: int, share: float) -> int:
    return max(1, round(share * size))
