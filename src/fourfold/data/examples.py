"""Labelled images held in memory: what training and testing read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.shapes import expect


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
