"""The state of a training run in one safetensors file: written whole or not at all, and read back bit for bit."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import SGD

from fourfold.files import write_whole

STATE = "state.safetensors"
RUNNING = "running"  # the name of a tensor: count, loss, error


@dataclass(frozen=True)
class Running:
    """Sums of loss and error over the mini-batches of an epoch so far."""

    count: int = 0
    loss: float = 0.0
    error: float = 0.0

    def plus(self, loss: float, error: float) -> Running:
        return Running(self.count + 1, self.loss + loss, self.error + error)


@dataclass(frozen=True)
class Point:
    """Where training stands: mini-batches done, what must be the same to go on (recipe, seed, data), the epoch's sums."""

    step: int
    identity: str
    running: Running = Running()


def save(folder: Path, network: nn.Module, optimiser: SGD, point: Point) -> None:
    """Write weights, momentum and position to the run folder's state file; an older one is there until that has succeeded.

    Raises ValueError where the file cannot be written.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        momentum = optimiser.state.get(parameter, {}).get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    tensors[RUNNING] = torch.tensor(astuple(point.running), dtype=torch.float64)
    metadata = {"point": json.dumps({"step": point.step, "identity": point.identity})}
    try:
        write_whole(folder / STATE, lambda path: save_file(tensors, path, metadata=metadata))
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot write {folder / STATE} ({error}); make room, then resume from the last one") from error


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
    if RUNNING in tensors:  # the first files had none
        count, loss, error = tensors[RUNNING].tolist()
        point = replace(point, running=Running(int(count), loss, error))
    return point
