"""Where the cells of a feature map lie on the image, and what a shape error says.

Coordinates are pixel edges: pixel i covers [i, i+1), so the centre of the first pixel is 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Field:
    """The receptive field of one map cell: its side, the step between neighbours, and the centre of cell 0, in pixels."""

    size: int = 1
    stride: int = 1
    centre: float = 0.5

    def through(self, kernel: int, stride: int = 1, padding: int = 0) -> Field:
        """The field after one more kernel x kernel layer (VGG 2.3: three 3x3 layers see 7x7)."""
        return Field(
            size=self.size + (kernel - 1) * self.stride,
            stride=self.stride * stride,
            centre=self.centre + ((kernel - 1) / 2 - padding) * self.stride,
        )

    def cells(self, low: float, high: float, count: int) -> tuple[int, int]:
        """The cells of a map with `count` of them that stand for the window [low, high) in pixels: half-open, never empty.

        Those whose centre lies inside the window (SPP-net appendix A: floor(x / S) + 1 up to ceil(x / S) - 1 where cell i is
        centred on S * i; other paddings shift x). A window without a centre gets the cell between, as in the authors' code.
        """
        first = math.floor((low - self.centre) / self.stride) + 1
        last = math.ceil((high - self.centre) / self.stride) - 1
        first, last = (min(max(cell, 0), count - 1) for cell in (first, last))
        if first > last:
            first = last = (first + last) // 2
        return first, last + 1


def square(value: int | Sequence[int]) -> int:
    """The one number in a kernel size, stride or padding. Raises ValueError if height and width differ."""
    sides = (value,) if isinstance(value, int) else tuple(value)
    if len(set(sides)) != 1:
        raise ValueError(f"height and width of a layer differ: {sides}; only square layers are supported")
    return sides[0]


def expect(tensor: Tensor, shape: str, *, name: str) -> None:
    """Check a tensor against letters and numbers such as "N 3 H W": numbers must match, letters may be anything.

    Raises ValueError naming the tensor, its shape and the shape wanted.
    """
    wanted = shape.split()
    fits = tensor.ndim == len(wanted) and all(
        not want.isdigit() or int(want) == have for want, have in zip(wanted, tensor.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected ({', '.join(wanted)})")
