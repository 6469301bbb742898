"""Boxes moved closer to the objects they show, by ridge regression for each class (R-CNN appendix C)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.dice import generator_for
from fourfold.detect.box_code import decode, encode
from fourfold.detect.sampling import Matches
from fourfold.shapes import expect

SPREAD = 0.001  # added to the targets' variances before they are whitened (code)


@dataclass(frozen=True)
class Ridge:
    """What is learnt from, and how much it is held down.

    decay: lambda, the weight of the squared weights, the bias's too. overlap: of a box with its object, at least (R-CNN has
    "more than", which differs at exactly that overlap only). most: pairs of a class, at most, drawn from all of them. They
    lie in memory together: 5,000 of SPP-net's 12,800 features are 256 MB a class (ours: the releases hold all).
    Raises ValueError where decay or overlap is not above 0, or `most` is below 1.
    """

    decay: float
    overlap: float
    most: int = 5_000

    def __post_init__(self) -> None:
        if self.decay <= 0:
            raise ValueError(f"a decay of {self.decay} leaves weights without hold; give a number above 0, such as 1000")
        if self.overlap <= 0:
            raise ValueError(f"an overlap of {self.overlap} takes boxes of no object; give a number above 0, such as 0.6")
        if self.most < 1:
            raise ValueError(f"{self.most} pairs of a class teach nothing; give 1 or more")


RCNN = Ridge(decay=1000, overlap=0.6)  # R-CNN appendix C
SPPNET = Ridge(decay=4000, overlap=0.5)  # (code); SPP-net 4.3


@dataclass(frozen=True, eq=False)
class Pairs:
    """Boxes to learn from, each with its object, in the order of the images.

    images: int64 (M,). rows: int64 (M,), the box's place among its image's candidates. objects: int64 (M,), the object's
    place in its image's lists. labels: int64 (M,).
    """

    images: Tensor
    rows: Tensor
    objects: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class BoxExamples:
    """What one class learns from: pooled (n,P) of its boxes, as the head's pool gives it; boxes (n,4); objects (n,4)."""

    pooled: Tensor
    boxes: Tensor
    objects: Tensor


