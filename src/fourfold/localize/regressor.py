"""A classifier whose last fc layer gives boxes in place of scores (VGG appendix A).

Networks that take the mean of all cells know nothing of places but what padding tells them: of these the layer reads all
cells, as VGG's does (ours; the paper has VGG alone).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fourfold.catalog import ModelEntry, Network
from fourfold.images import Pixels
from fourfold.models.base import Classifier, FlattenHead, MeanHead, sequential

LAST_STD = 0.01  # Reading: the last layer is "initialised randomly"; so are new last layers in AlexNet 5 and R-CNN's release
MIDDLE = 0.5  # its biases (ours): every box begins as the middle of the window, half as wide and high


@dataclass(frozen=True, eq=False)
class BoxNetwork:
    """A network that gives a box, as `box_code` writes it, for a window of its input size.

    per_class: whether it has four numbers for each of `labels` (PCR), one class after the other, or four for all (SCR).
    scale: the shorter side of the images that it learned from, in pixels. entry: of the classifier that it was made from.
    """

    classifier: Classifier
    pixels: Pixels
    labels: tuple[str, ...]
    per_class: bool
    scale: int
    entry: ModelEntry

    def codes_for(self, outputs: Tensor, label: int) -> Tensor:
        """Of outputs (N,4 or 4K,...) the four numbers (N,4,...) that stand for a class."""
        return outputs[:, 4 * label : 4 * label + 4] if self.per_class else outputs


def box_network(start: Network, *, per_class: bool, scale: int, generator: torch.Generator) -> BoxNetwork:
    """The network `start` with a new last fc layer of 4 outputs, or of 4 for each class; all other layers are copied.

    scale: the shorter side of the images that it is to learn from, in pixels. Auxiliary heads are left out. Raises
    ValueError for a network without an fc layer, and for a scale below its input size.
    """
    size = start.classifier.input_size
    if scale < size:
        raise ValueError(f"no {size}x{size} window fits images of scale {scale}; use a scale of at least {size} pixels")
    classifier = with_boxes(start.classifier, len(start.labels) if per_class else 1, start.entry.network)
    last = _last(classifier.head.fc, start.entry.network)[1]
    nn.init.normal_(last.weight, std=LAST_STD, generator=generator)
    nn.init.constant_(last.bias, MIDDLE)
    return BoxNetwork(classifier, start.pixels, start.labels, per_class, scale, start.entry)


def with_boxes(classifier: Classifier, boxes: int, name: str) -> Classifier:
    """A copy that gives so many boxes, four numbers each, by a last fc layer without weights of its own yet.

    Where the head takes the mean of side x side cells, that layer reads every cell, divided by `side`: so its inputs are as
    large together as they are in one cell, and a rate that suits the one suits the other.

    name: of the network, for the message. Raises ValueError where it has no fc layer.
    """
    last_name, last = _last(classifier.head.fc, name)
    made = copy.deepcopy(classifier)
    made.auxiliaries = nn.ModuleDict()
    inputs = last.in_features
    if isinstance(made.head, MeanHead) and len(made.head.fc) == 1:
        inputs *= made.head.side**2
        made.head = FlattenHead(sequential({"shrink": Shrink(made.head.side), last_name: last}), made.head.side)
    made.head.fc.add_module(last_name, nn.Linear(inputs, 4 * boxes, device=last.weight.device))
    return made.eval().requires_grad_(False).to(memory_format=torch.channels_last)


class Shrink(nn.Module):
    """Divide by a number."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by

    def forward(self, values: Tensor) -> Tensor:
        return values / self.by

    def extra_repr(self) -> str:
        return f"by={self.by}"


def tuned(classifier: Classifier, layers: Literal["fc", "all"]) -> Classifier:
    """The same, in place, with gradients for its fc layers alone or for all."""
    classifier.requires_grad_(layers == "all")
    classifier.head.requires_grad_(True)
    return classifier


def _last(fc: nn.Sequential, name: str) -> tuple[str, nn.Linear]:
    layers = list(fc.named_children())
    if not layers:
        raise ValueError(f"{name} has no fc layer that boxes could come from; use another network")
    last_name, last = layers[-1]
    assert isinstance(last, nn.Linear), "fc layers end with the scores"
    return last_name, last
