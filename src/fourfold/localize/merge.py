"""Greedy merging: boxes that many windows gave of one object become one (OverFeat 4.3; VGG appendix A)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fourfold.boxes import check_boxes
from fourfold.compiled import compiled
from fourfold.shapes import expect

# A match below which two boxes are merged; neither paper gives it. Ours: at 0 their centres are as many sides apart as they
# overlap, which boxes of one size are at an overlap of 0.41; at -1/6 it is 0.5, and at -1 only equal boxes are merged
LIMIT = 0.0


@dataclass(frozen=True, eq=False)
class Merged:
    """Boxes float64 (M,4), best first; counts int64 (M,): boxes merged in each; scores float64 (M,): the sum of theirs."""

    boxes: Tensor
    counts: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.counts)


def merge(boxes: Tensor, scores: Tensor, limit: float = LIMIT) -> Merged:
    """Merge the two boxes that match best into one, again and again, until no two match within `limit`.

    boxes: (R,4) of one class, from any windows, scales and networks. scores (R,): how sure each window is of the class. Two
    boxes match by the distance of their centres, divided by the mean of the square roots of their areas, minus their overlap
    (IoU); less is better. (Reading: OverFeat has "the sum of the distance between centers [...] and the intersection area",
    which would part boxes that overlap.) A merged box has the mean of the two boxes' edges, as OverFeat says, so that a box
    that was merged before weighs no more than a single one. Of equal matches the first pair is taken, and the merged box has
    the place of its first.
    A merged box is rated by the sum of its boxes' scores: OverFeat "by cumulatively adding". Boxes without area match none
    that has none either. Raises ValueError as `check_boxes` does, and for a limit or scores that are not numbers.
    """
    check_boxes(boxes, "the boxes to be merged")
    expect(scores, str(len(boxes)), name="the scores of boxes")
    if math.isnan(limit) or bool(scores.isnan().any()):
        raise ValueError("a limit or a score is not a number; give finite ones")
    edges, sums = (np.array(each.double().numpy(force=True)) for each in (boxes, scores))
    counts, is_left = np.ones(len(edges), np.int64), np.ones(len(edges), np.bool_)
    if len(edges):
        _merge(edges, sums, counts, is_left, limit)
    kept = torch.from_numpy(is_left)
    found, numbers, rated = (torch.from_numpy(each)[kept] for each in (edges, counts, sums))
    order = rated.argsort(descending=True, stable=True)
    return Merged(found[order], numbers[order], rated[order])


@compiled
def _match(first: np.ndarray, second: np.ndarray) -> float:
    wide, high = first[2] - first[0], first[3] - first[1]
    wide2, high2 = second[2] - second[0], second[3] - second[1]
    side = (math.sqrt(wide * high) + math.sqrt(wide2 * high2)) / 2
    if side == 0.0:
        return math.inf
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(across, 0.0) * max(down, 0.0)
    apart = math.hypot(first[0] + first[2] - second[0] - second[2], first[1] + first[3] - second[1] - second[3]) / 2
    return apart / side - shared / (wide * high + wide2 * high2 - shared)


@compiled
def _look(edges: np.ndarray, is_left: np.ndarray, row: int, least: np.ndarray, partner: np.ndarray) -> None:
    """Find the best match of a box among those after it."""
    least[row], partner[row] = math.inf, -1
    for other in range(row + 1, len(edges)):
        if is_left[other]:
            match = _match(edges[row], edges[other])
            if match < least[row]:
                least[row], partner[row] = match, other


@compiled
def _merge(edges: np.ndarray, sums: np.ndarray, counts: np.ndarray, is_left: np.ndarray, limit: float) -> None:
    """Merge in place. Every box keeps its best match among those after it, which few merges change."""
    least, partner = np.empty(len(edges)), np.empty(len(edges), np.int64)
    for row in range(len(edges)):
        _look(edges, is_left, row, least, partner)
    while True:
        row = int(np.argmin(least))
        if least[row] > limit or partner[row] < 0:
            return
        gone = partner[row]
        edges[row] = (edges[row] + edges[gone]) / 2
        sums[row] += sums[gone]
        counts[row] += counts[gone]
        is_left[gone], least[gone] = False, math.inf
        _look(edges, is_left, row, least, partner)
        for before in range(gone):
            if not is_left[before] or before == row:
                continue
            if partner[before] in (row, gone):
                _look(edges, is_left, before, least, partner)
            elif before < row:
                match = _match(edges[before], edges[row])
                if match < least[before] or (match == least[before] and row < partner[before]):
                    least[before], partner[before] = match, row
