"""Boxes against nested loops, torchvision and their laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from fourfold import boxes as b

NUMBER = st.integers(-400, 400).map(lambda value: value / 8)  # exact in float32, and often equal to another


@st.composite
def a_set(draw: st.DrawFn, least: int = 0) -> Tensor:
    rows = draw(st.lists(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER), min_size=least, max_size=6))
    return torch.tensor([(min(x, u), min(y, v), max(x, u), max(y, v)) for x, y, u, v in rows]).view(-1, 4)


def slow_iou(one: list[float], other: list[float]) -> float:
    shared = 1.0
    for axis in (0, 1):
        shared *= max(0.0, min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]))
    union = sum((each[2] - each[0]) * (each[3] - each[1]) for each in (one, other)) - shared
    return shared / union if union > 0 else 0.0


@given(a_set(), a_set())
def test_iou_equals_a_nested_loop(first: Tensor, second: Tensor) -> None:
    found = b.iou(first.double(), second.double())
    assert found.shape == (len(first), len(second))
    assert found.tolist() == [[pytest.approx(slow_iou(x, y), abs=1e-12) for y in second.tolist()] for x in first.tolist()]


def test_iou_equals_torchvision() -> None:
    dice = torch.Generator().manual_seed(1)
    first, second = (torch.rand(count, 4, generator=dice) * 100 for count in (70, 50))
    first[:, 2:] += first[:, :2]
    second[:, 2:] += second[:, :2]
    found = b.iou(first, second)
    assert (found > 0).any()
    torch.testing.assert_close(found, box_iou(first, second), rtol=1e-6, atol=0)


@given(a_set(), a_set())
def test_iou_is_symmetric_and_a_share(first: Tensor, second: Tensor) -> None:
    found = b.iou(first, second)
    assert torch.equal(found, b.iou(second, first).T)
    assert ((found >= 0) & (found <= 1)).all()


@given(a_set())
def test_a_box_covers_itself_exactly_or_has_no_area(boxes: Tensor) -> None:
    assert torch.equal(b.iou(boxes, boxes).diagonal(), (b.area(boxes) > 0).float())


def test_iou_by_hand() -> None:
    box = torch.tensor([[0.0, 0.0, 4.0, 2.0]])
    others = torch.tensor(
        [
            [4.0, 0.0, 8.0, 2.0],  # touches at an edge
            [4.0, 2.0, 5.0, 3.0],  # touches at a corner
            [2.0, 1.0, 6.0, 3.0],  # shares 2 of 8 + 8 - 2
            [1.0, 0.0, 3.0, 1.0],  # lies inside: 2 of 8
            [1.0, 1.0, 1.0, 2.0],  # has no area
            [0.0, 0.0, 4.0, 2.0],
        ]
    )
    assert b.iou(box, others)[0].tolist() == [0, 0, pytest.approx(1 / 7), 0.25, 0, 1]


def test_boxes_without_area_have_no_overlap_even_with_themselves() -> None:
    point = torch.tensor([[3.0, 3.0, 3.0, 3.0]])
    assert b.iou(point, point).item() == 0


def test_area_counts_no_pixels_but_edges() -> None:
    assert b.area(torch.tensor([[1.0, 2.0, 4.0, 7.5], [0.0, 0.0, 0.0, 9.0], [5.0, 5.0, 3.0, 3.0]])).tolist() == [16.5, 0, 0]


def test_clip_by_hand() -> None:
    boxes = torch.tensor([[-3.0, 5.0, 12.0, 30.0], [1.0, 2.0, 3.0, 4.0], [50.0, -9.0, 60.0, -2.0]])
    assert b.clip(boxes, 20, 10).tolist() == [[0, 5, 10, 20], [1, 2, 3, 4], [10, 0, 10, 0]]


@given(a_set(), st.integers(1, 30), st.integers(1, 30))
def test_clipped_boxes_lie_in_the_image_and_stay(boxes: Tensor, height: int, width: int) -> None:
    once = b.clip(boxes, height, width)
    b.check_boxes(once, "them")
    assert all(0 <= x <= u <= width and 0 <= y <= v <= height for x, y, u, v in once.tolist())
    assert torch.equal(b.clip(once, height, width), once)


def test_mirror_moves_the_pixels_of_a_box() -> None:
    image = torch.zeros(6, 9)
    image[1:3, 2:7] = 1
    left, top, right, bottom = b.mirror(torch.tensor([[2.0, 1.0, 7.0, 3.0]]), 9)[0].int().tolist()
    assert image.flip(1)[top:bottom, left:right].sum() == image.sum()


@given(a_set(), st.integers(1, 500))
def test_mirrored_twice_is_as_before(boxes: Tensor, width: int) -> None:
    once = b.mirror(boxes, width)
    b.check_boxes(once, "them")
    assert torch.equal(b.mirror(once, width), boxes)
    assert torch.equal(b.iou(once, once), b.iou(boxes, boxes))


def test_rescale_by_hand() -> None:
    full = torch.tensor([[0.0, 0.0, 50.0, 20.0], [5.0, 2.0, 10.0, 3.0]])
    assert b.rescale(full, (20, 50), (40, 25)).tolist() == [[0, 0, 25, 40], [2.5, 4, 5, 6]]


@given(a_set(), st.integers(1, 900), st.integers(1, 900), st.integers(1, 900), st.integers(1, 900))
def test_rescaled_there_and_back_is_as_before(boxes: Tensor, height: int, width: int, new: int, wide: int) -> None:
    there = b.rescale(boxes.double(), (height, width), (new, wide))
    torch.testing.assert_close(b.rescale(there, (new, wide), (height, width)), boxes.double(), rtol=1e-12, atol=1e-12)


@given(a_set())
def test_centres_are_those_of_torchvision_and_lead_back(boxes: Tensor) -> None:
    centres = b.to_centres(boxes)
    torch.testing.assert_close(centres, box_convert(boxes, "xyxy", "cxcywh"))
    assert torch.equal(b.from_centres(centres), boxes)  # exact for these numbers


def test_the_empty_set_is_accepted_everywhere() -> None:
    none, some = b.no_boxes(), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    b.check_boxes(none, "none")
    assert b.area(none).shape == (0,)
    assert b.iou(none, some).shape == (0, 1)
    assert b.iou(some, none).shape == (1, 0)
    moved = (
        b.clip(none, 2, 3),
        b.mirror(none, 3),
        b.rescale(none, (1, 2), (3, 4)),
        b.to_centres(none),
        b.from_centres(none),
    )
    assert all(each.shape == (0, 4) for each in moved)


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        (torch.zeros(4), "shape (4,); expected (R, 4)"),
        (torch.zeros(2, 5), "expected (R, 4)"),
        (torch.zeros(2, 4, dtype=torch.int64), "give them as float"),
        (torch.tensor([[0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 1.0, 1.0]]), "box 1 of the boxes is [2.0, 0.0, 1.0, 1.0]"),
        (torch.tensor([[0.0, 2.0, 1.0, 1.0]]), "y1 <= y2"),
        (torch.tensor([[0.0, 0.0, math.nan, 1.0]]), "finite"),
        (torch.tensor([[0.0, 0.0, math.inf, 1.0]]), "finite"),
    ],
)
def test_what_is_no_box_is_refused(boxes: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match="the boxes") as refused:
        b.check_boxes(boxes, "the boxes")
    assert words in str(refused.value)


def test_overlaps_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="the second set of boxes"):
        b.iou(torch.zeros(1, 4), torch.zeros(4))
