"""Views on feature maps: the trunk runs once over an image at each scale, and views are pooled from its maps (SPP-net 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.catalog import Network
from fourfold.evaluate.crops import check_size
from fourfold.evaluate.protocol import Protocol, alike, check_scales, in_words, scaled_sizes
from fourfold.evaluate.views import Layout, View
from fourfold.evaluate.whole import check_pools_any_size
from fourfold.shapes import Field

VIEWS_AT_ONCE = 256  # that go through the fc layers together
Window = tuple[int, int, int, int]
"""Rows and columns of a map, half-open: top, bottom, left, right."""


@dataclass(frozen=True)
class MapViews(Protocol):
    """size x size views at each scale and their mirror images, pooled from shared maps; posteriors of all views averaged.

    A view takes the cells whose receptive fields are centred in it (SPP-net appendix A). The maps of the mirror image are
    computed from it. `whole_at` adds the whole image at one of the scales, and its mirror image, as two views more: the
    paper's 96 + 2. Raises ValueError where a scale is smaller than the view.
    """

    scales: tuple[int, ...]
    size: int
    layout: Layout
    whole_at: int | None = None

    def __post_init__(self) -> None:
        check_scales(self.scales, self.size)
        if self.whole_at is not None and self.whole_at not in self.scales:
            raise ValueError(f"the whole image at {self.whole_at} has no map among {in_words(self.scales)}; add the scale")

    def posteriors(self, network: Network, images: Sequence[Tensor]) -> Tensor:
        """See Protocol."""
        for image in images:
            scaled_sizes(image.shape[-2], image.shape[-1], self.scales)
        owners, pooled = [], []
        for scale in self.scales:
            for members, batch in alike(images, scale, self.size, are_mirrored=True):
                maps = network.classifier.trunk(network.pixels(batch))
                views = self._at(batch.shape[-2], batch.shape[-1])
                for half, is_mirrored in zip(maps.chunk(2), (False, True), strict=True):
                    chosen = [view for view in views if view.is_mirrored == is_mirrored]
                    windows = [cells_of(view, half, network.classifier.field) for view in chosen]
                    pooled.append(pool_windows(network, half, windows).flatten(0, 1))
                    owners.append(torch.tensor(members).repeat_interleave(len(chosen)))
        return _mean_posteriors(network, torch.cat(pooled), torch.cat(owners), len(images))

    def views(self, height: int, width: int) -> tuple[View, ...]:
        """See Protocol."""
        return tuple(view for size in scaled_sizes(height, width, self.scales) for view in self._at(*size))

    def _at(self, height: int, width: int) -> list[View]:
        """The views of an image whose scaled size this is."""
        places = [(top, left, side, side) for top, left, side in self.layout(height, width, self.size)]
        if min(height, width) == self.whole_at:
            places.append((0, 0, height, width))
        return [View((height, width), *place, is_mirrored) for place in places for is_mirrored in (False, True)]

    def check(self, network: Network) -> None:
        """See Protocol."""
        check_size(network, self.size)
        check_pools_any_size(network)

    def __str__(self) -> str:
        whole = f", and the whole image at {self.whole_at}" if self.whole_at else ""
        return (
            f"{self.size} views on the maps of {in_words(self.scales)}: {self.layout.words}{whole}, mirrored too; "
            "posteriors averaged"
        )


def _mean_posteriors(network: Network, pooled: Tensor, owners: Tensor, count: int) -> Tensor:
    """Posteriors of pooled views (V,P), averaged for each image (N,K) that owns some; owners: int64 (V,).

    Many views at a time: the weights of the fc layers are read from memory once for all of them.
    """
    total = torch.zeros(count, len(network.labels))
    for part, whose in zip(pooled.split(VIEWS_AT_ONCE), owners.split(VIEWS_AT_ONCE), strict=True):
        total.index_add_(0, whose, network.classifier.head.fc(part).softmax(1))
    return total / owners.bincount(minlength=count)[:, None]


def cells_of(view: View, maps: Tensor, field: Field) -> Window:
    """The rows and columns that a view takes of the maps (N,C,h,w) of the scaled image, or of its mirror image."""
    left = view.scaled[1] - view.left - view.width if view.is_mirrored else view.left
    rows = field.cells(view.top, view.top + view.height, maps.shape[-2])
    return *rows, *field.cells(left, left + view.width, maps.shape[-1])


def pool_windows(network: Network, maps: Tensor, windows: Sequence[Window]) -> Tensor:
    """What the head pools from each window of maps (N,C,h,w), as (N,V,P); windows of one shape are pooled together."""
    count = len(maps)
    shapes: dict[tuple[int, int], list[int]] = {}
    for index, (top, bottom, left, right) in enumerate(windows):
        shapes.setdefault((bottom - top, right - left), []).append(index)
    parts: dict[int, Tensor] = {}
    for members in shapes.values():
        cut = torch.cat([maps[:, :, top:bottom, left:right] for top, bottom, left, right in (windows[i] for i in members)])
        parts.update(zip(members, network.classifier.head.pool(cut).split(count), strict=True))
    return torch.stack([parts[index] for index in range(len(windows))], 1)
