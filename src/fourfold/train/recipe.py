"""A recipe: everything a paper says about training one network, as one value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from fourfold.data.augment import Augment
from fourfold.images import Pixels
from fourfold.train.initialise import Initialise
from fourfold.train.schedule import Schedule


@dataclass(frozen=True)
class Recipe:
    """`source` cites the paper; `steps` is the paper's number of mini-batches; `pixels` measures the training images."""

    source: str
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

    def stretched(self, steps: int) -> Recipe:
        """The same recipe over another number of steps; its schedule stretches with it, and it says so."""
        if steps == self.steps:
            return self
        note = f"trained for {steps:,} mini-batches, not {self.steps:,}; the schedule is stretched to that"
        return dataclasses.replace(self, steps=steps, deviations=(*self.deviations, note))

    def description(self) -> dict[str, object]:
        """The recipe in words and numbers, for recipe.json."""
        return {
            field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)
        }


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return repr(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.__name__ if callable(value) and hasattr(value, "__name__") else value
