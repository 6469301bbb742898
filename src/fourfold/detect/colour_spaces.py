"""The colour spaces of Selective Search (Uijlings 2013, 3.2), each as float32 (H,W,3) with values of 0 to 255."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fourfold.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]


@compiled
def hsv(image: Array) -> Array:
    """Hue, saturation and value of uint8 (H,W,3) RGB; the hue of grey is 0."""
    out = np.empty(image.shape, np.float32)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            red, green, blue = np.float32(image[y, x, 0]), np.float32(image[y, x, 1]), np.float32(image[y, x, 2])
            value = max(red, green, blue)
            spread = value - min(red, green, blue)
            hue = np.float32(0)
            if spread > 0:
                if value == red:
                    hue = (green - blue) / spread
                elif value == green:
                    hue = 2 + (blue - red) / spread
                else:
                    hue = 4 + (red - green) / spread
                if hue < 0:
                    hue += 6
            out[y, x, 0] = hue * np.float32(255 / 6)
            out[y, x, 1] = spread / value * 255 if value > 0 else 0
            out[y, x, 2] = value
    return out


def lab(image: Array) -> Array:
    """CIE L*a*b* of uint8 (H,W,3) sRGB under D65: L scaled from 0..100 to 0..255, a and b moved by 128."""
    return _lab(image, _LINEAR)


def rgi(image: Array) -> Array:
    """Red and green as shares of the sum, scaled by 255, and the intensity."""
    values = image.astype(np.float32)
    total = values.sum(2)
    shares = values[..., :2] / np.maximum(total, 1)[..., None] * 255
    return np.concatenate([shares, (total / 3)[..., None]], 2)


def hue(image: Array) -> Array:
    """The hue, three times."""
    return np.repeat(hsv(image)[..., :1], 3, 2)


def intensity(image: Array) -> Array:
    """The mean of red, green and blue, three times."""
    return np.repeat(image.astype(np.float32).mean(2, keepdims=True), 3, 2)


SPACES: Mapping[str, Callable[[Array], Array]] = {"HSV": hsv, "Lab": lab, "rgI": rgi, "H": hue, "I": intensity}
_SRGB = np.arange(256) / 255
_LINEAR = np.where(_SRGB <= 0.04045, _SRGB / 12.92, ((_SRGB + 0.055) / 1.055) ** 2.4).astype(np.float32)


@compiled
def _lab(image: Array, linear: Array) -> Array:
    out = np.empty(image.shape, np.float32)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            red, green, blue = linear[image[y, x, 0]], linear[image[y, x, 1]], linear[image[y, x, 2]]
            one = _root((0.412453 * red + 0.357580 * green + 0.180423 * blue) / 0.950456)
            two = _root(0.212671 * red + 0.715160 * green + 0.072169 * blue)
            three = _root((0.019334 * red + 0.119193 * green + 0.950227 * blue) / 1.088754)
            out[y, x, 0] = max(116 * two - 16, 0) * 2.55
            out[y, x, 1] = 500 * (one - two) + 128
            out[y, x, 2] = 200 * (two - three) + 128
    return out


@compiled
def _root(value: float) -> np.floating:
    return np.cbrt(np.float32(value)) if value > 0.008856 else np.float32(7.787 * value + 16 / 116)
