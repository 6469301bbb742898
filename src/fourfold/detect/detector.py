"""A detector: proposals, features of each, scores, boxes moved closer, the best of those that overlap (R-CNN 2, SPP-net 4).

R-CNN and SPP-net differ in one field, `regions`.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fourfold.boxes import clip
from fourfold.catalog import Network
from fourfold.detect.box_regression import BoxRegression
from fourfold.detect.detections import Detections, nothing_found, union
from fourfold.detect.propose import Propose
from fourfold.detect.regions import Regions
from fourfold.detect.suppress import Suppress
from fourfold.detect.svm import LinearSvms
from fourfold.models.low_rank import low_rank

BACKGROUND = "background"  # the last label of a network that scores regions
FC7 = "relu7"  # the features that SVMs read: fc7 after its ReLU (R-CNN 3.2; SPP-net Table 9)
MOST = 1000  # boxes of a class that are suppressed, the best; the releases' 100 lose objects where there are many (ours)
SVM_LEAST = -1.0  # (code): boxes beyond the margin on the side of the background are none
SOFTMAX_LEAST = 0.01  # Reading: no paper has one


class Score(abc.ABC):
    """Scores of K classes for regions, from what the head's pool gives; `least`: what a box must exceed to be looked at."""

    least: float

    @abc.abstractmethod
    def __call__(self, network: Network, pooled: Tensor) -> Tensor:
        """pooled (R,P) -> scores (R,K), the higher the surer."""


@dataclass(frozen=True)
class Softmax(Score):
    """The network's posteriors, without the background's (R-CNN appendix B compares; GoogLeNet 8)."""

    least: float = SOFTMAX_LEAST

    def __call__(self, network: Network, pooled: Tensor) -> Tensor:
        """See Score."""
        return network.classifier.head.fc(pooled).softmax(1)[:, :-1]


@dataclass(frozen=True, eq=False)
class SvmScore(Score):
    """Linear SVMs on the features of fc7 (R-CNN 2.3, SPP-net 4.3)."""

    svms: LinearSvms
    least: float = SVM_LEAST

    def __call__(self, network: Network, pooled: Tensor) -> Tensor:
        """See Score."""
        return self.svms(features_of(network, pooled))


def features_of(network: Network, pooled: Tensor) -> Tensor:
    """What SVMs read of pooled (R,P): fc7 after its ReLU, or, of a head without it, the pooled features themselves."""
    names = [name for name, _ in network.classifier.head.fc.named_children()]
    return network.classifier.head.features(pooled, FC7) if FC7 in names else pooled


@dataclass(frozen=True, eq=False)
class Look:
    """What was found on one image; the proposals (R,4) that were looked at; seconds to propose, and for all else."""

    found: Detections
    proposals: Tensor
    propose_seconds: float
    seconds: float


class Finder(abc.ABC):
    """Finds objects of K classes in images: one detector, or several as one."""

    @property
    @abc.abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The K classes, without the background."""

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What it is called."""

    @property
    @abc.abstractmethod
    def words(self) -> str:
        """What it does, in a few words."""

    @abc.abstractmethod
    def look(self, image: Tensor, name: str = "") -> Look:
        """What is found on uint8 (3,H,W), best first, down to the lowest score that average precision may ask for.

        name: of the file, which proposals that come from a file ask for.
        """

    @abc.abstractmethod
    def least_shown(self) -> tuple[float, ...]:
        """Of each class the score from which on a box is worth showing; empty where nothing is known of it."""

    def __call__(self, image: Tensor, name: str = "") -> Detections:
        """`look`, without the rest."""
        return self.look(image, name).found

    def shown(self, found: Detections) -> Detections:
        """Those that are worth showing."""
        least = self.least_shown()
        return found.take(found.scores >= torch.tensor(least)[found.labels]) if least else found


@dataclass(frozen=True, eq=False)
class Detector(Finder):
    """One network with its proposals.

    network: its labels are the K classes and `background`, its scores in the same order. refine: moves boxes to the objects
    they show, or None. thresholds: see `least_shown`.
    """

    network: Network
    propose: Propose
    regions: Regions
    score: Score
    refine: BoxRegression | None = None
    suppress: Suppress = Suppress()  # noqa: RUF009 (frozen)
    thresholds: tuple[float, ...] = ()
    name: str = "detector"

    @property
    def labels(self) -> tuple[str, ...]:
        """See Finder."""
        return self.network.labels[:-1]

    @property
    def title(self) -> str:
        """See Finder."""
        return self.name

    @property
    def words(self) -> str:
        """See Finder."""
        moved = "" if self.refine is None else ", boxes moved by regression"
        return f"{self.network.entry.network}, {self.regions}{moved}"

    def least_shown(self) -> tuple[float, ...]:
        """See Finder."""
        return self.thresholds

    def look(self, image: Tensor, name: str = "") -> Look:
        """See Finder."""
        began = time.perf_counter()
        boxes = with_area(self.propose(image, name))
        middle = time.perf_counter()
        found = self.suppress(self.candidates(image, boxes))
        return Look(found, boxes, middle - began, time.perf_counter() - middle)

    @torch.inference_mode()
    def candidates(self, image: Tensor, boxes: Tensor) -> Detections:
        """The boxes (R,4) with their scores, of each class the best MOST above `score.least`, moved, not yet suppressed."""
        if not len(boxes):
            return nothing_found()
        pooled = self.regions.pooled(self.network, image, boxes)
        return self.judged(image, boxes, pooled, self.score(self.network, pooled))

    def judged(self, image: Tensor, boxes: Tensor, pooled: Tensor, scores: Tensor) -> Detections:
        """`candidates` from pooled (R,P) and scores (R,K)."""
        chosen, labels = _best(scores, self.score.least)
        moved = boxes[chosen]
        if self.refine is not None:
            moved = self.refine(pooled[chosen], moved, labels)
        moved = clip(moved, image.shape[-2], image.shape[-1])
        found = Detections(moved.float(), labels, scores[chosen, labels].float())
        return found.take((found.boxes[:, 2:] > found.boxes[:, :2]).all(1))


