"""Heads: dense against sliding crops, pyramids against a naive loop over bins; receptive fields against perturbed pixels."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.base import (
    Branches,
    Classifier,
    FlattenHead,
    Head,
    MeanHead,
    PyramidHead,
    field_after,
    fully_connected,
    pyramid_pool,
    sequential,
    widen,
)


def naive_pyramid(maps: Tensor, levels: tuple[int, ...]) -> Tensor:
    """SPP-net appendix A, bin by bin: columns floor((i-1)w/n) to ceil(i w/n), counted from 1."""
    count, channels, height, width = maps.shape
    rows = []
    for image in range(count):
        values = []
        for n in levels:
            for channel in range(channels):
                for i in range(1, n + 1):
                    for j in range(1, n + 1):
                        top, bottom = math.floor((i - 1) * height / n), math.ceil(i * height / n)
                        left, right = math.floor((j - 1) * width / n), math.ceil(j * width / n)
                        values.append(maps[image, channel, top:bottom, left:right].max())
        rows.append(torch.stack(values))
    return torch.stack(rows)


def test_a_pyramid_equals_the_naive_loop_over_bins_for_200_random_sizes() -> None:
    draw, generator = random.Random(0), torch.Generator().manual_seed(0)
    for _ in range(200):
        height, width, channels = draw.randint(1, 40), draw.randint(1, 40), draw.randint(1, 3)
        levels = tuple(draw.choices(range(1, 8), k=draw.randint(1, 4)))
        maps = torch.randn(2, channels, height, width, generator=generator)
        torch.testing.assert_close(pyramid_pool(maps, levels), naive_pyramid(maps, levels), rtol=0, atol=0)


def test_a_10_by_10_map_gives_6_by_6_bins() -> None:  # the trap of SPP-net's sliding-window formula, which gives 9
    assert pyramid_pool(torch.zeros(1, 4, 10, 10), (6,)).shape == (1, 4 * 36)


@pytest.mark.parametrize("levels", [(), (0,), (2, -1)])
def test_a_pyramid_refuses_levels_that_are_none(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="levels"):
        pyramid_pool(torch.zeros(1, 1, 3, 3), levels)


def test_a_pyramid_refuses_an_empty_map() -> None:
    with pytest.raises(ValueError, match="empty map"):
        pyramid_pool(torch.zeros(1, 1, 0, 3), (1,))


def heads() -> list[Head]:
    torch.manual_seed(0)
    return [
        FlattenHead(fully_connected(5 * 3 * 3, 7, 6, 4), side=3),
        MeanHead(sequential({"fc": nn.Linear(5, 4)}), side=3),
        PyramidHead(fully_connected(5 * 5, 7, 4), side=3, levels=(2, 1)),
    ]


@pytest.mark.parametrize("head", heads(), ids=lambda head: type(head).__name__)
def test_dense_gives_the_plain_scores_of_every_window(head: Head) -> None:
    head.eval()
    maps = torch.randn(2, 5, 6, 8, generator=torch.Generator().manual_seed(1))
    dense = head.dense(maps)
    assert dense.shape == (2, 4, 4, 6)
    for row in range(4):
        for column in range(6):
            plain = head(maps[:, :, row : row + 3, column : column + 3])
            # convolution and matrix product sum in different orders
            torch.testing.assert_close(dense[:, :, row, column], plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", heads(), ids=lambda head: type(head).__name__)
def test_dense_refuses_a_map_smaller_than_its_window(head: Head) -> None:
    with pytest.raises(ValueError, match="larger image"):
        head.dense(torch.zeros(1, 5, 2, 9))


def test_fixed_fc_layers_refuse_another_map_and_name_dense() -> None:
    with pytest.raises(ValueError, match="use dense"):
        heads()[0](torch.zeros(1, 5, 4, 3))


@pytest.mark.parametrize("head", heads()[1:], ids=lambda head: type(head).__name__)
def test_a_mean_and_a_pyramid_take_any_map(head: Head) -> None:
    assert head(torch.zeros(2, 5, 4, 9)).shape == (2, 4)


def test_features_are_the_outputs_of_the_layer_named() -> None:
    head = heads()[0].eval()
    pooled = torch.randn(2, 45, generator=torch.Generator().manual_seed(2))
    by_hand = F.relu(pooled @ head.fc.fc6.weight.T + head.fc.fc6.bias)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(head.features(pooled, "relu6"), by_hand)
    torch.testing.assert_close(head.features(pooled, "fc8"), head.fc(pooled))
    with pytest.raises(ValueError, match="fc6, relu6, drop6"):
        head.features(pooled, "fc9")


def test_fully_connected_layers_are_named_as_in_the_papers() -> None:
    names = [name for name, _ in fully_connected(8, 4, 4, 3).named_children()]
    assert names == ["fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"]


def test_auxiliary_scores_come_from_the_layer_they_are_named_after() -> None:
    trunk = sequential({"a": nn.Conv2d(3, 2, 1), "b": nn.Conv2d(2, 2, 1)})
    head = MeanHead(sequential({"fc": nn.Linear(2, 4)}), side=4)
    auxiliary = MeanHead(sequential({"fc": nn.Linear(2, 4)}), side=4)
    network = Classifier(trunk, head, input_size=4, auxiliaries=nn.ModuleDict({"a": auxiliary}))
    pixels = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    main, extra = network.all_scores(pixels)
    torch.testing.assert_close(main, network(pixels))
    torch.testing.assert_close(extra, auxiliary(trunk.a(pixels)))  # type: ignore[operator]


@pytest.mark.parametrize(("kernels", "sees"), [((3, 3), 5), ((3, 3, 3), 7), ((5,), 5), ((7,), 7)])
def test_small_kernels_in_a_row_see_what_one_large_kernel_sees(kernels: tuple[int, ...], sees: int) -> None:  # VGG 2.3
    assert field_after(nn.Sequential(*(nn.Conv2d(1, 1, kernel) for kernel in kernels))).size == sees


def test_the_receptive_field_is_where_pixels_change_a_cell() -> None:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(1, 2, 7, stride=2, padding=1), nn.MaxPool2d(3, stride=2), nn.Conv2d(2, 1, 3, padding=1))
    field = field_after(trunk)
    image = torch.rand(1, 1, 65, 65, requires_grad=True)
    maps = trunk.double()(image.double())
    for cell in (4, 7):
        (gradient,) = torch.autograd.grad(maps[0, 0, 5, cell], image, retain_graph=True)
        columns = (gradient[0, 0].abs().sum(0) > 0).nonzero().flatten()
        centre = field.centre + field.stride * cell
        assert columns[0] >= centre - field.size / 2  # max pools pick, so not every pixel of the field need count
        assert columns[-1] + 1 <= centre + field.size / 2
        assert abs((columns[0] + columns[-1] + 1) / 2 - centre) <= 2


def test_width_one_keeps_the_papers_channels() -> None:
    assert [widen(count, 1.0) for count in (16, 96, 208)] == [16, 96, 208]
    assert [widen(count, 0.25, 2) for count in (96, 2)] == [24, 2]


class _Sum(Branches):
    def join(self, outputs: Sequence[Tensor]) -> Tensor:
        return outputs[0] + outputs[1]


def small_network(head: Head, *, stride: int = 1) -> Classifier:
    """conv1, relu1 (in place), two branches, relu3 (in place), and a head on 5 channels."""
    torch.manual_seed(3)
    conv = nn.Conv2d(3, 5, 3, stride=stride, padding=1)
    paths = _Sum()
    paths.add_module("left", sequential({"conv": nn.Conv2d(5, 5, 1), "relu": nn.ReLU(inplace=True)}))
    paths.add_module("right", nn.Identity())
    trunk = sequential({"conv1": conv, "relu1": nn.ReLU(inplace=True), "mix2": paths, "relu3": nn.ReLU(inplace=True)})
    return Classifier(trunk, head, input_size=3 * stride).eval()


def test_features_are_the_outputs_of_the_layers_before_later_ones_change_them_in_place() -> None:
    network = small_network(heads()[0])
    pixels = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    names = ["fc7", "conv1", "mix2.left.conv", "mix2", "relu3", "fc6", "relu6", "fc8"]
    with torch.no_grad():
        found = network.features(pixels, names)
        conv = network.trunk[0](pixels)
        left = network.trunk[2].left[0](conv.relu())  # pyright: ignore
        mixed = left.relu() + conv.relu()
        fc6 = network.head.fc[0](mixed.relu().flatten(1))
        fc7 = network.head.fc[3](fc6.relu())
        scores = network(pixels)
    by_hand = [fc7, conv, left, mixed, mixed.relu(), fc6, fc6.relu(), scores]
    assert list(found) == names
    assert (conv < 0).any()
    assert (fc6 < 0).any()
    for name, expected in zip(names, by_hand, strict=True):
        torch.testing.assert_close(found[name], expected, rtol=0, atol=0)


def test_the_pooled_vector_is_a_layer_of_heads_that_pool() -> None:
    pixels = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(2))
    for head in heads()[1:]:
        network = small_network(head)
        torch.testing.assert_close(network.features(pixels, ["pool"])["pool"], head.pool(network.trunk(pixels)))
        assert network.feature_names[-len(head.fc) - 1] == "pool"
    assert "pool" not in small_network(heads()[0]).feature_names


def test_trunk_layers_take_images_that_the_head_could_not() -> None:
    network = small_network(heads()[0])
    assert network.features(torch.zeros(1, 3, 7, 9), ["mix2"])["mix2"].shape == (1, 5, 7, 9)
    with pytest.raises(ValueError, match="does not fit fc layers"):
        network.features(torch.zeros(1, 3, 7, 9), ["fc6"])


def test_a_pass_ends_with_the_last_layer_asked_for() -> None:
    network = small_network(heads()[0])
    network.trunk[3].register_forward_hook(lambda *_: pytest.fail("ran too far"))
    assert list(network.features(torch.zeros(1, 3, 3, 3), ["mix2", "conv1"])) == ["mix2", "conv1"]


def test_gradients_of_features_reach_the_pixels() -> None:
    network = small_network(heads()[1]).double().requires_grad_(False)
    pixels = torch.randn(1, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: tuple(network.features(x, ["conv1", "mix2", "pool"]).values()), (pixels,))


def test_an_unknown_layer_is_refused_with_those_most_alike() -> None:
    with pytest.raises(ValueError, match=r"^no layer 'relu_1'; closest are relu1, .*explain"):
        small_network(heads()[0]).features(torch.zeros(1, 3, 3, 3), ["conv1", "relu_1"])


@pytest.mark.parametrize("head", heads(), ids=lambda head: type(head).__name__)
def test_a_head_until_a_layer_pools_alike_and_shares_the_weights(head: Head) -> None:
    head.eval()
    first, maps = next(name for name, _ in head.fc.named_children()), torch.randn(2, 5, 5, 4)
    short = head.until(first)
    assert short.fc[0] is head.fc[0]
    window = maps[:, :, 1:4, 1:4]
    torch.testing.assert_close(short.dense(maps)[:, :, 1, 1], head.fc[0](head.pool(window)), rtol=1e-4, atol=1e-5)
    assert len(head.fc) >= len(short.fc) == 1
