"""Labelled images held in memory: what training and testing read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.data.listing import Broken, Listing, read_in_order
from fourfold.images import centre_view
from fourfold.shapes import expect

MEMORY_LIMIT = 8 * 2**30  # bytes of decoded images that a run may hold


@dataclass(frozen=True, eq=False)
class Examples:
    """images: uint8 (N,3,H,W) RGB; labels: int64 (N,), indices into `classes`. Raises ValueError where these disagree."""

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        expect(self.images, "N 3 H W", name="images")
        expect(self.labels, str(len(self.images)), name="labels")
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(f"labels reach beyond the {len(self.classes)} classes given")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Examples:
        """The examples at these positions, in this order."""
        return Examples(self.images[indices], self.labels[indices], self.classes)

    def hold_out(self, share: float, generator: torch.Generator) -> tuple[Examples, Examples]:
        """Split off `share` of every class (at least one image where a class has two): the rest, and what was held out."""
        held = []
        for label in range(len(self.classes)):
            members = (self.labels == label).nonzero().flatten()
            count = min(max(1, round(share * len(members))), len(members) - 1)
            order = torch.randperm(len(members), generator=generator)
            held.append(members[order[: max(0, count)]])
        indices = torch.cat(held).sort().values
        keep = torch.ones(len(self), dtype=torch.bool)
        keep[indices] = False
        return self.take(keep.nonzero().flatten()), self.take(indices)


def decode(
    listing: Listing, size: int, watch: Callable[[int, int], None] = lambda _done, _all: None
) -> tuple[Examples, list[Broken]]:
    """Decode a listing to the size x size pixels of the single view, and say which files were left out.

    Raises ValueError when the images would not fit MEMORY_LIMIT, or when a class keeps no image.
    """
    needed = len(listing) * 3 * size * size
    if needed > MEMORY_LIMIT:
        limit = MEMORY_LIMIT // (3 * size * size)
        raise ValueError(f"{len(listing):,} images of {size}x{size} do not fit into memory; train on at most {limit:,}")
    images = torch.empty(len(listing), 3, size, size, dtype=torch.uint8)
    kept, broken = [], []
    for index, image in enumerate(read_in_order(listing.items)):
        if isinstance(image, Broken):
            broken.append(image)
        else:
            images[len(kept)] = centre_view(image, size)
            kept.append(index)
        watch(index + 1, len(listing))
    labels = torch.tensor(listing.take_readable(kept).labels, dtype=torch.int64)
    return Examples(images[: len(kept)], labels, listing.classes), broken
