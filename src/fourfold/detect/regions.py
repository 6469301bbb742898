"""What a network's head sees of each box of an image: R-CNN warps and convolves them one by one, SPP-net shares the maps."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fourfold.boxes import area, check_boxes, rescale
from fourfold.catalog import Network
from fourfold.detect.pooling import pool_windows
from fourfold.detect.warp import SIZE, warp, with_context
from fourfold.images import Pixels, resize, scaled_size
from fourfold.models.base import Branches, PyramidHead
from fourfold.shapes import Field, square

CONTEXT = 16  # pixels of 227 (R-CNN 2.1, appendix A)
AT_ONCE = 16  # warped regions that go through the trunk together; 64 took ZF-5 a sixth longer, their maps leave the cache


class Regions(abc.ABC):
    """A way to describe boxes to the fc layers."""

    @abc.abstractmethod
    def pooled(self, network: Network, image: Tensor, boxes: Tensor) -> Tensor:
        """What the head's pool gives for boxes (R,4) of an image uint8 (3,H,W): float32 (R,P), without gradient.

        Raises ValueError on boxes that are not finite or have their edges in the wrong order.
        """

    @abc.abstractmethod
    def check(self, network: Network) -> None:
        """Raises ValueError where the network's head cannot describe regions so."""


@dataclass(frozen=True)
class WarpedRegions(Regions):
    """Each box with its surroundings, warped to the network's size and shown by itself (R-CNN 2.1 and appendix A).

    context: pixels around the box, of 227; in proportion for networks of another size. What lies beyond the image has the
    mean colour. A Reading: boxes are not rounded to pixels, as they are in the release.
    """

    context: int = CONTEXT
    at_once: int = AT_ONCE

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.context < SIZE:
            raise ValueError(f"a context of {self.context} of {SIZE} pixels leaves no room for the box; give 0 to 113")
        if self.at_once < 1:
            raise ValueError(f"{self.at_once} regions at once cannot be; give 1 or more")

    @torch.no_grad()
    def pooled(self, network: Network, image: Tensor, boxes: Tensor) -> Tensor:
        """See Regions."""
        size, fill = network.classifier.input_size, mean_pixel(network.pixels)
        if not len(boxes):
            one = torch.zeros(1, 3, size, size, dtype=torch.uint8)
            return _seen(network, one)[:0]
        return torch.cat([_seen(network, self.crops(image, part, size, fill)) for part in boxes.split(self.at_once)])

    def crops(self, image: Tensor, boxes: Tensor, size: int, fill: Tensor) -> Tensor:
        """Boxes (R,4) of uint8 (3,H,W) with context, as uint8 (R,3,size,size); fill: uint8 (3,), see `mean_pixel`."""
        check_boxes(boxes, "boxes")
        return warp(image, with_context(boxes, self.context), size, fill)

    def check(self, network: Network) -> None:
        """Any head reads regions of the network's own size."""

    def __str__(self) -> str:
        return f"regions warped with a context of {self.context} in {SIZE} pixels"


def _seen(network: Network, crops: Tensor) -> Tensor:
    return network.classifier.head.pool(network.classifier.trunk(network.pixels(crops)))


