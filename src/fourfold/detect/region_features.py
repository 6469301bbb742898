"""What Selective Search knows of regions: size, box, and histograms of colour and of texture (Uijlings 2013, 3.2).

Histograms of a region sum to 1 over all channels, so that a merged region's is the mean of its parts' by size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fourfold.compiled import compiled
from fourfold.detect.segmentation import convolve

COLOUR_BINS = 25  # for each channel
TEXTURE_BINS = 10  # for each channel and each of 8 orientations
ORIENTATIONS = 8
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Regions:
    """R regions of an image of `pixels` pixels: sizes in pixels float32 (R,), boxes int32 (R,4) as edges x1 y1 x2 y2,
    histograms colour float32 (R,75) and texture float32 (R,240), and the pairs int32 (P,2) that touch, smaller index first.
    """

    sizes: Array
    boxes: Array
    colour: Array
    texture: Array
    pairs: Array
    pixels: int


def texture_bins(image: Array) -> Array:
    """The bin uint8 (H,W,3,8) of the derivative at each pixel of float32 (H,W,3), for each channel and orientation.

    Gaussian derivatives with a sigma of 1 in 8 directions, of which opposite ones see the rising and the falling side; the
    bins divide the range from 0 to the largest in the image.
    """
    taps = np.arange(-4, 5)
    smooth = np.exp(-0.5 * taps**2.0)
    smooth /= smooth.sum()
    slope = (taps * smooth).astype(np.float32)
    smooth = smooth.astype(np.float32)
    return _bin_texture(convolve(image, smooth, slope), convolve(image, slope, smooth))


def measure(labels: Array, count: int, image: Array, textures: Array) -> Regions:
    """The regions of labels int32 (H,W), seen in an image float32 (H,W,3) of 0 to 255 and in its `texture_bins`."""
    sizes, boxes, colour, texture, touching = _measure(labels, count, image, textures)
    first, second = np.nonzero(np.triu(touching | touching.T, 1))
    pairs = np.stack([first, second], 1).astype(np.int32)
    return Regions(sizes, boxes, colour, texture, pairs, labels.size)


@compiled
def _bin_texture(across: Array, down: Array) -> Array:
    height, width, channels = across.shape
    half = np.float32(0.5**0.5)
    most = np.ones((channels, 4), np.float32)  # a grey level at least, so that rounding is not taken for texture
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                one, two = across[y, x, c], down[y, x, c]
                most[c, 0] = max(most[c, 0], abs(one))
                most[c, 1] = max(most[c, 1], abs(half * (one + two)))
                most[c, 2] = max(most[c, 2], abs(two))
                most[c, 3] = max(most[c, 3], abs(half * (two - one)))
    bins = np.zeros((height, width, channels, ORIENTATIONS), np.uint8)
    scales = TEXTURE_BINS / most
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                one, two = across[y, x, c], down[y, x, c]
                for direction in range(4):
                    value = (one, half * (one + two), two, half * (two - one))[direction]
                    side = 0 if value >= 0 else 4
                    bins[y, x, c, direction + side] = np.uint8(min(abs(value) * scales[c, direction], TEXTURE_BINS - 1))
    return bins


@compiled
def _measure(labels: Array, count: int, image: Array, textures: Array) -> tuple[Array, Array, Array, Array, Array]:
    height, width, channels = image.shape
    sizes = np.zeros(count, np.float32)
    boxes = np.empty((count, 4), np.int32)
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = width, height, 0, 0
    colour = np.zeros((count, channels * COLOUR_BINS), np.float32)
    texture = np.zeros((count, channels * ORIENTATIONS * TEXTURE_BINS), np.float32)
    touching = np.zeros((count, count), np.bool_)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            sizes[label] += 1
            boxes[label, 0] = min(boxes[label, 0], x)
            boxes[label, 1] = min(boxes[label, 1], y)
            boxes[label, 2] = max(boxes[label, 2], x + 1)
            boxes[label, 3] = max(boxes[label, 3], y + 1)
            for c in range(channels):
                place = min(int(image[y, x, c] * np.float32(COLOUR_BINS / 256)), COLOUR_BINS - 1)
                colour[label, c * COLOUR_BINS + place] += 1
                for direction in range(ORIENTATIONS):
                    start = (c * ORIENTATIONS + direction) * TEXTURE_BINS
                    texture[label, start + textures[y, x, c, direction]] += 1
            if x + 1 < width:
                touching[label, labels[y, x + 1]] = True
            if y + 1 < height:
                touching[label, labels[y + 1, x]] = True
    for label in range(count):
        colour[label] /= sizes[label] * channels
        texture[label] /= sizes[label] * channels * ORIENTATIONS
    return sizes, boxes, colour, texture, touching
