"""Every proposer keeps the promise: boxes in the image, once each, the same each time, and a repr that tells it apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fourfold.detect.cache import TensorCache, cached_proposals
from fourfold.detect.proposals import PROPOSERS, AtMost, First, Resized, Thinned, Union
from fourfold.detect.propose import Propose
from fourfold.detect.selective_search import FAST

SMALL = AtMost(FAST, 60)
ALL: dict[str, Propose] = {
    **PROPOSERS,
    "first": First(FAST, 7),
    "union": Union((SMALL, First(FAST, 9))),
    "resized": Resized(FAST, 77),
    "reduced": SMALL,
    "thinned by half": Thinned(FAST, 0.5),
}


def scene(height: int = 70, width: int = 110) -> Tensor:
    """Rectangles on noise, which has many segments."""
    random = np.random.default_rng(0)
    image = random.normal(90, 25, (height, width, 3))
    image[10:40, 15:60] = (220, 40, 30)
    image[30:65, 70:100] = (30, 60, 210)
    return torch.from_numpy(image.clip(0, 255).astype(np.uint8)).permute(2, 0, 1)


@pytest.mark.parametrize("name", ALL)
def test_boxes_are_float_and_lie_in_the_image_and_come_again(name: str) -> None:
    image = scene()

    boxes = ALL[name](image, "a.jpg")

    assert (boxes.dtype, boxes.ndim, boxes.shape[1]) == (torch.float32, 2, 4)
    assert len(boxes) >= 5
    assert len(boxes.unique(dim=0)) == len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor([110.0, 70.0])).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert torch.equal(boxes, ALL[name](image, "b.jpg"))


@pytest.mark.parametrize("name", ALL)
def test_a_flat_image_has_no_more_than_itself(name: str) -> None:
    boxes = ALL[name](torch.full((3, 24, 31), 128, dtype=torch.uint8))

    assert boxes.tolist() in ([[0.0, 0.0, 31.0, 24.0]], [])


def test_their_reprs_tell_them_apart() -> None:
    shown = [repr(each) for each in (*ALL.values(), FAST, replace(FAST, seed=1), First(FAST, 8), Resized(FAST, 78))]

    assert len(set(shown)) == len(shown) == 14


def test_a_cached_proposer_is_a_proposer_and_goes_by_the_repr_of_what_it_keeps(tmp_path: Path) -> None:
    cached = cached_proposals(SMALL, TensorCache(tmp_path, 10**6))

    assert isinstance(cached, Propose)
    assert repr(cached) == repr(SMALL)
