"""Where the views of an image lie, as the papers say: pure geometry, without networks and pixels.

A layout places squares on an image that was scaled to a shorter side Q. Halves of a pixel go to the even neighbour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Square(NamedTuple):
    """The corner and the side of a square in whole pixels of the scaled image."""

    top: int
    left: int
    side: int


@dataclass(frozen=True)
class Layout:
    """(height, width) of the scaled image and the network's input size -> squares, each of them at least once."""

    words: str
    squares: Callable[[int, int, int], tuple[Square, ...]]

    def __call__(self, height: int, width: int, size: int) -> tuple[Square, ...]:
        return self.squares(height, width, size)


@dataclass(frozen=True)
class View:
    """A rectangle of an image that was scaled to `scaled` (height, width), in its pixels; mirrored after it was cut."""

    scaled: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    is_mirrored: bool = False

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Its edges x1 y1 x2 y2 in pixels of the image before it was scaled, which has `height` x `width`."""
        down, across = height / self.scaled[0], width / self.scaled[1]
        return self.left * across, self.top * down, (self.left + self.width) * across, (self.top + self.height) * down


def _centre(height: int, width: int, size: int) -> tuple[Square, ...]:
    return (Square(round((height - size) / 2), round((width - size) / 2), size),)


def _corners_and_centre(height: int, width: int, size: int) -> tuple[Square, ...]:
    bottom, right = height - size, width - size
    corners = (Square(0, 0, size), Square(0, right, size), Square(bottom, 0, size), Square(bottom, right, size))
    return (*corners, *_centre(height, width, size))


def _of_central_square(height: int, width: int, size: int) -> tuple[Square, ...]:
    side = min(height, width)
    (square,) = _centre(height, width, side)
    return tuple(_inside(square, inner) for inner in _corners_and_centre(side, side, size))


def _grid(height: int, width: int, size: int) -> tuple[Square, ...]:
    return tuple(
        Square(round(row * (height - size) / 4), round(column * (width - size) / 4), size)
        for row in range(5)
        for column in range(5)
    )


def _three_squares(height: int, width: int, size: int) -> tuple[Square, ...]:
    side = min(height, width)
    rest = max(height, width) - side
    squares = [Square(at, 0, side) if height > width else Square(0, at, side) for at in (0, round(rest / 2), rest)]
    inner = (*_corners_and_centre(side, side, size), Square(0, 0, side))
    return tuple(_inside(square, place) for square in squares for place in inner)


def _nine(height: int, width: int, size: int) -> tuple[Square, ...]:
    bottom, right = height - size, width - size
    middle, centre = round(bottom / 2), round(right / 2)
    corners = ((0, 0), (0, right), (bottom, 0), (bottom, right))
    sides = ((0, centre), (middle, 0), (middle, right), (bottom, centre))
    places = dict.fromkeys(((middle, centre), *corners, *sides))  # without repeats, in this order
    return tuple(Square(top, left, size) for top, left in places)


def _inside(square: Square, inner: Square) -> Square:
    return Square(square.top + inner.top, square.left + inner.left, inner.side)


CENTRE = Layout("the centre", _centre)
TEN = Layout("the corners and the centre of the central square", _of_central_square)  # AlexNet 4.1
TEN_WHOLE = Layout("the corners and the centre of the whole image", _corners_and_centre)  # SPP-net 3.1
# VGG 3.2: a regular grid of 5 x 5 places. Where they coincide, as on a square image of the input's size, all count
GRID = Layout("a grid of 5 x 5 places", _grid)
# GoogLeNet 7: the left, central and right square of a landscape, upper, central and lower of a portrait; of each its
# corners, its centre, and the square itself, scaled down. On a square image the three coincide, and all count
THREE_SQUARES = Layout("of three squares the corners, the centre and the whole", _three_squares)
# SPP-net 3.1.3: "one at the centre, four at the corners, and four on the middle of each side", counted once where they
# coincide: three of them at Q = 224, if the image is not square
NINE = Layout("the centre, the corners and the middles of the sides", _nine)
