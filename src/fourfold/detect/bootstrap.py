"""How far a mean average precision would vary with other images of the same kind: the images drawn anew, many times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.detect.voc_ap import POINTS

MOST_CELLS = 4_000_000  # drawings x detections worked on at once: 32 MB for each table of them
TAILS = (0.025, 0.975)  # what lies between holds 95 %


@dataclass(frozen=True, eq=False)
class Ranking:
    """The detections of one class over a data set, best first, with the image of each; see `voc_ap.Curve`.

    is_right: bool (D,). images: int64 (D,), from 0. positives: float64 (N,), objects of each image that are not difficult.
    """

    is_right: Tensor
    images: Tensor
    positives: Tensor


def drawings(num_images: int, count: int, generator: torch.Generator) -> Tensor:
    """How often each image is in each of `count` data sets drawn with replacement, float64 (count,N); rows sum to N."""
    drawn = torch.randint(num_images, (count, num_images), generator=generator)
    times = torch.zeros(count, num_images, dtype=torch.float64)
    return times.scatter_add_(1, drawn, torch.ones(drawn.shape, dtype=torch.float64))


def redrawn_maps(rankings: Sequence[Ranking], times: Tensor) -> Tensor:
    """Mean average precision by eleven points and by area, float64 (2,B), of data sets that have each image `times` (B,N).

    The mean is over the classes that have an object in the data set drawn; NaN where none has. An image that is drawn twice
    counts as two alike, whose detections follow each other.
    """
    sums, classes = torch.zeros(2, len(times), dtype=torch.float64), torch.zeros(len(times), dtype=torch.float64)
    for ranking in rankings:
        aps = [_aps(ranking, part) for part in _parts(times, len(ranking.images))]
        sums += torch.cat(aps, 1)
        classes += times @ ranking.positives > 0
    return sums / classes


def interval(values: Tensor) -> tuple[float, float] | None:
    """The range that holds 95 % of values (B,), NaN left out (the percentile bootstrap); None where nothing is left."""
    known = values[~values.isnan()]
    if not len(known):
        return None
    low, high = known.quantile(torch.tensor(TAILS, dtype=known.dtype)).tolist()
    return low, high


def _parts(times: Tensor, detections: int) -> Iterator[Tensor]:
    yield from times.split(max(1, MOST_CELLS // max(1, detections)))


def _aps(ranking: Ranking, times: Tensor) -> Tensor:
    """Both average precisions of one class, float64 (2,B); 0 where it has no object."""
    counted = times[:, ranking.images]  # (B,D)
    right = (counted * ranking.is_right).cumsum(1)
    precision = right / counted.cumsum_(1).clamp_(min=1)
    recall = right / (times @ ranking.positives).clamp(min=1)[:, None]
    highest = torch.cat((precision, precision.new_zeros(len(times), 1)), 1).flip(1).cummax(1).values.flip(1)
    steps = recall.diff(dim=1, prepend=recall.new_zeros(len(times), 1))
    wanted = torch.arange(POINTS, dtype=torch.float64) * 0.1  # in float64, as `Curve.ap_2007`
    places = torch.searchsorted(recall, wanted.expand(len(times), -1).contiguous())
    return torch.stack((highest.gather(1, places).mean(1), (steps * highest[:, :-1]).sum(1)))
