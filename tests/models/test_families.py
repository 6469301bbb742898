"""VGG, GoogLeNet, SPP-net, AlexNet and NIN: what their papers say beyond the counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fourfold.models.alexnet import alexnet, nin
from fourfold.models.base import Classifier, FlattenHead, MeanHead, PyramidHead
from fourfold.models.googlenet import googlenet
from fourfold.models.lrn import LocalResponseNorm
from fourfold.models.sppnet import convnet5, overfeat, zf5
from fourfold.models.vgg import vgg


def layers(network: nn.Module, kind: type) -> list:
    return [layer for layer in network.modules() if isinstance(layer, kind)]


def test_the_1x1_convolutions_of_vgg_c_come_last_in_stages_3_to_5() -> None:
    kernels = [(name, layer.kernel_size[0]) for name, layer in vgg("C", 2, width=0.05).trunk.named_children()
               if isinstance(layer, nn.Conv2d)]  # fmt: skip
    assert [name for name, kernel in kernels if kernel == 1] == ["conv3_3", "conv4_3", "conv5_3"]


def test_only_a_lrn_normalises_responses_and_only_once() -> None:
    assert len(layers(vgg("A-LRN", 2, width=0.05), LocalResponseNorm)) == 1
    assert len(layers(vgg("A", 2, width=0.05), LocalResponseNorm)) == 0
    names = [name for name, _ in vgg("A-LRN", 2, width=0.05).trunk.named_children()]
    assert names[:4] == ["conv1_1", "relu1_1", "lrn1", "pool1"]


@pytest.mark.parametrize(("size", "cells"), [(224, 1), (256, 2), (384, 6), (512, 10)])
def test_dense_vgg_gives_the_map_sizes_of_the_fact_sheet(size: int, cells: int) -> None:  # VGG 3.2
    with torch.device("meta"):
        assert vgg("D").dense(torch.empty(1, 3, size, size)).shape == (1, 1000, cells, cells)


@pytest.mark.parametrize("configuration", ["F", "a", ""])
def test_another_vgg_is_refused(configuration: str) -> None:
    with pytest.raises(ValueError, match="A, A-LRN, B, B-shallow, C, D, E"):
        vgg(configuration)


def test_googlenet_as_published_has_no_batch_norm_and_two_response_norms() -> None:
    network = googlenet(2, width=0.1)
    assert len(layers(network, nn.BatchNorm2d)) == 0
    assert len(layers(network, LocalResponseNorm)) == 2
    assert [name for name, _ in network.auxiliaries.items()] == ["inception_4a", "inception_4d"]
    assert [layer.p for layer in layers(network, nn.Dropout)] == [0.4, 0.7, 0.7]
    with torch.device("meta"):
        assert googlenet().deviations == ()


def test_the_batch_norm_googlenet_says_that_it_deviates() -> None:
    network = googlenet(2, batch_norm=True, width=0.1)
    assert len(layers(network, LocalResponseNorm)) == 0
    assert any("batch norm" in text for text in network.deviations)


def test_auxiliary_heads_pool_to_4x4_and_have_2048_inputs() -> None:  # GoogLeNet 5
    with torch.device("meta"):
        network = googlenet()
        for name, channels in (("inception_4a", 512), ("inception_4d", 528)):
            head = network.auxiliaries[name]
            assert head.pool(torch.empty(1, channels, 14, 14)).shape == (1, channels, 4, 4)  # type: ignore[operator]
            assert layers(head, nn.Linear)[0].in_features == 2048


def test_inference_does_not_run_the_auxiliary_heads() -> None:
    network = googlenet(3, input_size=32, width=0.1).eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = network(pixels)
    for parameter in network.auxiliaries.parameters():
        nn.init.constant_(parameter, float("nan"))
    torch.testing.assert_close(network(pixels), before)


@pytest.mark.parametrize(
    ("network", "side", "stride"),
    [
        (lambda: zf5(2, levels=(6, 3, 2, 1), width=0.05), 13, 16),
        (lambda: convnet5(2, levels=(6, 3, 2, 1), width=0.05), 13, 16),
        (lambda: overfeat(5, 2, levels=(6, 3, 2, 1), width=0.05), 18, 12),
        (lambda: overfeat(7, 2, levels=(6, 3, 2, 1), width=0.05), 18, 12),
    ],
)
def test_a_pyramid_trunk_has_the_cells_and_stride_of_spp_net(network, side: int, stride: int) -> None:
    built: Classifier = network()
    maps = built.trunk(torch.zeros(1, 3, 224, 224))
    assert maps.shape[-2:] == (side, side)
    assert (built.head.side, built.field.stride) == (side, stride)


@pytest.mark.parametrize("network", [lambda: zf5(2, width=0.05), lambda: convnet5(2, width=0.05),
                                     lambda: overfeat(5, 2, width=0.05), lambda: alexnet(2, width=0.1)])  # fmt: skip
def test_the_last_pool_of_a_flat_network_gives_6_by_6(network) -> None:
    built: Classifier = network()
    assert built.trunk(torch.zeros(1, 3, built.input_size, built.input_size)).shape[-2:] == (6, 6)


@pytest.mark.parametrize(("height", "width"), [(180, 180), (224, 224), (200, 333)])
def test_spp_net_takes_any_image_with_the_same_weights(height: int, width: int) -> None:
    network = zf5(4, levels=(6, 3, 2, 1), width=0.05).eval()
    assert network(torch.zeros(2, 3, height, width)).shape == (2, 4)


def test_pool5_of_alexnet_sees_195_pixels_at_stride_32() -> None:  # R-CNN 3.2
    field = alexnet(2, width=0.1).field
    assert (field.size, field.stride) == (195, 32)


def test_nin_has_no_fully_connected_layer() -> None:
    network = nin(7)
    assert layers(network, nn.Linear) == []
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


SMALL = {
    "vgg-d": lambda size: vgg("D", 5, input_size=size, width=0.1),
    "googlenet": lambda size: googlenet(5, input_size=size, width=0.1),
    "zf5": lambda size: zf5(5, input_size=size, width=0.1),
    "zf5-spp": lambda size: zf5(5, input_size=size, levels=(4, 3, 2, 1), width=0.1),
}


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", SMALL)
def test_a_small_image_version_works_and_says_what_was_changed(name: str, size: int) -> None:
    network = SMALL[name](size).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 5)
    assert any(f"{size}x{size}" in text for text in network.deviations)


@pytest.mark.parametrize("build", [lambda: vgg("A", 2, input_size=100), lambda: zf5(2, input_size=99),
                                   lambda: googlenet(2, input_size=7), lambda: googlenet(2, branch5=4),
                                   lambda: overfeat(6)])  # fmt: skip
def test_a_size_or_depth_that_does_not_exist_is_refused(build) -> None:
    with pytest.raises(ValueError, match=r"choose|use"):
        build()


def test_each_family_has_the_head_of_its_paper() -> None:
    assert isinstance(vgg("A", 2, width=0.05).head, FlattenHead)
    assert isinstance(googlenet(2, width=0.05).head, MeanHead)
    assert isinstance(zf5(2, levels=(2, 1), width=0.05).head, PyramidHead)
    assert isinstance(vgg("A", 2, levels=(2, 1), width=0.05).head, PyramidHead)
