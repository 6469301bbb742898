"""Average precision as PASCAL VOC's development kit counts it, in both its forms (Everingham et al. 2010, 4.2).

Overlaps are of edges. The kit counts pixels, x2 - x1 + 1; that is the same once its boxes are read as edges x1 - 1 .. x2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fourfold.boxes import iou
from fourfold.data.annotated import Annotated
from fourfold.detect.detections import Detections, nothing_found

OVERLAP = 0.5  # a detection that overlaps its object by this much or more is right
POINTS = 11  # recalls 0, 0.1, ..., 1 at which VOC 2007 reads the precision


@dataclass(frozen=True, eq=False)
class Curve:
    """The detections of one class over a data set, best first, those left out that fell on difficult objects.

    scores: float32 (D,). is_right: bool (D,). positives: objects of the class that are not difficult.
    """

    positives: int
    scores: Tensor
    is_right: Tensor

    @cached_property
    def precision(self) -> Tensor:
        """Of the first 1, 2, ..., D detections the share that is right, float64 (D,)."""
        return self.is_right.double().cumsum(0) / torch.arange(1, len(self.is_right) + 1)

    @cached_property
    def recall(self) -> Tensor:
        """Of all objects the share that the first 1, 2, ..., D detections find, float64 (D,); 0 where there is no object."""
        return self.is_right.double().cumsum(0) / max(1, self.positives)

    @property
    def ap_2007(self) -> float:
        """Mean over eleven recalls of the highest precision at that recall or more, 0..1 (VOC 2007 to 2009).

        The recalls are i * 0.1 in float64, as in the kit: so 3 of 10 objects found, 0.3, are just below 3 * 0.1.
        """
        best = [self.precision[self.recall >= i * 0.1] for i in range(POINTS)]
        return sum(float(each.max()) for each in best if len(each)) / POINTS

    @property
    def ap_2010(self) -> float:
        """Area under the curve, made to fall monotonically, 0..1 (VOC 2010 and later)."""
        highest = self.precision.flip(0).cummax(0).values.flip(0)
        steps = self.recall.diff(prepend=torch.zeros(1, dtype=torch.float64))
        return float((steps * highest).sum())


@dataclass(frozen=True)
class VocScores:
    """One curve for each class, in their order; means over the classes that have an object that is not difficult.

    Raises ValueError where no class has one.
    """

    curves: tuple[Curve, ...]

    def __post_init__(self) -> None:
        if not any(curve.positives for curve in self.curves):
            raise ValueError("no image has an object to be found; give at least one that is not marked as difficult")

    @property
    def map_2007(self) -> float:
        """Mean of `Curve.ap_2007`, 0..1."""
        values = [curve.ap_2007 for curve in self.curves if curve.positives]
        return sum(values) / len(values)

    @property
    def map_2010(self) -> float:
        """Mean of `Curve.ap_2010`, 0..1."""
        values = [curve.ap_2010 for curve in self.curves if curve.positives]
        return sum(values) / len(values)


def voc_scores(
    found: Sequence[Detections], images: Sequence[Annotated], num_classes: int, overlap: float = OVERLAP
) -> VocScores:
    """Curves of all classes; found: the detections of each image, in the order of `images`.

    Of equal scores the detection of the earlier image is first. Raises ValueError as `check_pairs` does.
    """
    check_pairs(found, images, num_classes)
    labels, scores, verdicts = _pooled(found, images, overlap)
    positives = [0] * num_classes
    for image in images:
        for label in image.labels[~image.is_difficult].tolist():
            positives[label] += 1
    curves = []
    for label, count in enumerate(positives):
        rows = (labels == label) & (verdicts != 0)
        curves.append(Curve(count, scores[rows], verdicts[rows] > 0))
    return VocScores(tuple(curves))


def check_pairs(found: Sequence[Detections], images: Sequence[Annotated], num_classes: int) -> None:
    """Raises ValueError where there is not one set of detections for each image, or a label is `num_classes` or more."""
    if len(found) != len(images):
        raise ValueError(f"there are detections of {len(found)} images, and {len(images)} images; give one set for each")
    labels = [each.labels for each in (*found, *images) if len(each)]
    highest = max((int(each.max()) for each in labels), default=-1)
    if highest >= num_classes:
        raise ValueError(f"a label is {highest} of {num_classes} classes; give labels from 0 to {num_classes - 1}")


def _pooled(found: Sequence[Detections], images: Sequence[Annotated], overlap: float) -> tuple[Tensor, Tensor, Tensor]:
    """Labels, scores and verdicts (see `judge`) of all detections of all images, best first."""
    none = nothing_found()  # so that there may be no image
    verdicts = torch.cat([none.labels, *(judge(each, image, overlap) for each, image in zip(found, images, strict=True))])
    labels = torch.cat([each.labels for each in (none, *found)])
    scores = torch.cat([each.scores for each in (none, *found)])
    order = scores.argsort(descending=True, stable=True)
    return labels[order], scores[order], verdicts[order]


def judge(found: Detections, image: Annotated, overlap: float) -> Tensor:
    """int64 (R,) for each detection of one image: 1 right, -1 wrong, 0 not counted because its object is difficult.

    Each is held against that object of its class which it overlaps most, the first of several; where that is by `overlap` or
    more, the best detection of the object is right, and all others of it are wrong, even if they fit another object too.
    """
    verdicts = torch.full((len(found),), -1)
    if not len(found) or not len(image):
        return verdicts
    overlaps = iou(found.boxes.double(), image.boxes.double())
    most, nearest = overlaps.where(found.labels[:, None] == image.labels, 0.0).max(1)
    claims = (most >= overlap) & (most > 0)
    verdicts[claims & image.is_difficult[nearest]] = 0
    rows = (claims & ~image.is_difficult[nearest]).nonzero()[:, 0]
    first = torch.full((len(image),), len(found)).scatter_reduce(0, nearest[rows], rows, "amin")
    verdicts[first[first < len(found)]] = 1  # `found` is in order: the lowest row is the best detection of the object
    return verdicts
