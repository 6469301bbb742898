"""Spatial Group-wise Enhance against its formula, place by place."""

from __future__ import annotations

import math

import pytest
import torch

from fourfold.models.sge import SpatialGroupEnhance


def test_the_gate_starts_at_the_sigmoid_of_one() -> None:  # gamma 0, beta 1
    maps = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(SpatialGroupEnhance(6, 3)(maps), maps / (1 + math.exp(-1)))


def test_each_place_is_gated_by_its_similarity_to_the_groups_mean() -> None:
    block = SpatialGroupEnhance(6, 3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        block.gamma.copy_(torch.randn(3, generator=generator))
        block.beta.copy_(torch.randn(3, generator=generator))
    maps = torch.randn(2, 6, 3, 4, generator=generator)
    out = block(maps)
    for image in range(2):
        for group in range(3):
            x = maps[image, 2 * group : 2 * group + 2].reshape(2, 12)
            similarity = torch.stack([(x.mean(1) * x[:, place]).sum() for place in range(12)])
            normal = (similarity - similarity.mean()) / (similarity.std(unbiased=True) + 1e-5)
            gate = torch.sigmoid(block.gamma[group] * normal + block.beta[group])
            torch.testing.assert_close(out[image, 2 * group : 2 * group + 2].reshape(2, 12), x * gate)


def test_one_cell_has_no_deviation_and_still_gives_numbers() -> None:
    assert SpatialGroupEnhance(4, 2)(torch.randn(3, 4, 1, 1)).isfinite().all()


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="3 groups do not divide 4 channels"):
        SpatialGroupEnhance(4, 3)
