"""Networks by name: every name builds what it says, and options are checked before anything is built."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from fourfold.models.base import Classifier, FlattenHead, MeanHead, PyramidHead
from fourfold.models.lrn import LocalResponseNorm
from fourfold.models.resnet import Residual
from fourfold.networks import ALIASES, NETWORKS, build, closest

LAYERS = {  # weight layers on the longest path: VGG Table 1 and 4.1; ResNet's names; GoogLeNet 5; SPP-net Table 1; NIN 4.1
    **{"vgg-a": 11, "vgg-a-lrn": 11, "vgg-b": 13, "vgg-b-shallow": 8, "vgg-c": 16, "vgg-d": 16, "vgg-e": 19},
    **{"vgg11": 11, "vgg13": 13, "vgg16": 16, "vgg19": 19},
    **{f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152, 20, 32, 44, 56, 110, 1202)},
    **{f"plain{depth}": depth for depth in (18, 34, 20, 32, 44, 56, 110, 1202)},
    **{"googlenet": 22, "googlenet-naive": 13},  # without reductions each of the 9 modules is one layer deep
    **{f"{name}{spp}": 8 for name in ("zf5", "convnet5", "overfeat5") for spp in ("", "-spp")},
    **{"overfeat7": 10, "overfeat7-spp": 10, "alexnet": 8, "nin": 9},
}
CIFAR = {f"{kind}{depth}" for kind in ("resnet", "plain") for depth in (20, 32, 44, 56, 110, 1202)} | {"nin"}


def on_meta(name: str, **options: object) -> Classifier:
    with torch.device("meta"):
        return build(name, **options)


def depth(module: nn.Module) -> int:
    """Convolutions and fc layers on the longest path."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return 1
    if isinstance(module, nn.Sequential):
        return sum(map(depth, module))
    return max(map(depth, module.children()), default=0)


