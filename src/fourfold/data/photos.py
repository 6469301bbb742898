"""Photos: labelled images that are decoded when they are needed, each through a window, in threads ahead of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.ahead import in_order
from fourfold.data.crops import Crop
from fourfold.data.listing import Broken, Item, Listing
from fourfold.windows import Window, read_window

AHEAD = 256  # windows decoded before they are asked for: two batches, 40 MB at 224x224

Wanted = tuple[Item, Callable[[int, int], Window], int]


@dataclass(frozen=True, eq=False)
class Photos:
    """Items seen through `crop`; `workers` threads decode them, and how many there are changes nothing but the time."""

    listing: Listing
    crop: Crop
    workers: int = 2

    def __len__(self) -> int:
        return len(self.listing)

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the labels."""
        return self.listing.classes

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        return torch.tensor(self.listing.labels, dtype=torch.int64)

    def read(self, batches: Iterable[tuple[Tensor, Tensor, int]]) -> Iterator[Tensor]:
        """uint8 (n,3,size,size) for each of (indices (n,), numbers (n, crop.draws), size).

        Raises ValueError for an item that has become unreadable since `survey`.
        """
        sizes: list[int] = []

        def wanted() -> Iterator[Wanted]:
            for indices, numbers, size in batches:
                sizes.append(len(indices))
                for index, row in zip(indices.tolist(), numbers.tolist(), strict=True):
                    yield self.listing.items[index], _bound(self.crop, row), size

        windows = in_order(_read, wanted(), AHEAD, self.workers)
        while (first := next(windows, None)) is not None:
            yield torch.stack([first, *(next(windows) for _ in range(sizes.pop(0) - 1))])


def survey(
    listing: Listing, crop: Crop, size: int, watch: Callable[[int, int], None] = lambda _done, _all: None
) -> tuple[Listing, list[Broken], Tensor]:
    """Read every item once: those that can be, those that cannot, and up to a gigabyte of them as (n,3,size,size).

    crop: a rule without draws. Raises ValueError where a class keeps no item.
    """
    room = max(1, 2**30 // (3 * size * size))
    every = max(1, -(-len(listing) // room))  # evenly over the classes, which come one after the other
    kept, broken, sample = [], [], []
    tasks = ((item, _bound(crop, []), size) for item in listing.items)
    for index, image in enumerate(in_order(_try, tasks, AHEAD)):
        if isinstance(image, Broken):
            broken.append(image)
        else:
            kept.append(index)
            if index % every == 0:
                sample.append(image)
        watch(index + 1, len(listing))
    return listing.take_readable(kept), broken, torch.stack(sample)


def _bound(crop: Crop, numbers: list[float]) -> Callable[[int, int], Window]:
    return lambda height, width: crop(height, width, numbers)


def _read(wanted: Wanted) -> Tensor:
    item, choose, size = wanted
    return read_window(item.content(), choose, size, name=item.name)


def _try(wanted: Wanted) -> Tensor | Broken:
    try:
        return _read(wanted)
    except ValueError as error:
        return Broken(wanted[0].name, str(error))
