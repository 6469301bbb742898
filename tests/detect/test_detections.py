"""Detections are put into order, checked and chosen from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fourfold.detect.detections import Detections, nothing_found, union


def found(*scores: float, labels: tuple[int, ...] = ()) -> Detections:
    """Detection i lies on [i, 0, i + 1, 2]."""
    left = torch.arange(len(scores)).float()
    boxes = torch.stack((left, torch.zeros_like(left), left + 1, torch.full_like(left, 2)), 1)
    return Detections(boxes, torch.tensor(labels or [0] * len(scores)), torch.tensor(scores))


def lefts(detections: Detections) -> list[float]:
    return detections.boxes[:, 0].tolist()


def test_the_best_is_first_and_of_equals_the_one_given_first() -> None:
    put = found(0.2, 0.9, 0.5, 0.9, labels=(7, 6, 5, 4))
    assert lefts(put) == [1, 3, 2, 0]
    assert put.labels.tolist() == [6, 4, 5, 7]
    assert put.scores.tolist() == pytest.approx([0.9, 0.9, 0.5, 0.2])


def test_many_equal_scores_stay_in_their_order() -> None:
    assert lefts(found(*[0.5] * 40, 0.6)) == [40, *range(40)]


def test_choosing() -> None:
    put = found(0.9, 0.7, 0.5, 0.3, labels=(1, 0, 1, 2))
    assert lefts(put.best(2)) == [0, 1]
    assert lefts(put.best(9)) == [0, 1, 2, 3]
    assert lefts(put.of(1)) == [0, 2]
    assert len(put.of(5)) == 0
    assert lefts(put.above(0.5)) == [0, 1]
    assert lefts(put.take(torch.tensor([3, 0]))) == [0, 3]


def test_the_union_of_several_is_in_order() -> None:
    both = union([found(0.9, 0.3, labels=(1, 1)), found(0.5, 0.4, labels=(2, 2))])
    assert lefts(both) == [0, 0, 1, 1]
    assert both.labels.tolist() == [1, 2, 2, 1]
    assert len(union([])) == 0
    assert len(union([nothing_found(), found(0.1)])) == 1


def test_what_is_found_on_a_mirrored_image_is_brought_back() -> None:
    image = torch.zeros(2, 10)
    image[:, 3] = 1
    back = found(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9).mirrored(10).best(1)  # the column 6 of the mirrored image
    left, right = int(back.boxes[0, 0]), int(back.boxes[0, 2])
    assert image.flip(1)[:, 6].all()
    assert image[:, left:right].all()
    assert lefts(back.mirrored(10)) == [6]


def test_nothing_found_can_be_asked_everything() -> None:
    none = nothing_found()
    for each in (none, none.best(3), none.of(0), none.above(0.5), none.mirrored(5), union([none, none])):
        assert (each.boxes.shape, each.labels.dtype, len(each)) == ((0, 4), torch.int64, 0)


BOXES, LABELS, SCORES = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2), torch.tensor([0, 1]), torch.tensor([0.5, 0.4])


@pytest.mark.parametrize(
    ("boxes", "labels", "scores", "words"),
    [
        (BOXES, LABELS[:1], SCORES, "labels has shape"),
        (BOXES, LABELS, SCORES[:, None], "scores has shape"),
        (BOXES[:, :3], LABELS, SCORES, "the detections has shape"),
        (BOXES.double(), LABELS, SCORES, "boxes of detections are torch.float64"),
        (BOXES, LABELS.int(), SCORES, "labels of detections are torch.int32"),
        (BOXES, LABELS, SCORES.double(), "scores of detections are torch.float64"),
        (BOXES, LABELS, torch.tensor([0.1, math.nan]), "score of detection 1 is nan"),
        (BOXES, LABELS, torch.tensor([math.inf, 0.0]), "score of detection 0 is inf"),
        (BOXES, torch.tensor([0, -1]), SCORES, "is -1; give labels from 0"),
        (-BOXES, LABELS, SCORES, "box 0 of the detections"),
    ],
)
def test_what_is_no_detection_is_refused(boxes: Tensor, labels: Tensor, scores: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=r"detection|labels|scores") as refused:
        Detections(boxes, labels, scores)
    assert words in str(refused.value)
