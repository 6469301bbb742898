"""Every parameter count and multiply-add figure that the papers' fact sheets give, retyped here, against our networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fourfold.explain import Explanation, explain
from fourfold.models.base import Classifier, MeanHead
from fourfold.networks import build

PARAMETERS = {
    # VGG Table 2, exact
    "vgg-a": 132_863_336,
    "vgg-a-lrn": 132_863_336,
    "vgg-b": 133_047_848,
    "vgg-c": 133_638_952,
    "vgg-d": 138_357_544,
    "vgg-e": 143_667_240,
    "vgg-b-shallow": 134_503_528,
    # ResNet Table 1, shortcuts B; plain nets have those of option A
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "plain18": 11_515_688,
    "plain34": 21_623_848,
    # ResNet 4.2 and Table 6, shortcuts A
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274,
    "plain20": 269_722,
    "plain32": 464_154,
    "plain44": 658_586,
    "plain56": 853_018,
    "plain110": 1_727_962,
    "plain1202": 19_421_274,
    # GoogLeNet Table 1, at inference
    "googlenet": 6_998_552,
    # SPP-net Table 1, with biases
    "zf5": 62_357_608,
    "zf5-spp": 77_037_672,
    "convnet5": 62_378_344,
    "convnet5-spp": 77_058_408,
    "overfeat5": 102_908_520,
    "overfeat5-spp": 132_268_648,
    "overfeat7": 107_628_136,
    "overfeat7-spp": 136_988_264,
    "alexnet": 60_965_224,
}

VARIANTS = [
    ("vgg-a", {"batch_norm": True}, 132_868_840),
    ("vgg-b", {"batch_norm": True}, 133_053_736),
    ("vgg-d", {"batch_norm": True}, 138_365_992),
    ("vgg-e", {"batch_norm": True}, 143_678_248),
    ("resnet18", {"shortcut": "A"}, 11_515_688),
    ("resnet18", {"shortcut": "C"}, 12_043_816),
    ("resnet34", {"shortcut": "A"}, 21_623_848),
    ("resnet34", {"shortcut": "C"}, 22_716_840),
    ("resnet50", {"shortcut": "A"}, 22_780_456),
    ("resnet50", {"shortcut": "C"}, 40_128_552),
    ("resnet101", {"shortcut": "A"}, 41_772_584),
    ("resnet101", {"shortcut": "C"}, 76_981_288),
    ("resnet152", {"shortcut": "A"}, 57_416_232),
    ("resnet152", {"shortcut": "C"}, 107_335_720),
    ("resnet20", {"shortcut": "B"}, 272_474),
    ("resnet32", {"shortcut": "B"}, 466_906),
    ("resnet44", {"shortcut": "B"}, 661_338),
    ("resnet56", {"shortcut": "B"}, 855_770),
    ("resnet110", {"shortcut": "B"}, 1_730_714),
    ("resnet1202", {"shortcut": "B"}, 19_424_026),
    ("googlenet", {"batch_norm": True}, 7_005_832),
    ("googlenet", {"batch_norm": True, "branch5": 3}, 6_624_904),
    ("zf5", {"levels": (4, 3, 2, 1)}, 56_066_152),
    ("alexnet", {"groups": 1}, 62_378_344),
]

# multiply-adds as the fact sheets print them, with the unit of the last digit they print
MULTIPLY_ADDS = [
    ("vgg-a", {}, 7.609e9, 1e6),
    ("vgg-a-lrn", {}, 7.609e9, 1e6),
    ("vgg-b", {}, 11.308e9, 1e6),
    ("vgg-c", {}, 11.771e9, 1e6),
    ("vgg-d", {}, 15.470e9, 1e6),
    ("vgg-e", {}, 19.632e9, 1e6),
    ("vgg-b-shallow", {}, 9.356e9, 1e6),
    ("resnet18", {}, 1.814e9, 1e6),
    ("resnet34", {}, 3.664e9, 1e6),
    ("resnet50", {}, 3.858e9, 1e6),
    ("resnet101", {}, 7.570e9, 1e6),
    ("resnet152", {}, 11.282e9, 1e6),
    ("resnet18", {"shortcut": "A"}, 1.795e9, 1e6),
    ("resnet34", {"shortcut": "A"}, 3.644e9, 1e6),
    ("plain34", {}, 3.644e9, 1e6),
    ("resnet50", {"stride_in": "3x3"}, 4.089e9, 1e6),
    ("resnet101", {"stride_in": "3x3"}, 7.801e9, 1e6),
    ("resnet152", {"stride_in": "3x3"}, 11.514e9, 1e6),
    ("resnet20", {}, 40.55e6, 1e4),
    ("resnet32", {}, 68.86e6, 1e4),
    ("resnet44", {}, 97.17e6, 1e4),
    ("resnet56", {}, 125.49e6, 1e4),
    ("resnet110", {}, 252.89e6, 1e4),
    ("resnet1202", {}, 2.829e9, 1e6),
    ("googlenet", {}, 1.583e9, 1e6),
]

CONVOLUTION_PARAMETERS = {  # VGG, "of which conv"
    "vgg-a": 9_220_480,
    "vgg-b": 9_404_992,
    "vgg-c": 9_996_096,
    "vgg-d": 14_714_688,
    "vgg-e": 20_024_384,
    "vgg-b-shallow": 10_860_672,
}

INCEPTION_PARAMETERS = {  # GoogLeNet, weights and biases of each row of Table 1
    "3a": 163_696,
    "3b": 388_736,
    "4a": 376_176,
    "4b": 449_160,
    "4c": 510_104,
    "4d": 605_376,
    "4e": 868_352,
    "5a": 1_043_456,
    "5b": 1_444_080,
}
INCEPTION_MULTIPLY_ADDS = {  # GoogLeNet, in units of 0.1 M
    "3a": 1280,
    "3b": 3043,
    "4a": 736,
    "4b": 879,
    "4c": 999,
    "4d": 1185,
    "4e": 1700,
    "5a": 511,
    "5b": 707,
}

WEIGHT_LAYERS = {"vgg-a": 11, "vgg-b": 13, "vgg-c": 16, "vgg-d": 16, "vgg-e": 19, "resnet18": 18, "plain34": 34}
WEIGHT_LAYERS |= {"resnet34": 34, "resnet50": 50, "resnet101": 101, "resnet152": 152, "resnet110": 110, "plain56": 56}


def counted(name: str, **options: object) -> Explanation:
    return explain(name, lambda: build(name, **options))


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_network_has_the_parameters_of_its_paper(name: str) -> None:
    assert counted(name).parameters == PARAMETERS[name]


@pytest.mark.parametrize(("name", "options", "parameters"), VARIANTS)
def test_a_variant_has_the_parameters_of_the_fact_sheet(name: str, options: dict, parameters: int) -> None:
    assert counted(name, **options).parameters == parameters


@pytest.mark.parametrize(("name", "options", "multiply_adds", "unit"), MULTIPLY_ADDS)
def test_a_network_costs_the_multiply_adds_of_its_paper(name: str, options: dict, multiply_adds: float, unit: float) -> None:
    assert abs(counted(name, **options).multiply_adds - multiply_adds) <= 0.51 * unit


@pytest.mark.parametrize("name", CONVOLUTION_PARAMETERS)
def test_the_convolutions_of_a_vgg_have_the_parameters_of_the_fact_sheet(name: str) -> None:
    layers = [layer for layer in counted(name).layers if layer.kind.startswith("conv")]
    assert sum(layer.parameters for layer in layers) == CONVOLUTION_PARAMETERS[name]


@pytest.mark.parametrize("row", INCEPTION_PARAMETERS)
def test_an_inception_module_has_the_figures_of_its_row(row: str) -> None:
    layers = [layer for layer in counted("googlenet").layers if layer.name.startswith(f"inception_{row}.")]
    assert sum(layer.parameters for layer in layers) == INCEPTION_PARAMETERS[row]
    assert round(sum(layer.multiply_adds for layer in layers) / 1e5) == INCEPTION_MULTIPLY_ADDS[row]


def test_the_auxiliary_heads_have_the_parameters_of_the_fact_sheet() -> None:
    assert counted("googlenet").auxiliary_parameters == 3_188_840 + 3_190_888
    with torch.device("meta"):
        assert sum(p.numel() for p in build("googlenet").parameters()) == 13_378_280


@pytest.mark.parametrize("name", WEIGHT_LAYERS)
def test_a_network_has_as_many_weight_layers_as_its_name_says(name: str) -> None:
    with torch.device("meta"):
        modules = build(name).named_modules()
        layers = [n for n, m in modules if isinstance(m, nn.Conv2d | nn.Linear) and ".shortcut." not in n]
    assert len(layers) == WEIGHT_LAYERS[name]


@pytest.mark.parametrize(("name", "option", "projections"), [
    ("resnet18", "B", 3), ("resnet18", "C", 8), ("resnet34", "B", 3), ("resnet34", "C", 16),
    ("resnet50", "B", 4), ("resnet50", "C", 16), ("resnet50", "A", 0),
])  # fmt: skip
def test_a_shortcut_option_has_the_projections_of_the_paper(name: str, option: str, projections: int) -> None:
    layers = counted(name, shortcut=option).layers
    assert sum(".shortcut." in layer.name and layer.kind.startswith("conv") for layer in layers) == projections


def test_resnet_101_shares_91_convolutions_before_conv5() -> None:  # ResNet appendix A
    layers = [layer for layer in counted("resnet101").layers if layer.kind.startswith("conv")]
    shared = [layer for layer in layers if not layer.name.startswith("conv5") and ".shortcut." not in layer.name]
    assert len(shared) == 91


def test_the_reduction_makes_the_5x5_branch_of_3a_affordable() -> None:  # GoogLeNet claims: 120.4 M against 12.4 M
    reduced = sum(
        layer.multiply_adds for layer in counted("googlenet").layers if layer.name.startswith("inception_3a.branch5.")
    )
    naive = next(layer for layer in counted("googlenet-naive").layers if layer.name == "inception_3a.branch5.conv")
    assert (round(naive.multiply_adds / 1e5), round(reduced / 1e5)) == (1204, 124)


def test_the_maps_of_googlenet_have_the_sizes_of_table_1() -> None:
    sizes = {layer.name: layer.output[1] for layer in counted("googlenet").layers if len(layer.output) == 3}
    names = ["conv1", "pool1", "conv2", "pool2", "inception_3a.branch1.conv", "pool3", "inception_4e.branch1.conv", "pool4"]
    assert [sizes[name] for name in names] == [112, 56, 56, 28, 28, 14, 14, 7]


def test_the_maps_of_zf5_have_the_sizes_of_the_released_network() -> None:
    def maps(size: int) -> list[int]:
        layers = explain("zf5-spp", lambda: build("zf5-spp"), size).layers
        sizes = {layer.name: layer.output[1] for layer in layers if len(layer.output) == 3}
        return [sizes[name] for name in ("conv1", "pool1", "conv2", "pool2", "conv5")]

    assert maps(224) == [110, 55, 26, 13, 13]
    assert maps(180) == [88, 44, 20, 10, 10]


def test_three_3x3_layers_see_as_much_as_one_7x7_and_need_27_against_49_weights() -> None:  # VGG 2.3
    def stack(*kernels: int, channels: int = 8) -> Explanation:
        def build_stack() -> Classifier:
            layers = [nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False) for kernel in kernels]
            trunk = nn.Sequential(nn.Conv2d(3, channels, 1, bias=False), *layers)
            return Classifier(trunk, MeanHead(nn.Sequential(), side=9), input_size=9)

        return explain("stack", build_stack)

    small, large = stack(3, 3, 3), stack(7)
    assert (small.field.size, large.field.size) == (7, 7)
    assert [small.parameters - 24, large.parameters - 24] == [27 * 8 * 8, 49 * 8 * 8]
    assert stack(3, 3).field.size == stack(5).field.size == 5
