"""The images of an experiment: a fixed part of the user's, or made ones for smoke."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.data.dice import generator_for
from fourfold.data.listing import Listing
from fourfold.data.splits import Splits
from fourfold.reproduce.effort import Effort

SIDE, CLASSES = 32, 10  # as CIFAR-10


@dataclass(frozen=True, eq=False)
class Made:
    """An image that lies in no file."""

    name: str
    pixels: Tensor

    def content(self) -> Tensor:
        """uint8 (3,32,32) RGB."""
        return self.pixels


def made_splits(effort: Effort) -> Splits:
    """Noise around a colour of each class, the same every time; as many images of each class as the effort allows."""
    colours = torch.randint(40, 216, (CLASSES, 3, 1, 1), generator=generator_for("made colours"))
    parts = []
    for part, count in (("train", effort.train_images), ("val", effort.val_images)):
        labels = torch.arange(count) % CLASSES
        noise = torch.randint(-40, 40, (count, 3, SIDE, SIDE), generator=generator_for("made", part))
        images = (colours[labels] + noise).to(torch.uint8)
        items = tuple(Made(f"{part} {index}", image) for index, image in enumerate(images))
        parts.append(Listing(items, tuple(labels.tolist()), tuple(f"colour {label}" for label in range(CLASSES))))
    return Splits(parts[0], parts[1], None, "made images")


def reduced(splits: Splits, effort: Effort) -> Splits:
    """As many images as the effort allows, the same every time, and of every class alike, as far as it has them."""
    train, val = _part(splits.train, effort.train_images), _part(splits.val, effort.val_images)
    return Splits(train, val, None, splits.origin, splits.val_is_test)


def _part(listing: Listing, most: int) -> Listing:
    if len(listing) <= most:
        return listing
    turns = [0] * len(listing.classes)
    ranked = []
    for index in torch.randperm(len(listing), generator=generator_for("a part", len(listing))).tolist():
        label = listing.labels[index]
        ranked.append((turns[label], label, index))
        turns[label] += 1
    return listing.take(sorted(index for _, _, index in sorted(ranked)[:most]))
