"""Run a protocol over labelled images and count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.catalog import Network
from fourfold.data.listing import Broken, Listing, read_in_order
from fourfold.evaluate.metrics import Interval, top_k_hits, wilson
from fourfold.evaluate.protocol import Protocol

BATCH = 64


@dataclass(frozen=True)
class Evaluation:
    """Accuracies in per cent over `images` images; files that could not be read are in `broken` and not counted."""

    model: str
    protocol: str
    images: int
    top1: float
    top5: float
    top1_interval: Interval
    classes: int
    broken: tuple[Broken, ...]


def evaluate(
    network: Network, protocol: Protocol, listing: Listing, watch: Callable[[int, int], None] = lambda _done, _all: None
) -> Evaluation:
    """Top-1 and top-5 accuracy of a network under a protocol.

    Classes are matched by name, so a folder may hold some of the network's classes only. Raises ValueError for a class
    that the network does not know, and when no image can be read.
    """
    index_of = {label.lower(): index for index, label in enumerate(network.labels)}
    unknown = [name for name in listing.classes if name.lower() not in index_of]
    if unknown:
        raise ValueError(
            f"{network.entry.name} does not know {', '.join(unknown[:3])}; its classes are {_some(network.labels)}"
        )
    broken: list[Broken] = []
    first = best = count = 0
    truth = [index_of[listing.classes[label].lower()] for label in listing.labels]
    for _, labels, posteriors in predictions(network, protocol, listing, truth, broken):
        first += top_k_hits(posteriors, labels, 1)
        best += top_k_hits(posteriors, labels, 5)
        count += len(labels)
        watch(count + len(broken), len(listing))
    if count == 0:
        raise ValueError(f"none of the {len(broken)} images can be read; the first: {broken[0].error}")
    return Evaluation(
        model=network.entry.name,
        protocol=str(protocol),
        images=count,
        top1=100 * first / count,
        top5=100 * best / count,
        top1_interval=wilson(first, count),
        classes=len(listing.classes),
        broken=tuple(broken),
    )


def predictions(
    network: Network, protocol: Protocol, listing: Listing, truth: Sequence[int], broken: list[Broken]
) -> Iterator[tuple[list[Tensor], Tensor, Tensor]]:
    """Batches of (images, labels (n,), posteriors (n,K)), in order; items that cannot be read are added to `broken`.

    truth: the label of each item among the network's classes.
    """
    for images, labels in _batches(listing, truth, broken):
        yield images, labels, protocol(network, images)


def _batches(listing: Listing, truth: Sequence[int], broken: list[Broken]) -> Iterator[tuple[list[Tensor], Tensor]]:
    images: list[Tensor] = []
    labels: list[int] = []
    for index, image in enumerate(read_in_order(listing.items)):
        if isinstance(image, Broken):
            broken.append(image)
        else:
            images.append(image)
            labels.append(truth[index])
        if len(images) == BATCH or (images and index + 1 == len(listing)):
            yield images, torch.tensor(labels)
            images, labels = [], []


def _some(labels: Sequence[str], most: int = 12) -> str:
    return ", ".join(labels) if len(labels) <= most else f"{', '.join(labels[:most])} and {len(labels) - most} more"
