"""Changes of colour and shape, each image of a batch by its own amount: uint8 (N,3,H,W), amounts (N,) -> uint8 (N,3,H,W).

The amounts mean what they mean in Pillow, and the results equal Pillow's, but rounded where that cuts off. An image's
result depends on that image alone, bit for bit: no sum of fractions whose order follows the size of the batch, and no
fused multiply-add, which only whole vectors have.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

GREY = (0.299, 0.587, 0.114)  # ITU-R 601, as in Pillow


Change = Callable[[Tensor, Tensor], Tensor]
"""images uint8 (N,3,H,W), amounts (N,) -> images"""


def change_some(images: Tensor, is_chosen: Tensor, change: Change, amounts: Tensor) -> None:
    """Change, in place, the images of a batch that are chosen: is_chosen bool (N,), amounts (N,)."""
    rows = is_chosen.nonzero().flatten()
    if len(rows):
        images.index_copy_(0, rows, change(images.index_select(0, rows), amounts[rows]))


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Away from black: 0 is black, 1 the image, 2 twice as bright."""
    return _blend(images, torch.zeros(()), factors)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Away from the mean grey of the image."""
    sums = images.flatten(2).sum(2, dtype=torch.int32)  # of whole numbers, so exact in any order
    means = sums.double() / (images.shape[2] * images.shape[3])
    return _blend(images, _grey(means).float().view(-1, 1, 1, 1), factors)


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Away from the grey of every pixel."""
    return _blend(images, _grey(images)[:, None], factors)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Away from a blurred image: 3x3, the middle five times as heavy; the outermost pixels stay."""
    smooth = images.float()
    sums = F.avg_pool2d(smooth, 3, stride=1, divisor_override=1)
    smooth[:, :, 1:-1, 1:-1] = (smooth[:, :, 1:-1, 1:-1] * 4 + sums) / 13
    return _blend(images, smooth, factors)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch every channel to reach from 0 to 255."""
    low, high = images.amin((2, 3), keepdim=True).float(), images.amax((2, 3), keepdim=True).float()
    is_flat = low == high
    scale = torch.where(is_flat, 1.0, 255 / (high - low).clamp(min=1))
    return _whole(images.float().sub_(torch.where(is_flat, 0.0, low)).mul_(scale))


def equalize(images: Tensor) -> Tensor:
    """Spread every channel so that each brightness is about as frequent."""
    count = len(images)
    values = images.flatten(2).long()
    bins = torch.arange(3 * count).view(count, 3, 1) * 256
    histogram = torch.bincount((values + bins).flatten(), minlength=768 * count).view(count, 3, 256)
    before = histogram.cumsum(2) - histogram
    last = histogram.gather(2, values.amax(2, keepdim=True))
    step = (values.shape[2] - last) // 255
    table = ((before + step // 2) // step.clamp(min=1)).clamp(max=255)
    table = torch.where(step == 0, torch.arange(256), table).to(torch.uint8)
    return table.gather(2, values).view_as(images)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest 0 to 8 bits of every value."""
    masks = 256 - 2 ** (8 - bits.long())
    return images & masks.to(torch.uint8).view(-1, 1, 1, 1)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the values that reach a threshold."""
    return torch.where(images >= thresholds.view(-1, 1, 1, 1), 255 - images, images)


def shift_colour(images: Tensor, shifts: Tensor) -> Tensor:
    """Add to each channel its own value: shifts (N,3), rounded to whole grey levels."""
    return (images.short() + shifts.round().short()[:, :, None, None]).clamp_(0, 255).to(torch.uint8)


def rotate(images: Tensor, degrees: Tensor, fill: int) -> Tensor:
    """About the centre, to the left where positive."""
    height, width = images.shape[-2:]
    sine, cosine = degrees.deg2rad().sin(), degrees.deg2rad().cos()
    right = width / 2 - (cosine * (width / 2) - sine * (height / 2))
    down = height / 2 - (sine * (width / 2) + cosine * (height / 2))
    return warp(images, torch.stack([cosine, -sine, right, sine, cosine, down], 1), fill)


def shear_x(images: Tensor, amounts: Tensor, fill: int) -> Tensor:
    """Row y is moved to the left by `amounts` times y."""
    zero, one = torch.zeros_like(amounts), torch.ones_like(amounts)
    return warp(images, torch.stack([one, amounts, zero, zero, one, zero], 1), fill)


def shear_y(images: Tensor, amounts: Tensor, fill: int) -> Tensor:
    """Column x is moved upwards by `amounts` times x."""
    zero, one = torch.zeros_like(amounts), torch.ones_like(amounts)
    return warp(images, torch.stack([one, zero, zero, amounts, one, zero], 1), fill)


def translate(images: Tensor, right: Tensor, down: Tensor, fill: int) -> Tensor:
    """Moved by whole pixels: what is cut off of `right` and `down` is their fraction."""
    zero, one = torch.zeros_like(right), torch.ones_like(right)
    return warp(images, torch.stack([one, zero, -right.trunc(), zero, one, -down.trunc()], 1), fill)


def warp(images: Tensor, matrices: Tensor, fill: int) -> Tensor:
    """The pixel at (x, y) is the one that lies at (a x + b y + c, d x + e y + f): matrices (N,6) of a to f.

    The nearest pixel, as in RandAugment; `fill` where the place is outside the image.
    """
    count, _, height, width = images.shape
    x, y = torch.arange(width) + 0.5, (torch.arange(height) + 0.5)[:, None]
    a, b, c, d, e, f = matrices.view(count, 6, 1, 1).unbind(1)
    columns, rows = (a * x + b * y + c).floor(), (d * x + e * y + f).floor()
    is_inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    places = rows.clamp(0, height - 1).long() * width + columns.clamp(0, width - 1).long()
    moved = images.flatten(2).gather(2, places.flatten(1)[:, None].expand(-1, 3, -1)).view_as(images)
    return torch.where(is_inside[:, None], moved, torch.tensor(fill, dtype=torch.uint8))


def _grey(values: Tensor) -> Tensor:
    """(N,3,...) -> float (N,...)."""
    red, green, blue = values.unbind(1)
    return red * GREY[0] + green * GREY[1] + blue * GREY[2]


def _blend(images: Tensor, other: Tensor, factors: Tensor) -> Tensor:
    """From `other` (factor 0) through the image (1) and beyond."""
    return _whole(images.float().sub_(other).mul_(factors.view(-1, 1, 1, 1)).add_(other))


def _whole(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)