@dataclass(frozen=True, eq=False)
class Together(Finder):
    """Several detectors of the same classes.

    Raises ValueError where there are none, their classes differ, or one scores by SVMs and another by softmax.
    """

    parts: tuple[Detector, ...]

    def __post_init__(self) -> None:
        check_alike(self.parts)

    @property
    def labels(self) -> tuple[str, ...]:
        """See Finder."""
        return self.parts[0].labels

    @property
    def title(self) -> str:
        """See Finder."""
        return " + ".join(part.name for part in self.parts)

    def least_shown(self) -> tuple[float, ...]:
        """Means of the parts'."""
        if not all(part.thresholds for part in self.parts):
            return ()
        return tuple(torch.tensor([part.thresholds for part in self.parts]).mean(0).tolist())


@dataclass(frozen=True, eq=False)
class United(Together):
    """All their scored boxes, suppressed together (SPP-net 4.4)."""

    @property
    def words(self) -> str:
        """See Finder."""
        return f"the boxes of {len(self.parts)} detectors, suppressed together"

    def look(self, image: Tensor, name: str = "") -> Look:
        """See Finder."""
        seconds = [0.0, 0.0]
        found, proposals = [], []
        for part in self.parts:
            began = time.perf_counter()
            proposals.append(with_area(part.propose(image, name)))
            middle = time.perf_counter()
            found.append(part.candidates(image, proposals[-1]))
            seconds = [seconds[0] + middle - began, seconds[1] + time.perf_counter() - middle]
        kept = self.parts[0].suppress(union(found))
        return Look(kept, torch.cat(proposals), *seconds)


@dataclass(frozen=True, eq=False)
class Averaged(Together):
    """Their scores averaged on the proposals of the first, which moves the boxes too (GoogLeNet 8: six networks)."""

    @property
    def words(self) -> str:
        """See Finder."""
        return f"the mean of {len(self.parts)} detectors' scores, on the proposals of {self.parts[0].name}"

    @torch.inference_mode()
    def look(self, image: Tensor, name: str = "") -> Look:
        """See Finder."""
        first = self.parts[0]
        began = time.perf_counter()
        boxes = with_area(first.propose(image, name))
        middle = time.perf_counter()
        if not len(boxes):
            return Look(nothing_found(), boxes, middle - began, 0.0)
        pooled = [part.regions.pooled(part.network, image, boxes) for part in self.parts]
        scores = torch.stack([part.score(part.network, each) for part, each in zip(self.parts, pooled, strict=True)])
        found = first.suppress(first.judged(image, boxes, pooled[0], scores.mean(0)))
        return Look(found, boxes, middle - began, time.perf_counter() - middle)


def with_area(boxes: Tensor) -> Tensor:
    """Those of boxes (R,4) that have a width and a height."""
    return boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]


def check_alike(parts: Sequence[Detector]) -> None:
    """Raises ValueError where there is no detector, or one has other classes or another kind of scores than the first."""
    if not parts:
        raise ValueError("no detector given; name at least one")
    for part in parts[1:]:
        if part.labels != parts[0].labels:
            raise ValueError(f"{part.name} finds other classes than {parts[0].name}; detectors together must have the same")
    kinds = {type(part.score).__name__ for part in parts}
    if len(kinds) > 1:  # margins and posteriors have no common measure: neither their order nor their mean says anything
        raise ValueError(f"scores of {' and '.join(sorted(kinds))} cannot be compared; give detectors of one kind")


def without_refinement(detector: Detector) -> Detector:
    """The same detector with its boxes left where the proposals are."""
    return replace(detector, refine=None)


def with_low_rank(detector: Detector, rank: int) -> Detector:
    """The same detector with cheaper fc layers; see `models.low_rank`, which raises ValueError."""
    network = detector.network
    return replace(detector, network=replace(network, classifier=low_rank(network.classifier, rank)))


def _best(scores: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Rows and classes of the scores (R,K) above `least`, of each class the MOST highest; int64 (n,) both."""
    rows, labels = [], []
    for label in range(scores.shape[1]):
        own = (scores[:, label] > least).nonzero()[:, 0]
        if len(own) > MOST:
            own = own[scores[own, label].argsort(descending=True, stable=True)[:MOST]]
        rows.append(own)
        labels.append(torch.full_like(own, label))
    return torch.cat(rows), torch.cat(labels)
