"""Crops: views cut from scaled images, each shown by itself (AlexNet 4.1, VGG 3.2, GoogLeNet 7, SPP-net 3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from fourfold.catalog import Network
from fourfold.evaluate.protocol import Protocol, check_scales, in_words, pixels_at_once
from fourfold.evaluate.views import CENTRE, Layout, View
from fourfold.images import resize, scaled_size, view_scale


@dataclass(frozen=True)
class Crops(Protocol):
    """size x size crops, laid out on the image at each scale, and their mirror images if asked for.

    combine: the posteriors of the crops are averaged, or their maximum is taken class by class and brought to sum 1 again
    (which GoogLeNet 7 found "inferior to simple averaging"). A square of the layout that is larger than `size` is scaled
    down to it. Smaller images are scaled up. Raises ValueError where a scale is smaller than the crop.
    """

    scales: tuple[int, ...]
    size: int
    layout: Layout
    are_mirrored: bool = True
    combine: Literal["mean", "max"] = "mean"

    def __post_init__(self) -> None:
        check_scales(self.scales, self.size)

    def posteriors(self, network: Network, images: Sequence[Tensor]) -> Tensor:
        """See Protocol. Crops of one image share its scaled copies; batches fill across images."""
        crops = ((index, crop) for index, image in enumerate(images) for crop in self.cut(image))
        fused = torch.zeros(len(images), len(network.labels))
        counts = torch.zeros(len(images), 1)
        while part := list(islice(crops, pixels_at_once(self.size) // self.size**2)):
            owners = torch.tensor([index for index, _ in part])
            given = network.classifier(network.pixels(torch.stack([crop for _, crop in part]))).softmax(1)
            if self.combine == "mean":
                fused.index_add_(0, owners, given)
            else:
                fused.scatter_reduce_(0, owners[:, None].expand_as(given), given, "amax")
            counts.index_add_(0, owners, torch.ones(len(part), 1))
        return fused / (counts if self.combine == "mean" else fused.sum(1, keepdim=True))

    def cut(self, image: Tensor) -> Iterator[Tensor]:
        """The crops uint8 (3,size,size) of an image uint8 (3,H,W), in the order of `views`."""
        for height, width in self._sizes(image.shape[-2], image.shape[-1]):
            scaled = resize(image, height, width)
            for top, left, side in self.layout(height, width, self.size):
                crop = resize(scaled[:, top : top + side, left : left + side], self.size, self.size)
                yield crop
                if self.are_mirrored:
                    yield crop.flip(-1)

    def views(self, height: int, width: int) -> tuple[View, ...]:
        """See Protocol."""
        return tuple(
            View(scaled, top, left, side, side, is_mirrored)
            for scaled in self._sizes(height, width)
            for top, left, side in self.layout(*scaled, self.size)
            for is_mirrored in ((False, True) if self.are_mirrored else (False,))
        )

    def check(self, network: Network) -> None:
        """See Protocol."""
        check_size(network, self.size)

    def _sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        return [scaled_size(height, width, scale) for scale in self.scales]

    def __str__(self) -> str:
        if self.layout == CENTRE and not self.are_mirrored and len(self.scales) == 1:
            crop = "" if self.scales[0] == self.size else " crop"
            return f"centre {self.size}{crop} of {in_words(self.scales)}"
        mirrored = ", mirrored too" if self.are_mirrored else ""
        fused = "averaged" if self.combine == "mean" else "fused by their maximum"
        return f"{self.size} crops of {in_words(self.scales)}: {self.layout.words}{mirrored}; posteriors {fused}"


def single_view(size: int) -> Crops:
    """The usual view for a network that was trained on size x size pixels (ResNet Figure 4)."""
    return Crops((view_scale(size),), size, CENTRE, are_mirrored=False)


def check_size(network: Network, size: int) -> None:
    """Raises ValueError where a protocol's crops are not of the size that the network reads."""
    if network.classifier.input_size != size:
        raise ValueError(
            f"{network.entry.name} reads {network.classifier.input_size}x{network.classifier.input_size} pixels, and the "
            f"protocol gives {size}x{size}; make the protocol for the network's input size"
        )
