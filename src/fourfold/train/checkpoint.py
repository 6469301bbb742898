"""The state of a training run in one safetensors file: written whole or not at all, and read back bit for bit.

The file before it is kept, so that a damaged one costs the time since, not the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from fourfold.files import write_whole

STATE, BEFORE = "state.safetensors", "state.before.safetensors"
NEW = f"{STATE}.new"  # for a moment only; a kill in that moment leaves it, and it is the newest


@dataclass(frozen=True)
class Running:
    """Sums of loss and error over the mini-batches of an epoch so far."""

    count: int = 0
    loss: float = 0.0
    error: float = 0.0

    def plus(self, loss: float, error: float) -> Running:
        """With one more mini-batch."""
        return Running(self.count + 1, self.loss + loss, self.error + error)


@dataclass(frozen=True)
class Point:
    """Where training stands: mini-batches done, what must be the same to go on, the epoch's sums, the errors so far, and
    the last learning rate. `identity` names recipe, seed and data; numbers survive JSON bit for bit.
    """

    step: int
    identity: str
    running: Running = Running()
    train_errors: tuple[float, ...] = ()
    val_errors: tuple[float, ...] = ()
    rate: float = 0.0


@dataclass(frozen=True)
class State:
    """A point and the tensors that belong to it, by name."""

    point: Point
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors called `name`.something, without that beginning."""
        return {key.removeprefix(f"{name}."): value for key, value in self.tensors.items() if key.startswith(f"{name}.")}


def collect(network: nn.Module, optimiser: Optimizer, average: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights, momentum and the mean of the weights, by name."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        momentum = optimiser.state.get(parameter, {}).get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    return {**tensors, **{f"average.{name}": value for name, value in average.items()}}


def save(folder: Path, point: Point, tensors: Mapping[str, Tensor]) -> None:
    """Write the state file; the one before it is kept until the next. Raises ValueError where it cannot be written."""
    metadata = {"point": json.dumps(asdict(point))}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}

    def write(path: Path) -> None:
        save_file(plain, path, metadata=metadata)

    try:
        write_whole(folder / NEW, write)  # whole before the old one gives way
        if (folder / STATE).exists():
            (folder / STATE).replace(folder / BEFORE)
        (folder / NEW).replace(folder / STATE)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot write {folder / STATE} ({error}); make room, then resume from the last one") from error


def exists(folder: Path) -> bool:
    """Whether the folder holds a state to resume."""
    return any((folder / name).exists() for name in (NEW, STATE, BEFORE))


def load(folder: Path) -> State | None:
    """The last state that can be read, or None where there is none.

    Raises ValueError when there are state files and all of them are damaged.
    """
    errors = []
    for path in (folder / NEW, folder / STATE, folder / BEFORE):
        try:
            if path.exists():
                return _read(path)
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            errors.append(f"{path} is damaged ({error})")
    if errors:
        raise ValueError(f"{'; '.join(errors)}; remove {'them' if len(errors) > 1 else 'it'} to start this run again")
    return None


def restore(state: State, network: nn.Module, optimiser: Optimizer, folder: Path) -> None:
    """Put a state into network and optimiser. Raises ValueError, having changed nothing, if it is another network's."""
    weights, momentum = state.part("network"), state.part("momentum")
    have, want = ({k: v.shape for k, v in weights.items()}, {k: v.shape for k, v in network.state_dict().items()})
    if have != want:
        raise ValueError(f"{folder} belongs to another network; choose another run folder or the network it was made with")
    network.load_state_dict(weights)
    for name, parameter in network.named_parameters():
        if name in momentum:
            buffer = torch.empty_like(parameter)  # keeps the layout of the parameter, on which rounding depends
            optimiser.state[parameter]["momentum_buffer"] = buffer.copy_(momentum[name])


def _read(path: Path) -> State:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = json.loads((file.metadata() or {})["point"])
    point = Point(
        step=int(told["step"]),
        identity=str(told["identity"]),
        running=Running(**told["running"]),
        train_errors=tuple(told["train_errors"]),
        val_errors=tuple(told["val_errors"]),
        rate=float(told["rate"]),
    )
    return State(point, tensors)
