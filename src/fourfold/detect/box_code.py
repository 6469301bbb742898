"""How far a box lies from a proposal, as the four numbers that a regression learns (R-CNN appendix C)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fourfold.boxes import from_centres, to_centres
from fourfold.shapes import expect

FURTHEST = math.log(1e5)  # more than the sides of a box in any image differ; beyond it exp ends in infinity


def encode(proposals: Tensor, boxes: Tensor) -> Tensor:
    """The targets t (R,4) that lead from each of proposals (R,4) to the box (R,4) in the same row.

    t_x = (G_x - P_x) / P_w, t_y = (G_y - P_y) / P_h, t_w = log(G_w / P_w), t_h = log(G_h / P_h) with centres x y and sizes
    w h of the box G and the proposal P (R-CNN appendix C, equations 6 to 9).
    Raises ValueError where a box or a proposal has no width or no height.
    """
    expect(boxes, f"{len(proposals)} 4", name="the set of boxes")
    given, wanted = _with_sides(proposals, "proposal"), _with_sides(boxes, "box")
    sides = given[:, 2:]
    return torch.cat(((wanted[:, :2] - given[:, :2]) / sides, (wanted[:, 2:] / sides).log()), 1)


def decode(proposals: Tensor, code: Tensor) -> Tensor:
    """The boxes (R,4) to which code (R,4) leads from proposals (R,4): the inverse of `encode` (equations 1 to 4).

    t_w and t_h are cut at logarithms of 1e5 and 1 / 1e5, so that a wild guess gives a huge box and not an infinite one; they
    may stick out of the image. Raises ValueError where a proposal has no width or no height.
    """
    expect(code, f"{len(proposals)} 4", name="the code of boxes")
    given = _with_sides(proposals, "proposal")
    sides = given[:, 2:]
    middle = given[:, :2] + code[:, :2] * sides
    return from_centres(torch.cat((middle, sides * code[:, 2:].clamp(-FURTHEST, FURTHEST).exp()), 1))


def _with_sides(boxes: Tensor, name: str) -> Tensor:
    expect(boxes, "R 4", name=f"the set of {name}s")
    centres = to_centres(boxes)
    flat = ~(centres[:, 2:] > 0).all(1)
    if flat.any():
        row = int(flat.nonzero()[0])
        raise ValueError(f"{name} {row} is {boxes[row].tolist()}, without width or height; leave such boxes out")
    return centres
