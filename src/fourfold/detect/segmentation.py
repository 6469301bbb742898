"""Graph-based segmentation (Felzenszwalb and Huttenlocher 2004), with which Selective Search begins.

Pixels are joined along edges of rising weight, as long as the weight is within what varies inside the two parts already plus
k / size. Weights are rounded to 1/128, so that they can be sorted by counting; equal ones stay in the order of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fourfold.compiled import compiled

SIGMA = 0.8  # of the blur, as in the authors' code
STEPS = 128  # parts of one unit of weight
MOST = int(STEPS * 255 * 3**0.5) + 2  # keys: more than the largest distance of two colours
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Edges:
    """Pairs of neighbouring pixels by rising difference; shared by segmentations with different k.

    order: int32, four times the pixel plus the direction (right, down, right and down, right and up); weights: float32.
    """

    height: int
    width: int
    order: Array
    weights: Array


def sort_edges(image: Array) -> Edges:
    """The edges of an image float32 (H,W,3) with values of 0 to 255, blurred first."""
    height, width = image.shape[:2]
    order, keys = _sort(_weigh(blur(image, SIGMA)))
    return Edges(height, width, order, keys.astype(np.float32) / STEPS)


def segment(edges: Edges, k: float, least: int) -> tuple[Array, int]:
    """Labels int32 (H,W) from 0, in the order of their first pixels, and how many segments there are.

    k: in units of the image's values; larger ones give larger segments. least: pixels of the smallest segment; smaller ones
    are joined to a neighbour, along the edges of least weight.
    """
    labels, count = _grow(edges.order, edges.weights, edges.height, edges.width, np.float32(k), least)
    return labels.reshape(edges.height, edges.width), count


def blur(image: Array, sigma: float) -> Array:
    """Convolve float32 (H,W,3) with a Gaussian of up to 4 sigma; edges are repeated outwards."""
    reach = int(np.ceil(4 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return convolve(image, (weights / weights.sum()).astype(np.float32), (weights / weights.sum()).astype(np.float32))


@compiled
def convolve(image: Array, down: Array, across: Array) -> Array:
    """Correlate float32 (H,W,3) with one filter along columns and one along rows, both of odd length."""
    height, width, channels = image.shape
    half = np.empty_like(image)
    full = np.empty_like(image)
    reach = down.size // 2
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                half[y, x, c] = 0
        for tap in range(down.size):
            row = min(max(y + tap - reach, 0), height - 1)
            weight = down[tap]
            for x in range(width):
                for c in range(channels):
                    half[y, x, c] += weight * image[row, x, c]
    reach = across.size // 2
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                total = np.float32(0)
                for tap in range(across.size):
                    column = min(max(x + tap - reach, 0), width - 1)
                    total += across[tap] * half[y, column, c]
                full[y, x, c] = total
    return full


@compiled
def _weigh(image: Array) -> Array:
    """Keys int32 (H*W*4): the distance of colours for each pixel and direction in STEPS of a unit, -1 at the border."""
    height, width, _ = image.shape
    keys = np.full(height * width * 4, -1, np.int32)
    for y in range(height):
        for x in range(width):
            for direction in range(4):
                to_y = y + (0, 1, 1, -1)[direction]
                to_x = x + (1, 0, 1, 1)[direction]
                if to_x < width and 0 <= to_y < height:
                    red = image[y, x, 0] - image[to_y, to_x, 0]
                    green = image[y, x, 1] - image[to_y, to_x, 1]
                    blue = image[y, x, 2] - image[to_y, to_x, 2]
                    distance = np.sqrt(red * red + green * green + blue * blue)
                    keys[4 * (y * width + x) + direction] = np.int32(distance * STEPS + np.float32(0.5))
    return keys


@compiled
def _sort(keys: Array) -> tuple[Array, Array]:
    """Positions of the keys that are not negative by rising key, int32, and those keys in that order."""
    starts = np.zeros(MOST + 1, np.int64)
    for key in keys:
        if key >= 0:
            starts[min(key, MOST - 1) + 1] += 1
    for key in range(MOST):
        starts[key + 1] += starts[key]
    order = np.empty(starts[MOST], np.int32)
    ordered = np.empty(starts[MOST], np.int32)
    for position in range(keys.size):
        key = keys[position]
        if key >= 0:
            place = starts[min(key, MOST - 1)]
            starts[min(key, MOST - 1)] += 1
            order[place] = position
            ordered[place] = key
    return order, ordered


@compiled
def _root(parents: Array, pixel: int) -> int:
    while parents[pixel] != pixel:
        parents[pixel] = parents[parents[pixel]]
        pixel = parents[pixel]
    return pixel


@compiled
def _grow(order: Array, weights: Array, height: int, width: int, k: float, least: int) -> tuple[Array, int]:
    count = height * width
    steps = (1, width, width + 1, 1 - width)
    parents = np.arange(count).astype(np.int32)
    sizes = np.ones(count, np.int32)
    limits = np.full(count, k, np.float32)
    for place in range(order.size):
        pixel = order[place] >> 2
        one = _root(parents, pixel)
        other = _root(parents, pixel + steps[order[place] & 3])
        if one != other and weights[place] <= limits[one] and weights[place] <= limits[other]:
            if sizes[one] < sizes[other]:
                one, other = other, one
            parents[other] = one
            sizes[one] += sizes[other]
            limits[one] = weights[place] + k / sizes[one]
    for place in range(order.size):
        pixel = order[place] >> 2
        one = _root(parents, pixel)
        other = _root(parents, pixel + steps[order[place] & 3])
        if one != other and (sizes[one] < least or sizes[other] < least):
            parents[other] = one
            sizes[one] += sizes[other]
    labels = np.empty(count, np.int32)
    numbers = np.full(count, -1, np.int32)
    found = 0
    for pixel in range(count):
        root = _root(parents, pixel)
        if numbers[root] < 0:
            numbers[root] = found
            found += 1
        labels[pixel] = numbers[root]
    return labels, found
