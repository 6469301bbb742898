"""Greedy merging equals its definition, written out pair by pair, and what it says of rating and ties holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fourfold.data.dice import generator_for
from fourfold.localize.merge import LIMIT, Merged, merge

Row = tuple[list[float], int, float]


def match(first: list[float], second: list[float]) -> float:
    """Distance of the centres in sides, minus the overlap."""
    (ax, ay), (bx, by) = (((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (first, second))
    sides = [math.sqrt((box[2] - box[0]) * (box[3] - box[1])) for box in (first, second)]
    if sum(sides) == 0:
        return math.inf
    shared = 1.0
    for low, high in ((0, 2), (1, 3)):
        shared *= max(0.0, min(first[high], second[high]) - max(first[low], second[low]))
    return math.dist((ax, ay), (bx, by)) / (sum(sides) / 2) - shared / (sides[0] ** 2 + sides[1] ** 2 - shared)


def brute(boxes: list[list[float]], scores: list[float], limit: float) -> list[Row]:
    """All pairs are looked at before every merge."""
    rows: list[Row] = [(box, 1, score) for box, score in zip(boxes, scores, strict=True)]
    while len(rows) > 1:
        pairs = [(match(rows[i][0], rows[j][0]), i, j) for i in range(len(rows)) for j in range(i + 1, len(rows))]
        least, i, j = min(pairs)
        if least > limit:
            break
        (one, count, score), (two, count2, score2) = rows[i], rows.pop(j)
        rows[i] = ([(a + b) / 2 for a, b in zip(one, two, strict=True)], count + count2, score + score2)
    return sorted(rows, key=lambda row: -row[2])


def drawn(number: int) -> tuple[Tensor, Tensor, float]:
    """0 to 12 boxes about a few objects, some equal, some without area; scores; and a limit."""
    dice = np.random.default_rng(number)
    count = int(dice.integers(0, 13))
    objects = dice.uniform(0, 60, (3, 2))
    low = objects[dice.integers(0, 3, count)] + dice.normal(0, dice.choice([1.0, 6.0]), (count, 2))
    boxes = np.concatenate([low, low + dice.uniform(0, 30, (count, 2))], 1)
    if count > 3:
        boxes[1] = boxes[3]
        boxes[2, 3] = boxes[2, 1]
    return (
        torch.from_numpy(boxes),
        torch.from_numpy(dice.uniform(0, 1, count)),
        float(dice.choice([-0.5, -0.1, 0.0, 0.4, 2])),
    )


def test_merging_equals_its_definition_on_500_sets() -> None:
    sizes, merges = set(), 0
    for number in range(500):
        boxes, scores, limit = drawn(number)
        found = merge(boxes, scores, limit)
        wanted = brute(boxes.tolist(), scores.tolist(), limit)
        assert len(found) == len(wanted)
        torch.testing.assert_close(found.boxes, torch.tensor([row[0] for row in wanted]).double().view(-1, 4))
        assert found.counts.tolist() == [row[1] for row in wanted]
        assert found.scores.tolist() == pytest.approx([row[2] for row in wanted])
        sizes.add(len(boxes))
        merges += len(boxes) - len(found)
    assert sizes == set(range(13))
    assert merges > 500


def test_merged_boxes_are_pair_means_that_compound_and_scores_add_up() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 20], [0.0, 1, 10, 21], [2.0, 0, 12, 20], [50.0, 50, 60, 60]])

    found = merge(boxes, torch.tensor([0.1, 0.2, 0.3, 0.5]))

    assert found.counts.tolist() == [3, 1]
    assert found.boxes.tolist() == [[1, 0.25, 11, 20.25], [50, 50, 60, 60]]  # the first two, then their mean with the third
    assert found.scores.tolist() == pytest.approx([0.6, 0.5])


@pytest.mark.parametrize(("limit", "most"), [(LIMIT, math.sqrt(2) - 1), (-1 / 6, 1 / 3)])
def test_the_limit_says_how_far_boxes_of_one_size_may_lie_apart(limit: float, most: float) -> None:
    for apart, is_merged in ((most - 1e-4, True), (most + 1e-4, False)):
        boxes = torch.tensor([[0.0, 0, 1, 1], [apart, 0, 1 + apart, 1]]) * 40
        assert (len(merge(boxes, torch.ones(2), limit)) == 1) is is_merged


def test_a_merged_box_is_compared_anew_and_of_equal_matches_the_first_is_taken() -> None:
    """The second and third become one, which is then as near to the first as the fourth is, on the other side."""
    places = [(0.0, 0.0), (2.0, 0.5), (2.0, -0.5), (-2.0, 0.0)]
    boxes = torch.tensor([[x + 10, y + 10, x + 14, y + 14] for x, y in places])

    found = merge(boxes, torch.ones(4), 0.3)

    assert found.counts.tolist() == [3, 1]
    assert found.boxes.tolist() == [[11, 10, 15, 14], [8, 10, 12, 14]]


def test_no_box_and_one_box_stay_as_they_are() -> None:
    assert len(merge(torch.zeros(0, 4), torch.zeros(0))) == 0
    one = merge(torch.tensor([[1.0, 2, 3, 5]]), torch.tensor([0.25]))
    assert (one.boxes.tolist(), one.counts.tolist(), one.scores.tolist()) == ([[1, 2, 3, 5]], [1], [0.25])


def test_what_was_given_is_not_changed() -> None:
    boxes, scores = torch.tensor([[0.0, 0, 4, 4], [0.0, 0, 4, 5]]).double(), torch.tensor([0.5, 0.25]).double()
    merge(boxes, scores)
    assert boxes.tolist() == [[0, 0, 4, 4], [0, 0, 4, 5]]
    assert scores.tolist() == [0.5, 0.25]


def test_equal_boxes_become_one_and_counts_are_kept_for_many() -> None:
    boxes = torch.rand(700, 4, generator=generator_for("many")) * 30
    boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    found: Merged = merge(boxes.repeat(2, 1), torch.ones(1400), 0.5)
    assert int(found.counts.sum()) == 1400
    assert found.scores.tolist() == found.counts.double().tolist()
    assert len(merge(boxes[:1].repeat(9, 1), torch.ones(9), -1.0)) == 1


def test_what_cannot_be_merged_is_said() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4]])
    with pytest.raises(ValueError, match="box 0 of the boxes to be merged"):
        merge(torch.tensor([[4.0, 0, 0, 4]]), torch.ones(1))
    with pytest.raises(ValueError, match="scores of boxes has shape"):
        merge(boxes, torch.ones(2))
    for scores, limit in ((torch.tensor([math.nan]), 0.0), (torch.ones(1), math.nan)):
        with pytest.raises(ValueError, match="not a number"):
            merge(boxes, scores, limit)
