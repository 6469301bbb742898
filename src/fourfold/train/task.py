"""What is learned from mini-batches, and how it is checked; the loop knows nothing else of images, regions or boxes."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.data.loader import Part, Rows, Source, in_turn
from fourfold.images import Pixels
from fourfold.models.base import Classifier
from fourfold.parallel import ALONE, Group
from fourfold.train.recipe import Recipe

AUXILIARY_WEIGHT = 0.3  # GoogLeNet 5


class Feed(Protocol):
    """Mini-batches in an order that depends on the epoch alone, in parts that fit into memory."""

    def __len__(self) -> int:
        """Mini-batches in an epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0, share: float = 0.0) -> Iterator[Part]:
        """The parts of mini-batches `start` onward of one epoch; `share`: how much of the training was done before it."""
        ...


class Task(abc.ABC):
    """What a network learns: the loss of a part of a mini-batch, and how the network is checked."""

    @abc.abstractmethod
    def module(self, network: nn.Module) -> nn.Module:
        """The network in the form whose forward `loss` calls, to be wrapped for several processes."""

    @abc.abstractmethod
    def loss(self, module: nn.Module, part: Part) -> tuple[Tensor, float]:
        """The part's share of the mini-batch's mean loss, and how many of its answers are wrong."""

    @abc.abstractmethod
    def check(self, network: nn.Module, group: Group) -> tuple[float, float] | None:
        """Mean loss and share of wrong answers where the network did not learn, or None where there is no such place."""

    @abc.abstractmethod
    def identity(self) -> list[object]:
        """What of the data must be the same for a run to go on, as JSON."""

    def tensors(self) -> Mapping[str, Tensor]:
        """What is kept among the weights beside the network's own."""
        return {}


class AllScores(nn.Module):
    """A classifier whose forward gives the scores that the loss reads: the main ones, then those of auxiliary heads."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """pixels (N,3,H,W) -> scores (N,K), several times."""
        return self.classifier.all_scores(pixels)


@dataclass(frozen=True)
class Classify(Task):
    """Whole images by their classes.

    size: the side at which `val` is checked. class_weights: how much an image of each class counts, or empty for one each.
    """

    pixels: Pixels
    recipe: Recipe
    train: Source
    val: Source | None
    size: int
    class_weights: tuple[float, ...] = ()

    def module(self, network: nn.Module) -> nn.Module:
        """See Task."""
        assert isinstance(network, Classifier), "images are classified by a Classifier"
        return AllScores(network)

    def loss(self, module: nn.Module, part: Part) -> tuple[Tensor, float]:
        """See Task; auxiliary heads weigh 0.3 (GoogLeNet 5)."""
        values, targets = mixed(self.pixels(part.images), part.labels, part, self.recipe.mixup)
        with torch.autocast(values.device.type, torch.bfloat16, enabled=values.device.type == "cuda"):
            main, *auxiliary = module(values)
        loss = self._loss(main.float(), targets)
        for scores in auxiliary:
            loss = loss + AUXILIARY_WEIGHT * self._loss(scores.float(), targets)
        return loss, (main.detach().argmax(1) != part.labels).sum().item()

    def check(self, network: nn.Module, group: Group) -> tuple[float, float] | None:
        """See Task."""
        return None if self.val is None else validate(network, self.pixels, self.val, self.size, group)

    def identity(self) -> list[object]:
        """See Task."""
        return [len(self.train), self.train.classes]

    def tensors(self) -> Mapping[str, Tensor]:
        """See Task."""
        return self.pixels.tensors()

    def _loss(self, scores: Tensor, targets: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """The part's share of the mini-batch's mean loss."""
        smoothing = self.recipe.label_smoothing
        weights = torch.tensor(self.class_weights, device=scores.device) if self.class_weights else None
        terms = [
            (weight * F.cross_entropy(scores, labels, weights, reduction="none", label_smoothing=smoothing)).sum()
            for weight, labels in targets
        ]
        return torch.stack(terms).sum() / self.recipe.batch_size


def validate(network: nn.Module, pixels: Pixels, source: Source, size: int, group: Group = ALONE) -> tuple[float, float]:
    """Mean loss, and the share of images whose highest score is not their label; each image counts once in the group."""
    was_training = network.training
    network.eval()
    loss = wrong = 0.0
    with torch.inference_mode():
        for images, labels in in_turn(source, size, Rows(group.rank, group.world)):
            scores, truth = network(pixels(images.to(group.device))), labels.to(group.device)
            loss += F.cross_entropy(scores, truth, reduction="sum").item()
            wrong += (scores.argmax(1) != truth).sum().item()
    network.train(was_training)
    loss, wrong = group.totals(loss, wrong)
    return loss / len(source), wrong / len(source)


def freeze_norms(module: nn.Module) -> None:
    """Let batch norms keep the statistics that they have: those of a mini-batch of regions or crops would mislead them."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()


def mixed(values: Tensor, labels: Tensor, part: Part, alpha: float) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Each image blended with its neighbour (mixup, Zhang 2018), or as it is; (weights (n,), labels (n,)) to learn from.

    Neighbours are 0 and 1, 2 and 3, ...: so parts of even length mix what the whole mini-batch would.
    """
    if alpha == 0:
        return values, [(torch.ones(len(labels), device=labels.device), labels)]
    share = part.dice.beta(alpha).to(values)
    partner = (torch.arange(len(labels), device=labels.device) ^ 1).clamp(max=len(labels) - 1)
    weight = share.view(-1, 1, 1, 1)
    return weight * values + (1 - weight) * values[partner], [(share, labels), (1 - share, labels[partner])]
