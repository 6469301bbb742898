"""Batches of augmented examples in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.data.augment import Augment
from fourfold.data.examples import Examples


@dataclass(frozen=True)
class Loader:
    """Batches for training; the last, incomplete batch of an epoch is left out, as its statistics would be noisier."""

    examples: Examples
    batch_size: int
    augment: Sequence[Augment]
    seed: int

    def __post_init__(self) -> None:
        if len(self.examples) < self.batch_size:
            raise ValueError(
                f"{len(self.examples)} images do not fill a batch of {self.batch_size}; give more images or a smaller batch"
            )

    def __len__(self) -> int:
        return len(self.examples) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches `start` onward of one pass: images uint8 (N,3,H,W) and labels int64 (N,)."""
        order = torch.randperm(len(self.examples), generator=generator_for(self.seed, epoch))
        for index in range(start, len(self)):
            batch = order[index * self.batch_size : (index + 1) * self.batch_size]
            images = self.examples.images[batch]
            generator = generator_for(self.seed, epoch, index)
            for step in self.augment:
                images = step(images, generator)
            yield images, self.examples.labels[batch]


def generator_for(*numbers: int | str) -> torch.Generator:
    """A generator seeded by a hash of these numbers, so that neighbouring seeds and epochs share nothing."""
    digest = hashlib.sha256(repr(numbers).encode("utf-8")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
