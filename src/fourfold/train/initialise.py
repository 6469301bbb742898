"""Fill a network's weights: Gaussian (AlexNet, VGG 3.1), Glorot, He (ResNet 3.4), or from a shallower VGG (VGG 3.1).

All set biases to zero and batch norms to the identity, draw from the generator given, and change the network in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

Initialise = Callable[[nn.Module, torch.Generator], None]


@dataclass(frozen=True)
class Gaussian:
    """N(0, std squared) for every weight. VGG 3.1 prints a variance of 1e-2, so std 0.1; AlexNet has std 0.01."""

    std: float

    def __call__(self, network: nn.Module, generator: torch.Generator) -> None:
        _fill(network, generator, lambda _inputs, _outputs: self.std)


@dataclass(frozen=True)
class Glorot:
    """N(0, 2 / (fan in + fan out)) (Glorot and Bengio 2010; VGG 3.1's finding after submission)."""

    def __call__(self, network: nn.Module, generator: torch.Generator) -> None:
        _fill(network, generator, lambda inputs, outputs: (2 / (inputs + outputs)) ** 0.5)


@dataclass(frozen=True)
class He:
    """N(0, 2 / fan in) (He et al. 2015, cited by ResNet 3.4)."""

    def __call__(self, network: nn.Module, generator: torch.Generator) -> None:
        _fill(network, generator, lambda inputs, _outputs: (2 / inputs) ** 0.5)


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


def _copy(ours: dict[str, torch.Tensor], target: str, theirs: dict[str, torch.Tensor], source: str) -> list[str]:
    names = [(target, source), (target.replace("weight", "bias"), source.replace("weight", "bias"))]
    with torch.no_grad():
        for to, of in names:
            ours[to].copy_(theirs[of])
    return [to for to, _ in names]


def _fill(network: nn.Module, generator: torch.Generator, std: Callable[[int, int], float]) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            window = layer.weight[0, 0].numel()  # kernel positions; 1 for a fully connected layer
            inputs, outputs = layer.weight.shape[1] * window, layer.weight.shape[0] * window
            nn.init.normal_(layer.weight, std=std(inputs, outputs), generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
