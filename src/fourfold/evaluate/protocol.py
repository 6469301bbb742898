"""Test protocols: how a network is asked about an image. Each gives posteriors (N,K) for N images of any size.

First of them, the single view; a protocol is a value whose text says what it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.catalog import Network
from fourfold.images import centre_crop, resize_shorter, view_scale

Protocol = Callable[[Network, Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class CentreView:
    """One view: the size x size centre of the image scaled to a shorter side of `scale` (ResNet Figure 4)."""

    scale: int
    size: int

    def __call__(self, network: Network, images: Sequence[Tensor]) -> Tensor:
        """uint8 (3,H,W) images of any sizes -> float32 posteriors (N,K)."""
        views = torch.stack([self.view(image) for image in images])
        with torch.inference_mode():
            return network.classifier(network.pixels(views)).softmax(1)

    def view(self, image: Tensor) -> Tensor:
        """uint8 (3,H,W) -> uint8 (3,size,size)."""
        return centre_crop(resize_shorter(image, self.scale), self.size)

    def __str__(self) -> str:
        if self.scale == self.size:
            return f"centre {self.size} of shorter side {self.size}"
        return f"centre {self.size} crop of shorter side {self.scale}"


def single_view(size: int) -> CentreView:
    """The usual view for a network that was trained on size x size pixels."""
    return CentreView(view_scale(size), size)
