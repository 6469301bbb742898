"""A recipe: everything a paper says about training one network, as one value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from fourfold.data.augment import Augment
from fourfold.data.crops import Crop
from fourfold.data.sizes import Sizes, own_size
from fourfold.images import Pixels
from fourfold.train.initialise import Initialise
from fourfold.train.schedule import Plateau, Schedule, at_rate, highest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Budget:
    """How long to train: passes over the images, or images seen in all, or neither, which means as long as the paper."""

    epochs: float | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.images is not None:
            raise ValueError("a budget is in epochs or in images, not both; leave one out")
        if self.epochs is not None and not 0 < self.epochs < math.inf:
            raise ValueError(f"{self.epochs:g} epochs is not a length of training; choose more than 0")
        if self.images is not None and self.images < 1:
            raise ValueError(f"{self.images} images is not a length of training; choose 1 or more")

    def steps(self, images: int, batch: int) -> int | None:
        """Mini-batches of `batch` out of `images`, whose last, incomplete one is left out of every epoch."""
        if self.epochs is not None:
            return max(1, round(self.epochs * (images // batch)))
        return None if self.images is None else max(1, round(self.images / batch))


class Course(Protocol):
    """What the training loop reads of a recipe, and of anything else that says how weights are updated."""

    @property
    def batch_size(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def rate(self) -> Schedule: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def nesterov(self) -> bool: ...
    @property
    def decays_all(self) -> bool: ...
    @property
    def average(self) -> float: ...
    @property
    def patience(self) -> int | None: ...
    def description(self) -> dict[str, object]: ...


@dataclass(frozen=True)
class Recipe:
    """`source` cites the paper; `steps` is its number of mini-batches, on `images` images; `pixels` measures the images.

    crop: the window of a photo that an image shows; None for images that have the network's own size and are used whole.
    sizes: the side of an epoch's images. decays_all: whether weight decay includes biases and batch norms.
    mixup: alpha of Beta(alpha, alpha), 0 for none. average: decay of a running mean of the weights, 0 for none.
    patience: validations without a new best after which training ends. starts_from: the recipe whose weights it needs.
    `deviations` says how it departs from its source.
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
    crop: Crop | None = None
    sizes: Sizes = own_size
    decays_all: bool = True
    label_smoothing: float = 0.0
    mixup: float = 0.0
    average: float = 0.0
    patience: int | None = None
    starts_from: str = ""
    deviations: tuple[str, ...] = ()

    @property
    def epochs(self) -> float:
        """Passes over the paper's images."""
        return self.steps * self.batch_size / self.images

    def fitted(self, images: int, *, budget: Budget = Budget(), batch_size: int | None = None) -> Recipe:
        """The same recipe for another number of images: as many epochs, or the budget's, its schedule stretched with them.

        The batch is the paper's, or, where the images would not fill four of those, a quarter of the images. What differs
        from the paper is added to `deviations`. Raises ValueError for a batch or a length that cannot be.
        """
        batch = min(self.batch_size, max(1, images // 4)) if batch_size is None else batch_size
        if not 1 <= batch <= images:
            raise ValueError(f"a batch of {batch} cannot be filled from {images} images; choose 1 to {images}")
        is_paper = images == self.images and batch == self.batch_size
        own = self.steps if is_paper else max(1, round(self.epochs * (images // batch)))
        steps = budget.steps(images, batch) or own
        said = [
            (batch != self.batch_size, f"batches of {batch} images, not {self.batch_size}"),
            (steps != self.steps, f"{steps:,} mini-batches, not {self.steps:,}; the schedule is stretched to that"),
        ]
        notes = tuple(text for is_so, text in said if is_so)
        rate = self.rate
        if isinstance(rate, Plateau):  # all others are in shares of the training already
            rate = rate.stretched(steps / (images // batch) / self.epochs if steps != self.steps else 1.0)
        return dataclasses.replace(self, batch_size=batch, steps=steps, rate=rate, deviations=(*self.deviations, *notes))

    def at_rate(self, rate: float) -> Recipe:
        """The same recipe with another highest learning rate. Raises ValueError for one that is none."""
        if not 0 < rate < math.inf:
            raise ValueError(f"{rate:g} is not a learning rate; choose more than 0")
        note = f"a learning rate of {rate:g}, not {highest(self.rate):g}"
        return dataclasses.replace(self, rate=at_rate(self.rate, rate), deviations=(*self.deviations, note))

    def with_patience(self, patience: int) -> Recipe:
        """The same recipe, ended after so many validations without a new best. Raises ValueError for less than one."""
        if patience < 1:
            raise ValueError(f"a patience of {patience} validations would end training at once; choose 1 or more")
        note = f"ended after {patience} validations without a new best"
        return dataclasses.replace(self, patience=patience, deviations=(*self.deviations, note))

    def description(self) -> dict[str, object]:
        """The recipe in words and numbers, for recipe.json."""
        return described(self)


def described(value: DataclassInstance) -> dict[str, object]:
    """The fields of a dataclass in words and numbers that JSON can hold."""
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return repr(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.__name__ if callable(value) and hasattr(value, "__name__") else value
