"""Hierarchical grouping of regions: the two most alike neighbours are joined, again and again (Uijlings 2013, 3.1)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fourfold.compiled import compiled
from fourfold.detect.region_features import Regions

Array = np.ndarray[Any, np.dtype[Any]]


class Similarity(NamedTuple):
    """Which measures are added up (Uijlings 2013, 3.2): those of colour, texture, size and fill."""

    colour: bool = True
    texture: bool = True
    size: bool = True
    fill: bool = True


def group(regions: Regions, similarity: Similarity) -> Array:
    """Boxes int32 (M,4) as edges x1 y1 x2 y2: of the regions, in their order, then of each pair that was joined."""
    weights = np.array(similarity, np.float32)
    return _group(
        regions.sizes, regions.boxes, regions.colour, regions.texture, regions.pairs, np.float32(regions.pixels), weights
    )


@compiled
def _alike(
    one: int, other: int, sizes: Array, boxes: Array, colour: Array, texture: Array, pixels: float, weights: Array
) -> np.floating:
    total = np.float32(0)
    if weights[0]:
        for bin_ in range(colour.shape[1]):
            total += min(colour[one, bin_], colour[other, bin_])
    if weights[1]:
        for bin_ in range(texture.shape[1]):
            total += min(texture[one, bin_], texture[other, bin_])
    both = sizes[one] + sizes[other]
    if weights[2]:
        total += 1 - both / pixels
    if weights[3]:
        width = max(boxes[one, 2], boxes[other, 2]) - min(boxes[one, 0], boxes[other, 0])
        height = max(boxes[one, 3], boxes[other, 3]) - min(boxes[one, 1], boxes[other, 1])
        total += 1 - (np.float32(width) * np.float32(height) - both) / pixels
    return total


@compiled
def _group(
    sizes_: Array, boxes_: Array, colour_: Array, texture_: Array, pairs_: Array, pixels: float, weights: Array
) -> Array:
    count = sizes_.size
    most = 2 * count - 1
    sizes, boxes = np.empty(most, np.float32), np.empty((most, 4), np.int32)
    colour, texture = np.empty((most, colour_.shape[1]), np.float32), np.empty((most, texture_.shape[1]), np.float32)
    sizes[:count], boxes[:count], colour[:count], texture[:count] = sizes_, boxes_, colour_, texture_
    pairs = np.empty((len(pairs_) + most, 2), np.int32)  # a region that is joined brings at most the pairs that it takes
    alike = np.empty(len(pairs_) + most, np.float32)
    live = len(pairs_)
    for place in range(live):
        pairs[place] = pairs_[place]
        alike[place] = _alike(pairs_[place, 0], pairs_[place, 1], sizes, boxes, colour, texture, pixels, weights)
    seen = np.full(most, -1, np.int32)
    beside = np.empty(most, np.int32)
    new = count
    while live > 0:
        best = 0
        for place in range(1, live):
            if alike[place] > alike[best]:
                best = place
        one, other = pairs[best]
        _join(new, one, other, sizes, boxes, colour, texture)
        kept = found = 0
        for place in range(live):
            left, right = pairs[place]
            if left in (one, other) or right in (one, other):
                third = right if left in (one, other) else left
                if third not in (one, other) and seen[third] != new:
                    seen[third] = new
                    beside[found] = third
                    found += 1
            else:
                pairs[kept] = pairs[place]
                alike[kept] = alike[place]
                kept += 1
        for place in range(found):
            pairs[kept, 0], pairs[kept, 1] = beside[place], new
            alike[kept] = _alike(beside[place], new, sizes, boxes, colour, texture, pixels, weights)
            kept += 1
        live = kept
        new += 1
    return boxes[:new]


@compiled
def _join(new: int, one: int, other: int, sizes: Array, boxes: Array, colour: Array, texture: Array) -> None:
    sizes[new] = sizes[one] + sizes[other]
    share = sizes[one] / sizes[new]
    for bin_ in range(colour.shape[1]):
        colour[new, bin_] = share * colour[one, bin_] + (1 - share) * colour[other, bin_]
    for bin_ in range(texture.shape[1]):
        texture[new, bin_] = share * texture[one, bin_] + (1 - share) * texture[other, bin_]
    for edge in range(2):
        boxes[new, edge] = min(boxes[one, edge], boxes[other, edge])
        boxes[new, edge + 2] = max(boxes[one, edge + 2], boxes[other, edge + 2])
