"""ResNet blocks against the paper's sentences."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fourfold.explain import explain
from fourfold.models.resnet import Subsample, cifar_resnet, resnet


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_option_a_subsamples_and_appends_zero_channels() -> None:  # ResNet 3.3, verification hook
    maps = noise(2, 64, 56, 56)
    out = Subsample(64, 128, 2)(maps)
    assert out.shape == (2, 128, 28, 28)
    assert torch.equal(out[:, :64], maps[:, :, ::2, ::2])
    assert not out[:, 64:].any()


@pytest.mark.parametrize("network", [cifar_resnet(20), resnet(18, 5, shortcut="A", width=0.25), resnet(50, 5, width=0.125)])
def test_a_block_whose_residual_is_zero_is_the_relu_of_its_shortcut(network: nn.Module) -> None:
    network.eval()
    block = network.trunk.get_submodule("conv3_2")  # type: ignore[union-attr]
    last = [layer for layer in block.residual if isinstance(layer, nn.BatchNorm2d)][-1]  # type: ignore[union-attr]
    nn.init.zeros_(last.weight)
    channels = last.num_features
    maps = noise(2, channels, 6, 8)
    torch.testing.assert_close(block(maps.clone()), F.relu(maps))


def test_a_block_adds_before_its_last_relu() -> None:  # ResNet 3.2
    network = cifar_resnet(20).train()
    block = network.trunk.get_submodule("conv2_1")
    maps = noise(4, 16, 8, 6)
    residual = block.residual(maps.clone())  # type: ignore[operator]
    torch.testing.assert_close(block(maps.clone()), F.relu(residual + maps))
    assert (residual < 0).any()  # so a ReLU before the addition would show


def test_a_plain_net_is_the_residual_net_without_shortcuts() -> None:
    plain, residual = cifar_resnet(20, plain=True).eval(), cifar_resnet(20).eval()
    state = {name.replace(".residual.", "."): value for name, value in residual.state_dict().items()}
    plain.load_state_dict(state)
    pixels = noise(2, 3, 32, 32)
    maps = residual.trunk[:3](pixels.clone())
    for name, block in list(residual.trunk.named_children())[3:]:
        maps = F.relu(block.residual(maps.clone()))  # type: ignore[operator]
        assert name.startswith("conv")
    torch.testing.assert_close(plain(pixels), residual.head(maps))


def test_the_stride_lies_in_the_first_1x1_unless_asked_otherwise() -> None:
    def strides(**options: str) -> list[int]:
        block = resnet(50, 2, width=0.1, **options).trunk.get_submodule("conv4_1").residual  # type: ignore[arg-type]
        return [layer.stride[0] for layer in block if isinstance(layer, nn.Conv2d)]  # type: ignore[union-attr]

    assert strides() == [2, 1, 1]
    assert strides(stride_in="3x3") == [1, 2, 1]


def test_no_convolution_before_a_batch_norm_has_a_bias() -> None:
    layers = [layer for layer in resnet(50, 2, width=0.1).modules() if isinstance(layer, nn.Conv2d)]
    assert len(layers) == 53
    assert all(layer.bias is None for layer in layers)


def test_group_enhance_adds_two_numbers_for_each_group_and_says_so() -> None:
    plain = explain("a", lambda: resnet(50))
    enhanced = explain("b", lambda: resnet(50, sge_groups=64))
    assert enhanced.parameters - plain.parameters == 16 * 2 * 64  # 16 blocks
    assert any("1905.09646" in text for text in enhanced.deviations)
    assert plain.deviations == ()


@pytest.mark.parametrize("depth", [19, 21, 2, 0, -4])
def test_another_cifar_depth_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="6n\\+2"):
        cifar_resnet(depth)


def test_another_imagenet_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="choose from 18, 34, 50, 101, 152"):
        resnet(42)


def test_units_put_two_fc_layers_before_the_scores() -> None:
    network = cifar_resnet(20, 4, levels=(6, 3, 2, 1), units=32)
    counts = [sum(p.numel() for p in layer.parameters()) for layer in network.head.fc]

    assert [name for name, _ in network.head.fc.named_children()] == [
        "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8",
    ]  # fmt: skip
    assert counts == [64 * 50 * 32 + 32, 0, 0, 32 * 32 + 32, 0, 0, 32 * 4 + 4]
    assert any("fc6 and fc7 of 32 units" in text for text in network.deviations)
    assert cifar_resnet(20, 4, units=32)(torch.zeros(2, 3, 32, 32)).shape == (2, 4)
