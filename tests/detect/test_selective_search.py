"""Proposals: each box once, in the image, in an order that a seed decides, and on the objects that are there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from fourfold.detect.selective_search import FAST, QUALITY, SelectiveSearch


def scene(height: int = 120, width: int = 160) -> tuple[Tensor, Tensor]:
    """Three coloured rectangles on a background that changes slowly, with noise; and their boxes."""
    random = np.random.default_rng(0)
    image = np.linspace(60, 110, width)[None, :, None] * np.ones((height, 1, 3))
    boxes = torch.tensor([[10, 15, 60, 70], [90, 20, 150, 60], [40, 80, 130, 110]], dtype=torch.float32)
    for (x1, y1, x2, y2), colour in zip(boxes.int().tolist(), ((220, 40, 30), (30, 60, 210), (40, 190, 60)), strict=True):
        image[y1:y2, x1:x2] = colour
    noisy = np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    return torch.from_numpy(noisy).permute(2, 0, 1), boxes


def test_objects_that_are_plain_to_see_are_proposed() -> None:
    image, objects = scene()

    best = box_iou(objects, FAST(image)).max(1).values

    assert (best > 0.85).all()


def test_boxes_are_distinct_lie_in_the_image_and_are_not_too_small() -> None:
    image, _ = scene()

    boxes = SelectiveSearch(smallest=20)(image)

    assert (boxes.dtype, boxes.shape[1]) == (torch.float32, 4)
    assert len(boxes.unique(dim=0)) == len(boxes) > 5
    assert (boxes >= 0).all()
    assert (boxes[:, 2] <= 160).all()
    assert (boxes[:, 3] <= 120).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 20).all()
    assert [0, 0, 160, 120] in boxes.tolist()


def test_a_seed_decides_the_order_and_nothing_else() -> None:
    image, _ = scene()

    once, again, other = FAST(image), FAST(image), SelectiveSearch(seed=1)(image)

    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert sorted(once.tolist()) == sorted(other.tolist())


def test_boxes_from_high_up_in_a_hierarchy_come_earlier_as_a_rule() -> None:
    image, _ = scene(240, 320)
    boxes = FAST(image)

    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    half = len(boxes) // 2
    assert areas[:half].mean() > 1.5 * areas[half:].mean()


def test_quality_finds_more_than_fast_and_larger_segments_give_fewer_boxes() -> None:
    image, _ = scene()
    noise = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 15, 20), dtype=np.uint8))
    rough = torch.nn.functional.interpolate(noise[None], (120, 160), mode="bilinear")[0]

    assert len(QUALITY(image)) > len(FAST(image))
    assert len(SelectiveSearch(size=2.0)(rough)) < len(FAST(rough))


@pytest.mark.parametrize("shape", [(3, 4, 4), (3, 25, 300), (3, 30, 30)])
def test_any_size_and_a_flat_image_will_do(shape: tuple[int, int, int]) -> None:
    boxes = FAST(torch.full(shape, 128, dtype=torch.uint8))

    assert boxes.tolist() == [[0.0, 0.0, float(shape[2]), float(shape[1])]]