def test_the_names_are_those_listed_here() -> None:
    assert sorted([*NETWORKS, *ALIASES]) == sorted(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_every_name_builds_a_network_of_its_depth(name: str) -> None:
    network = on_meta(name)
    assert depth(network.trunk) + depth(network.head) == LAYERS[name]
    assert network.deviations == (), "the network of a paper departs from it in nothing"
    assert network.input_size == (32 if name in CIFAR else 227 if name == "alexnet" else 224)


@pytest.mark.parametrize("name", [name for name in LAYERS if not name.endswith("1202")])
def test_every_name_builds_with_other_classes_and_width(name: str) -> None:
    network = build(name, classes=3, width=1 / 32)
    side = network.input_size
    with torch.inference_mode():
        assert network.eval()(torch.randn(2, 3, side, side)).shape == (2, 3)
    assert len(network.deviations) == 1
    assert network.deviations[0].startswith("0.03125 times as wide")


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith(("plain", "resnet"))])
def test_residual_networks_have_shortcuts_and_plain_ones_have_none(name: str) -> None:
    blocks = sum(isinstance(module, Residual) for module in on_meta(name).modules())
    layers = int(re.sub(r"\D", "", name))
    each = 3 if layers in (50, 101, 152) else 2
    assert blocks == (0 if name.startswith("plain") else (layers - 2) // each)


@pytest.mark.parametrize("name", LAYERS)
def test_the_name_tells_the_head(name: str) -> None:
    means = name.startswith(("resnet", "plain", "googlenet", "nin"))
    kind = PyramidHead if name.endswith("-spp") else MeanHead if means else FlattenHead
    assert type(on_meta(name).head) is kind


def test_the_pyramids_of_the_names_have_fifty_bins_and_can_be_changed() -> None:
    for name in ("zf5-spp", "convnet5-spp", "overfeat5-spp", "overfeat7-spp"):
        head = on_meta(name).head
        assert isinstance(head, PyramidHead)
        assert head.levels == (6, 3, 2, 1)  # SPP-net 3.1.2
    other = on_meta("zf5-spp", levels=[4, 3, 2, 1]).head
    assert isinstance(other, PyramidHead)
    assert other.levels == (4, 3, 2, 1)


def test_the_names_of_vgg_tell_its_kernels_and_its_response_normalisation() -> None:
    def kernels(name: str) -> set[object]:
        return {layer.kernel_size for layer in on_meta(name).trunk if isinstance(layer, nn.Conv2d)}

    assert {name: kernels(name) for name in ("vgg-b", "vgg-b-shallow", "vgg-c", "vgg-d")} == {
        "vgg-b": {(3, 3)},
        "vgg-b-shallow": {(5, 5)},
        "vgg-c": {(3, 3), (1, 1)},
        "vgg-d": {(3, 3)},
    }
    assert sum(isinstance(layer, LocalResponseNorm) for layer in on_meta("vgg-a-lrn").trunk) == 1
    assert sum(isinstance(layer, LocalResponseNorm) for layer in on_meta("vgg-a").trunk) == 0


@pytest.mark.parametrize(
    ("name", "close"),
    [("resnet51", "resnet50"), ("vgg-f", "vgg-e"), ("googlnet", "googlenet"), ("vgg161", "vgg16"), ("ResNet18", "resnet18")],
)
def test_an_unknown_name_is_refused_with_names_alike(name: str, close: str) -> None:
    with pytest.raises(ValueError, match=rf"^no network '{name}'; closest are .*; `fourfold models` lists all$") as refused:
        build(name)
    assert re.search(rf"\b{close}\b", str(refused.value))


def test_a_name_like_no_other_is_refused_without_names_alike() -> None:
    with pytest.raises(ValueError, match=r"^no network 'qqqq'; `fourfold models` lists all$"):
        build("qqqq")
    assert closest("qqqq", ["vgg-a"]) == ""


@pytest.mark.parametrize(
    ("name", "key", "choices"),
    [
        ("resnet18", "depth", "classes, plain, shortcut, stride_in, sge_groups, levels, units, width"),
        ("plain18", "plain", "classes, shortcut, stride_in, sge_groups, levels, units, width"),
        ("vgg-a", "configuration", "classes, input_size, batch_norm, levels, width"),
        ("vgg16", "batchnorm", "classes, input_size, batch_norm, levels, width"),
        ("googlenet-naive", "naive", "classes, input_size, batch_norm, branch5, pool4, auxiliaries, levels, width"),
        ("overfeat5", "convolutions", "classes, levels, width"),
        ("zf5-spp", "name", "classes, input_size, levels, width"),
    ],
)
def test_an_unknown_option_is_refused_with_those_there_are(name: str, key: str, choices: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} has no option '{key}'; its options are {choices}$"):
        build(name, **{key: 5})


NUMBER, WHOLE = "a number above 0", "a whole number above 0"
LIST = "a list of whole numbers above 0"
BAD: list[tuple[str, str, object, str]] = [
    *(("resnet18", "width", value, NUMBER) for value in ("abc", 0, -1.0, True, None, [1], float("nan"), float("inf"))),
    *(("vgg-a", "classes", value, WHOLE) for value in ("abc", 0, -1, 2.5, 10.0, True, None, [10])),
    *(("zf5-spp", "levels", value, LIST) for value in (3, "42", [0], [2, -1], [2.5], ["a"], [True], {"4": 1}, None)),
    *(("vgg-d", "batch_norm", value, "true or false") for value in ("maybe", "true", 1, 0, None)),
    *(("resnet20", "shortcut", value, "A or B or C") for value in ("D", "a", "", None, 1)),
    *(("resnet18", "shortcut", value, "A or B or C") for value in ("D", 1)),
    *(("resnet50", "stride_in", value, "1x1 or 3x3") for value in ("5x5", 3, None)),
    *(("vgg-a", "input_size", value, WHOLE) for value in ("224", 224.0, -32)),
    *(("resnet18", "sge_groups", value, WHOLE) for value in (-1, "8", False)),
    *(("googlenet", key, 0, WHOLE) for key in ("branch5", "pool4", "input_size")),
    ("alexnet", "groups", 0, WHOLE),
]


@pytest.mark.parametrize(("name", "key", "value", "wanted"), BAD)
def test_a_value_that_an_option_cannot_have_is_refused(name: str, key: str, value: object, wanted: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} cannot have {key}=.*; give {wanted}"):
        build(name, **{key: value})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vgg-a", {"input_size": 100}),
        ("googlenet", {"input_size": 128}),
        ("zf5", {"input_size": 128}),
        ("resnet18", {"sge_groups": 7}),
    ],
)
def test_a_number_that_the_network_cannot_have_is_refused(name: str, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"; (choose|use) "):
        build(name, **options)


def test_values_that_options_can_have_are_taken_from_python_and_from_json() -> None:
    for levels in ((4, 2, 1), [4, 2, 1]):
        head = on_meta("resnet18", levels=levels, width=1, sge_groups=0, shortcut=None, plain=False).head
        assert isinstance(head, PyramidHead)
        assert head.levels == (4, 2, 1)
    assert type(on_meta("zf5-spp", levels=[]).head) is FlattenHead
