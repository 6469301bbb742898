"""The images that a detector learns from: their candidates, and their pixels within bounds of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.listing import read_item
from fourfold.detect.sampling import Matches, match

PIXELS_HELD = 2**30  # bytes (ours)

Value = TypeVar("Value")


class Held(Generic[Value]):
    """What was made before, by key; those asked for longest ago are let go when all exceed `limit` bytes."""

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self.limit, self._size = limit, size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._total = 0

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made if it is not held."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make()
        self._values[key] = value
        self._total += self._size(value)
        while self._total > self.limit and len(self._values) > 1:
            _, gone = self._values.popitem(last=False)
            self._total -= self._size(gone)
        return value


def bytes_of(tensor: Tensor) -> int:
    """What a tensor takes in memory."""
    return tensor.numel() * tensor.element_size()


@dataclass(frozen=True, eq=False)
class Seen:
    """Annotated images with the candidates (R,4) of each: its objects, then its proposals."""

    images: tuple[Annotated, ...]
    candidates: tuple[Tensor, ...]
    _pixels: Held[Tensor] = field(default_factory=lambda: Held(PIXELS_HELD, bytes_of))

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def matches(self) -> tuple[Matches, ...]:
        """What the candidates of each image overlap."""
        return tuple(match(boxes, image) for boxes, image in zip(self.candidates, self.images, strict=True))

    def pixels(self, index: int) -> Tensor:
        """uint8 (3,H,W) of one image. Raises ValueError for a file that cannot be read any more."""
        item = self.images[index].item
        return self._pixels.get(index, lambda: read_item(item))
