"""Initial weights: variances against the papers' formulas, and the layers that a deep VGG takes from a shallow one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fourfold.models.resnet import cifar_resnet
from fourfold.models.vgg import vgg
from fourfold.networks import build
from fourfold.train.initialise import Gaussian, Glorot, He, Initialise, Xavier, from_shallower

SIGMAS = 5  # the seed is fixed; of correct draws one in a million lies further from the mean


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spoilt(network: nn.Module) -> nn.Module:
    """The same network with every parameter and statistic at a value that no initialisation leaves."""
    with torch.no_grad():
        for value in (*network.parameters(), *network.buffers()):
            value.fill_(7)
    return network


def layers() -> nn.Sequential:
    """Fan in and out differ in every layer, and so do height and width of a kernel."""
    return nn.Sequential(
        nn.Conv2d(10, 40, (3, 5)),
        nn.BatchNorm2d(40),
        nn.Conv2d(40, 20, 1, bias=False),
        nn.Linear(300, 70),
        nn.Linear(70, 500),
    )


@pytest.mark.parametrize(
    ("initialise", "variances"),
    [
        (Gaussian(0.1), (1e-2, 1e-2, 1e-2, 1e-2)),  # VGG 3.1
        (Gaussian(0.01), (1e-4, 1e-4, 1e-4, 1e-4)),  # AlexNet 5
        (Glorot(), (2 / (150 + 600), 2 / (40 + 20), 2 / (300 + 70), 2 / (70 + 500))),  # 10*3*5 in, 40*3*5 out
        (He(), (2 / 150, 2 / 40, 2 / 300, 2 / 70)),
    ],
    ids=["vgg", "alexnet", "glorot", "he"],
)
def test_weights_are_normal_with_the_papers_variance(initialise: Initialise, variances: tuple[float, ...]) -> None:
    network = spoilt(layers())
    initialise(network, generator())

    weights = [layer.weight.detach().double() for layer in network.children() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for weight, variance in zip(weights, variances, strict=True):
        scaled, count = weight.flatten() / variance**0.5, weight.numel()
        assert abs(float(scaled.mean())) < SIGMAS / count**0.5
        assert abs(float(scaled.square().mean()) - 1) < SIGMAS * (2 / count) ** 0.5  # Var(z^2) = 2
        assert abs(float(scaled.pow(4).mean()) - 3) < SIGMAS * (96 / count) ** 0.5  # Var(z^4) = 96; uniform would give 1.8


@pytest.mark.parametrize("initialise", [Gaussian(0.1), Glorot(), He()], ids=["gaussian", "glorot", "he"])
def test_biases_are_zero_and_batch_norms_do_nothing(initialise: Initialise) -> None:
    network = spoilt(
        nn.Sequential(cifar_resnet(8, 5, shortcut="B"), vgg("A", 3, input_size=32, width=0.05, batch_norm=True))
    )
    initialise(network, generator())

    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 7 + 2 + 8  # ResNet-8's convolutions, its two projections, A's convolutions
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.weight.unique().tolist() == norm.running_var.unique().tolist() == [1]
        assert norm.bias.unique().tolist() == norm.running_mean.unique().tolist() == [0]
        assert norm.num_batches_tracked == 0
    biases = [
        layer.bias for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None
    ]
    assert len(biases) == 1 + 8 + 3
    assert all(bias.eq(0).all() for bias in biases)


@pytest.mark.parametrize("initialise", [Gaussian(0.1), Glorot(), He(), Xavier()], ids=["gaussian", "glorot", "he", "xavier"])
def test_draws_come_from_the_generator_given_and_no_other(initialise: Initialise) -> None:
    states: list[list[Tensor]] = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(states))
        network = layers()
        initialise(network, generator(seed))
        states.append([layer.weight for layer in network if isinstance(layer, nn.Conv2d | nn.Linear)])

    assert all(torch.equal(first, again) for first, again in zip(states[0], states[1], strict=True))
    assert not any(torch.equal(first, other) for first, other in zip(states[0], states[2], strict=True))


def test_every_weight_of_a_residual_network_is_drawn() -> None:
    network = spoilt(cifar_resnet(8, 5, shortcut="C", width=0.5))
    He()(network, generator())

    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weights) == 7 + 3 + 1
    assert not any((weight == 7).any() for weight in weights)


def narrow(configuration: str, classes: int = 5, width: float = 0.0625) -> nn.Module:
    network = vgg(configuration, classes, input_size=64, width=width)
    Gaussian(0.1)(network, generator(ord(configuration[-1])))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.normal_(layer.bias, generator=generator(ord(configuration[0])))
    return network


COPIES = {  # VGG 3.1: the first four convolutions and the fc layers, by stage; A's own names are the same
    f"{layer}.{leaf}"
    for layer in (*(f"trunk.conv{n}" for n in ("1_1", "2_1", "3_1", "3_2")), *(f"head.fc.fc{n}" for n in (6, 7, 8)))
    for leaf in ("weight", "bias")
}


@pytest.mark.parametrize("configuration", ["B", "C", "D", "E"])
def test_a_deep_vgg_takes_four_convolutions_and_three_fc_layers_from_a(configuration: str) -> None:
    shallow, deep = narrow("A"), narrow(configuration)
    theirs = {name: value.clone() for name, value in shallow.state_dict().items()}
    before = {name: value.clone() for name, value in deep.state_dict().items()}

    copied = from_shallower(deep, shallow)

    assert set(copied) == COPIES
    assert len(copied) == 14
    for name, value in deep.state_dict().items():
        assert torch.equal(value, theirs[name] if name in COPIES else before[name]), name
        assert name not in COPIES or not torch.equal(value, before[name])
    assert all(torch.equal(value, theirs[name]) for name, value in shallow.state_dict().items())


def test_copied_layers_go_on_learning() -> None:
    deep = narrow("D")
    from_shallower(deep, narrow("A"))
    deep(torch.randn(2, 3, 64, 64, generator=generator())).square().sum().backward()

    for name, parameter in deep.named_parameters():
        assert parameter.requires_grad
        assert parameter.is_leaf
        assert parameter.grad is not None, name


def test_a_copy_does_not_tie_the_two_networks() -> None:
    deep, shallow = narrow("B"), narrow("A")
    from_shallower(deep, shallow)
    spoilt(deep)

    assert not any((parameter == 7).any() for parameter in shallow.parameters())


def test_other_classes_another_width_and_other_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"head\.fc\.fc8\.weight differs .* same classes and width"):
        from_shallower(narrow("D", classes=6), narrow("A", classes=5))
    with pytest.raises(ValueError, match=r"trunk\.conv1_1\.weight of the shallower network has no layer"):
        from_shallower(narrow("D", width=0.125), narrow("A"))
    with pytest.raises(ValueError, match=r"trunk\.conv1_1\.weight of the shallower network has no layer"):
        from_shallower(narrow("B-shallow"), narrow("A"))


NETWORKS: list[tuple[str, dict[str, object]]] = [
    *((f"vgg-{letter}", {"width": 0.25, "input_size": 64, "classes": 7}) for letter in "abcde"),
    ("googlenet", {"width": 0.5, "classes": 7}),
    ("resnet20", {}),
    ("alexnet", {"width": 0.125, "classes": 7}),
]
EACH_NETWORK = pytest.mark.parametrize(("name", "options"), NETWORKS, ids=[name for name, _ in NETWORKS])


def weighted(network: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}


def fans(layer: nn.Conv2d | nn.Linear) -> tuple[int, int]:
    """Inputs that an output reads and outputs that read an input, counted from the layer's own description."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    window = layer.kernel_size[0] * layer.kernel_size[1]
    return layer.in_channels // layer.groups * window, layer.out_channels * window


