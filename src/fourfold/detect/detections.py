"""Detections: the boxes found on one image, each with its class and score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.boxes import check_boxes, mirror, no_boxes
from fourfold.shapes import expect


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found on one image, best first; of equal scores the one given first is first.

    boxes: float32 (R,4), edges x1 y1 x2 y2 in pixels. labels: int64 (R,), indices of classes from 0. scores: float32 (R,),
    the higher the surer. They may be given in any order and are put into order here.
    Raises ValueError where the three disagree in length or type, or hold what is no box, no class or no finite number.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor

    def __post_init__(self) -> None:
        check_boxes(self.boxes, "the detections")
        expect(self.labels, str(len(self.boxes)), name="the vector of labels")
        expect(self.scores, str(len(self.boxes)), name="the vector of scores")
        for name, wanted in (("boxes", torch.float32), ("labels", torch.int64), ("scores", torch.float32)):
            if getattr(self, name).dtype != wanted:
                raise ValueError(f"{name} of detections are {getattr(self, name).dtype}; give {wanted}")
        if not self.scores.isfinite().all():
            row = int((~self.scores.isfinite()).nonzero()[0])
            raise ValueError(f"the score of detection {row} is {float(self.scores[row])}; give finite scores")
        if (self.labels < 0).any():
            raise ValueError(f"a label of detections is {int(self.labels.min())}; give labels from 0, background left out")
        if (self.scores[1:] > self.scores[:-1]).any():
            order = self.scores.argsort(descending=True, stable=True)
            for name in ("boxes", "labels", "scores"):
                object.__setattr__(self, name, getattr(self, name)[order])

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, which: Tensor) -> Detections:
        """Those at the indices int64 (n,), or where bool (R,) is true."""
        return Detections(self.boxes[which], self.labels[which], self.scores[which])

    def best(self, count: int) -> Detections:
        """The `count` with the highest scores, or all where there are fewer."""
        return Detections(self.boxes[:count], self.labels[:count], self.scores[:count])

    def of(self, label: int) -> Detections:
        """Those of one class."""
        return self.take(self.labels == label)

    def above(self, score: float) -> Detections:
        """Those with a score above `score`."""
        return self.take(self.scores > score)

    def mirrored(self, width: int) -> Detections:
        """What was found on a mirrored image `width` pixels wide, brought back to the image itself; or the other way."""
        return Detections(mirror(self.boxes, width), self.labels, self.scores)


def nothing_found() -> Detections:
    """No detection."""
    return Detections(no_boxes(), torch.zeros(0, dtype=torch.int64), torch.zeros(0))


def union(parts: Sequence[Detections]) -> Detections:
    """All of what several found on one image (SPP-net 4.4: boxes of two models, suppressed together); none of no parts."""
    if not parts:
        return nothing_found()
    columns = ([each.boxes for each in parts], [each.labels for each in parts], [each.scores for each in parts])
    return Detections(*(torch.cat(column) for column in columns))
