"""Images in, answers out: what a predictor says of each of many images, in order and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from torch import Tensor

from fourfold import draw
from fourfold.evaluate.predictor import Predictor
from fourfold.sources import Failure, Source, read_each

if TYPE_CHECKING:
    from PIL import Image as Pillow

BATCH = 32


@dataclass(frozen=True)
class Guess:
    """One class and its probability in 0..1."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of one image: the likeliest classes first."""

    source: str
    top: tuple[Guess, ...]
    model: str
    protocol: str
    image: Tensor

    def plot(self) -> Pillow.Image:
        """The image with its classes and their probabilities drawn below it."""
        rows = [(guess.label, guess.probability) for guess in self.top]
        return draw.captioned(self.image, rows, f"{self.model}, {self.protocol}")


def answer_each(asked: Predictor, sources: Sequence[Source | Failure], top: int) -> Iterator[Answer | Failure]:
    """One Answer or Failure for each source that `sources.find` has found, in order, decoding ahead.

    Raises ValueError for a `top` below 1.
    """
    if top < 1:
        raise ValueError(f"top is {top}; ask for at least 1 class")
    read = read_each(sources, BATCH)
    while batch := [(source, _fitting(asked, source, image)) for source, image in islice(read, BATCH)]:
        posteriors = iter(asked([image for _, image in batch if isinstance(image, Tensor)]))
        for source, image in batch:
            if isinstance(image, Failure):
                yield image
            else:
                yield Answer(source, _top(next(posteriors), asked.labels, top), asked.model, asked.protocol, image)


def _fitting(asked: Predictor, source: str, image: Tensor | Failure) -> Tensor | Failure:
    """The image, or why the protocol cannot take it."""
    if isinstance(image, Failure):
        return image
    refusal = asked.refusal(image)
    return image if refusal is None else Failure(source, f"{source}: {refusal}")


def _top(posterior: Tensor, labels: tuple[str, ...], top: int) -> tuple[Guess, ...]:
    values, indices = posterior.sort(descending=True, stable=True)
    best = [(int(index), float(value)) for index, value in zip(indices[:top], values[:top], strict=True)]
    return tuple(Guess(labels[index], index, value) for index, value in best)