@dataclass(frozen=True, eq=False)
class BoxRegression:
    """Moves boxes of K classes.

    weights: float32 (K,4,P). biases: float32 (K,4). pairs: int64 (K,), how many each class learnt from. scale: by what
    pooled features are multiplied first.
    """

    weights: Tensor
    biases: Tensor
    pairs: Tensor
    scale: float

    def __call__(self, pooled: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """Boxes (R,4) moved by what their class makes of pooled (R,P), not clipped; labels: int64 (R,).

        Those of a class that had no pairs stay. Raises ValueError where a box without area is to be moved.
        """
        expect(pooled, f"{len(boxes)} P", name="the pooled features")
        expect(labels, str(len(boxes)), name="the vector of labels")
        moved = boxes.clone()
        for label in labels[self.pairs[labels] > 0].unique().tolist():
            rows = labels == label
            code = (pooled[rows] * self.scale) @ self.weights[label].T + self.biases[label]
            moved[rows] = decode(boxes[rows], code)
        return moved

    def tensors(self) -> dict[str, Tensor]:
        """All there is, for a safetensors file."""
        scale = torch.tensor(self.scale, dtype=torch.float64)
        return {"weights": self.weights, "biases": self.biases, "pairs": self.pairs, "scale": scale}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> BoxRegression:
        """The inverse of `tensors`."""
        return BoxRegression(tensors["weights"], tensors["biases"], tensors["pairs"], float(tensors["scale"]))


def pairs_of(matches: Sequence[Matches], ridge: Ridge, num_classes: int, *, seed: int) -> Pairs:
    """The boxes of all images that `ridge` learns from; matches: of each image, in their order.

    Overlaps alone decide, so that only what is drawn need be described.
    """
    rows = [(each.overlaps >= ridge.overlap).nonzero()[:, 0] for each in matches]
    none = torch.zeros(0, dtype=torch.int64)
    images = torch.cat([none, *(torch.full_like(row, index) for index, row in enumerate(rows))])
    objects = torch.cat([none, *(each.objects[row] for each, row in zip(matches, rows, strict=True))])
    labels = torch.cat([none, *(each.labels[row] for each, row in zip(matches, rows, strict=True))])
    drawn = [none]
    for label in range(num_classes):
        own = (labels == label).nonzero()[:, 0]
        order = torch.randperm(len(own), generator=generator_for(seed, "pairs", label))
        drawn.append(own[order[: ridge.most]])
    chosen = torch.cat(drawn).sort().values
    return Pairs(images[chosen], torch.cat([none, *rows])[chosen], objects[chosen], labels[chosen])


def gather(
    pairs: Pairs,
    candidates: Sequence[Tensor],
    images: Sequence[Annotated],
    num_classes: int,
    describe: Callable[[int, Tensor], Tensor],
) -> list[BoxExamples]:
    """The examples of each class; candidates: boxes (R,4) of each image, in the order of `images`.

    describe(image, rows) is asked once for each image that has pairs: pooled (n,P) of the candidates at `rows` int64 (n,).
    """
    order = pairs.labels.argsort(stable=True)
    places = order.argsort()
    boxes, objects, pooled = torch.empty(len(pairs), 4), torch.empty(len(pairs), 4), torch.empty(len(pairs), 0)
    for index in pairs.images.unique().tolist():
        own = pairs.images == index
        rows, place = pairs.rows[own], places[own]
        described = describe(index, rows)
        if not pooled.shape[1]:
            pooled = torch.empty(len(pairs), described.shape[1])
        boxes[place], objects[place] = candidates[index][rows], images[index].boxes[pairs.objects[own]]
        pooled[place] = described
    counts = pairs.labels.bincount(minlength=num_classes).tolist()
    columns = zip(pooled.split(counts), boxes.split(counts), objects.split(counts), strict=True)
    return [BoxExamples(*column) for column in columns]


def fit_boxes(examples: Iterable[BoxExamples], scale: float, ridge: Ridge) -> BoxRegression:
    """The regression of all classes, from the examples of each, one after the other; scale: see `svm.scale_for`.

    Raises ValueError where a box or an object has no area.
    """
    weights, biases, pairs = [], [], []
    for each in examples:
        weight, bias = _fit(each, scale, ridge.decay)
        weights.append(weight)
        biases.append(bias)
        pairs.append(len(each.boxes))
    return BoxRegression(torch.stack(weights), torch.stack(biases), torch.tensor(pairs), scale)


def _fit(examples: BoxExamples, scale: float, decay: float) -> tuple[Tensor, Tensor]:
    """Weights (4,P) and biases (4,) of one class, the whitening of its targets undone in them."""
    count, width = examples.pooled.shape
    if not count:
        return torch.zeros(4, width), torch.zeros(4)
    features = torch.cat((examples.pooled.double() * scale, torch.ones(count, 1, dtype=torch.float64)), 1)
    targets = encode(examples.boxes.double(), examples.objects.double())
    mean = targets.mean(0)
    whiten, undo = whitening(targets - mean)
    solved = solve_ridge(features, (targets - mean) @ whiten, decay) @ undo
    return solved[:-1].T.float().contiguous(), (solved[-1] + mean).float()


def whitening(centred: Tensor) -> tuple[Tensor, Tensor]:
    """The symmetric matrix (4,4) that makes the covariance of centred targets (n,4) about 1; its inverse (code)."""
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    spread = (values.clamp(min=0) + SPREAD).sqrt()
    return vectors / spread @ vectors.T, vectors * spread @ vectors.T


def solve_ridge(features: Tensor, targets: Tensor, decay: float) -> Tensor:
    """The weights w (Q,T) that make (targets - features w)^2 + decay w^2 least, for float64 features (n,Q), targets (n,T).

    With fewer examples than features the system has a row for each example, otherwise one for each feature: the same w.
    """
    count, width = features.shape
    if count < width:
        return features.T @ _solve(features @ features.T, targets, decay)
    return _solve(features.T @ features, features.T @ targets, decay)


def _solve(products: Tensor, right: Tensor, decay: float) -> Tensor:
    products.diagonal().add_(decay)
    return torch.cholesky_solve(right, torch.linalg.cholesky(products))
