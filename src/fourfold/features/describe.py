"""Images as vectors: one layer of a network, pooled over places, mirror images and scales (VGG appendix B, SPP-net 3.4).

Nothing is learned here; probe.py puts a classifier on top.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.catalog import Network
from fourfold.evaluate.protocol import alike, check_scales, scaled_sizes
from fourfold.images import view_scale
from fourfold.models.base import POOL, Classifier, FlattenHead, pyramid_pool
from fourfold.networks import build

MEAN, STACK = "mean", "stack"
MAX = "max"


@dataclass(frozen=True, eq=False)
class Describer:
    """Which numbers of a network stand for an image.

    layer: a name of `Classifier.feature_names`. scales: shorter sides in pixels. levels: how maps of the trunk are pooled:
    (1,) is the maximum over all cells, (4, 2, 1) a spatial pyramid (SPP-net 2.2), and () the mean. aggregate: "mean" over
    the scales, or "stack" of their vectors (VGG appendix B). are_mirrored: the mean with the mirror image's vector.

    The layers of the head: fc layers that read one size of map only are slid over the whole map, and their outputs averaged
    (VGG appendix B); the other heads pool the whole map once (SPP-net 3.1.3).

    is_normalised: length 1, of the vector of each scale and of the whole. A Reading: VGG says that "the resulting image
    descriptor is L2-normalised", which leaves open whether a scale of large numbers may outweigh the others.
    Raises ValueError for what the network does not have or cannot take.
    """

    network: Network
    layer: str
    scales: tuple[int, ...]
    levels: tuple[int, ...]
    aggregate: str
    is_normalised: bool
    are_mirrored: bool

    def __post_init__(self) -> None:
        if self.aggregate not in (MEAN, STACK):
            raise ValueError(f"aggregate is {self.aggregate!r}; give {MEAN} or {STACK}")
        classifier = self.network.classifier
        check_scales(self.scales, classifier.input_size if self._reads_one_size else 1)
        if self.levels and self._is_of_head:
            raise ValueError(
                f"{self.layer} is no map that could be pooled; leave the pooling at {MEAN}, or name a trunk layer"
            )
        _ = self.width  # asks for the layer

    @cached_property
    def width(self) -> int:
        """D, how many numbers stand for an image; counted on the meta device, where nothing is computed."""
        entry, side = self.network.entry, min(self.scales)
        with torch.device("meta"):
            classifier = build(entry.network, **entry.options).eval()
            try:
                vectors = self._vectors(classifier, torch.empty(1, 3, side, side))
            except RuntimeError as error:  # torch's own word for a map that has shrunk to nothing
                raise ValueError(
                    f"a shorter side of {side} pixels is too small for {entry.name}; give larger scales"
                ) from error
        return vectors.shape[1] * (len(self.scales) if self.aggregate == STACK else 1)

    def __call__(self, images: Sequence[Tensor]) -> Tensor:
        """uint8 (3,H,W) images of any sizes -> float32 (N,D). An image's vector does not depend on those beside it.

        Raises ValueError for an image that becomes too large when scaled.
        """
        for image in images:
            scaled_sizes(image.shape[-2], image.shape[-1], self.scales)
        if not images:
            return torch.zeros(0, self.width)
        with torch.inference_mode():
            parts = [self._at(scale, images) for scale in self.scales]
            whole = torch.cat(parts, 1) if self.aggregate == STACK else torch.stack(parts).mean(0)
            return self._normalise(whole).clone()

    def refusal(self, image: Tensor) -> str | None:
        """Why an image uint8 (3,H,W) cannot be described, in one line, or None."""
        try:
            scaled_sizes(image.shape[-2], image.shape[-1], self.scales)
        except ValueError as error:
            return str(error)
        return None

    def names(self) -> list[str]:
        """A name for each of the D numbers: "relu7_0012", or "relu7@384_0012" where scales are stacked."""
        places = self.scales if self.aggregate == STACK else ("",)
        count = self.width // len(places)
        return [f"{self.layer}{f'@{scale}' if scale else ''}_{index:04d}" for scale in places for index in range(count)]

    def record(self) -> dict[str, object]:
        """What is kept beside vectors as JSON, so that they are never mixed with those of another describer."""
        return {
            "network": self.network.entry.name,
            "sha256": _fingerprint(self.network),
            "layer": self.layer,
            "scales": list(self.scales),
            "levels": list(self.levels),
            "aggregate": self.aggregate,
            "is_normalised": self.is_normalised,
            "are_mirrored": self.are_mirrored,
            "width": self.width,
        }

    @property
    def _is_of_head(self) -> bool:
        head = self.network.classifier.head
        return self.layer in (() if isinstance(head, FlattenHead) else (POOL,)) or self.layer in _fc_names(head.fc)

    @property
    def _reads_one_size(self) -> bool:
        return self._is_of_head and isinstance(self.network.classifier.head, FlattenHead)

    def _at(self, scale: int, images: Sequence[Tensor]) -> Tensor:
        """(N, width at one scale)."""
        rows: dict[int, Tensor] = {}
        for members, batch in alike(images, scale, self.network.classifier.input_size, are_mirrored=self.are_mirrored):
            vectors = self._vectors(self.network.classifier, self.network.pixels(batch))
            rows.update(zip(members, vectors.view(-1, len(members), vectors.shape[1]).mean(0), strict=True))
        return self._normalise(torch.stack([rows[index] for index in range(len(images))]))

    def _vectors(self, classifier: Classifier, pixels: Tensor) -> Tensor:
        head = classifier.head
        if not self._is_of_head:
            maps = classifier.features(pixels, [self.layer])[self.layer]
            return pyramid_pool(maps, self.levels) if self.levels else maps.mean((2, 3))
        maps = classifier.trunk(pixels)
        if self.layer == POOL:
            return head.pool(maps)
        head = head.until(self.layer)
        return head.dense(maps).mean((2, 3)) if isinstance(head, FlattenHead) else head(maps)

    def _normalise(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=1) if self.is_normalised else vectors


def describer(
    network: Network,
    layer: str | None = None,
    *,
    scales: Sequence[int] | None = None,
    pooling: str | Sequence[int] = MEAN,
    aggregate: str = MEAN,
    normalise: bool = True,
    mirrored: bool = True,
) -> Describer:
    """A describer with what is not given chosen for the network: its `default_layer`, at the scale of its single view.

    pooling: "mean", "max", or the levels of a spatial pyramid as numbers, or as text such as "4,2,1". Raises ValueError as
    Describer does.
    """
    chosen = tuple(scales) if scales is not None else (view_scale(network.classifier.input_size),)
    layer = default_layer(network.classifier) if layer is None else layer
    return Describer(network, layer, chosen, parse_pooling(pooling), aggregate, normalise, mirrored)


def describer_from(network: Network, record: Mapping) -> Describer:
    """The describer whose `record` this is, on the same network. Raises ValueError where the network has other weights."""
    found = Describer(
        network,
        record["layer"],
        tuple(record["scales"]),
        tuple(record["levels"]),
        record["aggregate"],
        record["is_normalised"],
        record["are_mirrored"],
    )
    check_same(found.record(), record, "these features")
    return found


def check_same(mine: Mapping, theirs: Mapping, name: str) -> None:
    """Raises ValueError where two records of describers differ in what decides about the numbers; their origin does not."""
    for key in (key for key in mine if key not in ("network", "model")):
        if mine[key] != theirs.get(key):
            said = (
                "other weights"
                if key == "sha256"
                else f"{key} {json.dumps(theirs.get(key))} and not {json.dumps(mine[key])}"
            )
            raise ValueError(f"{name} were made by {theirs.get('network')} with {said}; use the same, or another file")


def default_layer(classifier: Classifier) -> str:
    """The last layer before the scores: relu7 of VGG (appendix B), the mean of a ResNet.

    A Reading: "4096-D activations of the penultimate layer" are taken behind the ReLU; dropout does nothing in testing.
    """
    layers = list(classifier.head.fc.named_children())
    last = max((place for place, (_, layer) in enumerate(layers) if isinstance(layer, nn.Linear)), default=0)
    before = [name for name, layer in layers[:last] if not isinstance(layer, nn.Dropout)]
    trunk = [name for name, _ in classifier.trunk.named_children()]
    return before[-1] if before else trunk[-1] if isinstance(classifier.head, FlattenHead) else POOL


def parse_pooling(pooling: str | Sequence[int]) -> tuple[int, ...]:
    """ "mean", "max", or levels such as "4,2,1" -> levels of a pyramid, () for the mean. Raises ValueError for others."""
    if pooling in (MEAN, MAX):
        return () if pooling == MEAN else (1,)
    try:
        levels = tuple(int(level) for level in (pooling.split(",") if isinstance(pooling, str) else pooling))
    except ValueError:
        levels = (0,)
    if levels and min(levels) < 1:
        raise ValueError(f"pooling {pooling!r} not understood; give {MEAN}, {MAX}, or levels of a pyramid such as 4,2,1")
    return levels


def _fc_names(fc: nn.Sequential) -> list[str]:
    return [name for name, _ in fc.named_children()]


def _fingerprint(network: Network) -> str:
    """SHA-256 over all that turns pixels into numbers: weights, statistics, mean and deviation of pixels."""
    digest = hashlib.sha256(json.dumps([network.entry.network, network.pixels.record()]).encode())
    tensors = {**network.classifier.state_dict(), **network.pixels.tensors()}
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
