"""Warped boxes are what torch samples at the same places, and what lies beyond the image has the colour asked for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fourfold.detect.warp import warp, with_context

FILL = torch.tensor([124, 16, 203], dtype=torch.uint8)


def photo(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (3, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def by_torch(image: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Values float64 (R,3,size,size) sampled at the centres of the output pixels, and which of them lie on the image."""
    height, width = image.shape[1:]
    steps = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    low, high = boxes.double()[:, :2, None], boxes.double()[:, 2:, None]
    across, down = (low + (high - low) * steps).unbind(1)
    grid = torch.stack(
        [
            (2 * across / width - 1)[:, None, :].expand(-1, size, -1),
            (2 * down / height - 1)[:, :, None].expand(-1, -1, size),
        ],
        3,
    )
    images = image.double()[None].expand(len(boxes), -1, -1, -1)
    values = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return values, (grid.abs() < 1).all(3)[:, None].expand_as(values)


def test_boxes_are_sampled_as_torch_does() -> None:
    image = photo(57, 83)
    dice = torch.Generator().manual_seed(1)
    low = torch.rand(60, 2, generator=dice) * torch.tensor([100.0, 75.0]) - 20
    boxes = torch.cat([low, low + torch.rand(60, 2, generator=dice) * 70 + 0.1], 1)
    boxes = torch.cat([boxes, torch.tensor([[0.0, 0.0, 83.0, 57.0], [-500.0, -400.0, 700.0, 300.0]])])

    warped = warp(image, boxes, 29, FILL)

    values, is_inside = by_torch(image, boxes, 29)
    expected = torch.where(is_inside, values, FILL.double().view(1, 3, 1, 1))
    assert 0.3 < is_inside.double().mean() < 0.9
    assert warped.dtype == torch.uint8
    assert (warped.double() - expected).abs().max() <= 0.5 + 1e-3  # rounded to whole numbers; float32 on the way


def test_whole_pixels_come_out_untouched() -> None:
    image = photo(60, 90)

    assert torch.equal(warp(image, torch.tensor([[31.0, 12.0, 71.0, 52.0]]), 40, FILL)[0], image[:, 12:52, 31:71])


def test_a_box_of_195_with_a_context_of_16_is_227_pixels_untouched() -> None:
    image = photo(300, 400)
    box = torch.tensor([[100.0, 60.0, 295.0, 255.0]])

    grown = with_context(box, 16)

    torch.testing.assert_close(grown, torch.tensor([[84.0, 44.0, 311.0, 271.0]]))
    assert torch.equal(warp(image, grown, 227, FILL)[0], image[:, 44:271, 84:311])


def test_context_is_in_proportion_to_each_side() -> None:
    boxes = torch.tensor([[10.0, 20.0, 49.0, 410.0]])  # 39 x 390: 195 stands for 227
    torch.testing.assert_close(with_context(boxes, 16), torch.tensor([[6.8, -12.0, 52.2, 442.0]]))
    assert torch.equal(with_context(boxes, 0), boxes)
    assert boxes.tolist() == [[10, 20, 49, 410]]


def test_a_box_in_the_corner_has_16_pixels_of_fill_on_two_sides() -> None:
    warped = warp(photo(300, 400), with_context(torch.tensor([[0.0, 0.0, 195.0, 195.0]]), 16), 227, FILL)[0]

    is_fill = (warped == FILL.view(3, 1, 1)).all(0)
    assert is_fill[:16].all()
    assert is_fill[:, :16].all()
    assert is_fill[16:, 16:].float().mean() < 0.01


def test_a_box_beyond_the_image_is_all_fill_and_one_without_area_is_one_pixel() -> None:
    image = photo(10, 20)
    boxes = torch.tensor([[25.0, 2.0, 30.0, 8.0], [3.0, -9.0, 8.0, -1.0], [7.5, 4.5, 7.5, 4.5]])

    warped = warp(image, boxes, 6, FILL)

    assert (warped[:2] == FILL.view(1, 3, 1, 1)).all()
    assert (warped[2] == image[:, 4, 7].view(3, 1, 1)).all()


def test_layout_and_threads_change_nothing() -> None:
    image, before = photo(40, 50), torch.get_num_threads()
    boxes = torch.tensor([[1.0, 2.0, 30.0, 33.0], [-5.0, 0.0, 60.0, 20.0], [9.5, 3.25, 12.0, 38.0]])
    expected = warp(image, boxes, 17, FILL)
    interleaved = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        assert torch.equal(warp(interleaved, boxes, 17, FILL), expected)
    torch.set_num_threads(before)


def test_no_boxes_and_mistakes() -> None:
    image, boxes = photo(10, 20), torch.zeros(0, 4)
    assert warp(image, boxes, 5, FILL).shape == (0, 3, 5, 5)
    with pytest.raises(ValueError, match="uint8"):
        warp(image.float(), boxes, 5, FILL)
    with pytest.raises(ValueError, match="uint8"):
        warp(image, boxes, 5, FILL.float())
    with pytest.raises(ValueError, match="image has shape"):
        warp(image[:1], boxes, 5, FILL)
    with pytest.raises(ValueError, match="boxes has shape"):
        warp(image, boxes[:, :2], 5, FILL)
