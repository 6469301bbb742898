"""Numbers from posteriors, guesses and labels; per cent where a docstring says so, else shares of 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.shapes import expect

Z95 = 1.959964  # two-sided 95 % of a normal distribution
BINS = 15  # Guo et al. 2017, 5: "M = 15 bins"
SMALLEST = 1e-12  # probability of which a logarithm is taken: below it only rounding is seen


def top_k_hits(scores: Tensor, labels: Tensor, k: int) -> int:
    """How many rows of scores (N,K) have their label (N,) among the k highest; of equal scores the lower index is first."""
    k = min(k, scores.shape[1])
    best = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return int((best == labels[:, None]).any(1).sum())


@dataclass(frozen=True)
class Interval:
    """A range of per cent values that holds the true accuracy in 95 of 100 such tests."""

    low: float
    high: float


def wilson(hits: int, count: int) -> Interval:
    """The Wilson score interval of a share, in per cent; unlike the usual one it stays within 0..100."""
    share, z2 = hits / count, Z95 * Z95
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    low, high = 100 * (middle - half), 100 * (middle + half)
    return Interval(0.0 if hits == 0 else low, 100.0 if hits == count else high)  # exact there, but for rounding


def confusion(truth: Tensor, guesses: Tensor, classes: int) -> Tensor:
    """Counts int64 (K,K) of images: rows are true classes, columns guesses; truth, guesses: int64 (N,) below `classes`."""
    expect(guesses, str(len(truth)), name="the vector of guesses")
    return (classes * truth + guesses).bincount(minlength=classes**2).view(classes, classes)


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others, as shares of 1.

    precision: of the images guessed as this class, those that are of it; 0 where no image is guessed so. recall: of its
    images, those that are guessed right; 0 where it has no image. f1: their harmonic mean; 0 where no guess is right.
    support: images of the class. guessed: images taken for it, rightly or not.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    guessed: int


def class_scores(truth: Tensor, guesses: Tensor, labels: Sequence[str]) -> tuple[ClassScore, ...]:
    """One score for each label, in their order; truth, guesses: int64 (N,), indices into `labels`."""
    expect(guesses, str(len(truth)), name="the vector of guesses")
    counts = [part.bincount(minlength=len(labels)).tolist() for part in (truth[truth == guesses], truth, guesses)]
    return tuple(
        ClassScore(
            label,
            precision=right / guessed if guessed else 0.0,
            recall=right / support if support else 0.0,
            f1=2 * right / (support + guessed) if right else 0.0,
            support=support,
            guessed=guessed,
        )
        for label, right, support, guessed in zip(labels, *counts, strict=True)
    )


@dataclass(frozen=True)
class Averages:
    """Plain means of scores over the `classes` that have images, each class counting alike however many it has."""

    precision: float
    recall: float
    f1: float
    classes: int


def averages(scores: Sequence[ClassScore]) -> Averages:
    """The means over those scores whose class has images. Raises ValueError where none has."""
    counted = [score for score in scores if score.support]
    if not counted:
        raise ValueError("no class has an image; give at least one labelled image")
    sums = [sum(values) for values in zip(*((each.precision, each.recall, each.f1) for each in counted), strict=True)]
    return Averages(*(total / len(counted) for total in sums), classes=len(counted))


@dataclass(frozen=True)
class Bin:
    """The answers whose probability is above `low` and at most `high`.

    count: how many there are; confidence: the mean of their probabilities; accuracy: the share that is right; both 0 where
    there is none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How far the probability of the first class is from how often it is right (Guo et al. 2017)."""

    bins: tuple[Bin, ...]

    @property
    def error(self) -> float:
        """Expected calibration error, 0..1: the mean distance of accuracy and confidence over bins, by their counts."""
        total = sum(each.count for each in self.bins)
        return sum(each.count * abs(each.accuracy - each.confidence) for each in self.bins) / max(1, total)


def calibration(probabilities: Tensor, is_right: Tensor, count: int = BINS) -> Calibration:
    """Sort the top probabilities (N,) 0..1 of answers into bins of equal width, with whether each is right, bool (N,).

    A bin has its upper end in it and its lower one not, as in Guo et al. 2017, 2; the first has 0 too.
    """
    expect(is_right, str(len(probabilities)), name="the vector of right answers")
    ends = torch.arange(1, count, dtype=torch.float64) / count
    place = torch.bucketize(probabilities.double(), ends)
    counts = place.bincount(minlength=count)
    sums = [place.bincount(weights=each.double(), minlength=count) for each in (probabilities, is_right)]
    means = [(each / counts.clamp(min=1)).tolist() for each in sums]
    rows = enumerate(zip(counts.tolist(), *means, strict=True))
    return Calibration(tuple(Bin(at / count, (at + 1) / count, *row) for at, row in rows))


def log_loss(probabilities: Tensor) -> float:
    """The mean negative logarithm, in nats, of the probabilities (N,) of the true classes, each taken as 1e-12 at least."""
    return float(-probabilities.double().clamp(min=SMALLEST).log().mean())
