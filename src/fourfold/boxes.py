"""Boxes: areas, overlaps, and moves between images and ways to write a box down.

A box is x1 y1 x2 y2, the edges in pixels of the image it comes with: its width is x2 - x1, and the full image is 0 0 W H.
A set of boxes is a float tensor (R,4), (0,4) where there is none. Formats that count pixels are converted where they are
read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fourfold.shapes import expect


def no_boxes() -> Tensor:
    """An empty set, float32 (0,4)."""
    return torch.zeros(0, 4)


def check_boxes(boxes: Tensor, name: str) -> None:
    """Raises ValueError where boxes are not float (R,4), not finite, or have their edges in the wrong order; says which."""
    expect(boxes, "R 4", name=name)
    if not boxes.is_floating_point():
        raise ValueError(f"{name} are {boxes.dtype}; give them as float, edges in pixels")
    low, high = boxes[:, :2], boxes[:, 2:]
    wrong = (~boxes.isfinite()).any(1) | (low > high).any(1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"box {row} of {name} is {boxes[row].tolist()}; give x1 y1 x2 y2, finite, with x1 <= x2 and y1 <= y2"
        )


def area(boxes: Tensor) -> Tensor:
    """Square pixels (R,) of boxes (R,4); 0 where the edges of a box are in the wrong order."""
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    return sides[:, 0] * sides[:, 1]


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (R,S), 0..1, of each of first (R,4) with each of second (S,4), in their dtype.

    Boxes that only touch have 0, and so has every pair with a box without area. Exactly 1 for equal boxes.
    """
    expect(first, "R 4", name="the first set of boxes")
    expect(second, "S 4", name="the second set of boxes")
    left, top, right, bottom = (edge[:, None] for edge in first.unbind(1))
    width = torch.minimum(right, second[:, 2]) - torch.maximum(left, second[:, 0])
    height = torch.minimum(bottom, second[:, 3]) - torch.maximum(top, second[:, 1])
    shared = width.clamp_(min=0) * height.clamp_(min=0)
    union = area(first)[:, None] + area(second) - shared
    return torch.where(shared > 0, shared / union, 0.0)  # without area the union may be 0 too


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes (R,4) cut at the borders of an image; one that lies outside it becomes a box without area on the border."""
    across, down = boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)
    return torch.stack((across[:, 0], down[:, 0], across[:, 1], down[:, 1]), 1)


def mirror(boxes: Tensor, width: int) -> Tensor:
    """Boxes (R,4) on the image mirrored left to right, which is `width` pixels wide."""
    left, top, right, bottom = boxes.unbind(1)
    return torch.stack((width - right, top, width - left, bottom), 1)


def rescale(boxes: Tensor, size: tuple[int, int], new_size: tuple[int, int]) -> Tensor:
    """Boxes (R,4) of an image of `size` (height, width) on the same image scaled to `new_size`."""
    down, across = new_size[0] / size[0], new_size[1] / size[1]
    return boxes * boxes.new_tensor((across, down, across, down))


def to_centres(boxes: Tensor) -> Tensor:
    """Boxes (R,4) as centre x, centre y, width, height (R,4)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return torch.cat(((low + high) / 2, high - low), 1)


def from_centres(centres: Tensor) -> Tensor:
    """Boxes (R,4) as edges, from centre x, centre y, width, height (R,4)."""
    middle, half = centres[:, :2], centres[:, 2:] / 2
    return torch.cat((middle - half, middle + half), 1)
