"""Greedy non-maximum suppression: of boxes of one class that overlap, the best is kept (R-CNN 2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.boxes import iou
from fourfold.detect.detections import Detections


@dataclass(frozen=True)
class Suppress:
    """Of each class the boxes that no better one, itself kept, overlaps by more than `iou`; at most `per_class` of them.

    iou: R-CNN's text leaves the threshold open and its code has 0.3, as SPP-net 4.1 says. per_class: SPP-net's code has 100,
    but cuts before it suppresses, where a hundred boxes on one large object would leave none for the others; here the best
    100 of those kept stay. Of equal scores the box given first is held better.
    Raises ValueError where `iou` lies outside 0..1 or `per_class` is below 1.
    """

    iou: float = 0.3
    per_class: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.iou <= 1:
            raise ValueError(f"an overlap of {self.iou} cannot be reached; give a number from 0 to 1, such as 0.3")
        if self.per_class < 1:
            raise ValueError(f"{self.per_class} boxes per class cannot be kept; give 1 or more")

    def __call__(self, found: Detections) -> Detections:
        """Those of `found` that are kept, best first."""
        kept = []
        for label in found.labels.unique():
            rows = (found.labels == label).nonzero()[:, 0]
            kept.append(rows[keep(found.boxes[rows], self.iou, self.per_class)])
        return found.take(torch.cat(kept).sort().values) if kept else found


def keep(boxes: Tensor, most: float, count: int) -> Tensor:
    """Rows int64, at most `count` and ascending, of boxes (R,4) in order of worth that none kept before overlaps by more
    than `most`.

    In float64, so that an overlap of 3/10 is no more than 0.3 and the next number above it is.
    """
    boxes, rows, kept = boxes.double(), torch.arange(len(boxes)), []
    while len(rows) and len(kept) < count:
        kept.append(rows[0])
        rest = rows[1:]
        rows = rest[iou(boxes[rows[:1]], boxes[rest])[0] <= most]
    return torch.stack(kept) if kept else rows
