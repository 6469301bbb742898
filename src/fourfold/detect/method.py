"""A detector's method: everything a paper says about making one, as one value; and the network it is made on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from fourfold.catalog import ModelEntry, Network
from fourfold.data.dice import generator_for
from fourfold.detect.box_regression import Ridge
from fourfold.detect.detector import BACKGROUND
from fourfold.detect.mining import Mining
from fourfold.detect.regions import PooledRegions, Regions
from fourfold.detect.sampling import Sampling
from fourfold.detect.suppress import Suppress
from fourfold.models.base import Classifier, FlattenHead, MeanHead
from fourfold.models.sppnet import PYRAMID_50, SMALL_FC_WIDTH
from fourfold.networks import build
from fourfold.train.initialise import He
from fourfold.train.recipe import described
from fourfold.train.schedule import Schedule, at_rate

SCORES_STD = 0.01  # of the new last layer's weights (SPP-net 4.3)


@dataclass(frozen=True)
class FineTuning:
    """How a classifier's weights are tuned to regions. A course for the training loop.

    steps: mini-batches of `sampling.batch_size` regions. layers: the fc layers alone (SPP-net 4.3), or all of the network.
    by_image: from so many images comes a mini-batch where all layers learn and regions are pooled (Fast R-CNN 2.3), so that
    few images run through the trunk.
    """

    steps: int
    rate: Schedule
    sampling: Sampling
    layers: Literal["fc", "all"]
    momentum: float = 0.9  # (code)
    weight_decay: float = 5e-4  # (code)
    nesterov: bool = False
    decays_all: bool = True
    average: float = 0.0
    patience: int | None = None
    by_image: int = 2

    @property
    def batch_size(self) -> int:
        """Regions of a mini-batch."""
        return self.sampling.batch_size

    def description(self) -> dict[str, object]:
        """In words and numbers, for files."""
        return described(self)


@dataclass(frozen=True)
class Method:
    """`source` cites the paper. proposals: a name of `proposer_named`, of which `count` boxes are looked at.

    regions: how proposals are described. keeps_head: whether a network with a global mean keeps it; others get SPP-net's
    pyramid, fc6 and fc7. tuning: None for none. scores: by SVMs or by the network's softmax. mining: of the SVMs. ridge: of
    box regression, None for none. `deviations` says how it departs from its source.
    """

    source: str
    regions: Regions
    tuning: FineTuning | None
    scores: Literal["svm", "softmax"]
    ridge: Ridge | None
    mining: Mining = Mining()  # noqa: RUF009 (frozen)
    proposals: str = "fast"
    count: int = 2000
    keeps_head: bool = False
    suppress: Suppress = Suppress()  # noqa: RUF009 (frozen)
    deviations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.scores == "softmax" and self.tuning is None:
            raise ValueError("a network that was not tuned to regions has no scores for them; tune it, or score by svm")

    def with_steps(self, steps: int) -> Method:
        """The same with another length of fine-tuning; 0 leaves it out. Raises ValueError for less."""
        if steps < 0:
            raise ValueError(f"{steps} mini-batches cannot be; give 0 or more")
        if self.tuning is None or steps == self.tuning.steps:
            return self
        if steps == 0:
            return replace(self, tuning=None, deviations=(*self.deviations, "no fine-tuning"))
        note = f"fine-tuned for {steps:,} mini-batches, not {self.tuning.steps:,}; the schedule is stretched to that"
        return replace(self, tuning=replace(self.tuning, steps=steps), deviations=(*self.deviations, note))

    def with_decay(self, decay: float) -> Method:
        """The same with another lambda of box regression. Raises ValueError where there is none, or for one below 0."""
        if self.ridge is None:
            raise ValueError("no boxes are moved by this method, so there is no lambda; leave it out")
        if not decay > 0:
            raise ValueError(
                f"a lambda of {decay:g} leaves box regression without hold; give a number above 0, such as 1000"
            )
        note = f"box regression with a lambda of {decay:g}, not {self.ridge.decay:g}"
        return replace(self, ridge=replace(self.ridge, decay=decay), deviations=(*self.deviations, note))

    def at_rate(self, rate: float) -> Method:
        """The same with another highest learning rate. Raises ValueError for none, and where nothing is tuned."""
        if not 0 < rate < math.inf:
            raise ValueError(f"{rate:g} is not a learning rate; give a number above 0, such as 0.001")
        if self.tuning is None:
            raise ValueError("nothing is tuned by this method, so it has no learning rate; leave the rate out")
        note = f"a learning rate of {rate:g}"
        tuning = replace(self.tuning, rate=at_rate(self.tuning.rate, rate))
        return replace(self, tuning=tuning, deviations=(*self.deviations, note))

    def description(self) -> dict[str, object]:
        """In words and numbers, for files."""
        return described(self)


def for_detection(start: Network, classes: Sequence[str], method: Method, *, seed: int) -> tuple[Network, list[str]]:
    """A network that scores the classes and the background, with the weights of `start`; and what of it is new.

    A network that ends in a mean over its map gets a spatial pyramid with fc6 and fc7 where the method has use for them,
    and one whose fc layers want a map of one size gets a pyramid where regions are pooled. New fc layers start from He's
    weights, the scores' from N(0, 0.01 squared). Raises ValueError where the network cannot be had so.
    """
    if BACKGROUND in classes:
        raise ValueError(f"a class is called {BACKGROUND!r}, as what shows no object is; rename it")
    entry, head = start.entry, start.classifier.head
    options: dict[str, object] = {**entry.options, "classes": len(classes) + 1}
    if isinstance(head, MeanHead) and not method.keeps_head:
        options |= _pyramid(entry)
    elif isinstance(head, FlattenHead) and isinstance(method.regions, PooledRegions):
        options["levels"] = list(PYRAMID_50)
    classifier = _built(entry, options)
    generator = generator_for(seed)
    He()(classifier, generator)
    scores = classifier.head.fc[-1]
    assert isinstance(scores, nn.Linear), "fc layers end with the scores"
    nn.init.normal_(scores.weight, std=SCORES_STD, generator=generator)
    new = _copy(start.classifier, classifier)
    if any(name.startswith("trunk.") for name in new):
        raise ValueError(f"{entry.name} does not fit {entry.network} with {options}; start from other weights")
    made = ModelEntry(name="", network=entry.network, options=options, deviations=classifier.deviations)
    labels = (*classes, BACKGROUND)
    ready = classifier.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return Network(ready, start.pixels, labels, made), new


def _built(entry: ModelEntry, options: Mapping[str, object]) -> Classifier:
    """The network. Raises ValueError where it cannot have what the options ask for, or has no fc layer."""
    try:
        classifier = build(entry.network, **options)
    except ValueError as error:
        raise ValueError(
            f"{entry.network} cannot score regions by this method ({error}); use a network that can have a spatial pyramid,"
            " such as zf5-spp, or, with alexnet, rcnn"
        ) from error
    if not len(classifier.head.fc):
        raise ValueError(f"{entry.network} has no fc layer to score regions with; use another network")
    return classifier


def _pyramid(entry: ModelEntry) -> Mapping[str, object]:
    if entry.network.startswith(("resnet", "plain")):
        return {"levels": list(PYRAMID_50), "units": SMALL_FC_WIDTH}
    return {"levels": list(PYRAMID_50)}


def _copy(source: Classifier, target: Classifier) -> list[str]:
    """Every layer whose tensors all have the same names and shapes, but not the scores; the names of what stays as it is."""
    theirs, ours = source.state_dict(), target.state_dict()
    last = [name for name, _ in target.head.fc.named_children()][-1]
    new = {f"head.fc.{last}", *(_layer(n) for n, v in ours.items() if n not in theirs or theirs[n].shape != v.shape)}
    for name, value in ours.items():
        if _layer(name) not in new:
            value.copy_(theirs[name])
    return [name for name in ours if _layer(name) in new]


def _layer(name: str) -> str:
    """Of a tensor's name, that of its layer."""
    return name.rpartition(".")[0]
