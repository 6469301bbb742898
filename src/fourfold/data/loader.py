"""Batches of augmented images in an order that depends on (seed, epoch) alone, whoever reads them and in how many parts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from fourfold.data.augment import Augment
from fourfold.data.dice import Dice, generator_for
from fourfold.data.examples import Examples
from fourfold.data.photos import Photos
from fourfold.data.sizes import Sizes, own_size

Source = Examples | Photos


@dataclass(frozen=True)
class Part:
    """Rows of one mini-batch: images uint8 (n,3,H,W), labels int64 (n,), their place in it, and whether they end it."""

    images: Tensor
    labels: Tensor
    dice: Dice
    is_last: bool

    def to(self, device: torch.device) -> Part:
        """The same with its images and labels on a device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True)
class Rows:
    """The rows of a mini-batch that this process takes (of `world`, all alike), and how many at a time."""

    rank: int = 0
    world: int = 1
    at_once: int | None = None

    def parts(self, total: int) -> list[tuple[int, int]]:
        """(start, stop) for a mini-batch of `total` images."""
        first, last = (total * (self.rank + one) // self.world for one in (0, 1))
        step = self.at_once or max(1, last - first)
        return [(start, min(start + step, last)) for start in range(first, last, step)]


@dataclass(frozen=True)
class Loader:
    """Batches for training; the last, incomplete batch of an epoch is left out, as its statistics would be noisier."""

    source: Source
    batch_size: int
    augment: Sequence[Augment]
    seed: int
    size: int
    sizes: Sizes = own_size
    rows: Rows = Rows()

    def __post_init__(self) -> None:
        if len(self.source) < self.batch_size:
            raise ValueError(
                f"{len(self.source)} images do not fill a batch of {self.batch_size}; give more images or a smaller batch"
            )
        if self.rows.world > self.batch_size:
            raise ValueError(f"a batch of {self.batch_size} cannot feed {self.rows.world} processes; use fewer of them")

    def __len__(self) -> int:
        return len(self.source) // self.batch_size

    def epoch(self, epoch: int, start: int = 0, share: float = 0.0) -> Iterator[Part]:
        """The parts of batches `start` onward of one pass; `share` says how much of the training was done before it."""
        number = torch.rand((), generator=generator_for(self.seed, "size", epoch)).item()
        coins = torch.randint(2, (len(self.source),), generator=generator_for(self.seed, "coins")).bool() ^ bool(epoch % 2)
        size = self.sizes(self.size, epoch, share, number)
        order = torch.randperm(len(self.source), generator=generator_for(self.seed, epoch))
        ranges = self.rows.parts(self.batch_size)
        places = itertools.product(range(start, len(self)), ranges)
        images = self._read(order, epoch, size, places)
        labels = self.source.labels
        for (index, (first, last)), batch in zip(itertools.product(range(start, len(self)), ranges), images, strict=True):
            indices = self._indices(order, index, first, last)
            dice = replace(self._dice(epoch, index, first, last), coins=coins[indices])
            for step in self.augment:
                batch = step(batch, dice)  # noqa: PLW2901
            if batch.shape[-1] != size:
                batch = F.interpolate(batch, (size, size), mode="bilinear", antialias=True)  # noqa: PLW2901
            yield Part(batch, labels[indices], dice, last == ranges[-1][1])

    def _read(self, order: Tensor, epoch: int, size: int, places: Iterator[tuple[int, tuple[int, int]]]) -> Iterator[Tensor]:
        """Images before augmentation. Windows draw from dice of their own, so that they can be read ahead."""
        wanted = ((index, first, last, self._indices(order, index, first, last)) for index, (first, last) in places)
        if isinstance(self.source, Examples):
            yield from (self.source.images[indices] for _, _, _, indices in wanted)
            return
        draws = self.source.crop.draws
        yield from self.source.read(
            (indices, self._dice(epoch, index, first, last, "window").uniform(draws), size)
            for index, first, last, indices in wanted
        )

    def _indices(self, order: Tensor, index: int, first: int, last: int) -> Tensor:
        return order[index * self.batch_size + first : index * self.batch_size + last]

    def _dice(self, epoch: int, index: int, first: int, last: int, *what: str) -> Dice:
        return Dice(generator_for(self.seed, epoch, index, *what), self.batch_size, first, last)


def in_turn(source: Source, size: int, rows: Rows = Rows(), batch_size: int = 250) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, as it is, in order: those of rank 0 first, then those of rank 1; (images, labels)."""
    indices = torch.cat([torch.arange(*part) for part in rows.parts(len(source))] or [torch.arange(0)]).split(batch_size)
    labels = source.labels
    if isinstance(source, Examples):
        yield from ((source.images[part], labels[part]) for part in indices if len(part))
        return
    nothing = torch.zeros(batch_size, source.crop.draws)
    images = source.read((part, nothing[: len(part)], size) for part in indices if len(part))
    yield from ((batch, labels[part]) for batch, part in zip(images, [p for p in indices if len(p)], strict=True))
