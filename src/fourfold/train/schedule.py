"""Learning rates as values: each maps how far training has come to a rate, and keeps no state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int, int], float]
"""(step from 0, steps in all) -> learning rate"""


@dataclass(frozen=True)
class Steps:
    """`rate`, multiplied by `factor` at each share of the training in `at` (ResNet 4.2: at 32k and 48k of 64k)."""

    rate: float
    at: tuple[float, ...]
    factor: float = 0.1

    def __call__(self, step: int, steps: int) -> float:
        return self.rate * self.factor ** sum(step >= share * steps for share in self.at)


@dataclass(frozen=True)
class Cosine:
    """From zero up to `rate` over the first `warm_up` share of training, then down to zero along half a cosine."""

    rate: float
    warm_up: float

    def __call__(self, step: int, steps: int) -> float:
        done = (step + 1) / steps
        if done < self.warm_up:
            return self.rate * done / self.warm_up
        return self.rate * (1 + math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up))) / 2
