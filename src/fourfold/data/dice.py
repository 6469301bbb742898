"""Random numbers for a batch: one row for each image, the same rows however the batch is divided among processes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dice:
    """Draws for `total` images from `generator`, and hands out the rows `start` to `stop`: those of the images at hand.

    Every process draws the whole batch's numbers and keeps its own, so that two processes crop as one would. `coins` is
    what the loader knows of its images and epoch, for `turns`.
    """

    generator: torch.Generator
    total: int
    start: int
    stop: int
    coins: Tensor | None = None

    def turns(self) -> Tensor:
        """bool (N,): one coin for each image, turned over from epoch to epoch; without a loader, thrown anew."""
        return self.integers(2).bool() if self.coins is None else self.coins

    def uniform(self, *shape: int) -> Tensor:
        """float32 (N, *shape) in [0, 1)."""
        return torch.rand((self.total, *shape), generator=self.generator)[self.start : self.stop]

    def normal(self, *shape: int) -> Tensor:
        """float32 (N, *shape) of mean 0 and deviation 1."""
        return torch.randn((self.total, *shape), generator=self.generator)[self.start : self.stop]

    def integers(self, high: int, *shape: int) -> Tensor:
        """int64 (N, *shape) in [0, high)."""
        return torch.randint(high, (self.total, *shape), generator=self.generator)[self.start : self.stop]

    def beta(self, alpha: float) -> Tensor:
        """float32 (N,) from Beta(alpha, alpha)."""
        seed = int(torch.randint(2**62, (), generator=self.generator))
        draws = np.random.default_rng(seed).beta(alpha, alpha, self.total)  # torch has no Beta that takes a generator
        return torch.from_numpy(draws[self.start : self.stop]).float()


def dice_for(count: int, *numbers: int | str) -> Dice:
    """Dice for one whole batch of `count` images, seeded by a hash of `numbers`."""
    return Dice(generator_for(*numbers), count, 0, count)


def generator_for(*numbers: int | str) -> torch.Generator:
    """A generator seeded by a hash of these numbers, so that neighbouring seeds and epochs share nothing."""
    digest = hashlib.sha256(repr(numbers).encode("utf-8")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
