"""A localizer's method: everything a paper says about teaching a network to give boxes, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from fourfold.train.recipe import described
from fourfold.train.schedule import Schedule, at_rate


@dataclass(frozen=True)
class Method:
    """How a classifier becomes a network that gives boxes. A course for the training loop.

    source: the paper and what of it. per_class: four numbers for each class (PCR), or four for all of them (SCR). layers:
    all fc layers are tuned, or the trunk too. scale: the shorter side S of the images for crops of 224 pixels; a network
    that reads crops of another size has it in proportion. is_cut: whether the box that is learned is that of what the crop
    shows, or of the whole object, which may lie partly outside. `deviations` says how it departs from its source.
    Raises ValueError for lengths and scales that cannot be.
    """

    source: str
    per_class: bool
    layers: Literal["fc", "all"]
    scale: int
    is_cut: bool
    steps: int
    rate: Schedule
    batch_size: int
    momentum: float
    weight_decay: float
    nesterov: bool = False
    decays_all: bool = True
    average: float = 0.0
    patience: int | None = None
    deviations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size) < 1:
            raise ValueError(f"{self.steps} mini-batches of {self.batch_size} images cannot be; give 1 or more of both")
        if self.scale < 224:
            raise ValueError(f"no crop of 224 pixels fits images of scale {self.scale}; give a scale of at least 224")

    def with_steps(self, steps: int, batch_size: int | None = None) -> Method:
        """The same of another length, and with another mini-batch if given; the schedule is stretched to it.

        Raises ValueError for less than one.
        """
        batch = self.batch_size if batch_size is None else batch_size
        said = [
            (batch != self.batch_size, f"batches of {batch} images, not {self.batch_size}"),
            (steps != self.steps, f"{steps:,} mini-batches, not {self.steps:,}; the schedule is stretched to that"),
        ]
        notes = tuple(text for is_so, text in said if is_so)
        return replace(self, steps=steps, batch_size=batch, deviations=(*self.deviations, *notes))

    def at_rate(self, rate: float) -> Method:
        """The same with another highest learning rate. Raises ValueError for one that is none."""
        if not 0 < rate < math.inf:
            raise ValueError(f"{rate:g} is not a learning rate; give a number above 0, such as 0.001")
        note = f"a learning rate of {rate:g}"
        return replace(self, rate=at_rate(self.rate, rate), deviations=(*self.deviations, note))

    def description(self) -> dict[str, object]:
        """In words and numbers, for files."""
        return described(self)
