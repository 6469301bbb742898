"""A recipe: everything a paper says about training one network, as one value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from fourfold.data.augment import Augment
from fourfold.images import Pixels
from fourfold.train.initialise import Initialise
from fourfold.train.schedule import Schedule


@dataclass(frozen=True)
class Recipe:
    """`source` cites the paper; `steps` is its number of mini-batches, on `images` images; `pixels` measures the images.

    `deviations` says how a recipe departs from its source.
    """

    source: str
    images: int
    batch_size: int
    steps: int
    rate: Schedule
    initialise: Initialise
    augment: tuple[Augment, ...]
    pixels: Callable[[Tensor], Pixels]
    momentum: float
    weight_decay: float
    nesterov: bool = False
    deviations: tuple[str, ...] = ()

    @property
    def epochs(self) -> float:
        """Passes over the paper's images."""
        return self.steps * self.batch_size / self.images

    def fitted(self, images: int, *, epochs: float | None = None, batch_size: int | None = None) -> Recipe:
        """The same recipe for another number of images: as many epochs (or `epochs`), its schedule stretched with them.

        The batch is the paper's, or, where the images would not fill four of those, a quarter of the images. What differs
        from the paper is added to `deviations`. Raises ValueError for a batch or a number of epochs that cannot be.
        """
        batch = min(self.batch_size, max(1, images // 4)) if batch_size is None else batch_size
        if not 1 <= batch <= images:
            raise ValueError(f"a batch of {batch} cannot be filled from {images} images; choose 1 to {images}")
        if epochs is not None and not 0 < epochs < math.inf:
            raise ValueError(f"{epochs:g} epochs is not a length of training; choose more than 0")
        is_paper = images == self.images and batch == self.batch_size and epochs is None
        steps = self.steps if is_paper else max(1, round((epochs or self.epochs) * (images // batch)))
        said = [
            (batch != self.batch_size, f"batches of {batch} images, not {self.batch_size}"),
            (steps != self.steps, f"{steps:,} mini-batches, not {self.steps:,}; the schedule is stretched to that"),
        ]
        notes = tuple(text for is_so, text in said if is_so)
        return dataclasses.replace(self, batch_size=batch, steps=steps, deviations=(*self.deviations, *notes))

    def description(self) -> dict[str, object]:
        """The recipe in words and numbers, for recipe.json."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return repr(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.__name__ if callable(value) and hasattr(value, "__name__") else value
