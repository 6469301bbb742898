"""Arms that are timed: a forward pass, a test protocol, or the description of regions, of networks with random weights.

Seeds are rounds, in which the arms take turns, so that a slow moment of the machine meets all of them.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.detect.regions import Regions
from fourfold.networks import build
from fourfold.papers.protocols import protocol_named
from fourfold.reproduce.claim import Arm, Measured, Scene
from fourfold.reproduce.effort import SMOKE
from fourfold.reproduce.trained import TINY

PHOTO = (375, 500)  # height and width of a usual photo of PASCAL VOC
SMALL_PHOTO = (150, 200)  # at smoke
CLASSES = 20  # of PASCAL VOC


class Work(abc.ABC):
    """What is timed."""

    @abc.abstractmethod
    def do(self, network: Network, photo: Tensor, is_small: bool) -> float:
        """Do it for an image uint8 (3,H,W), or the little that shows that it runs; how many times that makes the whole."""


@dataclass(frozen=True)
class Forward(Work):
    """A batch of images of the network's own size."""

    images: int = 4

    def do(self, network: Network, photo: Tensor, is_small: bool) -> float:  # noqa: ARG002
        """See Work."""
        size, count = network.classifier.input_size, 1 if is_small else self.images
        with torch.inference_mode():
            network.classifier(torch.zeros(count, 3, size, size))
        return self.images / count


@dataclass(frozen=True)
class Answer(Work):
    """The protocol of this name, for one photo."""

    protocol: str

    def do(self, network: Network, photo: Tensor, is_small: bool) -> float:  # noqa: ARG002
        """See Work."""
        protocol_named(self.protocol, network.classifier.input_size)(network, [photo])
        return 1.0


@dataclass(frozen=True)
class Describe(Work):
    """The regions of a photo as vectors, of `timed` of its boxes: those of an R-CNN cost in proportion to their number.

    boxes: SPP-net 4.3 has about 2,000. fc: the layer to which they go on, or "" for convolutions and pooling alone.
    """

    regions: Regions
    timed: int = 2000
    boxes: int = 2000
    fc: str = ""

    def do(self, network: Network, photo: Tensor, is_small: bool) -> float:
        """See Work."""
        count = min(self.timed, 8) if is_small else self.timed
        height, width = photo.shape[-2:]
        corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([width, height])
        pooled = self.regions.pooled(network, photo, torch.cat([corners.amin(1), corners.amax(1)], 1))
        if self.fc:
            with torch.inference_mode():
                network.classifier.head.features(pooled, self.fc)
        return self.boxes / self.timed


@dataclass(frozen=True)
class Timed(Arm):
    """Some work of a network, as wide as printed; measured in seconds on the processor, after doing it once untimed."""

    network: str
    work: Work
    options: Mapping[str, object] = field(default_factory=dict)

    needs_images = False
    is_kept = False

    def record(self, scene: Scene) -> dict[str, object]:
        """See Arm."""
        return {"timed": self.network, "options": self._options(scene), "work": repr(self.work)}

    def measure(self, scene: Scene, seed: int) -> Measured:
        """seconds."""
        is_small = scene.budget == SMOKE
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            classifier = build(self.network, **self._options(scene))
        classifier = classifier.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        network = Network(classifier, PIXELS["imagenet"], tuple(map(str, range(CLASSES))), ModelEntry("timed", self.network))
        size = SMALL_PHOTO if is_small else PHOTO
        photo = torch.randint(256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        scene.say(f"{self.network}, round {seed}")
        self.work.do(network, photo, is_small)
        began = time.perf_counter()
        times = self.work.do(network, photo, is_small)
        seconds = time.perf_counter() - began
        return Measured({"seconds": seconds * times}, seconds=seconds)

    def _options(self, scene: Scene) -> dict[str, object]:
        return {**self.options, **(TINY if scene.budget == SMOKE else {}), "classes": CLASSES}
