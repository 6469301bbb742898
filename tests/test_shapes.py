"""Receptive-field arithmetic by hand, and what shape errors say."""

from __future__ import annotations

import pytest
import torch

from fourfold.shapes import Field, expect, square


def test_a_field_grows_by_the_kernel_at_the_stride_so_far() -> None:
    first = Field().through(7, stride=2, padding=3)  # ResNet's conv1: cell 0 lies on the first pixel
    assert (first.size, first.stride, first.centre) == (7, 2, 0.5)
    second = first.through(3, stride=2)  # a pool without padding: one cell of stride 2 further in
    assert (second.size, second.stride, second.centre) == (11, 4, 2.5)


def test_a_2x2_pool_is_centred_between_pixels() -> None:
    assert Field().through(2, stride=2).centre == 1.0


def test_padding_by_half_the_kernel_keeps_cell_0_on_the_first_pixel() -> None:  # SPP-net appendix A
    field = Field()
    for kernel, stride in ((7, 2), (3, 2), (5, 2), (3, 2), (3, 1)):
        field = field.through(kernel, stride, kernel // 2)
    assert (field.stride, field.centre) == (16, 0.5)


@pytest.mark.parametrize(("value", "side"), [(3, 3), ((5, 5), 5), ([2], 2)])
def test_a_square_has_one_side(value: int | tuple[int, ...], side: int) -> None:
    assert square(value) == side


def test_a_layer_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 7\)"):
        square((1, 7))


def test_a_shape_matches_its_letters_and_numbers() -> None:
    expect(torch.zeros(2, 3, 4, 5), "N 3 H W", name="images")


@pytest.mark.parametrize("shape", [(2, 4, 4, 5), (3, 4, 5), (2, 3, 4, 5, 6), ()])
def test_a_wrong_shape_is_named_with_the_one_wanted(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images has shape .*; expected \(N, 3, H, W\)"):
        expect(torch.zeros(shape), "N 3 H W", name="images")
