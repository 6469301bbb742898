"""Whole images: the fc layers slid over the map (VGG 3.2, ResNet 4.1), or one pool over all of it (SPP-net 3.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.catalog import Network
from fourfold.evaluate.crops import check_size
from fourfold.evaluate.protocol import Protocol, alike, check_scales, in_words, scaled_sizes
from fourfold.evaluate.views import View
from fourfold.models.base import FlattenHead


@dataclass(frozen=True)
class Dense(Protocol):
    """The network as a convolution over the whole image at each scale, and over its mirror image.

    Reading: "the class score map is spatially averaged (sum-pooled)", then comes the softmax; `softmax_first` takes the
    softmax at every place instead, as some ports do. Posteriors of scales and mirror images are averaged. Raises ValueError
    where a scale is smaller than the network's input size.
    """

    scales: tuple[int, ...]
    size: int
    softmax_first: bool = False
    are_mirrored: bool = True

    def __post_init__(self) -> None:
        check_scales(self.scales, self.size)

    def posteriors(self, network: Network, images: Sequence[Tensor]) -> Tensor:
        """See Protocol."""

        def score(pixels: Tensor) -> Tensor:
            scores = network.classifier.dense(pixels)
            return scores.softmax(1).mean((2, 3)) if self.softmax_first else scores.mean((2, 3)).softmax(1)

        return _over_scales(self, network, images, score)

    def views(self, height: int, width: int) -> tuple[View, ...]:
        """See Protocol: the whole image at each scale."""
        return _whole_views(self, height, width)

    def check(self, network: Network) -> None:
        """See Protocol."""
        check_size(network, self.size)

    def __str__(self) -> str:
        return f"dense over {in_words(self.scales)}{_mirrored(self)}; {_order(self.softmax_first)}"


@dataclass(frozen=True)
class FullImage(Protocol):
    """One pool over the map of the whole image, for heads that pool maps of any size.

    Posteriors of scales and mirror images are averaged. Raises ValueError where a scale is smaller than the network's input
    size.
    """

    scales: tuple[int, ...]
    size: int
    are_mirrored: bool = False

    def __post_init__(self) -> None:
        check_scales(self.scales, self.size)

    def posteriors(self, network: Network, images: Sequence[Tensor]) -> Tensor:
        """See Protocol."""
        return _over_scales(self, network, images, lambda pixels: network.classifier(pixels).softmax(1))

    def views(self, height: int, width: int) -> tuple[View, ...]:
        """See Protocol: the whole image at each scale."""
        return _whole_views(self, height, width)

    def check(self, network: Network) -> None:
        """See Protocol."""
        check_size(network, self.size)
        check_pools_any_size(network)

    def __str__(self) -> str:
        return f"full image of {in_words(self.scales)}{_mirrored(self)}, pooled at once"


def check_pools_any_size(network: Network) -> None:
    """Raises ValueError for a head whose fc layers read maps of one size only."""
    head = network.classifier.head
    if isinstance(head, FlattenHead):
        raise ValueError(
            f"the fc layers of {network.entry.name} read {head.side}x{head.side} cells and no other map; use a network that "
            "pools maps of any size, such as zf5-spp or a ResNet, or the protocol dense"
        )


def _order(softmax_first: bool) -> str:
    return "posteriors of all places averaged" if softmax_first else "scores of all places averaged, then softmax"


def _mirrored(protocol: Dense | FullImage) -> str:
    return ", mirrored too" if protocol.are_mirrored else ""


def _over_scales(
    protocol: Dense | FullImage, network: Network, images: Sequence[Tensor], score: Callable[[Tensor], Tensor]
) -> Tensor:
    for image in images:
        scaled_sizes(image.shape[-2], image.shape[-1], protocol.scales)
    total = torch.zeros(len(images), len(network.labels))
    for scale in protocol.scales:
        for members, batch in alike(images, scale, protocol.size, are_mirrored=protocol.are_mirrored):
            given = score(network.pixels(batch))
            total[members] += given.view(-1, len(members), given.shape[1]).sum(0)
    return total / (len(protocol.scales) * (1 + protocol.are_mirrored))


def _whole_views(protocol: Dense | FullImage, height: int, width: int) -> tuple[View, ...]:
    return tuple(
        View(scaled, 0, 0, *scaled, is_mirrored)
        for scaled in scaled_sizes(height, width, protocol.scales)
        for is_mirrored in ((False, True) if protocol.are_mirrored else (False,))
    )
