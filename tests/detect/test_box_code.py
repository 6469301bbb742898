"""The box code by hand, as torchvision has it, and back."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder

from fourfold.detect.box_code import decode, encode

PLACE, SIDE = st.floats(-2000, 2000), st.floats(1, 2000)
BOX = st.tuples(PLACE, PLACE, SIDE, SIDE).map(lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3]))
PAIRS = st.lists(st.tuples(BOX, BOX), max_size=8)


def test_a_code_by_hand() -> None:
    proposal = torch.tensor([[10.0, 20.0, 30.0, 60.0]])  # centre 20 40, 20 x 40
    box = torch.tensor([[15.0, 20.0, 55.0, 40.0]])  # centre 35 30, 40 x 20
    torch.testing.assert_close(encode(proposal, box), torch.tensor([[0.75, -0.25, math.log(2), -math.log(2)]]))
    assert encode(proposal, proposal).tolist() == [[0, 0, 0, 0]]


def test_a_code_is_that_of_torchvision() -> None:
    dice = torch.Generator().manual_seed(3)
    low, more = torch.rand(2, 2, 50, 2, generator=dice, dtype=torch.float64) * 300 + 1
    proposals, boxes = torch.cat((low, low + more), 2)
    theirs = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(boxes, proposals)
    torch.testing.assert_close(encode(proposals, boxes), theirs)


def there_and_back(pairs: list, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes coded and decoded, the boxes, and the largest number (R,1) of each pair, whose rounding the edges have."""
    both = torch.tensor(pairs, dtype=dtype).view(-1, 2, 4)
    proposals, boxes = both.unbind(1)
    largest = both.abs().flatten(1)
    return decode(proposals, encode(proposals, boxes)), boxes, largest.amax(1, keepdim=True) if pairs else boxes


@given(PAIRS)
def test_decode_inverts_encode_in_float64(pairs: list) -> None:
    back, boxes, largest = there_and_back(pairs, torch.float64)
    assert ((back - boxes).abs() <= 1e-13 * largest).all()


@given(PAIRS)
def test_decode_inverts_encode_in_float32(pairs: list) -> None:
    back, boxes, largest = there_and_back(pairs, torch.float32)
    assert ((back - boxes).abs() <= 1e-5 * largest).all()


def test_the_full_code_of_any_size_in_an_image_is_inverted() -> None:
    proposal, box = torch.tensor([[0.0, 0.0, 1.0, 20_000.0]]).double(), torch.tensor([[0.0, 0.0, 20_000.0, 1.0]]).double()
    torch.testing.assert_close(decode(proposal, encode(proposal, box)), box, rtol=1e-9, atol=1e-9)


def test_a_wild_code_gives_a_huge_box_and_not_an_infinite_one() -> None:
    proposal = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    huge = decode(proposal, torch.tensor([[0.0, 0.0, 500.0, -500.0]]))
    assert huge.isfinite().all()
    assert float(huge[0, 2] - huge[0, 0]) == pytest.approx(1e6)
    assert 0 <= float(huge[0, 3] - huge[0, 1]) < 1e-3


def test_boxes_without_width_or_height_are_refused_by_name() -> None:
    good, flat = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2), torch.tensor([[0.0, 0.0, 1.0, 1.0], [3.0, 3.0, 3.0, 5.0]])
    for call in (lambda: encode(flat, good), lambda: decode(flat, torch.zeros(2, 4))):
        with pytest.raises(ValueError, match=r"proposal 1 is \[3.0, 3.0, 3.0, 5.0\]"):
            call()
    with pytest.raises(ValueError, match="box 1 is"):
        encode(good, flat)
    with pytest.raises(ValueError, match="shape"):
        encode(good, good[:1])
    with pytest.raises(ValueError, match="shape"):
        decode(good, torch.zeros(3, 4))


def test_no_boxes_have_no_code() -> None:
    none = torch.zeros(0, 4)
    assert encode(none, none).shape == (0, 4)
    assert decode(none, none).shape == (0, 4)
