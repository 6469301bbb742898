"""Proposals put together: prefixes, fair unions, thinning, boxes brought back from another scale, and names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import nms

from fourfold.detect.proposals import (
    PROPOSERS,
    AtMost,
    First,
    GivenBoxes,
    Resized,
    Thinned,
    Union,
    distinct,
    proposer_named,
)
from fourfold.detect.propose import Propose
from fourfold.detect.selective_search import FAST

IMAGE = torch.zeros(3, 60, 90, dtype=torch.uint8)


@dataclass(frozen=True, eq=False)
class Fixed(Propose):
    """The same boxes for every image."""

    boxes: Tensor

    def __call__(self, image: Tensor, name: str = "") -> Tensor:  # noqa: ARG002
        return self.boxes


@dataclass(frozen=True)
class Whole(Propose):
    """The image itself, its left upper quarter, and a square of ten pixels at its foot on the right."""

    def __call__(self, image: Tensor, name: str = "") -> Tensor:  # noqa: ARG002
        height, width = image.shape[1:]
        return torch.tensor([[0, 0, width, height], [0, 0, width / 2, height / 2], [width - 10, height - 10, width, height]])


def row(*lefts: float) -> Fixed:
    """Boxes of 10 x 10, told apart by their left edge."""
    return Fixed(torch.tensor([[left, 0, left + 10, 10] for left in lefts]).reshape(-1, 4))


def lefts(boxes: Tensor) -> list[float]:
    return boxes[:, 0].tolist()


def test_the_first_are_a_prefix_and_all_where_there_are_fewer() -> None:
    assert lefts(First(row(3, 1, 2), 2)(IMAGE)) == [3, 1]
    assert lefts(First(row(3, 1, 2), 9)(IMAGE)) == [3, 1, 2]
    with pytest.raises(ValueError, match="0 proposals are none; give a count of 1 or more"):
        First(FAST, 0)


def test_every_prefix_of_a_union_has_the_parts_in_proportion() -> None:
    large, small = row(*range(1, 91)), row(*range(-1, -31, -1))

    found = lefts(Union((large, small))(IMAGE))

    assert [each for each in found if each > 0] == list(range(1, 91))
    assert [each for each in found if each < 0] == list(range(-1, -31, -1))
    for length in range(1, 121):
        assert abs(sum(each < 0 for each in found[:length]) - length / 4) <= 1


def test_a_union_has_each_box_once_at_its_earliest_place_and_may_have_empty_parts() -> None:
    assert lefts(Union((row(1, 2, 3), row(3, 4, 1), row()))(IMAGE)) == [1, 3, 2, 4]
    assert Union((row(), row()))(IMAGE).shape == (0, 4)
    assert Union(())(IMAGE).shape == (0, 4)


def test_distinct_boxes_keep_their_order() -> None:
    boxes = torch.tensor([[5.0, 0, 6, 1], [1, 0, 2, 1], [5, 0, 6, 1], [5, 0, 6, 2]])

    assert distinct(boxes).tolist() == [[5, 0, 6, 1], [1, 0, 2, 1], [5, 0, 6, 2]]
    assert distinct(boxes[:0]).shape == (0, 4)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.5, 0.8, 0.95]))
def test_thinning_keeps_what_torchvisions_suppression_keeps(seed: int, overlap: float) -> None:
    random = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 12, (60, 2, 2), generator=random).float() + 0.37
    boxes = torch.cat([corners.amin(1), corners.amax(1) + 3], 1)

    kept = Thinned(Fixed(boxes), overlap)(IMAGE)

    expected = nms(boxes.double(), torch.arange(60, 0, -1).double(), overlap).sort().values
    assert torch.equal(kept, boxes[expected])


def test_thinning_leaves_touching_boxes_and_those_without_area_and_refuses_odd_overlaps() -> None:
    flat = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [3, 3, 3, 8], [3, 3, 3, 8]])

    assert torch.equal(Thinned(Fixed(flat), 0.0)(IMAGE), flat)
    assert Thinned(row(), 0.5)(IMAGE).shape == (0, 4)
    with pytest.raises(ValueError, match=r"boxes cannot overlap by 80; give a number from 0 to 1"):
        Thinned(FAST, 80)


def test_a_resized_image_is_as_wide_as_asked_and_boxes_come_back_in_proportion() -> None:
    boxes = Resized(Whole(), 30)(IMAGE)  # the square covers a third of 30 x 20 across, and a half down

    torch.testing.assert_close(boxes, torch.tensor([[0.0, 0, 90, 60], [0, 0, 45, 30], [60, 30, 90, 60]]))
    torch.testing.assert_close(Resized(Whole(), 900)(IMAGE)[2], torch.tensor([89.0, 59, 90, 60]))
    with pytest.raises(ValueError, match="an image cannot be 0 pixels wide"):
        Resized(FAST, 0)


def test_boxes_from_a_scaled_image_do_not_reach_out_by_rounding() -> None:
    image = torch.zeros(3, 47, 635, dtype=torch.uint8)  # in float32 77 * (635 / 77) is above 635

    boxes = Resized(Whole(), 77)(image)

    assert boxes[0].tolist() == [0, 0, 635, 47]


def test_an_image_is_reduced_by_its_longer_side_and_never_enlarged() -> None:
    tall = IMAGE.transpose(1, 2)

    torch.testing.assert_close(AtMost(Whole(), 45)(tall)[2], torch.tensor([40.0, 70, 60, 90]))
    for longest in (90, 500):
        assert AtMost(Whole(), longest)(tall)[2].tolist() == [50, 80, 60, 90]
    with pytest.raises(ValueError, match="an image cannot have 0 pixels"):
        AtMost(FAST, 0)


def test_given_boxes_are_those_of_the_image_by_score_and_cut_to_it(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    records = [
        {"file_name": "a.jpg", "bbox": [5, 6, 10, 20], "score": 0.2},
        {"file_name": "a.jpg", "bbox": [-5, 50, 20, 30], "score": 0.9},
        {"file_name": "b.jpg", "bbox": [1, 1, 1, 1]},
    ]
    path.write_text(json.dumps(records), encoding="utf-8")

    propose = proposer_named(str(path))

    assert isinstance(propose, GivenBoxes)
    assert propose(IMAGE, "some/folder/a.jpg").tolist() == [[0, 50, 15, 60], [5, 6, 15, 26]]
    with pytest.raises(ValueError, match=r"boxes.json says nothing of image 'c.jpg'; it has 2 images, such as a, b"):
        propose(IMAGE, "c.jpg")


def test_the_repr_of_given_boxes_follows_their_content(tmp_path: Path) -> None:
    reprs = []
    for number in (1, 2, 1):
        path = tmp_path / f"{len(reprs)}.json"
        path.write_text(json.dumps([{"file_name": "a.jpg", "bbox": [number, 1, 2, 3]}]), encoding="utf-8")
        reprs.append(repr(proposer_named(str(path))))

    assert reprs[0] == reprs[2] != reprs[1]


def test_names_are_known_and_a_wrong_one_is_answered_with_the_closest() -> None:
    assert proposer_named("fast") is PROPOSERS["fast"]
    assert {"fast", "fast-500", "fast-x2", "quality", "thinned"} == set(PROPOSERS)
    with pytest.raises(ValueError, match=r"no proposals 'fats'; closest are fast.*; give fast, .*or a file of boxes"):
        proposer_named("fats")


def test_names_joined_by_plus_give_the_union() -> None:
    joined = proposer_named("fast + fast-x2")

    assert joined == Union((PROPOSERS["fast"], PROPOSERS["fast-x2"]))
    with pytest.raises(ValueError, match="no proposals 'fats'"):
        proposer_named("fast+fats")
    with pytest.raises(ValueError, match="no proposals ''"):
        proposer_named("fast+")
