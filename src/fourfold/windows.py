"""A window is a part of an image that is cut out and scaled to a square: how training reads photos of any size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fourfold import jpeg
from fourfold.images import check_image, read_image

Interpolation = Literal["bilinear", "area", "nearest", "cubic"]

SPARE = 1.25  # finer than needed by so much: then a window is within 2 grey levels, in the mean, of one decoded in full

# EXIF orientation -> do the file's rows become columns; then, are rows, and columns, counted from the far end
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class Span(NamedTuple):
    """A stretch of a file's rows or columns, in pixels from edge to edge; `backwards`, it is seen from high to low."""

    low: float
    high: float
    backwards: bool

    @property
    def length(self) -> float:
        return self.high - self.low

    def over(self, scale: int) -> Span:
        """The same stretch of an image that was decoded at 1/scale."""
        return Span(self.low / scale, self.high / scale, self.backwards)


@dataclass(frozen=True)
class Window:
    """The part of an image to see, in the image's own pixels (edges, not centres), and how it is scaled."""

    top: float
    left: float
    height: float
    width: float
    interpolation: Interpolation = "bilinear"


Choose = Callable[[int, int], Window]
"""(height, width) of an image -> the window to see"""


def read_window(content: bytes | Tensor, choose: Choose, size: int, *, name: str = "the image") -> Tensor:
    """Decode no more of an image than a window needs: uint8 (3,size,size) RGB.

    content: the bytes of an image file, or a decoded uint8 (3,H,W). `choose` is given the upright height and width; it may
    be asked twice. What sticks out of the image is left away; nothing outside the window is mixed into its border.
    "bilinear" and "cubic" are antialiased where they shrink, "area" is the mean of what a pixel covers; for these three a
    JPEG is decoded at 1/2, 1/4 or 1/8 where the window then still has more than `size` pixels to a side.
    Raises ValueError for what cannot be read, as `read_image` does, and for a window without a pixel of the image.
    """
    if isinstance(content, Tensor):
        return _from_pixels(check_image(content), choose, size)
    header = jpeg.read_header(content)
    square = _from_jpeg(content, header, choose, size) if header else None
    return _from_pixels(read_image(content, name=name), choose, size) if square is None else square


def _from_pixels(image: Tensor, choose: Choose, size: int) -> Tensor:
    height, width = image.shape[1:]
    window = choose(height, width)
    rows, columns = _spans(window, height, width, orientation=1)
    return _scaled(image.permute(1, 2, 0).numpy(), rows, columns, size, window.interpolation)


def _from_jpeg(content: bytes, header: jpeg.Header, choose: Choose, size: int) -> Tensor | None:
    """None for a file that turns out to be damaged."""
    turned = TURNS[header.orientation][0]
    height, width = (header.width, header.height) if turned else (header.height, header.width)
    window = choose(height, width)
    rows, columns = _spans(window, height, width, header.orientation)
    scale = _decoding_scale(rows, columns, size, window.interpolation)
    image = jpeg.decode(content, header, math.ceil(rows.high), scale)
    if image is None:
        return None
    square = _scaled(image, rows.over(scale), columns.over(scale), size, window.interpolation)
    return square.transpose(1, 2).contiguous() if turned else square


def _decoding_scale(rows: Span, columns: Span, size: int, interpolation: Interpolation) -> int:
    """As small as still leaves SPARE * size pixels to a side; "nearest" takes single pixels, which must not be means."""
    fits = (scale for scale in jpeg.SCALES if min(rows.length, columns.length) >= scale * size * SPARE)
    return 1 if interpolation == "nearest" else next(fits, 1)


def _scaled(image: np.ndarray, rows: Span, columns: Span, size: int, interpolation: Interpolation) -> Tensor:
    from fourfold.resample import resample

    return torch.from_numpy(resample(image, rows, columns, size, interpolation))


def _spans(window: Window, height: int, width: int, orientation: int) -> tuple[Span, Span]:
    """The rows and columns of the file that an upright window takes."""
    turned, up, back = TURNS[orientation]
    rows, columns = _span(window.top, window.height, height, up), _span(window.left, window.width, width, back)
    if min(rows.length, columns.length) <= 0:
        raise ValueError(f"{window} has no pixel of an image of {width}x{height}; give one that overlaps the image")
    return (columns, rows) if turned else (rows, columns)


def _span(start: float, length: float, extent: int, backwards: bool) -> Span:
    low, high = max(0.0, float(start)), min(float(extent), float(start + length))
    return Span(extent - high, extent - low, True) if backwards else Span(low, high, False)