@EACH_NETWORK
@pytest.mark.parametrize(
    ("initialise", "variance"),
    [
        (Gaussian(0.1), lambda _inputs, _outputs: 1e-2),
        (Glorot(), lambda inputs, outputs: 2 / (inputs + outputs)),
        (He(), lambda inputs, _outputs: 2 / inputs),
        (Xavier(), lambda inputs, _outputs: 1 / inputs),
    ],
    ids=["gaussian", "glorot", "he", "xavier"],
)
def test_every_layer_of_a_network_has_the_variance_of_the_rule(
    name: str, options: dict[str, object], initialise: Initialise, variance: Callable[[int, int], float]
) -> None:
    network = spoilt(build(name, **options))
    initialise(network, generator(3))

    found = weighted(network)
    assert len(found) > 7
    for layer_name, layer in found.items():
        scaled = layer.weight.detach().double().flatten() / variance(*fans(layer)) ** 0.5
        assert abs(float(scaled.mean())) < SIGMAS / scaled.numel() ** 0.5, layer_name
        assert abs(float(scaled.square().mean()) - 1) < SIGMAS * (2 / scaled.numel()) ** 0.5, layer_name  # Var(z^2) = 2


def test_caffes_xavier_is_uniform_up_to_the_root_of_three_by_fan_in() -> None:
    network = spoilt(layers())
    Xavier()(network, generator())

    for layer, inputs in zip(weighted(network).values(), (150, 40, 300, 70), strict=True):
        scaled = layer.weight.detach().double() / (3 / inputs) ** 0.5
        assert float(scaled.abs().max()) <= 1
        assert float(scaled.abs().max()) > 0.99
        deviation = (1 / 9 - 1 / 25) ** 0.5  # of the fourth power, whose mean is 1/5
        assert abs(float(scaled.pow(4).mean()) - 1 / 5) < SIGMAS * deviation / scaled.numel() ** 0.5


