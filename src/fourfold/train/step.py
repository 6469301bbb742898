"""One update of the weights from one mini-batch, taken in as many parts as memory allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.data.dice import generator_for
from fourfold.data.loader import Part
from fourfold.images import Pixels
from fourfold.models.base import Classifier
from fourfold.parallel import ALONE, Group
from fourfold.train.recipe import Recipe

AUXILIARY_WEIGHT = 0.3  # GoogLeNet 5


class AllScores(nn.Module):
    """A classifier whose forward gives the scores that the loss reads: the main ones, then those of auxiliary heads."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """pixels (N,3,H,W) -> scores (N,K), several times."""
        return self.classifier.all_scores(pixels)


@dataclass(frozen=True)
class Trainer:
    """What updates need besides the mini-batch. `module` is AllScores, wrapped for the group.

    class_weights: float (K,), how much an image of each class counts, or None for one each.
    """

    module: nn.Module
    pixels: Pixels
    recipe: Recipe
    optimiser: torch.optim.Optimizer
    seed: int
    class_weights: Tensor | None = None
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
        return total, errors / self.recipe.batch_size, stops > 0

    def _part(self, part: Part, done: int) -> tuple[float, float]:
        """Add a part's gradients. Dropout draws from torch's generator, seeded anew so that a resumed run draws alike."""
        device = self.group.device
        torch.manual_seed(generator_for(self.seed, "dropout", done, part.dice.start).initial_seed())
        labels = part.labels.to(device)
        values, targets = _mixed(self.pixels(part.images.to(device)), labels, part, self.recipe.mixup)
        with self.group.keeping(self.module, part.is_last):
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                main, *auxiliary = self.module(values)
            loss = self._loss(main.float(), targets)
            for scores in auxiliary:
                loss = loss + AUXILIARY_WEIGHT * self._loss(scores.float(), targets)
            (loss * self.group.world).backward()  # averaging over the group divides by that
        return loss.item(), (main.detach().argmax(1) != labels).sum().item()

    def _loss(self, scores: Tensor, targets: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """The part's share of the mini-batch's mean loss."""
        smoothing = self.recipe.label_smoothing
        terms = [
            (weight * F.cross_entropy(scores, labels, self.class_weights, reduction="none", label_smoothing=smoothing)).sum()
            for weight, labels in targets
        ]
        return torch.stack(terms).sum() / self.recipe.batch_size


def optimiser_for(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD with momentum (all four papers); biases and batch norms are decayed unless the recipe says otherwise."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if recipe.decays_all or p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if not recipe.decays_all and p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum, nesterov=recipe.nesterov)


def batches(parts: Iterator[Part]) -> Iterator[list[Part]]:
    """The parts of one mini-batch after another."""
    held: list[Part] = []
    for part in parts:
        held.append(part)
        if part.is_last:
            yield held
            held = []


def _mixed(values: Tensor, labels: Tensor, part: Part, alpha: float) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Each image blended with its neighbour (mixup, Zhang 2018), or as it is; (weights (n,), labels (n,)) to learn from.

    Neighbours are 0 and 1, 2 and 3, ...: so parts of even length mix what the whole mini-batch would.
    """
    if alpha == 0:
        return values, [(torch.ones(len(labels), device=labels.device), labels)]
    share = part.dice.beta(alpha).to(values)
    partner = (torch.arange(len(labels), device=labels.device) ^ 1).clamp(max=len(labels) - 1)
    weight = share.view(-1, 1, 1, 1)
    return weight * values + (1 - weight) * values[partner], [(share, labels), (1 - share, labels[partner])]
