"""One update of the weights from one mini-batch, taken in as many parts as memory allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fourfold.data.dice import generator_for
from fourfold.data.loader import Part
from fourfold.parallel import ALONE, Group
from fourfold.train.recipe import Course
from fourfold.train.task import Task


@dataclass(frozen=True)
class Trainer:
    """What updates need besides the mini-batch. `module` is the task's, wrapped for the group."""

    module: nn.Module
    task: Task
    course: Course
    optimiser: torch.optim.Optimizer
    seed: int
    group: Group = ALONE

    def step(self, parts: Sequence[Part], done: int, rate: float, wants_stop: bool = False) -> tuple[float, float, bool]:
        """Update the weights; the mean loss, the share of wrong answers, and whether any process wants to stop.

        Raises ValueError, before the weights are touched, when the loss is not a number.
        """
        for settings in self.optimiser.param_groups:
            settings["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = wrong = 0.0
        for part in parts:
            more = self._part(part, done)
            loss, wrong = loss + more[0], wrong + more[1]
        total, errors, stops = self.group.totals(loss, wrong, float(wants_stop))
        if not math.isfinite(total):
            raise ValueError(
                f"the loss is {total} after {done} steps at a learning rate of {rate:g}; train with a lower rate (--rate)"
            )
        self.optimiser.step()
        return total, errors / self.course.batch_size, stops > 0

    def _part(self, part: Part, done: int) -> tuple[float, float]:
        """Add a part's gradients. Dropout draws from torch's generator, seeded anew so that a resumed run draws alike."""
        torch.manual_seed(generator_for(self.seed, "dropout", done, part.dice.start).initial_seed())
        with self.group.keeping(self.module, part.is_last):
            loss, wrong = self.task.loss(self.module, part.to(self.group.device))
            (loss * self.group.world).backward()  # averaging over the group divides by that
        return loss.item(), wrong


def optimiser_for(network: nn.Module, course: Course) -> torch.optim.SGD:
    """SGD with momentum (all four papers); biases and batch norms are decayed unless the course says otherwise.

    Parameters that need no gradient are left out.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if course.decays_all or p.ndim > 1], "weight_decay": course.weight_decay},
        {"params": [p for p in parameters if not course.decays_all and p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.SGD(groups, lr=0.0, momentum=course.momentum, nesterov=course.nesterov)


def batches(parts: Iterator[Part]) -> Iterator[list[Part]]:
    """The parts of one mini-batch after another."""
    held: list[Part] = []
    for part in parts:
        held.append(part)
        if part.is_last:
            yield held
            held = []
