"""Items are decoded in the order given, and rows are divided into parts with one list of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from fourfold.data.listing import AHEAD, WHOLE, Broken, File, Listing, parts_of, read_in_order, sort_classes


@dataclass(frozen=True, eq=False)
class InMemory:
    name: str
    pixels: Tensor

    def content(self) -> Tensor:
        return self.pixels


def put(path: Path, colour: tuple[int, int, int] = (9, 80, 200), size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_many_files_are_decoded_in_the_order_given_with_broken_ones_in_their_place(tmp_path: Path) -> None:
    count = 2 * AHEAD + 7
    paths = [put(tmp_path / f"{index}.png", (index, 255 - index, 7)) for index in range(count)]
    for index in (0, 70, count - 1):
        paths[index].write_bytes(b"not an image")

    results = list(read_in_order([File(path) for path in paths]))

    assert len(results) == count
    for index, result in enumerate(results):
        if index in (0, 70, count - 1):
            assert isinstance(result, Broken)
            assert result.name == str(paths[index])
        else:
            assert isinstance(result, torch.Tensor)
            assert result[:, 0, 0].tolist() == [index, 255 - index, 7]


def test_pixels_in_memory_come_as_they_are_and_wrong_ones_as_broken() -> None:
    pixels = torch.randint(0, 256, (3, 7, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    items = [InMemory("good", pixels), InMemory("grey", pixels[:1]), InMemory("float", pixels.float())]

    good, *broken = read_in_order(items)

    assert isinstance(good, Tensor)
    assert torch.equal(good, pixels)
    assert [one.name for one in broken if isinstance(one, Broken)] == ["grey", "float"]


def test_rows_are_divided_into_parts_that_share_their_classes() -> None:
    names = [("train", "a", "dog"), ("val", "b", "cat"), ("train", "c", "cat"), ("train", "d", "emu"), ("val", "e", "dog")]
    parts = parts_of((part, File(Path(file)), label) for part, file, label in names)

    assert list(parts) == ["train", "val"]
    assert [item.name for item in parts["train"].items] == ["a", "c", "d"]
    assert parts["train"].labels == (1, 0, 2)
    assert [item.name for item in parts["val"].items] == ["b", "e"]
    assert parts["val"].labels == (0, 1)
    assert parts["train"].classes == parts["val"].classes == ("cat", "dog", "emu")


def test_an_order_of_classes_is_kept_and_classes_that_do_not_occur_are_dropped() -> None:
    parts = parts_of([(WHOLE, File(Path("a")), "cat"), (WHOLE, File(Path("b")), "zoo")], ["zoo", "dog", "cat"])

    assert parts[WHOLE].classes == ("zoo", "cat")
    assert parts[WHOLE].labels == (1, 0)


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10", "9", "1", "9"], ("1", "9", "10")),
        (["10", "9", "b"], ("10", "9", "b")),
        (["b", "B", "a"], ("B", "a", "b")),
        (["²", "1"], ("1", "²")),  # a digit to Python, but no number
        ([], ()),
    ],
)
def test_numbers_are_sorted_as_numbers_only_where_all_are(names: list[str], order: tuple[str, ...]) -> None:
    assert sort_classes(names) == order


def test_a_class_that_loses_all_its_items_is_named_and_one_that_had_none_is_not() -> None:
    items = tuple(File(Path(f"{index}.png")) for index in range(4))
    part = Listing(items, (0, 2, 2, 0), ("a", "b", "c"))  # of b there is none, as there may be in a part for validation
    assert part.take_readable([0, 2]).items == (items[0], items[2])
    with pytest.raises(ValueError, match="no image of class 'c' can be read"):
        part.take_readable([0, 3])
