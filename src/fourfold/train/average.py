"""A running mean of the weights, which is what is tested and kept (GoogLeNet 6: Polyak averaging gives the final model)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class Average:
    """The mean of a network's weights over training, each step counting `decay` times as much as the one after it.

    Early on the decay is smaller, (1 + steps) / (10 + steps), so that the random start is forgotten. Batch norms' running
    statistics are averaged too; counters are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def add(self, network: nn.Module, steps: int) -> None:
        """Take in the weights after `steps` mini-batches."""
        part = 1 - min(self.decay, (1 + steps) / (10 + steps))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, part)
            else:
                self.state[name].copy_(value)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up a mean that was saved."""
        for name, value in state.items():
            self.state[name].copy_(value)
