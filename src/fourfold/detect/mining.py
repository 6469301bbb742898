"""Hard negatives for the SVMs of all classes, in one pass over the images (R-CNN 2.3; the numbers are the release's).

There are millions of negatives and few of them matter: those that the SVM of the moment gives a score above -1. They are
gathered, the SVM is trained again whenever enough are new, and those it has learnt well are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fourfold.detect.suppress import keep
from fourfold.detect.svm import LinearSvms, Plane, fit_svm, join
from fourfold.shapes import expect


@dataclass(frozen=True, eq=False)
class RegionFeatures:
    """One image's regions: features float32 (R,D) as the network gives them; boxes float32 (R,4), likeliest first; overlaps
    float64 (R,K), the highest with an object of each class, see `class_overlaps`.

    The objects may be among them, as in the release: a dog is a hard negative for cats.
    """

    features: Tensor
    boxes: Tensor
    overlaps: Tensor


@dataclass(frozen=True)
class Mining:
    """Which negatives are gathered.

    overlap: a negative overlaps every object of the class by less (R-CNN 2.3; SPP-net 4.3 has "at most"). hard: gathered
    above this score. easy: forgotten below this score when the SVM is trained. retrain_after: so many new ones of a class,
    and it is. apart: of two gathered of one image that overlap by more, the one with the lower score is dropped; 1 drops
    none. most: negatives of a class that are held at most, the hardest, after it was trained: 10,000 of 4,096 features
    are 160 MB (ours: the release holds all).
    """

    overlap: float = 0.3
    hard: float = -1.0001
    easy: float = -1.2
    retrain_after: int = 2000
    apart: float = 1.0
    most: int = 10_000


RCNN = Mining()
SPPNET = Mining(apart=0.7)  # SPP-net 4.3; its release drops equal windows only


@dataclass(frozen=True, eq=False)
class ClassState:
    """Where the mining of one class stands.

    plane: its SVM so far. negatives: those held, scaled, float32 (n,D) each, in the order they came. added: held since
    it was trained. found, forgotten, fits: negatives gathered so far; those given up because of `most`; trainings so far.
    """

    plane: Plane | None = None
    negatives: tuple[Tensor, ...] = ()
    added: int = 0
    found: int = 0
    forgotten: int = 0
    fits: int = 0


@dataclass(frozen=True, eq=False)
class MiningState:
    """Where mining stands after `images` images: all that is needed to go on."""

    images: int
    classes: tuple[ClassState, ...]

    def tensors(self, width: int) -> dict[str, Tensor]:
        """All there is, for a safetensors file; width: D, the number of features."""
        rows = [
            (*map(int, (each.plane is not None, each.plane is not None and each.plane.has_converged)), *_counts(each))
            for each in self.classes
        ]
        planes = [each.plane or Plane(torch.zeros(width), 0.0, False) for each in self.classes]
        return {
            "images": torch.tensor(self.images),
            "counts": torch.tensor(rows),
            "weights": torch.stack([plane.weights for plane in planes]),
            "biases": torch.tensor([plane.bias for plane in planes], dtype=torch.float64),
            "negatives": torch.cat([torch.zeros(0, width), *(part for each in self.classes for part in each.negatives)]),
        }

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> MiningState:
        """The inverse of `tensors`."""
        counts, held = tensors["counts"].tolist(), tensors["counts"][:, 2].tolist()
        rows = zip(counts, tensors["weights"], tensors["biases"].tolist(), tensors["negatives"].split(held), strict=True)
        classes = []
        for (is_trained, has_converged, _, *numbers), weights, bias, negatives in rows:
            plane = Plane(weights, bias, bool(has_converged)) if is_trained else None
            classes.append(ClassState(plane, (negatives,) if len(negatives) else (), *numbers))
        return MiningState(int(tensors["images"]), tuple(classes))


def _counts(state: ClassState) -> tuple[int, ...]:
    return sum(map(len, state.negatives)), state.added, state.found, state.forgotten, state.fits


@dataclass(frozen=True)
class ClassReport:
    """What the SVM of one class was trained on: positives; negatives at the end, of those found; how often; how well.

    forgotten: negatives given up because of `Mining.most`. is_trained: false for a class that has no positives or no
    negatives, and so is never detected.
    """

    positives: int
    negatives: int
    found: int
    forgotten: int
    fits: int
    is_trained: bool
    has_converged: bool


@dataclass(frozen=True, eq=False)
class Mined:
    """The SVMs of all classes, and what each was trained on."""

    svms: LinearSvms
    reports: tuple[ClassReport, ...]


@dataclass(frozen=True, eq=False)
class Miner:
    """Mines for K classes. positives: float32 (p,D) of each class, its objects' features as the network gives them, (0,D)
    where it has none. scale: by what features are multiplied. seed: of the solver.

    Raises ValueError where there is no class, or the classes' features differ in number.
    """

    positives: Sequence[Tensor]
    scale: float
    mining: Mining
    seed: int

    def __post_init__(self) -> None:
        if not self.positives:
            raise ValueError("there are positives of no class; give one set for each class")
        for label, each in enumerate(self.positives):
            expect(each, f"p {self.width}", name=f"the positives of class {label}")

    @property
    def width(self) -> int:
        """D, the number of features."""
        return self.positives[0].shape[1]

    def start(self) -> MiningState:
        """Before the first image."""
        return MiningState(0, (ClassState(),) * len(self.positives))

    def look(self, state: MiningState, regions: RegionFeatures) -> MiningState:
        """After one more image. A class without an SVM takes all of its negatives (code: on the first image)."""
        count = len(regions.boxes)
        expect(regions.features, f"{count} {self.width}", name="the features of regions")
        expect(regions.overlaps, f"{count} {len(self.positives)}", name="the overlaps of regions")
        features = regions.features * self.scale
        scores = self._scores(state, features)
        classes = []
        for label, each in enumerate(state.classes):
            if len(self.positives[label]):
                rows = self._hard(regions, scores[:, label], label)
                each = self._grown(each, features[rows])  # noqa: PLW2901
                if each.negatives and (each.plane is None or each.added > self.mining.retrain_after):
                    each = self._trained(each, label)  # noqa: PLW2901
            classes.append(each)
        return MiningState(state.images + 1, tuple(classes))

    def finish(self, state: MiningState) -> Mined:
        """Train every class a last time."""
        planes, reports = [], []
        for label, each in enumerate(state.classes):
            final = self._fitted(each, label) if each.negatives else each
            held, _, found, forgotten, fits = _counts(final)
            plane, positives = final.plane, len(self.positives[label])
            has_converged = plane is not None and plane.has_converged
            planes.append(plane)
            reports.append(ClassReport(positives, held, found, forgotten, fits, plane is not None, has_converged))
        return Mined(join(planes, self.scale, self.width), tuple(reports))

    def _scores(self, state: MiningState, features: Tensor) -> Tensor:
        """(R,K), infinite for a class without an SVM."""
        planes = [each.plane or Plane(torch.zeros(self.width), torch.inf, False) for each in state.classes]
        biases = torch.tensor([plane.bias for plane in planes], dtype=torch.float32)
        return features @ torch.stack([plane.weights for plane in planes]).T + biases

    def _hard(self, regions: RegionFeatures, scores: Tensor, label: int) -> Tensor:
        """Rows of the negatives to gather, ascending."""
        rows = ((scores > self.mining.hard) & (regions.overlaps[:, label] < self.mining.overlap)).nonzero()[:, 0]
        if self.mining.apart < 1:
            rows = rows[scores[rows].argsort(descending=True, stable=True)]
            rows = rows[keep(regions.boxes[rows], self.mining.apart, len(rows))].sort().values
        return rows

    def _grown(self, state: ClassState, rows: Tensor) -> ClassState:
        if not len(rows):
            return state
        new = len(rows)
        return replace(state, negatives=(*state.negatives, rows), added=state.added + new, found=state.found + new)

    def _fitted(self, state: ClassState, label: int) -> ClassState:
        """With an SVM of all negatives held."""
        negatives = torch.cat(state.negatives)
        plane = fit_svm(self.positives[label] * self.scale, negatives, seed=self.seed)
        return replace(state, plane=plane, negatives=(negatives,), added=0, fits=state.fits + 1)

    def _trained(self, state: ClassState, label: int) -> ClassState:
        """With a new SVM, and without the negatives that it finds easy."""
        state = self._fitted(state, label)
        assert state.plane is not None
        negatives = state.negatives[0]
        scores = negatives @ state.plane.weights + state.plane.bias
        hard = (scores >= self.mining.easy).nonzero()[:, 0]
        held = hard[scores[hard].argsort(descending=True, stable=True)[: self.mining.most].sort().values]
        forgotten = state.forgotten + len(hard) - len(held)
        return replace(state, negatives=(negatives[held],) if len(held) else (), forgotten=forgotten)


def mine(
    miner: Miner,
    describe: Callable[[int], RegionFeatures],
    count: int,
    state: MiningState | None = None,
    saved: Callable[[MiningState], None] | None = None,
) -> Mined:
    """Mine `count` images; describe: the regions of an image by its number, asked once for each, in order.

    state: where to go on; the result is the same bit for bit as without the interruption. saved: is given the state after
    every image, to keep it or not.
    """
    state = state or miner.start()
    for index in range(state.images, count):
        state = miner.look(state, describe(index))
        if saved:
            saved(state)
    return miner.finish(state)
