"""The state of a training run in one safetensors file: written whole or not at all, and read back bit for bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import SGD

from fourfold.files import write_whole

STATE = "state.safetensors"


@dataclass(frozen=True)
class Point:
    """Where training stands: mini-batches done, and what must be the same to go on (recipe, seed, data)."""

    step: int
    identity: str


def save(folder: Path, network: nn.Module, optimiser: SGD, point: Point) -> None:
    """Write weights, momentum and position to the run folder's state file."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        momentum = optimiser.state.get(parameter, {}).get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    metadata = {"point": json.dumps({"step": point.step, "identity": point.identity})}
    write_whole(folder / STATE, lambda path: save_file(tensors, path, metadata=metadata))


def load(folder: Path, network: nn.Module, optimiser: SGD) -> Point | None:
    """Put the saved state into network and optimiser; None where the folder holds none.

    Raises ValueError when the file is damaged or belongs to another network; nothing has been changed then.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            point = Point(**json.loads((file.metadata() or {})["point"]))
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it to start this run again") from error
    weights = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    have, want = ({k: v.shape for k, v in weights.items()}, {k: v.shape for k, v in network.state_dict().items()})
    if have != want:
        raise ValueError(f"{path} belongs to another network; choose another run folder or the network it was made with")
    network.load_state_dict(weights)
    for name, parameter in network.named_parameters():
        if f"momentum.{name}" in tensors:
            momentum = torch.empty_like(parameter)  # keeps the layout of the parameter, on which rounding depends
            optimiser.state[parameter]["momentum_buffer"] = momentum.copy_(tensors[f"momentum.{name}"])
    return point
