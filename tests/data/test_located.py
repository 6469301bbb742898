"""Of each image its largest object that counts is kept, and images without one are named."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from fourfold.data.annotated import Annotated, Annotations
from fourfold.data.boxed import BoxedSplits
from fourfold.data.listing import Broken
from fourfold.data.located import largest, largest_of_splits


@dataclass(frozen=True)
class Memory:
    name: str

    def content(self) -> Tensor:
        return torch.zeros(3, 50, 80, dtype=torch.uint8)


def image(name: str, *objects: tuple[int, tuple[float, float, float, float], bool]) -> Annotated:
    labels, boxes, difficult = ([each[at] for each in objects] for at in range(3))
    return Annotated(
        Memory(name),
        50,
        80,
        torch.tensor(boxes).view(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(difficult, dtype=torch.bool),
    )


def part(*images: Annotated) -> Annotations:
    return Annotations(images, ("a", "b", "c"), (Broken("old", "was wrong"),))


WIDE, HIGH, SMALL, WHOLE = (0.0, 0.0, 60.0, 5.0), (0.0, 0.0, 10.0, 40.0), (1.0, 1.0, 3.0, 3.0), (0.0, 0.0, 80.0, 50.0)


def test_the_largest_object_by_area_is_kept_with_its_class() -> None:
    found = largest(part(image("x", (0, WIDE, False), (2, HIGH, False), (1, SMALL, False)), image("y", (1, SMALL, False))))

    assert [each.item.name for each in found.images] == ["x", "y"]
    assert [each.boxes.tolist() for each in found.images] == [[list(HIGH)], [list(SMALL)]]
    assert [each.labels.tolist() for each in found.images] == [[2], [1]]
    assert [each.is_difficult.tolist() for each in found.images] == [[False], [False]]
    assert found.classes == ("a", "b", "c")
    assert found.faults == (Broken("old", "was wrong"),)


def test_difficult_objects_do_not_count_and_the_first_of_equal_ones_is_taken() -> None:
    found = largest(part(image("x", (0, WHOLE, True), (1, HIGH, False), (2, (5.0, 5.0, 45.0, 15.0), False))))

    assert found.images[0].labels.tolist() == [1]


def test_images_without_an_object_are_left_out_and_named() -> None:
    found = largest(part(image("bare"), image("x", (0, SMALL, False)), image("hard", (0, WHOLE, True))))

    assert [each.item.name for each in found.images] == ["x"]
    assert [fault.name for fault in found.faults] == ["old", "bare", "hard"]
    assert "no object to be located" in found.faults[1].error


def test_all_parts_are_thinned_and_nothing_to_learn_from_is_refused() -> None:
    one, two, bare = image("x", (0, WIDE, False), (1, HIGH, False)), image("y", (2, SMALL, False)), image("z")
    found = largest_of_splits(BoxedSplits(part(one, bare), part(two, bare), part(bare), "val"))

    assert [len(each) for each in (found.train, found.val)] == [1, 1]
    assert found.test is not None
    assert len(found.test) == 0
    assert found.origin == "val"
    assert largest_of_splits(BoxedSplits(part(one), part(), None, "")).test is None
    with pytest.raises(ValueError, match="no image to learn from has an object"):
        largest_of_splits(BoxedSplits(part(bare), part(one), None, ""))
