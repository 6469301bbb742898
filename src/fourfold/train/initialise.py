"""Fill a network's weights: Gaussian (AlexNet, VGG 3.1), Glorot, Caffe's Xavier, He (ResNet 3.4), or from a shallower VGG.

All set biases to zero where they say nothing else, and batch norms to the identity; they draw from the generator given
and change the network in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Initialise = Callable[[nn.Module, torch.Generator], None]


@dataclass(frozen=True)
class Gaussian:
    """N(0, std squared) for every weight. VGG 3.1 prints a variance of 1e-2, so std 0.1; AlexNet 5 has std 0.01.

    ones: names of layers, such as conv2, whose biases are one and not zero, so that their units begin above zero.
    """

    std: float
    ones: tuple[str, ...] = ()

    def __call__(self, network: nn.Module, generator: torch.Generator) -> None:
        _fill(network, lambda weight: nn.init.normal_(weight, std=self.std, generator=generator))
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None and name.split(".")[-1] in self.ones:
                nn.init.ones_(layer.bias)


@dataclass(frozen=True)
class Glorot:
    """N(0, 2 / (fan in + fan out)) (Glorot and Bengio 2010; VGG 3.1's finding after submission)."""

    def __call__(self, network: nn.Module, generator: torch.Generator) -> None:
        _fill(network, lambda weight: nn.init.normal_(weight, std=(2 / sum(_fans(weight))) ** 0.5, generator=generator))


@dataclass(frozen=True)
class Xavier:
    """Caffe's: uniform of variance 1 / fan in, so between -b and b with b squared = 3 / fan in; every bias is `bias`.

    The last fc layer of a head classifies, and its biases are zero. The BVLC replication of GoogLeNet has bias 0.2; the
    paper is silent.
    """

    bias: float = 0.2

    def __call__(self, network: nn.Module, generator: torch.Generator) -> None:
        _fill(network, lambda weight: _uniform(weight, (3 / _fans(weight)[0]) ** 0.5, generator), self.bias)
        for chain in network.modules():
            fc = [layer for layer in chain.children() if isinstance(layer, nn.Linear)]
            if fc and fc[-1].bias is not None:
                nn.init.zeros_(fc[-1].bias)


@dataclass(frozen=True)
class He:
    """N(0, 2 / fan in) (He et al. 2015, cited by ResNet 3.4)."""

    def __call__(self, network: nn.Module, generator: torch.Generator) -> None:
        _fill(network, lambda weight: nn.init.normal_(weight, std=(2 / _fans(weight)[0]) ** 0.5, generator=generator))


def from_shallower(deep: nn.Module, shallow: nn.Module) -> list[str]:
    """Copy the first four convolutions and the three fc layers of VGG A into a deeper VGG (VGG 3.1).

    A Reading: layers are matched by stage and shape, for copying by position is impossible (A's second convolution is
    64 -> 128, B's is 64 -> 64). Copied layers go on learning at the normal rate. Returns the names of the tensors copied.
    Raises ValueError where a layer of `shallow` has no counterpart.
    """
    theirs, ours = shallow.state_dict(), deep.state_dict()
    convolutions = [name for name in theirs if name.startswith("trunk.conv") and name.endswith("weight")][:4]
    copied = []
    for source in convolutions:
        stage = source.split("_")[0]
        target = next(
            (
                name
                for name in ours
                if name.startswith(f"{stage}_") and name.endswith("weight") and ours[name].shape == theirs[source].shape
            ),
            None,
        )
        if target is None:
            raise ValueError(f"{source} of the shallower network has no layer of its shape in the deeper one's stage")
        copied += _copy(ours, target, theirs, source)
    for name in [name for name in theirs if name.startswith("head.fc.fc") and name.endswith("weight")]:
        if name not in ours or ours[name].shape != theirs[name].shape:
            raise ValueError(f"{name} differs between the two networks; pre-initialise with the same classes and width")
        copied += _copy(ours, name, theirs, name)
    return copied


def _copy(ours: dict[str, Tensor], target: str, theirs: dict[str, Tensor], source: str) -> list[str]:
    names = [(target, source), (target.replace("weight", "bias"), source.replace("weight", "bias"))]
    with torch.no_grad():
        for to, of in names:
            ours[to].copy_(theirs[of])
    return [to for to, _ in names]


def _fill(network: nn.Module, fill: Callable[[Tensor], object], bias: float = 0.0) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fill(layer.weight)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def _fans(weight: Tensor) -> tuple[int, int]:
    """Inputs of an output and outputs of an input; a fully connected layer's kernel has one position."""
    window = weight[0, 0].numel()
    return weight.shape[1] * window, weight.shape[0] * window


def _uniform(weight: Tensor, bound: float, generator: torch.Generator) -> None:
    nn.init.uniform_(weight, -bound, bound, generator=generator)
