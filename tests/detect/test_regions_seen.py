"""The images that a detector learns from."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.detect.regions_seen import Seen


@dataclass(eq=False)
class Memory:
    """An item that counts how often it is asked for."""

    pixels: Tensor | bytes
    name: str = "made"
    asked: list[int] = field(default_factory=list)

    def content(self) -> bytes | Tensor:
        self.asked.append(1)
        return self.pixels


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
