"""Augmentation steps for a batch of equally large images: uint8 (N,3,H,W), generator -> uint8 (N,3,h,w).

Every image draws its own numbers, and all of a batch's numbers come from one generator, so a batch depends only on
(seed, epoch, batch), never on threads or on where training was resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class PadCrop:
    """Pad every side by `padding` pixels of `value`, then cut the original size at a random place (ResNet 4.2)."""

    padding: int = 4
    value: int = 0

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = images.shape
        padded = F.pad(images, (self.padding,) * 4, value=self.value)
        reach = 2 * self.padding + 1
        tops, lefts = torch.randint(reach, (2, count), generator=generator)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (N,3,reach,reach,H,W)
        return windows[torch.arange(count), :, tops, lefts]


@dataclass(frozen=True)
class Flip:
    """Mirror each image left to right with probability one half."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        is_flipped = torch.randint(2, (len(images), 1, 1, 1), generator=generator).bool()
        return torch.where(is_flipped, images.flip(3), images)
