"""MultiBox taught: mini-batches of images with their objects, for the training loop, and a run in a folder.

Ours: SGD in place of the paper's Adagrad (Erhan et al. 2014, from memory), random windows and mirroring, a loss divided by
how many objects an image has in the mean, and what multibox.py says of the priors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fourfold.boxes import area, clip, iou, mirror, rescale
from fourfold.catalog import Network
from fourfold.data.annotated import Annotated, Annotations
from fourfold.data.boxed import BoxedSplits
from fourfold.data.dice import Dice, generator_for
from fourfold.data.held import PIXELS_HELD, Held, bytes_of
from fourfold.data.listing import read_item
from fourfold.data.loader import Part
from fourfold.detect.box_code import encode
from fourfold.detect.multibox import (
    SPREAD,
    Layout,
    MultiBox,
    MultiBoxEntry,
    MultiBoxNet,
    load_multibox,
    surest,
    write_multibox_entry,
)
from fourfold.detect.multibox_loss import matched_priors, multibox_loss, prior_sizes
from fourfold.images import Pixels, resize
from fourfold.parallel import Group
from fourfold.train.initialise import He
from fourfold.train.loop import Settings, Watchers, learn
from fourfold.train.recipe import described
from fourfold.train.schedule import Cosine, Schedule
from fourfold.train.task import Task, freeze_norms

FIRST = 100  # boxes of an image that a check looks at (ours)
FAR = 0.25  # of a side (ours)
RIGHT = 0.5  # overlap from which an object counts as covered, as in PASCAL VOC
KEPT = 0.5  # of an object's area, which a window must show for the object to be learned (ours)
CHECKS = 5  # times that a training is checked (ours)


@dataclass(frozen=True)
class MultiBoxRecipe:
    """How a MultiBox is made. A course for the training loop.

    steps: mini-batches of `batch_size` images. side, units, stride: see Layout. sizes: of priors, found by k-means. least:
    sides of the smallest window that is shown, 0..1 of the image's. All values are ours.
    """

    steps: int = 1000
    batch_size: int = 8
    rate: Schedule = Cosine(3e-3, 0.1)  # noqa: RUF009 (frozen)
    side: int = 96
    sizes: int = 5
    units: int = 128
    stride: int = 2
    least: float = 0.6
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = True
    decays_all: bool = False
    average: float = 0.0
    patience: int | None = None

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.side, self.sizes, self.units, self.stride) < 1 or not 0 < self.least <= 1:
            raise ValueError(
                "steps, images, side, sizes, units and stride must be 1 or more, and a window 0 to 1 of the image"
            )

    def description(self) -> dict[str, object]:
        """In words and numbers, for files."""
        return described(self)


def window_of(
    boxes: Tensor, height: int, width: int, draws: Tensor, least: float
) -> tuple[tuple[int, int, int, int], Tensor]:
    """A window (top, bottom, left, right) in pixels of an image, and the objects that it shows, relative to it (S',4).

    draws: (3,) in [0,1) for its sides, of the same share of the image's from `least` to 1, and its place. Objects that it
    shows by less than half are left out, and others are cut.
    """
    share, down, across = draws.tolist()
    share = least + (1 - least) * share
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    top, left = int(down * (height - tall + 1)), int(across * (width - wide + 1))
    seen = clip(boxes - boxes.new_tensor((left, top, left, top)), tall, wide)
    return (top, top + tall, left, left + wide), seen[area(seen) >= KEPT * area(boxes)]


@dataclass(frozen=True)
class BoxPart(Part):
    """A part whose labels say how many objects each image has; `multibox_loss` says what the others are."""

    matched: Tensor
    codes: Tensor


@dataclass(frozen=True, eq=False)
class BoxFeed:
    """Mini-batches of images, each warped to a square, with the objects that their windows show; half are mirrored."""

    images: Sequence[Annotated]
    recipe: MultiBoxRecipe
    own: Tensor
    seed: int
    held: Held[Tensor]

    def __len__(self) -> int:
        return max(1, self.recipe.steps // CHECKS)

    def epoch(self, epoch: int, start: int = 0, share: float = 0.0) -> Iterator[Part]:  # noqa: ARG002 (a Feed's)
        """See Feed."""
        for index in range(start, len(self)):
            yield self.batch(epoch * len(self) + index)

    def batch(self, step: int) -> BoxPart:
        """Mini-batch number `step`: every image once before any comes again."""
        count = self.recipe.batch_size
        dice = Dice(generator_for(self.seed, "multibox", step), count, 0, count)
        draws, coins = dice.uniform(3), dice.integers(2).bool()
        shown = [self._shown(self._place(step * count + row), draws[row], bool(coins[row])) for row in range(count)]
        return part_of(shown, self.own, dice)

    def _place(self, number: int) -> int:
        turn, row = divmod(number, len(self.images))
        return int(torch.randperm(len(self.images), generator=generator_for(self.seed, "order", turn))[row])

    def _shown(self, index: int, draws: Tensor, is_mirrored: bool) -> tuple[Tensor, Tensor]:
        image = self.images[index]
        pixels = pixels_of(image, self.held, index)
        height, width = pixels.shape[1:]
        (top, bottom, left, right), boxes = window_of(image.boxes, height, width, draws, self.recipe.least)
        square, boxes = warped(pixels[:, top:bottom, left:right], boxes, self.recipe.side)
        return (square.flip(-1), mirror(boxes, 1)) if is_mirrored else (square, boxes)


def pixels_of(image: Annotated, held: Held[Tensor], index: int) -> Tensor:
    """uint8 (3,H,W) of one image. Raises ValueError for a file that cannot be read."""
    return held.get(index, lambda: read_item(image.item))


def warped(pixels: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The image uint8 (3,H,W) as a square of `side` pixels, and its boxes (S,4) as 0..1 of it."""
    height, width = pixels.shape[1:]
    return resize(pixels, side, side), rescale(boxes, (height, width), (1, 1))


def part_of(shown: Sequence[tuple[Tensor, Tensor]], own: Tensor, dice: Dice) -> BoxPart:
    """A part made of squares uint8 (3,S,S) with their boxes (S,4), 0..1, matched to the priors `own` (R,4)."""
    matched, codes = [torch.zeros(0, 2, dtype=torch.int64)], [torch.zeros(0, 4)]
    for number, (_, boxes) in enumerate(shown):
        objects, rows = matched_priors(boxes, own)
        matched.append(torch.stack((torch.full_like(rows, number), rows), 1))
        codes.append(encode(own[rows], boxes[objects]) / SPREAD)
    labels = torch.tensor([len(boxes) for _, boxes in shown])
    return BoxPart(torch.stack([square for square, _ in shown]), labels, dice, True, torch.cat(matched), torch.cat(codes))


@dataclass(frozen=True, eq=False)
class MultiBoxTask(Task):
    """Boxes of images; wrong is the share of an image's objects whose box, of the prior matched, is off by FAR in its code.

    by_image: objects of a training image, in the mean, by which the loss is divided: so that one learning rate serves photos
    of few and of many. val: images with objects to check on, where wrong is the share of all objects that none of the first
    FIRST boxes overlap by a half.
    """

    pixels: Pixels
    recipe: MultiBoxRecipe
    own: Tensor
    by_image: float
    val: Sequence[Annotated]
    held: Held[Tensor]

    def module(self, network: nn.Module) -> nn.Module:
        """See Task."""
        return network

    def loss(self, module: nn.Module, part: Part) -> tuple[Tensor, float]:
        """See Task."""
        assert isinstance(part, BoxPart), "a BoxFeed gives such parts"
        freeze_norms(module)
        outputs = module(self.pixels(part.images))
        matched, codes = part.matched.to(outputs.device), part.codes.to(outputs.device)
        found = outputs.detach()[matched[:, 0], matched[:, 1], 1:]
        is_far = (found - codes).abs().amax(1) * SPREAD > FAR
        wrong = (is_far / part.labels[matched[:, 0]]).sum().item()
        return multibox_loss(outputs, matched, codes) / self.by_image / self.recipe.batch_size, wrong

    @torch.inference_mode()
    def check(self, network: nn.Module, group: Group) -> tuple[float, float] | None:
        """See Task."""
        if not self.val:
            return None
        was_training = network.training
        network.eval()
        loss = missed = objects = 0.0
        for index, image in enumerate(self.val):
            square, boxes = warped(pixels_of(image, self.held, index), image.boxes, self.recipe.side)
            part = part_of([(square, boxes)], self.own, Dice(generator_for(0), 1, 0, 1))
            outputs = network(self.pixels(square[None].to(group.device))).cpu()
            loss += multibox_loss(outputs, part.matched, part.codes).item()
            missed += (~covered(surest(outputs[0], self.own, 1, 1)[:FIRST], boxes)).sum().item()
            objects += len(boxes)
        network.train(was_training)
        return loss / self.by_image / len(self.val), missed / objects

    def identity(self) -> list[object]:
        """See Task."""
        return [self.by_image, self.recipe.description(), self.own.sum().item()]

    def tensors(self) -> dict[str, Tensor]:
        """See Task."""
        return self.pixels.tensors()


def covered(boxes: Tensor, objects: Tensor) -> Tensor:
    """bool (S,): which of objects (S,4) some of boxes (R,4) overlaps by a half or more."""
    return (iou(objects, boxes) >= RIGHT).any(1)


def train_multibox(
    splits: BoxedSplits,
    folder: Path,
    start: Network,
    recipe: MultiBoxRecipe,
    *,
    seed: int,
    watchers: Watchers = Watchers(),  # noqa: B008
) -> MultiBox:
    """Teach a MultiBox on the trunk of `start` in a folder, or go on where one was stopped; the weights are the last.

    Raises ValueError for data from which nothing can be learned, or a folder that holds another run, and KeyboardInterrupt
    once Ctrl-C has been answered.
    """
    images = _with_objects(splits.train)
    if not images:
        raise ValueError("no training image has an object to learn from; annotate some")
    sizes = prior_sizes(torch.cat([rescale(each.boxes, (each.height, each.width), (1, 1)) for each in images]), recipe.sizes)
    layout = Layout(recipe.side, tuple((width, height) for width, height in sizes.tolist()), recipe.units, recipe.stride)
    network = MultiBoxNet(start.classifier.trunk, layout)
    by_image = sum(map(len, images)) / len(images)
    _initialise(network, by_image, seed)
    folder.mkdir(parents=True, exist_ok=True)
    feed = BoxFeed(images, recipe, network.priors, seed, Held(PIXELS_HELD, bytes_of))
    val = _with_objects(splits.val)
    task = MultiBoxTask(start.pixels, recipe, network.priors, by_image, val, Held(PIXELS_HELD, bytes_of))
    point = learn(network, task, recipe, feed, folder, settings=Settings(seed, keeps_best=False), watchers=watchers)
    found = {f"missed by {FIRST} boxes": round(point.val_errors[-1], 5), "on": splits.origin} if point.val_errors else {}
    write_multibox_entry(folder, _entry(start, layout, recipe, found))
    return load_multibox(folder)


def _with_objects(part: Annotations) -> list[Annotated]:
    return [image for image in part.images if len(image)]


def _initialise(network: MultiBoxNet, objects: float, seed: int) -> None:
    """New weights of the head; at first each prior is as sure as objects are frequent among priors."""
    He()(network.head, generator_for(seed))
    last = network.head[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    nn.init.normal_(last.weight, std=0.01, generator=generator_for(seed, "boxes"))
    share = min(0.5, objects / len(network.priors))
    with torch.no_grad():
        last.bias[:: len(last.bias) // len(network.layout.sizes)] = math.log(share / (1 - share))


def _entry(start: Network, layout: Layout, recipe: MultiBoxRecipe, found: dict[str, object]) -> MultiBoxEntry:
    return MultiBoxEntry(
        start.entry.network,
        dict(start.entry.options),
        start.pixels.record(),
        asdict(layout),
        recipe.description(),
        found,
        (
            "priors of a few sizes in every cell, not whole boxes",
            "SGD, not Adagrad",
            "errors of location relative to priors",
        ),
    )
