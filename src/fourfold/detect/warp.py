"""Boxes of an image scaled to one size, whatever their shape (R-CNN 2): kernels compiled by numba.

Bilinear and without antialiasing, as the authors' release does it; `resample.py` widens its kernels where it shrinks.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fourfold.boxes import from_centres, to_centres
from fourfold.compiled import compiled
from fourfold.detect.threads import share
from fourfold.shapes import expect

SIZE = 227  # pixels: the side of R-CNN's network, for which its context is given


def with_context(boxes: Tensor, context: float) -> Tensor:
    """Boxes (R,4) grown about their centres so that, 227 pixels wide, they have `context` more on each side (R-CNN A)."""
    places = to_centres(boxes)
    places[:, 2:] *= SIZE / (SIZE - 2 * context)
    return from_centres(places)


def warp(image: Tensor, boxes: Tensor, size: int, fill: Tensor) -> Tensor:
    """Boxes (R,4) of uint8 (3,H,W), which may lie beyond it, as uint8 (R,3,size,size); fill: uint8 (3,) for what is beyond.

    A pixel is beyond the image where its centre is. Pixels of the image next to the box count where its edges lie between
    pixels, so a box of size x size whole pixels comes out untouched. Raises ValueError on other shapes and types.
    """
    expect(image, "3 H W", name="image")
    expect(boxes, "R 4", name="boxes")
    expect(fill, "3", name="fill")
    if image.dtype != torch.uint8 or fill.dtype != torch.uint8:
        raise ValueError(f"image and fill are {image.dtype} and {fill.dtype}; give both as uint8")
    out = np.empty((len(boxes), 3, size, size), np.uint8)
    planes, places, colour = image.contiguous().numpy(), boxes.double().numpy(), fill.numpy()
    share(len(boxes), lambda first, end: _warp(planes, places[first:end], colour, out[first:end]))
    return torch.from_numpy(out)


@compiled
def _warp(planes: np.ndarray, boxes: np.ndarray, fill: np.ndarray, out: np.ndarray) -> None:
    _, height, width = planes.shape
    size = out.shape[-1]
    mixed = np.empty(width + 1, np.float32)
    for r in range(len(boxes)):
        left, top, right, bottom = boxes[r]
        rows, downs, first_row, end_row = _taps(top, bottom, size, height)
        columns, weights, first, end = _taps(left, right, size, width)
        low, high = (columns[first], columns[end - 1] + 2) if first < end else (0, 0)
        for c in range(3):
            for y in range(size):
                own = out[r, c, y]
                own[:] = fill[c]
                if y < first_row or y >= end_row:
                    continue
                upper, lower = planes[c, rows[y]], planes[c, min(rows[y] + 1, height - 1)]
                for x in range(low, min(high, width)):
                    mixed[x] = np.float32(upper[x]) + downs[y] * (np.float32(lower[x]) - np.float32(upper[x]))
                mixed[width] = np.float32(0)  # has weight 0, and must be a number
                for x in range(first, end):
                    near, far = mixed[columns[x]], mixed[columns[x] + 1]
                    own[x] = np.uint8(near + weights[x] * (far - near) + np.float32(0.5))


@compiled
def _taps(low: float, high: float, size: int, length: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Of each output pixel its first source pixel and the weight of the next; and those within the image, half-open."""
    places, weights = np.zeros(size, np.int64), np.zeros(size, np.float32)
    scale = (high - low) / size
    first, end = size, 0
    for i in range(size):
        centre = low + (i + 0.5) * scale
        if centre < 0 or centre >= length:
            continue
        first, end = min(first, i), i + 1
        inside = min(max(centre - 0.5, 0.0), length - 1.0)
        places[i] = math.floor(inside)
        weights[i] = inside - places[i]
    return places, weights, first, end
