"""Numbers from posteriors and labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

Z95 = 1.959964  # two-sided 95 % of a normal distribution


def top_k_hits(scores: Tensor, labels: Tensor, k: int) -> int:
    """How many rows of scores (N,K) have their label (N,) among the k highest; of equal scores the lower index is first."""
    k = min(k, scores.shape[1])
    best = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return int((best == labels[:, None]).any(1).sum())


@dataclass(frozen=True)
class Interval:
    """A range of per cent values that holds the true accuracy in 95 of 100 such tests."""

    low: float
    high: float


def wilson(hits: int, count: int) -> Interval:
    """The Wilson score interval of a share, in per cent; unlike the usual one it stays within 0..100."""
    share, z2 = hits / count, Z95 * Z95
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    low, high = 100 * (middle - half), 100 * (middle + half)
    return Interval(0.0 if hits == 0 else low, 100.0 if hits == count else high)  # exact there, but for rounding
