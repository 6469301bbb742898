"""What a localizer said of each image of a data set, beside what is true."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fourfold.boxes import iou

RIGHT = 0.5  # overlap (IoU) above which a box is right (VGG appendix A, as ILSVRC)
Edges = tuple[float, float, float, float]
"""x1 y1 x2 y2 in pixels of the image."""


@dataclass(frozen=True)
class Guess:
    """A class, how likely the image is of it, 0..1, and where its object would be."""

    label: int
    probability: float
    box: Edges


@dataclass(frozen=True)
class LocationReply:
    """What was said of image number `index`, called `name`, whose object has the class `truth` and lies in `box`.

    guesses: the likeliest classes, likeliest first, five at most, each with its box. given: the box for the true class, as
    if the class had been told. Where the image could not be used, `error` says why, and there are neither.
    """

    index: int
    name: str
    truth: int
    box: Edges
    guesses: tuple[Guess, ...] = ()
    given: Edges | None = None
    error: str = ""

    def is_class_right(self, k: int) -> bool:
        """Whether one of the first k guesses has the true class."""
        return any(guess.label == self.truth for guess in self.guesses[:k])

    def is_right(self, k: int) -> bool:
        """Whether one of the first k guesses has the true class and a box that overlaps the true one by more than half."""
        return any(guess.label == self.truth and overlap(guess.box, self.box) > RIGHT for guess in self.guesses[:k])

    @property
    def given_overlap(self) -> float:
        """IoU, 0..1, of the true box with that for the true class; 0 where there is none."""
        return 0.0 if self.given is None else overlap(self.given, self.box)


def overlap(first: Edges, second: Edges) -> float:
    """Intersection over union, 0..1, of two boxes."""
    return float(iou(torch.tensor([first], dtype=torch.float64), torch.tensor([second], dtype=torch.float64)))