def mean_pixel(pixels: Pixels) -> Tensor:
    """The colour, uint8 (3,) RGB, that is nearest to 0 once the mean is subtracted."""
    mean = torch.tensor(pixels.mean) if pixels.mean_image is None else pixels.mean_image.mean((1, 2))
    return (mean.flip(0) if pixels.order == "BGR" else mean).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps (C,h,w) of an image whose size was changed from `image` to `size`, both height and width."""

    values: Tensor
    size: tuple[int, int]
    image: tuple[int, int]


@dataclass(frozen=True)
class PooledRegions(Regions):
    """The trunk runs once over the image at each scale, and boxes are windows of its maps (SPP-net 4.1).

    scales: shorter sides in pixels. area: of a box, in pixels; each box is pooled at the scale that brings it nearest to
    that. None: the network's input size, squared (4.1: 224 x 224).
    """

    scales: tuple[int, ...] = (688,)  # SPP-net 4.1
    area: int | None = None

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 1:
            raise ValueError(f"scales are {self.scales}; give one or more shorter sides in pixels")
        if self.area is not None and self.area < 1:
            raise ValueError(f"an area of {self.area} pixels cannot be; give 1 or more, such as {224 * 224}")

    @torch.no_grad()
    def pooled(self, network: Network, image: Tensor, boxes: Tensor) -> Tensor:
        """See Regions."""
        return self.pool(network, self.maps(network, image), boxes)

    @torch.no_grad()
    def maps(self, network: Network, image: Tensor) -> list[Maps]:
        """The maps of uint8 (3,H,W) at each scale, without gradient."""
        height, width = image.shape[-2:]
        sizes = [scaled_size(height, width, scale) for scale in self.scales]
        return [
            Maps(network.classifier.trunk(network.pixels(resize(image, *size)[None]))[0], size, (height, width))
            for size in sizes
        ]

    @torch.no_grad()
    def pool(self, network: Network, maps: Sequence[Maps], boxes: Tensor) -> Tensor:
        """Boxes (R,4) of the image pooled from its maps, float32 (R,P). Raises ValueError as `pooled`, and `check`."""
        check_boxes(boxes, "boxes")
        levels, field = levels_of(network), network.classifier.field
        if len(maps) == 1:
            return pool_windows(maps[0].values, windows_of(boxes, maps[0], field), levels)
        chosen = self.chosen(network, boxes, maps[0].image)
        out = torch.empty(len(boxes), len(maps[0].values) * sum(level * level for level in levels))
        for index, each in enumerate(maps):
            rows = (chosen == index).nonzero()[:, 0]
            out[rows] = pool_windows(each.values, windows_of(boxes[rows], each, field), levels)
        return out

    def chosen(self, network: Network, boxes: Tensor, image: tuple[int, int]) -> Tensor:
        """Which of the scales brings each box (R,4) nearest to the area wanted, int64 (R,); of two alike the first."""
        wanted = network.classifier.input_size**2 if self.area is None else self.area
        sizes = torch.tensor([scaled_size(*image, scale) for scale in self.scales], dtype=torch.float64)
        growth = sizes.prod(1) / (image[0] * image[1])
        return (area(boxes.double())[:, None] * growth - wanted).abs().argmin(1)

    def scaled(self, network: Network, image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The image uint8 (3,H,W) at the only scale, and boxes (R,4) as windows int64 (R,4) of the maps it will have.

        For training, where gradients go through `pool_windows` to the trunk. Raises ValueError where there are more scales.
        """
        if len(self.scales) != 1:
            raise ValueError(f"scales are {self.scales}; choose one for the image")
        check_boxes(boxes, "boxes")
        before = (image.shape[-2], image.shape[-1])
        (scale,) = self.scales
        size = scaled_size(*before, scale)
        cells = [side_after(network.classifier.trunk, side) for side in size]
        maps = Maps(torch.empty(0, *cells), size, before)
        return resize(image, *size), windows_of(boxes, maps, network.classifier.field)

    def check(self, network: Network) -> None:
        """See Regions."""
        levels_of(network)

    def __str__(self) -> str:
        return f"regions pooled from maps at {', '.join(map(str, self.scales))}"


def levels_of(network: Network) -> tuple[int, ...]:
    """The levels of the network's pyramid. Raises ValueError where its head is none."""
    head = network.classifier.head
    if not isinstance(head, PyramidHead):
        raise ValueError(
            f"{network.entry.name or network.entry.network} has a {type(head).__name__}, which does not pool windows of any "
            "size; use a network with a spatial pyramid, such as zf5-spp, or warped regions"
        )
    return head.levels


def windows_of(boxes: Tensor, maps: Maps, field: Field) -> Tensor:
    """Boxes (R,4) of the image as windows of its maps, int64 (R,4): top, bottom, left, right in cells, half-open.

    As `Field.cells`, for all boxes at once: cells whose centre lies in the box (SPP-net appendix A), or the one between.
    """
    places = rescale(boxes.double(), maps.image, maps.size)
    rows, columns = maps.values.shape[-2:]
    counts = torch.tensor((columns, rows))
    first = ((places[:, :2] - field.centre) / field.stride).floor().long() + 1
    last = ((places[:, 2:] - field.centre) / field.stride).ceil().long() - 1
    first, last = (torch.minimum(cells.clamp(min=0), counts - 1) for cells in (first, last))
    between = (first + last) // 2
    is_empty = first > last
    first, last = (torch.where(is_empty, between, cells) for cells in (first, last))
    return torch.stack((first[:, 1], last[:, 1] + 1, first[:, 0], last[:, 0] + 1), 1)


def side_after(module: nn.Module, side: int) -> int:
    """Cells along one side of the map that a layer or a tree of layers makes of `side` pixels or cells."""
    if isinstance(module, nn.Sequential):
        for layer in module:
            side = side_after(layer, side)
        return side
    if isinstance(module, Branches):
        return side_after(next(module.children()), side)
    if not isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return side
    kernel, stride, padding = (square(value) for value in (module.kernel_size, module.stride, module.padding))  # pyright: ignore[reportArgumentType]
    beyond = side + 2 * padding - kernel
    if not getattr(module, "ceil_mode", False):
        return beyond // stride + 1
    count = -(-beyond // stride) + 1
    return count - 1 if (count - 1) * stride >= side + padding else count  # torch: the last window starts within the map
