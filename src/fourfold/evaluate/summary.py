"""What an evaluation found: the replies to all images of a data set, and the numbers that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fourfold.data.listing import Broken
from fourfold.evaluate import metrics
from fourfold.evaluate.answers import Reply
from fourfold.evaluate.metrics import Averages, Calibration, ClassScore, Interval


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The replies of one predictor to a data set. All accuracies are in per cent, and count usable images alone.

    model, protocol: names, and in words what was done, as `Predictor` gives them. labels: the predictor's classes.
    replies: one for each image of the listing, in its order, those with errors included.
    views: views that the protocol takes of the first usable image, of all members together.
    seconds: spent in the predictor, decoding not counted, of all processes together; wall_seconds: from begin to end.
    Raises ValueError where no image is usable.
    """

    model: str
    protocol: str
    labels: tuple[str, ...]
    replies: tuple[Reply, ...]
    views: int
    seconds: float
    wall_seconds: float

    def __post_init__(self) -> None:
        if not self.replies:
            raise ValueError("there is no image to evaluate; give a data set with one at least")
        if not self.answered:
            raise ValueError(f"none of the {len(self.replies)} images can be read; the first: {self.replies[0].error}")

    @cached_property
    def answered(self) -> tuple[Reply, ...]:
        """The replies to usable images, in the order of the listing."""
        return tuple(each for each in self.replies if not each.error)

    @cached_property
    def broken(self) -> tuple[Broken, ...]:
        """The images that could not be used, in the order of the listing."""
        return tuple(Broken(each.name, each.error) for each in self.replies if each.error)

    @property
    def images(self) -> int:
        """How many images could be used."""
        return len(self.answered)

    @cached_property
    def classes(self) -> int:
        """How many different classes the usable images have."""
        return len({each.truth for each in self.answered})

    @property
    def top1(self) -> float:
        """Per cent of the images whose true class was held likeliest."""
        return 100 * self._hits(1) / self.images

    @property
    def top5(self) -> float:
        """Per cent of the images whose true class was among the five likeliest; with five classes or fewer all."""
        return 100 * self._hits(5) / self.images

    @property
    def top1_interval(self) -> Interval:
        """The 95 % interval of `top1`."""
        return metrics.wilson(self._hits(1), self.images)

    @property
    def top5_interval(self) -> Interval:
        """The 95 % interval of `top5`."""
        return metrics.wilson(self._hits(5), self.images)

    def _hits(self, k: int) -> int:
        return sum(each.rank < k for each in self.answered)

    @cached_property
    def truth(self) -> Tensor:
        """True classes int64 (N,) of the usable images."""
        return torch.tensor([each.truth for each in self.answered])

    @cached_property
    def guesses(self) -> Tensor:
        """Classes int64 (N,) held likeliest for the usable images."""
        return torch.tensor([each.top[0][0] for each in self.answered])

    @cached_property
    def confusion(self) -> Tensor:
        """Counts int64 (K,K) of images: rows are true classes, columns guesses, in the order of `labels`."""
        return metrics.confusion(self.truth, self.guesses, len(self.labels))

    @cached_property
    def per_class(self) -> tuple[ClassScore, ...]:
        """Precision, recall and F1 of each of `labels`, in their order."""
        return metrics.class_scores(self.truth, self.guesses, self.labels)

    @cached_property
    def macro(self) -> Averages:
        """Means of `per_class` over the classes that have images."""
        return metrics.averages(self.per_class)

    @cached_property
    def calibration(self) -> Calibration:
        """The probability of the first class against how often it is right."""
        probabilities = torch.tensor([each.top[0][1] for each in self.answered], dtype=torch.float64)
        return metrics.calibration(probabilities, self.truth == self.guesses)

    @cached_property
    def log_loss(self) -> float:
        """Mean negative logarithm of the true class's probability, in nats."""
        return metrics.log_loss(torch.tensor([each.probability for each in self.answered], dtype=torch.float64))

    @property
    def seconds_per_image(self) -> float:
        """Seconds in the predictor for each usable image, on one process."""
        return self.seconds / self.images

    def worst(self, count: int) -> tuple[Reply, ...]:
        """At most `count` wrong replies, the surest first; equally sure ones in the order of the listing."""
        wrong = [each for each in self.answered if each.rank > 0]
        return tuple(sorted(wrong, key=lambda each: -each.top[0][1])[:count])
