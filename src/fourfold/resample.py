"""Scaling a box of an image, whose edges may lie between pixels, to a square: kernels compiled by numba at the first call.

Each output pixel is a weighted mean of source pixels, first down the columns, then along the rows, as Pillow does it. The
lock that Python holds is let go meanwhile, so threads work side by side.
"""

from __future__ import annotations

import math

import numpy as np

from fourfold.compiled import compiled

NEAREST, BILINEAR, CUBIC, AREA = range(4)
KINDS = {"nearest": NEAREST, "bilinear": BILINEAR, "cubic": CUBIC, "area": AREA}
SHARPNESS = -0.5  # of the cubic kernel, Keys 1981; Pillow's and torch's antialiased one
EDGE = 1e-3  # pixels: an edge that is off a pixel's by less than this is rounding


Span = tuple[float, float, bool]  # rows or columns: edges in pixels, low and high; is it seen from high to low


def resample(image: np.ndarray, rows: Span, columns: Span, size: int, interpolation: str) -> np.ndarray:
    """A box of an image (H,W,3) uint8, scaled to (3,size,size) uint8.

    The spans lie within the image. Only pixels that the box touches are looked at. Where it shrinks, "bilinear" and "cubic"
    widen their kernels (antialiasing), and "area" is the mean of the area that an output pixel covers.
    """
    height, width, _ = image.shape
    out = np.empty((3, size, size), np.uint8)
    pixels = np.ascontiguousarray(image).reshape(height, width * 3)
    _resample(pixels, tuple(rows), tuple(columns), KINDS[interpolation], out)
    return out


@compiled
def _weight(kind: int, distance: float, scale: float) -> float:
    """Of a pixel whose centre is so far from the output pixel's, in source pixels; scale is an output pixel's length."""
    if kind == AREA:
        return max(0.0, min(distance + 0.5, scale / 2) - max(distance - 0.5, -scale / 2))
    x = abs(distance) / max(scale, 1.0)
    if kind == BILINEAR:
        return max(0.0, 1.0 - x)
    if x < 1.0:
        return ((SHARPNESS + 2.0) * x - (SHARPNESS + 3.0)) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * SHARPNESS if x < 2.0 else 0.0


@compiled
def _reach(kind: int, scale: float) -> float:
    """How far from its centre an output pixel sees, in source pixels."""
    if kind == AREA:
        return scale / 2 + 0.5
    return max(scale, 1.0) * (2.0 if kind == CUBIC else 1.0)


@compiled
def _taps(span: Span, kind: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each output pixel: its first source pixel, how many there are, and their weights, which sum to 1."""
    low, high, backwards = span
    scale = (high - low) / size
    first, last = math.floor(low + EDGE), math.ceil(high - EDGE)
    reach = _reach(kind, scale)
    starts, counts = np.empty(size, np.int64), np.ones(size, np.int64)
    weights = np.zeros((size, int(2 * reach) + 2), np.float32)
    for i in range(size):
        centre = high - (i + 0.5) * scale if backwards else low + (i + 0.5) * scale
        if kind == NEAREST:
            nearest = math.ceil(centre) - 1 if backwards else math.floor(centre)
            starts[i], weights[i, 0] = min(max(nearest, first), last - 1), 1.0
            continue
        starts[i] = max(first, math.floor(centre - reach + 0.5))
        counts[i] = min(last, math.floor(centre + reach + 0.5)) - starts[i]
        total = 0.0
        for k in range(counts[i]):
            total += _weight(kind, starts[i] + k + 0.5 - centre, scale)
        for k in range(counts[i]):
            weights[i, k] = _weight(kind, starts[i] + k + 0.5 - centre, scale) / total
    return starts, counts, weights


@compiled
def _mix_rows(image: np.ndarray, start: int, count: int, weights: np.ndarray, out: np.ndarray) -> None:
    """out = the weighted mean of some rows."""
    for i in range(out.size):
        out[i] = weights[0] * np.float32(image[start, i])
    for k in range(1, count):
        row = image[start + k]
        for i in range(out.size):
            out[i] += weights[k] * np.float32(row[i])


@compiled
def _resample(image: np.ndarray, rows: Span, columns: Span, kind: int, out: np.ndarray) -> None:
    size = out.shape[1]
    tops, heights, row_weights = _taps(rows, kind, size)
    lefts, widths, weights = _taps(columns, kind, size)
    left, right, taps = lefts.min(), (lefts + widths).max(), widths.max()
    seen = image[:, left * 3 : right * 3]
    mixed = np.zeros((right - left + taps) * 3, np.float32)  # zeros at the end, because every pixel takes as many taps
    pixels = np.empty((3, size), np.float32)
    for y in range(size):
        _mix_rows(seen, tops[y], heights[y], row_weights[y], mixed[: seen.shape[1]])
        for x in range(size):
            red = green = blue = np.float32(0.5)
            at = np.uint64((lefts[x] - left) * 3)  # unsigned, or each access would look for an index from the end
            for k in range(taps):  # a count that differed from pixel to pixel would be mispredicted
                weight = weights[x, k]
                red += weight * mixed[at]
                green += weight * mixed[at + np.uint64(1)]
                blue += weight * mixed[at + np.uint64(2)]
                at += np.uint64(3)
            pixels[0, x], pixels[1, x], pixels[2, x] = red, green, blue
        for c in range(3):
            for x in range(size):
                out[c, y, x] = np.uint8(min(max(pixels[c, x], np.float32(0)), np.float32(255)))
