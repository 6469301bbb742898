"""Other people's weights in our networks, against the networks that they come from."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from fourfold.models.base import Classifier
from fourfold.networks import build
from fourfold.weights import append_zero_channels, load_into, read_weights, translate

NARROW = 1 / 8  # names and flattening orders do not depend on the width, run time does
VGGS = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}
TORCHVISIONS_GOOGLENET = {"batch_norm": True, "branch5": 3, "pool4": 2, "auxiliaries": False}
AnyModule = TypeVar("AnyModule", bound=nn.Module)


def empty(make: Callable[[], AnyModule]) -> AnyModule:
    """A network without values, which costs no time to initialise."""
    with torch.device("meta"):
        return make().to_empty(device="cpu")


def fill(network: AnyModule, seed: int = 0) -> AnyModule:
    """Random weights of He's scale, and running statistics away from 0 and 1, so that no layer passes unseen."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            value.fill_(7)
        elif name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.ndim == 1:
            value.normal_(0, 0.2, generator=generator)
        else:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
    return network.eval()


def images(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def assert_same_scores(ours: Classifier, theirs: nn.Module, pixels: Tensor) -> None:
    """Scores within 1e-5 of their own scale, which is what float32 keeps where means and kernels sum in another order.

    Not softmax: random networks have scores so large that it is 0 or 1, and would hide a difference.
    """
    with torch.inference_mode():
        have, want = ours.eval()(pixels), theirs.eval()(pixels)
    scale = want.abs().max()
    assert (want[0] - want[1]).abs().max() > 1e-3 * scale, "the images differ by a hundred times the tolerance"
    assert (have - want).abs().max() / scale < 1e-5


def narrow_vgg(configuration: str, batch_norm: bool) -> nn.Module:
    """torchvision's own layers and order, with an eighth of its channels."""
    layers = [channel if channel == "M" else int(channel) // 8 for channel in cfgs[configuration]]
    network = torchvision.models.VGG(nn.Sequential(), num_classes=1, init_weights=False)
    network.features = make_layers(layers, batch_norm)
    units = [nn.Linear(64 * 49, 512), nn.Linear(512, 512), nn.Linear(512, 9)]
    for index, layer in zip((0, 3, 6), units, strict=True):
        network.classifier[index] = layer
    return network


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", VGGS)
def test_torchvisions_vgg_gives_the_same_scores_in_ours(name: str, batch_norm: bool) -> None:
    theirs = fill(empty(lambda: narrow_vgg(VGGS[name], batch_norm)))
    ours = build(name, classes=9, batch_norm=batch_norm, width=NARROW)
    load_into(ours, theirs.state_dict(), name=name)
    assert_same_scores(ours, theirs, images(224, 224))


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_torchvisions_resnet_gives_the_same_scores_in_ours(depth: int) -> None:
    options = {"stride_in": "3x3"} if depth >= 50 else {}
    theirs = fill(empty(lambda: torchvision.models.get_model(f"resnet{depth}", num_classes=9)))
    ours = empty(lambda: build(f"resnet{depth}", classes=9, **options))
    load_into(ours, theirs.state_dict(), name="theirs")
    assert_same_scores(ours, theirs, images(65, 98))


@pytest.mark.parametrize(("aux_logits", "height", "width"), [(False, 224, 224), (True, 113, 162)])
def test_torchvisions_googlenet_gives_the_same_scores_without_its_auxiliary_heads(
    aux_logits: bool, height: int, width: int
) -> None:
    theirs = fill(torchvision.models.GoogLeNet(9, aux_logits=aux_logits, transform_input=False, init_weights=False))
    assert any(name.startswith("aux1.") for name in theirs.state_dict()) is aux_logits
    ours = build("googlenet", classes=9, **TORCHVISIONS_GOOGLENET)
    load_into(ours, theirs.state_dict(), name="theirs")
    assert_same_scores(ours, theirs, images(height, width))


def test_torchvisions_auxiliary_heads_go_into_ours_where_we_have_them() -> None:
    theirs = fill(torchvision.models.GoogLeNet(9, transform_input=False, init_weights=False))
    ours = build("googlenet", classes=9, **{**TORCHVISIONS_GOOGLENET, "auxiliaries": True})
    load_into(ours, theirs.state_dict(), name="theirs")
    # on 14x14 maps they pool to 4x4 with bins that we do not have, so heads are compared on 4x4 maps of their own
    for name, aux, channels in (("inception_4a", theirs.aux1, 512), ("inception_4d", theirs.aux2, 528)):
        maps = torch.randn(2, channels, 4, 4, generator=torch.Generator().manual_seed(3))
        head = ours.auxiliaries[name]
        assert isinstance(head, nn.Sequential)
        assert aux is not None
        torch.testing.assert_close(head.eval()[1:](maps), aux.eval()(maps), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", [f"{vgg}{bn}" for vgg in VGGS for bn in ("", "_bn")])
def test_full_size_vggs_of_torchvision_have_our_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name, init_weights=False).state_dict()
        ours = build(name.removesuffix("_bn"), batch_norm=name.endswith("_bn"))
    have = {key: value.shape for key, value in translate(theirs, ours).items()}
    assert have == {key: value.shape for key, value in ours.state_dict().items()}


def test_files_from_before_batch_norm_counted_batches_load() -> None:
    theirs = fill(torchvision.models.resnet18(num_classes=9))
    old = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    ours = build("resnet18", classes=9)
    load_into(ours, old, name="old")
    assert_same_scores(ours, theirs, images(65, 98))


class Block(nn.Module):
    """The basic block of the common CIFAR ResNet code; option A pads channels half before and half after."""

    def __init__(self, inputs: int, planes: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.padding = planes // 4 if option == "A" and inputs != planes else 0
        self.shortcut = nn.Sequential()
        if option == "B" and inputs != planes:
            projection = nn.Conv2d(inputs, planes, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.padding:
            return F.relu(out + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding)))
        return F.relu(out + self.shortcut(x))


class CifarTwin(nn.Module):
    """The common CIFAR ResNet: layer1 to layer3 and a classifier called linear."""

    def __init__(self, depth: int, option: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        blocks = (depth - 2) // 6
        for stage, (inputs, planes) in enumerate(itertools.pairwise((16, 16, 32, 64)), start=1):
            first = Block(inputs, planes, 1 if stage == 1 else 2, option)
            rest = (Block(planes, planes, 1, option) for _ in range(blocks - 1))
            self.add_module(f"layer{stage}", nn.Sequential(first, *rest))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            out = self.get_submodule(f"layer{stage}")(out)
        return self.linear(F.avg_pool2d(out, out.shape[2:]).flatten(1))


@pytest.mark.parametrize("option", ["A", "B"])
@pytest.mark.parametrize("depth", [20, 32])
def test_the_common_cifar_checkpoint_gives_the_same_scores_in_ours(tmp_path: Path, depth: int, option: str) -> None:
    theirs = fill(CifarTwin(depth, option))
    state = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 91.7, "epoch": 3}, tmp_path / "model.th")
    ours = build(f"resnet{depth}", shortcut=option)
    load_into(ours, read_weights(tmp_path / "model.th"), name="model.th")
    assert_same_scores(ours, theirs, images(36, 28))


def test_reordered_option_a_channels_are_not_the_channels_as_they_stand() -> None:
    theirs, ours = fill(CifarTwin(20, "A")), build("resnet20")
    as_they_stand = translate(theirs.state_dict(), ours)
    moved = append_zero_channels(as_they_stand, ours)
    first = "trunk.conv3_1.residual.conv2.weight"  # conv3_1 pads 16 channels with 8 before and 8 after, so ours begin at 8
    assert torch.equal(moved[first][:16], as_they_stand[first][8:24])
    assert not torch.equal(moved[first], as_they_stand[first])
