"""Which window of a photo training sees: rules from the papers, as pure functions of size and of uniform numbers.

A rule says how many numbers it wants (`draws`); they are drawn beforehand for a whole batch, so that the windows do not
depend on how many workers read the photos, or in which order.

The papers scale a photo so that its shorter side has S pixels and cut 224 x 224 from that. Seen from the photo this is a
window whose side is 224 / S of the shorter side; read so, a rule serves a network of any input size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fourfold.images import view_scale
from fourfold.windows import Interpolation, Window

INPUT = 224  # the side of the papers' crops: VGG 3.1, ResNet 3.4, GoogLeNet 5, SPP-net 3.1, AlexNet 4.1
TRIES = 10  # Reading: windows drawn before giving up on a very long photo, as in torchvision; GoogLeNet 6 says nothing


class Crop(Protocol):
    """(height, width, `draws` numbers in [0, 1)) -> window. Lengths follow the papers' for an input of 224 pixels."""

    @property
    def draws(self) -> int:
        """How many numbers a window takes."""
        ...

    def __call__(self, height: int, width: int, numbers: Sequence[float], /) -> Window: ...


@dataclass(frozen=True)
class ScaleCrop:
    """Scale the shorter side to S, drawn from [low, high], and cut 224 x 224 at a random place (VGG 3.1, ResNet 3.4).

    Reading: S is a whole number and all are as likely; the papers say "randomly sampling S from a certain range".
    Raises ValueError for a range that is empty or begins below 224.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_scale(self.low)
        if self.high < self.low:
            raise ValueError(f"no scale lies between {self.low} and {self.high}; give the smaller one first")

    @property
    def draws(self) -> int:
        """Scale, top, left."""
        return 3

    def __call__(self, height: int, width: int, numbers: Sequence[float]) -> Window:
        scale = self.low + _pick(numbers[0], self.high - self.low + 1)
        rows, columns = _scaled(height, width, scale)
        top, left = _pick(numbers[1], rows - INPUT + 1), _pick(numbers[2], columns - INPUT + 1)
        return _cut(height, width, scale, top, left)


@dataclass(frozen=True)
class CentralCrop:
    """Scale the shorter side to `scale`, keep the square in the middle and cut 224 x 224 of it (AlexNet 2 and 4.1).

    Reading: the 33 x 33 places that there are; the paper counts 2048 = 2 x 32 x 32 views, its code draws from 33.
    Raises ValueError for a scale below 224.
    """

    scale: int = 256  # AlexNet 2

    def __post_init__(self) -> None:
        _check_scale(self.scale)

    @property
    def draws(self) -> int:
        """Top, left."""
        return 2

    def __call__(self, height: int, width: int, numbers: Sequence[float]) -> Window:
        rows, columns = _scaled(height, width, self.scale)
        places = self.scale - INPUT + 1
        top = round((rows - self.scale) / 2) + _pick(numbers[0], places)
        left = round((columns - self.scale) / 2) + _pick(numbers[1], places)
        return _cut(height, width, self.scale, top, left)


@dataclass(frozen=True)
class CornerCrop:
    """Scale the shorter side to `scale` and cut 224 x 224 from the centre or a corner of the entire image (SPP-net 3.1).

    Reading: one of the five at random each time; the paper says that a crop "is picked from" them.
    Raises ValueError for a scale below 224.
    """

    scale: int = 256  # SPP-net 3.1

    def __post_init__(self) -> None:
        _check_scale(self.scale)

    @property
    def draws(self) -> int:
        """Which of the five places."""
        return 1

    def __call__(self, height: int, width: int, numbers: Sequence[float]) -> Window:
        rows, columns = _scaled(height, width, self.scale)
        bottom, right = rows - INPUT, columns - INPUT
        places = ((round(bottom / 2), round(right / 2)), (0, 0), (0, right), (bottom, 0), (bottom, right))
        return _cut(height, width, self.scale, *places[_pick(numbers[0], len(places))])


@dataclass(frozen=True)
class AreaCrop:
    """A window whose share of the image's area and whose aspect (width / height) are drawn from ranges (GoogLeNet 6).

    The area is uniform; the aspect, a Reading, uniform in its logarithm, so that a window and the same window on its side
    are as likely (as in torchvision; uniform in the aspect itself would have more wide ones). Whole pixels. A window that
    does not fit the image is drawn again, ten times at most; then it is the largest central one whose aspect is allowed.
    Raises ValueError for ranges that are none.
    """

    area: tuple[float, float] = (0.08, 1.0)  # GoogLeNet 6
    aspect: tuple[float, float] = (3 / 4, 4 / 3)  # GoogLeNet 6
    interpolations: tuple[Interpolation, ...] = ("bilinear", "area", "nearest", "cubic")  # GoogLeNet 6: equally likely

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"a window cannot have {self.area} of the image's area; give two shares, 0 to 1, smaller first")
        if not 0 < self.aspect[0] <= self.aspect[1] or not self.interpolations:
            raise ValueError(f"aspects {self.aspect} are no range; give two above 0, smaller first, and an interpolation")

    @property
    def draws(self) -> int:
        """Interpolation, top, left, then area and aspect of each try."""
        return 3 + 2 * TRIES

    def __call__(self, height: int, width: int, numbers: Sequence[float]) -> Window:
        interpolation = self.interpolations[_pick(numbers[0], len(self.interpolations))]
        for share, aspect in zip(numbers[3::2], numbers[4::2], strict=True):
            rows, columns = self._sides(height * width, share, aspect)
            if 0 < rows <= height and 0 < columns <= width:
                top, left = _pick(numbers[1], height - rows + 1), _pick(numbers[2], width - columns + 1)
                return Window(top, left, rows, columns, interpolation)
        rows = min(height, max(1, round(width / self.aspect[0])))
        columns = min(width, max(1, round(height * self.aspect[1])))
        return Window((height - rows) // 2, (width - columns) // 2, rows, columns, interpolation)

    def _sides(self, pixels: int, share: float, aspect: float) -> tuple[int, int]:
        area = pixels * (self.area[0] + share * (self.area[1] - self.area[0]))
        low, high = (math.log(bound) for bound in self.aspect)
        ratio = math.exp(low + aspect * (high - low))
        return round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))


@dataclass(frozen=True)
class Centre:
    """The single view that validation and `classify` see of an image; `size` is the network's own."""

    size: int

    @property
    def draws(self) -> int:
        """None."""
        return 0

    def __call__(self, height: int, width: int, _numbers: Sequence[float]) -> Window:
        scale = view_scale(self.size)
        rows, columns = _scaled(height, width, scale)
        unit = min(height, width) / scale
        top, left = round((rows - self.size) / 2), round((columns - self.size) / 2)
        return Window(top * unit, left * unit, self.size * unit, self.size * unit)


def _check_scale(scale: int) -> None:
    if scale < INPUT:
        raise ValueError(f"no {INPUT}x{INPUT} crop fits an image of scale {scale}; use a scale of at least {INPUT}")


def _pick(number: float, count: int) -> int:
    """One of `count` whole numbers from 0; the number just below 1 may round up when it is multiplied."""
    return min(int(number * count), count - 1)


def _scaled(height: int, width: int, scale: int) -> tuple[int, int]:
    """Height and width of the image whose shorter side is `scale`; the longer is rounded down as in `resize_shorter`."""
    shorter = min(height, width)
    return scale * height // shorter, scale * width // shorter


def _cut(height: int, width: int, scale: int, top: int, left: int) -> Window:
    """Where the crop at (top, left) of the scaled image lies on the image itself."""
    unit = min(height, width) / scale
    return Window(top * unit, left * unit, INPUT * unit, INPUT * unit)
