"""The images that a detector learns from."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.detect.regions_seen import Held, Seen, bytes_of


@dataclass(eq=False)
class Memory:
    """An item that counts how often it is asked for."""

    pixels: Tensor | bytes
    name: str = "made"
    asked: list[int] = field(default_factory=list)

    def content(self) -> bytes | Tensor:
        self.asked.append(1)
        return self.pixels


def held(limit: int) -> tuple[Held[str], list[str]]:
    return Held(limit, len), []


def ask(store: Held[str], made: list[str], *values: str) -> None:
    for value in values:
        assert store.get(value[0], lambda value=value: made.append(value) or value) == value


def test_what_was_made_is_held() -> None:
    store, made = held(10)
    ask(store, made, "aaaa", "bbbb", "aaaa", "bbbb")
    assert made == ["aaaa", "bbbb"]


def test_what_was_asked_for_longest_ago_is_let_go() -> None:
    store, made = held(10)
    ask(store, made, "aaaa", "bbbb", "aaaa", "cccc")  # b is the oldest
    made.clear()
    ask(store, made, "aaaa", "cccc")
    assert made == []
    ask(store, made, "bbbb", "cccc", "aaaa")  # b pushes a out, then a b
    assert made == ["bbbb", "aaaa"]


def test_several_are_let_go_for_a_large_one_and_exactly_the_limit_fits() -> None:
    store, made = held(10)
    ask(store, made, "aaaa", "bbb", "ccc")
    assert made == ["aaaa", "bbb", "ccc"]
    ask(store, made, "aaaa", "bbb", "ccc")
    assert len(made) == 3, "ten of ten are held"
    ask(store, made, "dddddd")
    made.clear()
    ask(store, made, "ccc")
    assert made == []
    ask(store, made, "bbb", "aaaa")
    assert made == ["bbb", "aaaa"]


def test_one_that_exceeds_the_limit_alone_is_held_until_another_comes() -> None:
    store, made = held(3)
    ask(store, made, "aaaa", "aaaa", "b", "b", "cc", "b")
    assert made == ["aaaa", "b", "cc"]


def test_what_could_not_be_made_is_not_held() -> None:
    store, _ = held(3)

    def fail() -> str:
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        store.get("a", fail)
    assert store.get("a", lambda: "aaa") == "aaa"


def test_a_tensor_takes_its_values_bytes() -> None:
    assert bytes_of(torch.zeros(3, 5, 7, dtype=torch.uint8)) == 105
    assert bytes_of(torch.zeros(2, 3)) == 24


def annotated(item: Memory, boxes: Tensor) -> Annotated:
    return Annotated(item, 20, 30, boxes, torch.arange(len(boxes)), torch.zeros(len(boxes), dtype=torch.bool))


def test_images_are_read_once_and_matched_to_their_own_objects() -> None:
    items = [Memory(torch.full((3, 20, 30), value, dtype=torch.uint8)) for value in (7, 8)]
    boxes = torch.tensor([[0.0, 0, 10, 10], [10.0, 0, 30, 20]])
    candidates = (torch.tensor([[0.0, 0, 10, 5], [12.0, 0, 30, 20]]), torch.tensor([[0.0, 0, 10, 10]]))
    seen = Seen((annotated(items[0], boxes), annotated(items[1], boxes[1:])), candidates)

    assert len(seen) == 2
    assert [int(seen.pixels(index)[0, 0, 0]) for index in (1, 0, 1, 0)] == [8, 7, 8, 7]
    assert [len(item.asked) for item in items] == [1, 1]
    first, second = seen.matches
    assert first.overlaps.tolist() == pytest.approx([0.5, 0.9])
    assert first.labels.tolist() == [0, 1]
    assert second.labels.tolist() == [-1]


def test_a_file_that_cannot_be_read_any_more_is_named() -> None:
    seen = Seen((annotated(Memory(b"no image", "gone.png"), torch.zeros(0, 4)),), (torch.zeros(0, 4),))
    with pytest.raises(ValueError, match=r"gone\.png"):
        seen.pixels(0)
