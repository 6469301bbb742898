"""What the evaluation of a detector found: the detections on all images, and the numbers that follow from them.

All numbers are shares of 1, as in voc_ap.py and coco_ap.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.dice import generator_for
from fourfold.detect.bootstrap import Ranking, drawings, interval, redrawn_maps
from fourfold.detect.coco_ap import CocoScores, coco_scores
from fourfold.detect.detections import Detections
from fourfold.detect.errors import error_breakdown
from fourfold.detect.found_class import FoundClass, found_class
from fourfold.detect.recall import Coverage, coverage
from fourfold.detect.voc_ap import OVERLAP, VocScores, check_pairs, judge, voc_scores

COUNTS = (10, 100, 300, 1000, 2000)  # proposals: 2,000 are R-CNN's and SPP-net's, 300 and 100 those of later detectors
REDRAWN = 1000  # data sets drawn for an interval (ours): its ends then move by about a tenth of its width


@dataclass(frozen=True)
class Seconds:
    """Time of all images together: to propose boxes, to describe them by features, and for all else."""

    propose: float
    features: float
    rest: float

    @property
    def total(self) -> float:
        """The sum of the three."""
        return self.propose + self.features + self.rest


@dataclass(frozen=True)
class Photo:
    """One image, by its place in the data set: its objects, and what became of them at the thresholds of `FoundClass`."""

    index: int
    objects: int
    right: int
    false_alarms: int

    @property
    def missed(self) -> int:
        """Objects that were not found."""
        return self.objects - self.right

    @property
    def mistakes(self) -> int:
        """Objects missed, and false alarms."""
        return self.missed + self.false_alarms


@dataclass(frozen=True, eq=False)
class DetectionEvaluation:
    """The detections of one detector on a data set.

    detector, protocol: its name, and in words what was done. classes: names, in the order of the labels. found: one for each
    of images, in their order. proposals: the boxes (R,4) that the detector looked at on each image, likeliest first.
    groups: labels of classes that are alike, for the kinds of errors.
    Raises ValueError where there is no image or no object to be found, and as `check_pairs` does.
    """

    detector: str
    protocol: str
    classes: tuple[str, ...]
    images: tuple[Annotated, ...]
    found: tuple[Detections, ...]
    proposals: tuple[Tensor, ...] | None = None
    seconds: Seconds | None = None
    groups: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("there is no image to evaluate; give a data set with one at least")
        check_pairs(self.found, self.images, len(self.classes))
        if not self.objects:
            raise ValueError("no image has an object to be found; give at least one that is not marked as difficult")

    @cached_property
    def objects(self) -> int:
        """How many objects there are to be found, difficult ones left out."""
        return sum(int((~image.is_difficult).sum()) for image in self.images)

    @cached_property
    def voc(self) -> VocScores:
        """Average precision as VOC counts it, in both its forms."""
        return voc_scores(self.found, self.images, len(self.classes))

    @cached_property
    def coco(self) -> CocoScores | None:
        """COCO's twelve numbers; None where the library for them is missing, see `why_no_coco`."""
        scores = self._coco
        return None if isinstance(scores, str) else scores

    @property
    def why_no_coco(self) -> str:
        """The reason, in words, where `coco` is None."""
        return self._coco if isinstance(self._coco, str) else ""

    @cached_property
    def _coco(self) -> CocoScores | str:
        try:
            return coco_scores(self.found, self.images, len(self.classes))
        except ValueError as error:  # the pairs are checked: it is the library
            return str(error)

    @property
    def map_2007_interval(self) -> tuple[float, float] | None:
        """95 % interval of `voc.map_2007`, from images drawn anew; None for one image, which tells nothing of others."""
        return self._intervals[0]

    @property
    def map_2010_interval(self) -> tuple[float, float] | None:
        """The same of `voc.map_2010`."""
        return self._intervals[1]

    @cached_property
    def _intervals(self) -> tuple[tuple[float, float] | None, ...]:
        if len(self.images) == 1:
            return None, None
        times = drawings(len(self.images), REDRAWN, generator_for(0, "images drawn anew"))
        return tuple(interval(values) for values in redrawn_maps(self.rankings, times))

    @cached_property
    def verdicts(self) -> tuple[Tensor, ...]:
        """What `judge` says of the detections on each image."""
        return tuple(judge(each, image, OVERLAP) for each, image in zip(self.found, self.images, strict=True))

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        """The detections of each class, in the order of `voc.curves`, with their images."""
        where = torch.arange(len(self.images)).repeat_interleave(torch.tensor([len(each) for each in self.found]))
        labels, verdicts = torch.cat([each.labels for each in self.found]), torch.cat(self.verdicts)
        order = torch.cat([each.scores for each in self.found]).argsort(descending=True, stable=True)
        order = order[verdicts[order] != 0]
        positives = torch.stack(
            [image.labels[~image.is_difficult].bincount(minlength=len(self.classes)).double() for image in self.images]
        )
        own = [order[labels[order] == label] for label in range(len(self.classes))]
        return tuple(Ranking(verdicts[rows] > 0, where[rows], positives[:, label]) for label, rows in enumerate(own))

    @cached_property
    def outcomes(self) -> tuple[Tensor, ...]:
        """int64 (D,), indices into OUTCOMES, of the detections of each class, in the order of `voc.curves`."""
        most = sum(len(each) for each in self.found)
        wrong = error_breakdown(self.found, self.images, len(self.classes), most, groups=self.groups)
        made = []
        for curve, errors in zip(self.voc.curves, wrong, strict=True):
            row = torch.zeros(len(curve.is_right), dtype=torch.int64)
            row[~curve.is_right] = 1 + errors.kinds  # both are in the order of the scores
            made.append(row)
        return tuple(made)

    @cached_property
    def per_class(self) -> tuple[FoundClass, ...]:
        """One for each of `classes`, in their order."""
        difficult = torch.cat([image.labels[image.is_difficult] for image in self.images]).bincount(
            minlength=len(self.classes)
        )
        rows = zip(self.classes, self.voc.curves, difficult.tolist(), self.outcomes, strict=True)
        return tuple(found_class(*row) for row in rows)

    @cached_property
    def photos(self) -> tuple[Photo, ...]:
        """One for each of `images`, in their order."""
        return tuple(self._photo(index) for index in range(len(self.images)))

    def sure(self, index: int) -> Detections:
        """The detections on one image that have the threshold of their class or a higher score."""
        return self.found[index].take(self._is_sure(index))

    def _is_sure(self, index: int) -> Tensor:
        return self.found[index].scores.double() >= self._thresholds[self.found[index].labels]

    @cached_property
    def _thresholds(self) -> Tensor:
        values = [math.inf if each.threshold is None else each.threshold for each in self.per_class]
        return torch.tensor(values, dtype=torch.float64)

    def _photo(self, index: int) -> Photo:
        verdicts = self.verdicts[index][self._is_sure(index)]
        objects = int((~self.images[index].is_difficult).sum())
        return Photo(index, objects, int((verdicts > 0).sum()), int((verdicts < 0).sum()))

    def worst(self, count: int) -> tuple[Photo, ...]:
        """At most `count` photos with mistakes, those with most first; of equal ones the earlier image is first."""
        wrong = [photo for photo in self.photos if photo.mistakes]
        return tuple(sorted(wrong, key=lambda photo: -photo.mistakes)[:count])

    def best(self, count: int) -> tuple[Photo, ...]:
        """At most `count` photos without mistakes, those with most objects first; photos without objects are left out."""
        right = [photo for photo in self.photos if photo.objects and not photo.mistakes]
        return tuple(sorted(right, key=lambda photo: -photo.objects)[:count])

    @cached_property
    def coverage(self) -> Coverage | None:
        """How the proposals cover the objects, for those of COUNTS that they reach, and for all; None without proposals."""
        if self.proposals is None:
            return None
        most = max(len(boxes) for boxes in self.proposals) if self.proposals else 0
        return coverage(self.proposals, self.images, [*(count for count in COUNTS if count < most), most])
