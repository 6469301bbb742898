"""What was made before is held in memory, within bounds: decoded images that training asks for again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from torch import Tensor

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
