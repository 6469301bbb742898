"""Test protocols: how a network is asked about images. A protocol is a value whose text says what it does.

This file: what all of them promise, and the mean of several. Crops are in crops.py, whole images in whole.py, and views on
shared maps in map_views.py; the papers' own by name are in papers/protocols.py.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.catalog import Network
from fourfold.evaluate.views import View
from fourfold.images import resize, scaled_size

AT_ONCE = 16  # images of a network's own size that go through it together; more are slower per image on CPUs
LEAST_PIXELS = 2**17  # of small images so many more: 128 of 32x32
MOST_PIXELS = 4_000_000  # of a scaled image: VGG-D's first maps then hold 1 GB each


class Protocol(abc.ABC):
    """Images of any sizes -> posteriors over the classes. An image's answer does not depend on those beside it."""

    def __call__(self, network: Network, images: Sequence[Tensor]) -> Tensor:
        """uint8 (3,H,W) images -> float32 posteriors (N,K), each row of sum 1.

        Raises ValueError for a network that cannot be asked so, and for an image that becomes too large when scaled.
        """
        self.check(network)
        if not images:
            return torch.zeros(0, len(network.labels))
        with torch.inference_mode():
            given = self.posteriors(network, images)
        return given.clone()  # out here it is a tensor like others, which may be changed in place

    @abc.abstractmethod
    def posteriors(self, network: Network, images: Sequence[Tensor]) -> Tensor:
        """What `__call__` gives, for at least one image."""

    @abc.abstractmethod
    def views(self, height: int, width: int) -> tuple[View, ...]:
        """What the network sees of an image of that size. Raises ValueError for one that becomes too large when scaled."""

    @abc.abstractmethod
    def check(self, network: Network) -> None:
        """Raises ValueError for a network that cannot be asked so."""


@dataclass(frozen=True)
class Average(Protocol):
    """The mean of several protocols' posteriors, such as VGG's multi-crop and dense evaluation (VGG 3.2)."""

    parts: tuple[Protocol, ...]

    def posteriors(self, network: Network, images: Sequence[Tensor]) -> Tensor:
        """See Protocol."""
        return torch.stack([part.posteriors(network, images) for part in self.parts]).mean(0)

    def views(self, height: int, width: int) -> tuple[View, ...]:
        """See Protocol."""
        return tuple(view for part in self.parts for view in part.views(height, width))

    def check(self, network: Network) -> None:
        """See Protocol."""
        for part in self.parts:
            part.check(network)

    def __str__(self) -> str:
        return f"mean of: {'; and '.join(map(str, self.parts))}"


def check_scales(scales: Sequence[int], size: int) -> None:
    """Raises ValueError for no scale at all, and for one in which no size x size window fits."""
    if not scales:
        raise ValueError(f"no scale is given; give shorter sides of at least {size} pixels")
    if min(scales) < size:
        raise ValueError(
            f"scale {min(scales)} is smaller than the network's {size}x{size} window; use scales of at least {size} pixels"
        )


def scaled_sizes(height: int, width: int, scales: Sequence[int]) -> list[tuple[int, int]]:
    """`images.scaled_size` for each scale. Raises ValueError where that is too large an image to be shown whole."""
    sizes = [scaled_size(height, width, scale) for scale in scales]
    tall, wide = max(sizes, key=lambda size: size[0] * size[1])
    if tall * wide > MOST_PIXELS:
        raise ValueError(
            f"an image of {width}x{height} becomes {wide}x{tall} at a shorter side of {min(tall, wide)}, more than "
            f"{MOST_PIXELS:,} pixels; cut it, or give smaller scales"
        )
    return sizes


def pixels_at_once(size: int) -> int:
    """How many pixels go through a network together that reads size x size images."""
    return max(AT_ONCE * size**2, LEAST_PIXELS)


def alike(images: Sequence[Tensor], scale: int, size: int, *, are_mirrored: bool) -> Iterator[tuple[list[int], Tensor]]:
    """Images scaled to a shorter side, in batches of one size: (their positions, uint8 (n,3,h,w)).

    Where they are also wanted mirrored, the mirror images are the second half of the batch, which is then twice as long as
    the positions.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(scaled_size(image.shape[-2], image.shape[-1], scale), []).append(index)
    for (height, width), members in groups.items():
        most = max(1, pixels_at_once(size) // (height * width * (1 + are_mirrored)))
        for start in range(0, len(members), most):
            part = members[start : start + most]
            batch = torch.stack([resize(images[index], height, width) for index in part])
            yield part, torch.cat([batch, batch.flip(-1)]) if are_mirrored else batch


def in_words(scales: Sequence[int]) -> str:
    """The scales as a protocol's text names them."""
    return f"shorter side {', '.join(map(str, scales))}"
