"""How well one class is found: its average precision, and where its detections are worth most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.detect.errors import KINDS
from fourfold.detect.voc_ap import Curve

OUTCOMES = ("right", *KINDS)


@dataclass(frozen=True)
class FoundClass:
    """How well one class is found.

    objects, difficult: how many there are that count, and that do not. found: detections, those on difficult objects left
    out. ap_2007, ap_2010: None where there is no object. threshold: the score from which on detections have the highest F1,
    the highest of several such; None where no detection is right. precision, recall, f1: of the detections with this score
    or a higher one; 0 without a threshold. outcomes: of the surest `objects` detections how many are each of OUTCOMES.
    """

    label: str
    objects: int
    difficult: int
    found: int
    ap_2007: float | None
    ap_2010: float | None
    threshold: float | None
    precision: float
    recall: float
    f1: float
    outcomes: tuple[int, ...]


def found_class(label: str, curve: Curve, difficult: int, outcomes: Tensor) -> FoundClass:
    """What a curve says of a class; outcomes: int64 (D,) of its detections, indices into OUTCOMES."""
    at = best_f1(curve)
    return FoundClass(
        label,
        curve.positives,
        difficult,
        len(curve.scores),
        ap_2007=curve.ap_2007 if curve.positives else None,
        ap_2010=curve.ap_2010 if curve.positives else None,
        threshold=None if at is None else float(curve.scores[at]),
        precision=0.0 if at is None else float(curve.precision[at]),
        recall=0.0 if at is None else float(curve.recall[at]),
        f1=0.0 if at is None else float(f1_scores(curve)[at]),
        outcomes=tuple(outcomes[: curve.positives].bincount(minlength=len(OUTCOMES)).tolist()),
    )


def f1_scores(curve: Curve) -> Tensor:
    """F1 of the first 1, 2, ..., D detections, float64 (D,): twice the right ones, by all detections and all objects."""
    return 2 * curve.is_right.double().cumsum(0) / (curve.positives + torch.arange(1, len(curve.is_right) + 1))


def best_f1(curve: Curve) -> int | None:
    """The place of the last detection of those that have the highest F1, see `FoundClass`; None where none is right."""
    is_last = torch.ones(len(curve.scores), dtype=torch.bool)
    is_last[:-1] = curve.scores[1:] < curve.scores[:-1]  # a threshold cannot part equal scores
    values = f1_scores(curve).where(is_last, 0.0)
    return int(values.argmax()) if curve.is_right.any() else None
