"""Suppression against nested loops, torchvision and its promises."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import batched_nms, nms

from fourfold.boxes import iou
from fourfold.detect.detections import Detections, nothing_found
from fourfold.detect.suppress import Suppress, keep


def made(count: int, seed: int, *, classes: int = 3, side: int = 60) -> Detections:
    """Whole-numbered boxes and coarse scores, so that overlaps and scores are often equal."""
    dice = torch.Generator().manual_seed(seed)
    low = torch.randint(0, side, (count, 2), generator=dice)
    high = low + torch.randint(0, 20, (count, 2), generator=dice)  # some without area
    labels = torch.randint(0, classes, (count,), generator=dice)
    return Detections(torch.cat((low, high), 1).float(), labels, torch.randint(0, 10, (count,), generator=dice) / 10)


def slow_iou(one: list[float], other: list[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    return shared / union if union else 0.0


def slow(found: Detections, most: float, per_class: int) -> list[int]:
    """Rows kept, by the words of R-CNN 2.2."""
    boxes, labels = found.boxes.tolist(), found.labels.tolist()
    kept: list[int] = []
    for row, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        selected = [other for other in kept if labels[other] == label]
        if len(selected) < per_class and not any(slow_iou(box, boxes[other]) > most for other in selected):
            kept.append(row)
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_what_is_kept_is_what_a_nested_loop_keeps(seed: int) -> None:
    found = made(120, seed)
    for most, per_class in ((0.3, 100), (0.5, 100), (0.0, 100), (1.0, 100), (0.3, 4)):
        rows = slow(found, most, per_class)
        kept = Suppress(most, per_class)(found)
        assert 0 < len(rows) <= len(found)
        assert torch.equal(kept.boxes, found.boxes[rows])
        assert torch.equal(kept.labels, found.labels[rows])
        assert torch.equal(kept.scores, found.scores[rows])


@pytest.mark.parametrize("seed", range(10))
def test_what_is_kept_is_what_torchvision_keeps(seed: int) -> None:
    found = made(300, 100 + seed)
    worth = torch.arange(len(found), 0, -1).double()  # no ties: torchvision breaks them in any way
    boxes = found.boxes.double()  # in float32 it holds 3/10 to be more than 0.3
    assert torch.equal(keep(boxes, 0.3, len(boxes)), nms(boxes, worth, 0.3))
    wanted = batched_nms(boxes, worth, found.labels, 0.3).sort().values
    assert torch.equal(Suppress(0.3, 300)(found).boxes, found.boxes[wanted])


def test_ten_thousand_boxes() -> None:
    found = made(10_000, 7, classes=1, side=600)
    rows = nms(found.boxes.double(), torch.arange(len(found), 0, -1).double(), 0.3)
    kept = Suppress(0.3, 10_000)(found)
    assert 1_000 < len(rows) < 9_000
    assert torch.equal(kept.boxes, found.boxes[rows])
    assert torch.equal(Suppress(0.3, 100)(found).boxes, found.boxes[rows[:100]])


@pytest.mark.parametrize("seed", range(5))
def test_no_two_kept_boxes_of_a_class_overlap_by_more_and_every_other_is_overlapped(seed: int) -> None:
    found = made(200, 40 + seed)
    kept = Suppress(0.3, 1000)(found)
    for label in range(3):
        overlaps = iou(kept.of(label).boxes.double(), found.of(label).boxes.double())
        own = iou(kept.of(label).boxes.double(), kept.of(label).boxes.double()).fill_diagonal_(0)
        assert own.max() <= 0.3
        assert len(kept.of(label)) + int((overlaps > 0.3).any(0).sum()) >= len(found.of(label))


def test_an_overlap_of_exactly_the_threshold_is_kept() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 1.0], [0.0, 0.0, 3.0, 1.0], [0.0, 0.0, 4.0, 1.0]])  # 0.3 and 0.4 of the first
    kept = Suppress(0.3)(Detections(boxes, torch.tensor([0, 0, 0]), torch.tensor([0.9, 0.8, 0.7])))
    assert kept.boxes[:, 2].tolist() == [10, 3]


def test_an_overlap_barely_above_the_threshold_is_not_kept() -> None:
    barely = float(torch.nextafter(torch.tensor(3.0), torch.tensor(4.0)))  # in float32 a tenth of it is that of 3
    boxes = torch.tensor([[0.0, 0.0, 10.0, 1.0], [0.0, 0.0, barely, 1.0]])
    assert len(Suppress(0.3)(Detections(boxes, torch.tensor([0, 0]), torch.tensor([0.9, 0.8])))) == 1


def test_a_suppressed_box_suppresses_none() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 1.0], [4.0, 0.0, 14.0, 1.0], [8.0, 0.0, 18.0, 1.0]])  # 6/14, 6/14, 2/18
    kept = Suppress(0.3)(Detections(boxes, torch.tensor([0, 0, 0]), torch.tensor([0.9, 0.8, 0.7])))
    assert kept.boxes[:, 0].tolist() == [0, 8]


def test_classes_do_not_touch_each_other_and_of_equals_the_first_stays() -> None:
    boxes = torch.tensor([[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 5.0, 4.9]])
    kept = Suppress()(Detections(boxes, torch.tensor([0, 1, 0]), torch.tensor([0.5, 0.5, 0.5])))
    assert kept.labels.tolist() == [0, 1]
    assert torch.equal(kept.boxes, boxes[:2])


def test_nothing_stays_nothing() -> None:
    assert len(Suppress()(nothing_found())) == 0


@pytest.mark.parametrize(("overlap", "per_class"), [(-0.1, 1), (1.1, 1), (0.3, 0)])
def test_what_cannot_be_is_refused(overlap: float, per_class: int) -> None:
    with pytest.raises(ValueError, match="; give "):
        Suppress(overlap, per_class)
