"""A box survives its code, crops, mirroring and scaling to 1e-4 of a pixel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fourfold.boxes import mirror, rescale
from fourfold.localize.box_code import decode, encode, mirror_code

place = st.floats(0, 150, width=32)
side = st.floats(0.5, 100, width=32)
boxes = st.tuples(place, place, side, side).map(lambda v: torch.tensor([v[0], v[1], v[0] + v[2], v[1] + v[3]]))
windows = st.tuples(st.integers(0, 160), st.integers(0, 160), st.integers(32, 224)).map(
    lambda v: torch.tensor([v[0], v[1], v[0] + v[2], v[1] + v[2]]).float()
)


def near(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_numbers_by_hand() -> None:
    window = torch.tensor([10.0, 20, 210, 120])  # 200 wide, 100 high
    code = encode(torch.tensor([[10.0, 20, 210, 120], [60.0, 45, 110, 145]]), window)
    assert code.tolist() == [[0.5, 0.5, 1, 1], [0.375, 0.75, 0.25, 1]]


@settings(deadline=None)
@given(boxes, windows)
def test_decode_is_the_inverse_of_encode(box: Tensor, window: Tensor) -> None:
    near(decode(encode(box, window), window), box)


@settings(deadline=None)
@given(boxes, windows)
def test_a_mirrored_crop_has_the_mirrored_code(box: Tensor, window: Tensor) -> None:
    size = int(window[2] - window[0])
    in_crop = box - window[:2].repeat(2)
    frame = torch.tensor([0.0, 0, size, size])
    near(decode(mirror_code(encode(box, window)), frame), mirror(in_crop[None], size)[0])
    near(mirror_code(mirror_code(encode(box, window))) * size, encode(box, window) * size)


@settings(deadline=None)
@given(boxes, windows, st.tuples(st.integers(300, 700), st.integers(300, 700)), st.floats(0.3, 1.5))
def test_boxes_survive_scaling_cropping_mirroring_and_the_way_back(
    box: Tensor, window: Tensor, size: tuple[int, int], factor: float
) -> None:
    scaled = (round(size[0] * factor), round(size[1] * factor))
    code = mirror_code(encode(rescale(box[None], size, scaled)[0], window))
    back = rescale(decode(mirror_code(code), window)[None], scaled, size)[0]
    near(back, box)


def test_windows_and_boxes_are_broadcast() -> None:
    codes = torch.rand(3, 5, 4)
    frames = torch.tensor([[0.0, 0, 10, 20], [5.0, 5, 9, 9], [1.0, 2, 3, 4]])[:, None]
    assert decode(codes, frames).shape == (3, 5, 4)
    near(encode(decode(codes, frames), frames), codes)
    near(decode(codes[1, 2], frames[1, 0]), decode(codes, frames)[1, 2])


@pytest.mark.parametrize("wide", [-0.5, 0.0])
def test_a_side_below_nothing_is_nothing(wide: float) -> None:
    box = decode(torch.tensor([0.5, 0.25, wide, 0.5]), torch.tensor([0.0, 0, 8, 8]))
    assert box.tolist() == [4, 0, 4, 4]