def test_googlenets_biases_are_a_fifth_but_for_the_three_classifiers() -> None:
    network = spoilt(build("googlenet", width=0.25, classes=5))
    Xavier(bias=0.2)(network, generator())

    zero = {name for name, layer in weighted(network).items() if layer.bias is not None and not layer.bias.any()}
    rest = [layer.bias for name, layer in weighted(network).items() if name not in zero]

    assert zero == {"head.fc.fc", *(f"auxiliaries.inception_{at}.head.fc.fc2" for at in ("4a", "4d"))}
    assert len(rest) == 3 + 9 * 6 + 2 * 2  # stem, nine modules of six, and in each auxiliary head a convolution and fc1
    assert all(bias is not None and torch.equal(bias, torch.full_like(bias, 0.2)) for bias in rest)


@pytest.mark.parametrize(
    ("network", "ones"),
    [
        ("alexnet", {"conv2", "conv4", "conv5", "fc6", "fc7"}),  # AlexNet 5: second, fourth, fifth, hidden fc
        ("zf5-spp", {"conv2", "conv4", "conv5", "fc6", "fc7"}),
        ("vgg-a", {"fc6", "fc7"}),
        ("resnet20", set()),
    ],
)
def test_biases_of_one_are_those_of_the_layers_named(network: str, ones: set[str]) -> None:
    options: dict[str, object] = {} if network == "resnet20" else {"width": 0.125}
    built = spoilt(build(network, **options))
    Gaussian(0.01, ones=("conv2", "conv4", "conv5", "fc6", "fc7"))(built, generator())

    biases = {name.split(".")[-1]: layer.bias for name, layer in weighted(built).items() if layer.bias is not None}

    assert {name for name, bias in biases.items() if bias.eq(1).all()} == ones
    assert all(bias.eq(0).all() for name, bias in biases.items() if name not in ones)
    plain = build(network, **options)
    Gaussian(0.01)(plain, generator())
    both = zip(weighted(built).values(), weighted(plain).values(), strict=True)
    assert all(torch.equal(one.weight, other.weight) for one, other in both)
