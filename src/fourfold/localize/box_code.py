"""A box as four numbers in the frame of a window, which is what a network that locates gives (VGG appendix A).

Reading: fractions of the window's sides. The paper names the centre's coordinates, the width and the height, and no unit; in
pixels its loss would be that of fractions times 224 squared, and its learning rate of 1e-3 far too high.
"""

from __future__ import annotations

import torch
from torch import Tensor


def encode(boxes: Tensor, windows: Tensor) -> Tensor:
    """Centre x, centre y, width, height (...,4) of boxes (...,4), as fractions of windows (...,4), which must have area.

    Both are edges x1 y1 x2 y2 on the same image, and one may be broadcast to the other. 0.5 0.5 1 1 is the window itself;
    a box that sticks out has what lies outside 0..1.
    """
    low, sides = windows[..., :2], windows[..., 2:] - windows[..., :2]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    return torch.cat(((middle - low) / sides, (boxes[..., 2:] - boxes[..., :2]) / sides), -1)


def decode(code: Tensor, windows: Tensor) -> Tensor:
    """The boxes (...,4) that code (...,4) names in windows (...,4): the inverse of `encode`.

    A width or height below 0, as a network may give, is taken as 0.
    """
    low, sides = windows[..., :2], windows[..., 2:] - windows[..., :2]
    middle, half = low + code[..., :2] * sides, code[..., 2:].clamp(min=0) * sides / 2
    return torch.cat((middle - half, middle + half), -1)


def mirror_code(code: Tensor) -> Tensor:
    """The code (...,4) of the same boxes in the mirrored window."""
    return torch.cat((1 - code[..., :1], code[..., 1:]), -1)
