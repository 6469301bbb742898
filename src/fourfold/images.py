"""Images: uint8 (3,H,W) RGB. Files and bytes in, sizes changed, and the normalisation that belongs to the weights.

The only place that decodes images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Pixels:
    """How weights want their pixels: (value - mean) / std on the 0..255 scale, in the given channel order.

    `mean_image` is a per-pixel mean (3,H,W) as AlexNet, SPP-net and ResNet subtract it; it is warped to the size of the
    image, and `mean` is left out of account where it is given.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    order: Literal["RGB", "BGR"] = "RGB"
    mean_image: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N,3,H,W) RGB -> float32 (N,3,H,W), laid out with channels last, which is what CPUs convolve fastest."""
        values = images.to(torch.float32, memory_format=torch.channels_last)
        if self.order == "BGR":
            values = values.flip(1)
        mean = self._mean(values.shape[-2], values.shape[-1])
        return ((values - mean) / torch.tensor(self.std).view(3, 1, 1)).contiguous(memory_format=torch.channels_last)

    def _mean(self, height: int, width: int) -> Tensor:
        if self.mean_image is None:
            return torch.tensor(self.mean).view(3, 1, 1)
        if self.mean_image.shape[-2:] == (height, width):
            return self.mean_image
        return F.interpolate(self.mean_image[None], (height, width), mode="bilinear", antialias=True)[0]


def channel_pixels(images: Tensor) -> Pixels:
    """Mean and standard deviation of each channel over uint8 (N,3,H,W)."""
    parts = [part.double() for part in images.split(4096)]
    count = images.shape[0] * images.shape[2] * images.shape[3]
    mean = torch.stack([part.sum((0, 2, 3)) for part in parts]).sum(0) / count
    square = torch.stack([(part - mean.view(3, 1, 1)).square().sum((0, 2, 3)) for part in parts]).sum(0) / count
    std = square.sqrt().clamp(min=1.0)  # an image set of one colour must not divide by zero
    return Pixels(mean=tuple(round(value, 3) for value in mean.tolist()), std=tuple(round(v, 3) for v in std.tolist()))


def mean_image_pixels(images: Tensor) -> Pixels:
    """The mean of every pixel over uint8 (N,3,H,W), subtracted without scaling (ResNet 4.2: "per-pixel mean subtracted")."""
    total = torch.stack([part.double().sum(0) for part in images.split(4096)]).sum(0)
    return Pixels(mean_image=(total / len(images)).float())
