"""Fc layers of low rank against numpy's exact SVD, and against the layers that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fourfold.models.base import Classifier, FlattenHead, fully_connected, sequential
from fourfold.models.low_rank import low_rank


def made(inputs: int = 5, units: int = 40, side: int = 3) -> Classifier:
    torch.manual_seed(3)
    trunk = sequential({"conv1": nn.Conv2d(3, inputs, 3, padding=1)})
    head = FlattenHead(fully_connected(inputs * side * side, units, units, 4), side)
    return Classifier(trunk, head, input_size=side, deviations=("made up",)).eval()


def weights(classifier: Classifier, name: str) -> np.ndarray:
    u, v = (dict(classifier.head.fc.named_children())[f"{name}_{half}"] for half in "uv")
    assert isinstance(u, nn.Linear)
    assert isinstance(v, nn.Linear)
    assert v.bias is None
    return (u.weight @ v.weight).detach().numpy()


@pytest.mark.parametrize("name", ["fc6", "fc7"])
@pytest.mark.parametrize("rank", [1, 7, 18])
def test_the_product_is_as_near_as_the_exact_one(name: str, rank: int) -> None:
    classifier = made()
    given = dict(classifier.head.fc.named_children())[name]
    assert isinstance(given, nn.Linear)
    left, values, right = np.linalg.svd(given.weight.detach().numpy())
    exact = (left[:, :rank] * values[:rank]) @ right[:rank]
    missed = np.linalg.norm(given.weight.detach().numpy() - exact)

    found = np.linalg.norm(given.weight.detach().numpy() - weights(low_rank(classifier, rank), name))

    assert missed <= found * (1 + 1e-5)
    assert found <= 1.01 * missed


def test_layers_that_have_the_rank_anyway_give_the_same_scores() -> None:
    classifier = made()
    for layer in classifier.head.fc:
        if isinstance(layer, nn.Linear):
            layer.weight.data = torch.randn(len(layer.weight), 2) @ torch.randn(2, layer.in_features) / 9
    images = torch.randn(6, 3, 3, 3)

    cheap = low_rank(classifier, 2)

    torch.testing.assert_close(cheap(images), classifier(images), atol=1e-5, rtol=1e-5)
    larger = torch.randn(2, 3, 6, 5)
    torch.testing.assert_close(cheap.dense(larger), classifier.dense(larger), atol=1e-5, rtol=1e-5)


def test_layers_that_would_not_gain_stay_and_the_original_is_left_alone() -> None:
    classifier = made()
    names = [name for name, _ in classifier.head.fc.named_children()]

    cheap = low_rank(classifier, 5)  # fc8: 4 x 40 = 160 < 5 x 44

    assert [name for name, _ in classifier.head.fc.named_children()] == names
    assert [name for name, _ in cheap.head.fc.named_children()] == [
        *("fc6_v", "fc6_u", "relu6", "drop6", "fc7_v", "fc7_u", "relu7", "drop7", "fc8")
    ]
    assert cheap.head.fc[-1] is classifier.head.fc[-1]
    assert cheap.trunk is classifier.trunk
    assert cheap.deviations == ("made up", "fc layers of rank 5 at most (Fast R-CNN 3.1)")
    assert not cheap.training
    pooled = torch.randn(2, 45)
    assert cheap.head.features(pooled, "relu7").shape == (2, 40)


def test_the_same_every_time_without_touching_other_random_numbers() -> None:
    torch.manual_seed(8)
    expected = torch.rand(3)
    torch.manual_seed(8)

    first, second = low_rank(made(), 4), low_rank(made(), 4)

    torch.manual_seed(8)
    low_rank(first, 2)
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(weights(first, "fc6"), weights(second, "fc6"))


@pytest.mark.parametrize(
    ("rank", "message"), [(0, "a rank of 0 leaves nothing"), (40, "no fc layer gets cheaper at a rank of 40")]
)
def test_ranks_that_cannot_be(rank: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        low_rank(made(), rank)
