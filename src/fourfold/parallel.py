"""One process, or several under torchrun, each with its rows of every mini-batch (VGG 3.3: the same result as one).

The only user of torch.distributed. Gradients are averaged by torch's DistributedDataParallel; batch norms see the rows of
their own process, as in the papers' implementations, and keep the running statistics of rank 0.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

Value = TypeVar("Value")


@dataclass(frozen=True)
class Group:
    """This process, number `rank` of `world`, and the device it computes on."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and talks to people."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over the group; parameters become those of rank 0."""
        if self.world == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids)

    def keeping(self, module: nn.Module, is_last: bool) -> AbstractContextManager[None]:
        """A context in which gradients only pile up, unless these are the last of a mini-batch."""
        if is_last or not isinstance(module, DistributedDataParallel):
            return contextlib.nullcontext()
        return module.no_sync()

    def align(self, module: nn.Module) -> None:
        """Give every process the buffers of rank 0: the running statistics of batch norm."""
        if self.world > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, src=0)

    def totals(self, *values: float) -> list[float]:
        """Each value summed over the group, as float64."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.tolist()

    def from_first(self, value: Value) -> Value:
        """The value that rank 0 gives, on every rank."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def by_first(self, make: Callable[[], Value]) -> Value:
        """What rank 0 makes, on every rank; so is its ValueError, so that none waits for one that has given up."""
        made: Value | ValueError | None = None
        if self.is_first:
            try:
                made = make()
            except ValueError as error:
                made = error
        made = self.from_first(made)
        if isinstance(made, ValueError):
            raise made
        return cast(Value, made)


ALONE = Group()


@contextmanager
def joined(device: str | None = None) -> Iterator[Group]:
    """The group that torchrun has started this process in, or a group of one; `device` is "cpu" or "cuda".

    Raises ValueError for a device that is not there.
    """
    chosen = _device(device)
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Group(device=chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size(), chosen)
    finally:
        distributed.destroy_process_group()


def _device(name: str | None) -> torch.device:
    if name not in (None, "cpu", "cuda"):
        raise ValueError(f"no device {name!r}; devices are cpu and cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device is here; leave out --device, or give cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
