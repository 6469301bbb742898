"""What the surest wrong detections of a class got wrong (Hoiem et al. 2012, as R-CNN's error analysis uses it)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.boxes import iou
from fourfold.data.annotated import Annotated
from fourfold.detect.detections import Detections
from fourfold.detect.voc_ap import OVERLAP, check_pairs, judge

KINDS = ("localization", "similar", "other", "background")
LOCALIZATION, SIMILAR, OTHER, BACKGROUND = range(4)
TOUCHED = 0.1  # overlap from which a wrong detection is about an object (Hoiem et al. 2012)


@dataclass(frozen=True, eq=False)
class Errors:
    """The surest wrong detections of one class: kinds int64 (n,), indices into KINDS, the surest first."""

    kinds: Tensor

    @property
    def shares(self) -> dict[str, float]:
        """The share 0..1 of each of KINDS; all 0 where nothing is wrong."""
        counts = self.kinds.bincount(minlength=len(KINDS)).tolist()
        return {kind: count / max(1, len(self.kinds)) for kind, count in zip(KINDS, counts, strict=True)}


def error_breakdown(
    found: Sequence[Detections],
    images: Sequence[Annotated],
    num_classes: int,
    count: int,
    *,
    groups: Sequence[Sequence[int]] = (),
    overlap: float = OVERLAP,
) -> tuple[Errors, ...]:
    """For each class, in their order, its `count` surest wrong detections, or all where there are fewer.

    A detection is wrong as VOC judges it (`voc_ap.judge`). Its kind is the first that fits: "localization", it overlaps
    an object of its own class by 0.1 or more (too far off, or found twice); "similar", so an object of a class that shares
    one of `groups` of labels with its own; "other", so an object of any class; "background". Difficult objects count here.
    Raises ValueError as `check_pairs` does.
    """
    check_pairs(found, images, num_classes)
    is_similar = _is_similar(groups, num_classes)
    wrong = [judge(each, image, overlap) < 0 for each, image in zip(found, images, strict=True)]
    kinds = [_kinds(each, image, is_similar)[rows] for each, image, rows in zip(found, images, wrong, strict=True)]
    left = [each.take(rows) for each, rows in zip(found, wrong, strict=True)]
    scores = torch.cat([torch.zeros(0), *(each.scores for each in left)])
    order = scores.argsort(descending=True, stable=True)
    labels = torch.cat([order[:0], *(each.labels for each in left)])[order]
    ordered = torch.cat([order[:0], *kinds])[order]
    return tuple(Errors(ordered[labels == label][:count]) for label in range(num_classes))


def _is_similar(groups: Sequence[Sequence[int]], num_classes: int) -> Tensor:
    """bool (K,K): whether two classes share a group. Raises ValueError where a group holds what is no class."""
    table = torch.zeros(num_classes, num_classes, dtype=torch.bool)
    for group in groups:
        strange = [label for label in group if not 0 <= label < num_classes]
        if strange:
            raise ValueError(f"a group of classes has the label {strange[0]}; give labels from 0 to {num_classes - 1}")
        rows = torch.tensor(list(group), dtype=torch.int64)
        table[rows[:, None], rows] = True
    return table


def _kinds(found: Detections, image: Annotated, is_similar: Tensor) -> Tensor:
    """int64 (R,): what each detection would be if it were wrong."""
    touches = iou(found.boxes.double(), image.boxes.double()) >= TOUCHED
    is_own = found.labels[:, None] == image.labels
    is_like = is_similar[found.labels][:, image.labels]
    kinds = torch.full((len(found),), BACKGROUND)
    kinds[touches.any(1)] = OTHER
    kinds[(touches & is_like).any(1)] = SIMILAR
    kinds[(touches & is_own).any(1)] = LOCALIZATION
    return kinds
