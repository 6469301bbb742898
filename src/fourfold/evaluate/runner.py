"""A predictor over the items of a listing: decoded ahead, asked in batches, answered one by one.

Which images share a batch depends on their numbers in the listing alone, not on where an evaluation began or how many
processes share it: so their answers are the same to the last bit, which they need not be in other company.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from fourfold.ahead import in_order
from fourfold.catalog import Network
from fourfold.data.listing import Broken, Item, Listing, read_item
from fourfold.evaluate.answers import Reply, reply
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.protocol import Protocol
from fourfold.evaluate.summary import Evaluation

AHEAD = 8  # images decoded ahead of their use: photos of 12 megapixels fill 36 MB each
MOST_IMAGES = 64  # of a batch; small images need so many to keep a network busy
MOST_DECODED = 64_000_000  # pixels of a batch's images before they are scaled, 192 MB
MOST_SHOWN = 64 * 224 * 224  # pixels of a batch's views: one image, where a protocol takes 144 of them

Watch = Callable[[int, int], None]
Batch = tuple[list[Reply], float]
"""The replies to the images of a batch, and the seconds that the predictor took for them."""
Images = list[tuple[int, Tensor | str]]
"""Numbers of items in the listing; of each the image uint8 (3,H,W), or why it cannot be used."""


def truth_of(labels: Sequence[str], listing: Listing, model_name: str) -> list[int]:
    """The index among `labels` of every item's class, by name; where no label is written so, whatever the case.

    A data set may hold some of the labels only. Raises ValueError for a class that is none of them.
    """
    loose = {label.lower(): index for index, label in reversed(list(enumerate(labels)))}
    exact = {label: index for index, label in enumerate(labels)}  # ImageNet has a Cardigan and a cardigan
    known = [exact.get(name, loose.get(name.lower())) for name in listing.classes]
    if unknown := [name for name, index in zip(listing.classes, known, strict=True) if index is None]:
        raise ValueError(f"{model_name} does not know {', '.join(unknown[:3])}; its classes are {_some(labels)}")
    index_of = [index for index in known if index is not None]
    return [index_of[label] for label in listing.labels]


def evaluate(predictor: Predictor, listing: Listing, watch: Watch = lambda _done, _all: None) -> Evaluation:
    """Ask the predictor about every item, in memory. Raises ValueError as `truth_of`, and where no image can be read."""
    truth = truth_of(predictor.labels, listing, predictor.model)
    began, seconds, found = time.perf_counter(), 0.0, list[Reply]()
    for given, spent in replies(predictor, listing, truth, range(len(listing))):
        found += given
        seconds += spent
        watch(len(found), len(listing))
    return summary(predictor, listing, found, seconds, time.perf_counter() - began)


def replies(
    predictor: Predictor, listing: Listing, truth: Sequence[int], indices: Sequence[int]
) -> Generator[Batch, None, None]:
    """The replies to the items numbered `indices`, batch by batch in that order.

    truth: the index of every item's class among the predictor's labels. An item that cannot be decoded, or that the protocol
    refuses, has a reply that says so.
    """
    for batch in _batches(predictor, listing, indices):
        began = time.perf_counter()
        posteriors = iter(predictor([image for _, image in batch if isinstance(image, Tensor)]))
        seconds = time.perf_counter() - began
        yield [_reply(listing.items[index], index, truth[index], image, posteriors) for index, image in batch], seconds


def blocks(predictor: Predictor, indices: Iterable[int]) -> list[list[int]]:
    """The indices, in their order, divided where no batch goes on: parts of an evaluation that can be done anywhere."""
    at_once, found = _images_at_once(predictor), list[list[int]]()
    for index in indices:
        if not found or found[-1][0] // at_once != index // at_once:
            found.append([])
        found[-1].append(index)
    return found


def predictions(
    network: Network, protocol: Protocol, listing: Listing, truth: Sequence[int], broken: list[Broken]
) -> Iterator[tuple[list[Tensor], Tensor, Tensor]]:
    """Batches of (images, labels (n,), posteriors (n,K)), in order; items that cannot be used are added to `broken`.

    truth: the label of each item among the network's classes.
    """
    predictor = Predictor((Member(network, protocol),))
    for batch in _batches(predictor, listing, range(len(listing))):
        broken += [Broken(listing.items[index].name, image) for index, image in batch if isinstance(image, str)]
        usable = [(truth[index], image) for index, image in batch if isinstance(image, Tensor)]
        if usable:
            images = [image for _, image in usable]
            yield images, torch.tensor([label for label, _ in usable]), predictor(images)


def summary(
    predictor: Predictor, listing: Listing, found: Sequence[Reply], seconds: float, wall_seconds: float
) -> Evaluation:
    """The evaluation that consists of these replies, in the order of the listing.

    Raises ValueError where no image could be used, and where the first that could is gone.
    """
    first = next((listing.items[each.index] for each in found if not each.error), None)
    views = 0 if first is None else _count_views(predictor, read_item(first))
    return Evaluation(predictor.model, predictor.protocol, predictor.labels, tuple(found), views, seconds, wall_seconds)


def _batches(predictor: Predictor, listing: Listing, indices: Sequence[int]) -> Iterator[Images]:
    images = in_order(lambda index: _usable(predictor, listing.items[index]), indices, AHEAD)
    for block in blocks(predictor, indices):
        batch, pixels = Images(), 0
        for index, image in zip(block, images, strict=False):
            area = image[0].numel() if isinstance(image, Tensor) else 0
            if batch and pixels + area > MOST_DECODED:
                yield batch
                batch, pixels = Images(), 0
            batch.append((index, image))
            pixels += area
        yield batch


def _usable(predictor: Predictor, item: Item) -> Tensor | str:
    """The image, or why it cannot be used."""
    try:
        image = read_item(item)
    except ValueError as error:
        return str(error)
    refusal = predictor.refusal(image)
    return image if refusal is None else f"{item.name}: {refusal}"


def _reply(item: Item, index: int, truth: int, image: Tensor | str, posteriors: Iterator[Tensor]) -> Reply:
    """The reply to an item; if its image is usable, the next of the posteriors is its own."""
    if isinstance(image, str):
        return Reply(index, item.name, truth, error=image)
    return reply(index, item.name, truth, next(posteriors))


def _images_at_once(predictor: Predictor) -> int:
    """How many images fill a batch: a number that depends on the predictor alone, told by a square image."""
    sizes = [(member.protocol, member.network.classifier.input_size) for member in predictor.members]
    views = chain.from_iterable(protocol.views(size, size) for protocol, size in sizes)
    shown = sum(view.height * view.width for view in views)
    return min(MOST_IMAGES, max(1, MOST_SHOWN // shown))


def _count_views(predictor: Predictor, image: Tensor) -> int:
    height, width = image.shape[-2:]
    return sum(len(member.protocol.views(height, width)) for member in predictor.members)


def _some(labels: Sequence[str], most: int = 12) -> str:
    return ", ".join(labels) if len(labels) <= most else f"{', '.join(labels[:most])} and {len(labels) - most} more"
