"""The running mean of the weights against a loop over numbers in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fourfold.train.average import Average


def made_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    network[1].running_mean = torch.randn(4)
    return network


def wander(network: nn.Module) -> dict[str, Tensor]:
    """Move every weight and statistic, count one batch more, and give a copy of all of it in float64."""
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.add_(torch.randn_like(value))
        else:
            value.add_(1)
    return {name: value.double() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_the_mean_equals_a_loop_over_all_weights_so_far(decay: float) -> None:
    network = made_network(0)
    average = Average(network, decay)
    seen = [{name: value.double() for name, value in network.state_dict().items()}]
    for step in range(1, 31):
        seen.append(wander(network))
        average.add(network, step)

    for name, value in average.state.items():
        expected = seen[0][name]
        for step in range(1, 31):
            kept = min(decay, (step + 1) / (step + 10))
            expected = kept * expected + (1 - kept) * seen[step][name]
        if name == "1.num_batches_tracked":
            assert value == 30  # the counter of the last step, not a mean of counters
        else:
            torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-5)  # thirty sums in float32


def test_early_steps_forget_the_random_start() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 100.0)
    average = Average(network, 0.999)
    nn.init.zeros_(network.weight)
    for step in range(1, 11):
        average.add(network, step)

    # 100 times 2/11 3/12 4/13 ... 11/20 = 10! 11 / (11 12 ... 20); with the decay of the end it would be 99
    assert average.state["weight"].item() == pytest.approx(100 / 16_796, rel=1e-5)


def test_the_mean_is_a_copy_and_leaves_the_network_as_it_is() -> None:
    network = made_network(0)
    average = Average(network, 0.9)
    before = {name: value.clone() for name, value in average.state.items()}
    wander(network)
    moved = {name: value.clone() for name, value in network.state_dict().items()}

    assert all(torch.equal(average.state[name], value) for name, value in before.items())
    average.add(network, 1)
    assert all(torch.equal(value, moved[name]) for name, value in network.state_dict().items())
    assert not any(value.requires_grad for value in average.state.values())


def test_a_mean_that_was_saved_goes_on_bit_for_bit() -> None:
    network = made_network(0)
    whole = Average(network, 0.9)
    for step in range(1, 4):
        wander(network)
        whole.add(network, step)
    taken_up = Average(made_network(7), 0.9)
    taken_up.load({name: value.clone() for name, value in whole.state.items()})

    assert all(torch.equal(taken_up.state[name], value) for name, value in whole.state.items())
    wander(network)
    for average in (whole, taken_up):
        average.add(network, 4)
    assert all(torch.equal(taken_up.state[name], value) for name, value in whole.state.items())


def test_the_mean_loads_into_the_network() -> None:
    network = made_network(0)
    average = Average(network, 0.5)
    wander(network)
    average.add(network, 1)

    network.load_state_dict(average.state)

    assert all(torch.equal(value, average.state[name]) for name, value in network.state_dict().items())
