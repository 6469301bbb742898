"""A data set before it is decoded: named items with their class, wherever the bytes lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from fourfold.ahead import in_order
from fourfold.images import check_image, read_file, read_image

AHEAD = 64  # images decoded ahead of their use
WHOLE = ""  # the part of a data set that is not divided
PART_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


class Item(Protocol):
    """One image somewhere: in a file, in an archive, in memory."""

    @property
    def name(self) -> str:
        """What to call it in a message; unique in its data set."""
        ...

    def content(self) -> bytes | Tensor:
        """The bytes of an image file, or pixels uint8 (3,H,W) RGB. Raises ValueError where they cannot be had."""
        ...


@dataclass(frozen=True)
class File:
    """An image file."""

    path: Path

    @property
    def name(self) -> str:
        """The path as it was found."""
        return str(self.path)

    def content(self) -> bytes:
        """See Item."""
        return read_file(self.path)


@dataclass(frozen=True)
class Listing:
    """Items, the index of the class of each, and the classes."""

    items: tuple[Item, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.items)

    def take(self, indices: Sequence[int]) -> Listing:
        """The items at these positions, in this order; the classes stay."""
        return Listing(tuple(self.items[i] for i in indices), tuple(self.labels[i] for i in indices), self.classes)

    def take_readable(self, indices: Sequence[int]) -> Listing:
        """`take` for those that could be read. Raises ValueError where a class had items and has none of them left."""
        kept = self.take(indices)
        lost = set(self.labels) - set(kept.labels)  # a part for validation may lack classes from the beginning
        for label, name in enumerate(self.classes):
            if label in lost:
                raise ValueError(f"no image of class {name!r} can be read; replace its files or remove the class")
        return kept


Parts = dict[str, Listing]
"""A data set as its source divides it: "train", "val" and "test" as far as they are there, or WHOLE alone.

The listings of one data set have the same `classes`, except where class folders differ.
"""


@dataclass(frozen=True)
class Broken:
    """An item that could not be used, and why, in one line."""

    name: str
    error: str


def parts_of(rows: Iterable[tuple[str, Item, str]], order: Sequence[str] | None = None) -> Parts:
    """Divide rows (part, item, class name) into parts, in the order given.

    The classes are those that occur, in the `order` given, or else sorted (as numbers where all of them are numbers).
    """
    found = list(rows)
    names = {name for _, _, name in found}
    classes = tuple(name for name in order if name in names) if order else sort_classes(names)
    index_of = {name: index for index, name in enumerate(classes)}
    divided: dict[str, list[tuple[Item, int]]] = {}
    for part, item, name in found:
        divided.setdefault(part, []).append((item, index_of[name]))
    return {
        part: Listing(tuple(item for item, _ in rows), tuple(label for _, label in rows), classes)
        for part, rows in divided.items()
    }


def sort_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in order: 9 before 10 where all are whole numbers, as Python sorts text otherwise."""
    unique = set(names)
    if all(name.isascii() and name.isdigit() for name in unique):
        return tuple(sorted(unique, key=lambda name: (int(name), name)))
    return tuple(sorted(unique))


def read_in_order(items: Sequence[Item]) -> Iterator[Tensor | Broken]:
    """Decode items a few ahead, in the order given; one that cannot be read comes as Broken."""
    return in_order(_read, items, AHEAD)


def to_image(content: bytes | Tensor, name: str) -> Tensor:
    """An item's content as uint8 (3,H,W) RGB. Raises ValueError for what is no image, as `read_image` does."""
    return check_image(content) if isinstance(content, Tensor) else read_image(content, name=name)


def read_item(item: Item) -> Tensor:
    """An item as uint8 (3,H,W) RGB. Raises ValueError for what is no image, or cannot be read any more."""
    return to_image(item.content(), item.name)


def _read(item: Item) -> Tensor | Broken:
    try:
        return read_item(item)
    except ValueError as error:
        return Broken(item.name, str(error))
