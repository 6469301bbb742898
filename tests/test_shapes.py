"""Receptive fields by hand and by gradients, cells of windows by looking at every cell, and what shape errors say."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fourfold.models.lrn import LocalResponseNorm
from fourfold.networks import NETWORKS, build
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


with torch.device("meta"):
    FIELDS = sorted({build(name, width=0.1).field for name in NETWORKS if not name.endswith("1202")}, key=str)


def cells_slowly(field: Field, low: float, high: float, count: int) -> tuple[int, int]:
    """Every cell is looked at. Where none is centred in the window, it is the last that is not centred behind its begin."""
    centres = [field.centre + field.stride * cell for cell in range(count)]
    inside = [cell for cell, centre in enumerate(centres) if low < centre < high]
    if inside:
        return inside[0], inside[-1] + 1
    before = max((cell for cell, centre in enumerate(centres) if centre <= low), default=0)
    return before, before + 1


def test_the_networks_have_all_strides_of_the_papers() -> None:
    assert {field.stride for field in FIELDS} == {4, 12, 16, 32, 36}
    assert len(FIELDS) > 15


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"{field.size} by {field.stride} from {field.centre}")
def test_a_window_has_the_cells_centred_in_it(field: Field) -> None:
    random, collapsed, touching = Random(field.stride), 0, 0
    for turn in range(1000):
        count = random.randint(1, 40)
        length = field.stride * count + 64
        draw = random.uniform if turn % 2 else lambda low, high: random.randint(low, high) / 2  # halves meet centres
        low, high = sorted((draw(0, length), draw(0, length)))
        if turn % 5 == 0:  # a small one, which often has no centre
            high = low + random.uniform(0, field.stride)
        elif turn % 7 == 0:
            low = field.centre + field.stride * random.randint(0, count)
            high = low + field.stride * random.randint(1, 3)
        assert field.cells(low, high, count) == cells_slowly(field, low, high, count), (low, high, count)
        collapsed += not any(low < field.centre + field.stride * cell < high for cell in range(count))
        touching += (high - field.centre) % field.stride == 0
    assert collapsed > 50
    assert touching > 50


@settings(deadline=None)
@given(st.integers(1, 64), st.integers(0, 2000), st.integers(0, 2000))
def test_cells_are_the_papers_where_they_are_centred_on_multiples_of_the_stride(stride: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    left, right = low // stride + 1, -(-high // stride) - 1  # SPP-net appendix A: floor(x / S) + 1 and ceil(x / S) - 1

    cells = Field(stride=stride, centre=0.0).cells(low, high, 3000)

    assert cells == ((left, right + 1) if left <= right else ((left + right) // 2, (left + right) // 2 + 1))


def test_padding_shifts_the_window_by_the_centre_of_the_first_cell() -> None:
    # ZF-5 as released: cells of stride 16, the first centred on 20.5, so 20.5, 36.5, ..., 212.5 in 224 pixels
    field = Field(size=139, stride=16, centre=20.5)

    assert field.cells(0, 224, 13) == (0, 13)
    assert field.cells(20, 37, 13) == (0, 2)
    assert field.cells(20.5, 36.5, 13) == (0, 1)  # both centres lie on its edges: the left one is taken
    assert field.cells(21, 53, 13) == (1, 3)
    assert field.cells(0, 5, 13) == (0, 1)
    assert field.cells(220, 224, 13) == (12, 13)


@settings(deadline=None)
@given(st.sampled_from(FIELDS), st.floats(-50, 3000), st.floats(0, 3000), st.integers(1, 100))
def test_a_window_always_has_cells_of_the_map(field: Field, low: float, extent: float, count: int) -> None:
    first, end = field.cells(low, low + extent, count)

    assert 0 <= first < end <= count


def without_gates(module: nn.Module) -> nn.Module:
    """The same geometry with averages for maxima and weights above 0, so that every pixel of a receptive field counts."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.MaxPool2d):
            pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, ceil_mode=child.ceil_mode)
            setattr(module, name, pool)
        elif isinstance(child, nn.ReLU | nn.BatchNorm2d | LocalResponseNorm):
            setattr(module, name, nn.Identity())
        else:
            without_gates(child)
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.1)
    return module.double()


@pytest.mark.parametrize(
    "name", ["zf5-spp", "overfeat7-spp", "vgg-a", "resnet20", "resnet18", "googlenet", "alexnet", "nin"]
)
def test_the_field_is_where_the_gradient_of_a_cell_lies_on_the_image(name: str) -> None:
    network = build(name, width=0.05)
    field, trunk = network.field, without_gates(network.trunk)
    cell = field.size // field.stride  # its receptive field begins inside the image
    pixels = torch.ones(1, 3, int(field.centre + cell * field.stride + field.size), 96, dtype=torch.float64)
    maps = trunk(pixels.requires_grad_())

    maps[0, :, cell].sum().backward()

    assert pixels.grad is not None
    rows = pixels.grad[0].abs().sum((0, 2)).nonzero().flatten()
    assert len(rows) == int(rows[-1] - rows[0]) + 1 == field.size
    assert (int(rows[0]) + int(rows[-1]) + 1) / 2 == field.centre + cell * field.stride


SMALL = [
    *[
        (name, {}) for name in NETWORKS if not name.endswith(("34", "44", "101", "110", "152", "1202"))
    ],  # the same layers, more often
    *[(name, {"input_size": 64}) for name in ("zf5", "zf5-spp", "googlenet", "vgg-a")],
    *[(name, {"input_size": 32}) for name in ("zf5", "zf5-spp", "googlenet", "vgg-a")],
    *[(name, {"levels": [4, 2, 1]}) for name in ("vgg-d", "googlenet", "resnet18", "resnet20")],
]


@pytest.mark.parametrize(("name", "options"), SMALL, ids=str)
def test_the_window_of_the_whole_image_has_the_whole_map(name: str, options: dict[str, object]) -> None:
    with torch.device("meta"):
        network = build(name, width=0.1, **options).eval()
        for height in range(network.input_size, network.input_size + 2 * network.field.stride, 5):
            count = network.trunk(torch.empty(1, 3, height, network.input_size)).shape[2]
            assert network.field.cells(0, height, count) == (0, count)
