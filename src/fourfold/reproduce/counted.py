"""Arms that are counted, exactly and at full size: parameters and multiply-adds of a network, or of a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from fourfold.explain import explain
from fourfold.models.base import Branches
from fourfold.networks import build
from fourfold.reproduce.claim import Arm, Measured, Scene


@dataclass(frozen=True)
class Counted(Arm):
    """The network as printed, whatever the budget.

    size: the side of the image, by default the network's own. part: the layers that count are those whose names begin so;
    "" for all.
    """

    network: str
    options: Mapping[str, object] = field(default_factory=dict)
    size: int | None = None
    part: str = ""

    is_exact = True
    needs_images = False

    def record(self, scene: Scene) -> dict[str, object]:  # noqa: ARG002 (the same in every scene)
        """See Arm."""
        return {"counted": self.network, "options": dict(self.options), "size": self.size, "part": self.part}

    def measure(self, scene: Scene, seed: int) -> Measured:  # noqa: ARG002 (nothing is drawn)
        """parameters, multiply_adds, and auxiliary_parameters; depth: of the whole network, see `depth_of`."""
        with torch.device("meta"):
            network = build(self.network, **self.options)
        told = explain(self.network, lambda: network, self.size)
        layers = [layer for layer in told.layers if layer.name.startswith(self.part)]
        return Measured(
            {
                "parameters": sum(layer.parameters for layer in layers),
                "multiply_adds": sum(layer.multiply_adds for layer in layers),
                "depth": depth_of(network.trunk) + depth_of(network.head),
                "auxiliary_parameters": told.auxiliary_parameters,
            }
        )


def depth_of(module: nn.Module) -> int:
    """How many convolutions and fc layers lie one behind the other; of branches, on the longest."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return 1
    depths = [depth_of(child) for child in module.children()]
    return max(depths, default=0) if isinstance(module, Branches) else sum(depths)
