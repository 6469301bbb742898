"""Learning rates as values: each maps how far training has come to a rate, and keeps no state.

All arithmetic is on Python floats, so that a resumed run has the same rates bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Progress:
    """How far training has come: mini-batches done, of how many; errors (shares of 1) by epoch and by validation."""

    step: int
    steps: int
    train_errors: tuple[float, ...] = ()
    val_errors: tuple[float, ...] = ()

    @property
    def share(self) -> float:
        """Of the training that is done, 0 to 1."""
        return self.step / self.steps


Schedule = Callable[[Progress], float]
"""progress -> learning rate of the next mini-batch"""


@dataclass(frozen=True)
class Steps:
    """`rate`, multiplied by `factor` at each share of the training in `at` (ResNet 4.2: at 32k and 48k of 64k)."""

    rate: float
    at: tuple[float, ...]
    factor: float = 0.1

    def __call__(self, progress: Progress) -> float:
        return self.rate * self.factor ** sum(progress.step >= share * progress.steps for share in self.at)


@dataclass(frozen=True)
class Cosine:
    """From zero up to `rate` over the first `warm_up` share of training, then down to zero along half a cosine."""

    rate: float
    warm_up: float

    def __call__(self, progress: Progress) -> float:
        done = (progress.step + 1) / progress.steps
        if done < self.warm_up:
            return self.rate * done / self.warm_up
        return self.rate * (1 + math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up))) / 2


@dataclass(frozen=True)
class Plateau:
    """`rate`, multiplied by `factor` when the validation error stops improving, at most `drops` times (VGG 3.1).

    The rule: `patience` validations in a row without a new best make a drop; then the count begins again, and the best
    stays. A validation that equals the best is none better. Without validations the rate stays.
    """

    rate: float
    drops: int
    patience: int
    factor: float = 0.1

    def stretched(self, factor: float) -> Plateau:
        """For a training `factor` times as long: patience grows with it, and stays at two validations or more."""
        return replace(self, patience=max(2, round(self.patience * factor)) if factor != 1 else self.patience)

    def __call__(self, progress: Progress) -> float:
        best, since, dropped = math.inf, 0, 0
        for error in progress.val_errors:
            best, since = (error, 0) if error < best else (best, since + 1)
            if since == self.patience:
                dropped, since = dropped + 1, 0
        return self.rate * self.factor ** min(dropped, self.drops)


@dataclass(frozen=True)
class Decay:
    """`rate`, multiplied by `factor` whenever a further `every` of the training is done (GoogLeNet 6: every 8 epochs)."""

    rate: float
    every: float
    factor: float = 0.96  # GoogLeNet 6

    def __call__(self, progress: Progress) -> float:
        times = math.floor(progress.share / self.every + 1e-9)  # a quotient just below a whole number is meant to be it
        return self.rate * self.factor**times


@dataclass(frozen=True)
class WarmUntil:
    """`rate` until the training error of an epoch is below `error`, or `share` of the training is done; after that `then`.

    ResNet 4.2 for 110 layers: 0.01 until the error is below 80 %, about 400 mini-batches (an epoch has 390), then 0.1
    with the usual schedule, which counts from the first mini-batch. An `error` of 0 or a `share` of 1 leaves that out.
    """

    rate: float
    then: Schedule
    error: float = 0.0
    share: float = 1.0

    def __call__(self, progress: Progress) -> float:
        is_warm = progress.share >= self.share or any(error < self.error for error in progress.train_errors)
        return self.then(progress) if is_warm else self.rate


def highest(schedule: Schedule) -> float:
    """The rate that a schedule of this file falls from."""
    if isinstance(schedule, WarmUntil):
        return highest(schedule.then)
    assert isinstance(schedule, Steps | Cosine | Plateau | Decay)
    return schedule.rate


def at_rate(schedule: Schedule, rate: float) -> Schedule:
    """The same schedule, of this file, falling from another rate; a warm-up keeps its proportion."""
    if isinstance(schedule, WarmUntil):
        warm = schedule.rate * rate / highest(schedule)
        return replace(schedule, rate=warm, then=at_rate(schedule.then, rate))
    assert isinstance(schedule, Steps | Cosine | Plateau | Decay)
    return replace(schedule, rate=rate)
