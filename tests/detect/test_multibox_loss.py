"""Sizes of priors against scikit-learn, matching against all permutations, and the loss against the paper's formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from fourfold.detect.multibox_loss import matched_priors, multibox_loss, prior_sizes


def random_boxes(count: int, seed: int) -> torch.Tensor:
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(1).values
    return corners.reshape(count, 4)


def test_sizes_are_means_of_the_groups_that_boxes_form() -> None:
    generator = torch.Generator().manual_seed(1)
    groups = [(0.05, 0.08, 40), (0.2, 0.15, 60), (0.5, 0.9, 25)]
    sides = torch.cat([torch.tensor([w, h]) * (1 + 0.1 * torch.rand(n, 2, generator=generator)) for w, h, n in groups])
    sides = sides[torch.randperm(len(sides), generator=generator)]
    boxes = torch.cat((torch.full((len(sides), 2), 0.03), sides + 0.03), 1)
    reference = KMeans(3, random_state=0).fit(sides.double().log().numpy()).cluster_centers_
    reference = np.exp(reference[reference.sum(1).argsort()])
    torch.testing.assert_close(prior_sizes(boxes, 3), torch.from_numpy(reference).float(), rtol=1e-5, atol=1e-6)


def test_one_size_is_the_geometric_mean() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.1, 0.4], [0.2, 0.2, 0.6, 0.3]])
    torch.testing.assert_close(prior_sizes(boxes, 1), torch.tensor([[0.2, 0.2]]))


def test_equal_boxes_give_equal_sizes_and_too_few_are_refused() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.1, 0.4]] * 3)
    torch.testing.assert_close(prior_sizes(boxes, 3), torch.tensor([[0.1, 0.4]] * 3))
    with pytest.raises(ValueError, match="3 objects cannot give 4 sizes"):
        prior_sizes(boxes, 4)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 4), st.integers(1, 5), st.integers(0, 10**6))
def test_matching_is_the_cheapest_of_all(objects: int, rows: int, seed: int) -> None:
    boxes, own = random_boxes(objects, seed), random_boxes(rows, seed + 1)
    first, second = matched_priors(boxes, own)
    assert len(first) == len(second) == min(objects, rows)
    assert len(set(second.tolist())) == len(second)
    costs = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in own.tolist()] for x in boxes.tolist()]
    total = sum(costs[i][j] for i, j in zip(first.tolist(), second.tolist(), strict=True))
    few, many = sorted((objects, rows))
    pairs = [
        sum(costs[i][j] if objects <= rows else costs[j][i] for i, j in zip(range(few), order, strict=True))
        for order in itertools.permutations(range(many), few)
    ]
    assert total == pytest.approx(min(pairs), abs=1e-9)


def test_an_object_gives_way_where_that_costs_less_in_sum() -> None:
    own = torch.tensor([[0.0, 0.0, 0.2, 0.2], [0.5, 0.5, 0.7, 0.7]])
    boxes = torch.tensor([[0.1, 0.1, 0.3, 0.3], [0.0, 0.0, 0.2, 0.2]])  # both are nearest to the first prior
    objects, rows = matched_priors(boxes, own)
    assert dict(zip(objects.tolist(), rows.tolist(), strict=True)) == {0: 1, 1: 0}


def test_the_loss_is_the_papers_formula() -> None:
    outputs = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    matched = torch.tensor([[0, 2], [0, 0], [1, 1]])
    codes = torch.randn(3, 4, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    wanted = 0.0
    for image in range(2):
        for row in range(3):
            sure = 1 / (1 + math.exp(-float(outputs[image, row, 0])))
            at = [k for k, pair in enumerate(matched.tolist()) if pair == [image, row]]
            wanted -= math.log(sure) if at else math.log(1 - sure)
            for k in at:
                wanted += 0.3 / 2 * sum(float(outputs[image, row, 1 + i] - codes[k, i]) ** 2 for i in range(4))
    assert multibox_loss(outputs, matched, codes).item() == pytest.approx(wanted, rel=1e-9)


def test_images_without_objects_have_a_loss_of_confidence_alone() -> None:
    outputs = torch.zeros(2, 3, 5)
    outputs[..., 1:] = 7
    found = multibox_loss(outputs, torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0, 4))
    assert found.item() == pytest.approx(6 * math.log(2))
