"""Which boxes fine-tuning is shown: candidates matched to objects, and mini-batches drawn from them.

Difficult objects: R-CNN's release treats them like all others, SPP-net's can leave them out. Here they are nobody's
foreground, and boxes upon them are no background either, as they show what the background is not (ours).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from fourfold.boxes import iou
from fourfold.data.annotated import Annotated
from fourfold.data.dice import generator_for


@dataclass(frozen=True, eq=False)
class Matches:
    """The object that each of one image's boxes overlaps most, those marked as difficult left out.

    overlaps: float64 (R,), 0..1. objects: int64 (R,), that object's place in the image's lists, the first of several; -1
    where a box overlaps none. labels: int64 (R,), its class, or -1. difficult: float64 (R,), the overlap with the difficult
    object that the box overlaps most, 0 with none.
    """

    overlaps: Tensor
    objects: Tensor
    labels: Tensor
    difficult: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Matches:
        """Those of the boxes at the indices int64 (n,)."""
        return Matches(self.overlaps[rows], self.objects[rows], self.labels[rows], self.difficult[rows])


def join(parts: Sequence[Matches]) -> Matches:
    """The boxes of several images, one after the other; objects keep their places in their own image's lists."""
    columns = ([getattr(each, item.name) for each in parts] for item in fields(Matches))
    return Matches(*(torch.cat(column) for column in columns))


def with_objects(boxes: Tensor, image: Annotated) -> Tensor:
    """The candidates of training, float32 (S+R,4): the S objects of an image that are not difficult, then its boxes (R,4).

    (code): the annotated boxes are candidates like any proposal.
    """
    return torch.cat((image.boxes[~image.is_difficult], boxes))


def match(boxes: Tensor, image: Annotated) -> Matches:
    """What boxes (R,4) of an image overlap; overlaps are worked out in float64, so that 3/10 is no more than 0.3."""
    overlaps = iou(boxes.double(), image.boxes.double())
    none = overlaps.new_zeros(len(boxes), 1)  # a column before the others, which wins where a box overlaps nothing
    best, places = torch.cat((none, overlaps.where(~image.is_difficult, 0.0)), 1).max(1)
    difficult = torch.cat((none, overlaps.where(image.is_difficult, 0.0)), 1).amax(1)
    labels = torch.cat((image.labels.new_full((1,), -1), image.labels))
    return Matches(best, places - 1, labels[places], difficult)


def class_overlaps(boxes: Tensor, image: Annotated, num_classes: int) -> Tensor:
    """float64 (R,K): the highest overlap of boxes (R,4) with an object of each class, difficult ones too; 0 without one."""
    overlaps = iou(boxes.double(), image.boxes.double())
    places = image.labels.expand(len(boxes), -1)
    return overlaps.new_zeros(len(boxes), num_classes).scatter_reduce(1, places, overlaps, "amax")


@dataclass(frozen=True)
class Sampling:
    """How a mini-batch of regions is made up.

    foreground: the overlaps with an object, both ends included, of a box that shows it. background: the overlaps, the first
    included and the last not, of one that shows none. share: 0..1, of foreground in a mini-batch of `batch_size` regions.
    Raises ValueError where a range is not within 0..1 in order, or share or batch size cannot be.
    """

    foreground: tuple[float, float] = (0.5, 1.0)  # R-CNN 2.3, SPP-net 4.3
    background: tuple[float, float] = (0.1, 0.5)  # SPP-net 4.3
    share: float = 0.25  # R-CNN 2.3: 32 of 128; SPP-net 4.3
    batch_size: int = 128  # R-CNN 2.3

    def __post_init__(self) -> None:
        for low, high in (self.foreground, self.background):
            if not 0 <= low <= high <= 1:
                raise ValueError(f"overlaps from {low} to {high} cannot be; give two numbers of 0 to 1, the lower one first")
        if not 0 <= self.share <= 1:
            raise ValueError(f"a share of {self.share} of the regions cannot be foreground; give a number of 0 to 1")
        if self.batch_size < 1:
            raise ValueError(f"a mini-batch of {self.batch_size} regions cannot be drawn; give 1 or more")

    def pools(self, matches: Sequence[Matches]) -> Pools:
        """The candidates of all images that may be drawn; matches: of each image, in their order.

        Raises ValueError where there is neither foreground nor background.
        """
        none = Matches(*(torch.zeros(0, dtype=kind) for kind in (torch.float64, torch.int64, torch.int64, torch.float64)))
        every = join((none, *matches))  # so that there may be no image
        (least, most), (low, high) = self.foreground, self.background
        front, back = self.is_foreground(every).nonzero()[:, 0], self.is_background(every).nonzero()[:, 0]
        if not len(front) and not len(back):
            raise ValueError(
                f"of {len(every)} boxes of {len(matches)} images none overlaps an object by {least} to {most} or by"
                f" {low} to {high}; give more boxes or wider ranges"
            )
        starts = torch.tensor([0, *(len(each) for each in matches)]).cumsum(0)
        return Pools(self, starts, front, every.labels[front], back)

    def is_foreground(self, matches: Matches) -> Tensor:
        """bool (R,): which boxes show an object."""
        least, most = self.foreground
        return (matches.overlaps >= least) & (matches.overlaps <= most) & (matches.labels >= 0)

    def is_background(self, matches: Matches) -> Tensor:
        """bool (R,): which boxes show none, not a difficult one either."""
        low, high = self.background
        return (matches.overlaps >= low) & (matches.overlaps < high) & (matches.difficult < high)

    def foreground_of(self, size: int, has_foreground: bool, has_background: bool) -> int:
        """How many of `size` regions are foreground: the share, unless one kind is not to be had."""
        if not has_foreground or not has_background:
            return size if has_foreground else 0
        return round(self.share * size)


RCNN = Sampling(background=(0.0, 0.5))  # R-CNN 2.3: all proposals below 0.5
SPPNET = Sampling()


@dataclass(frozen=True, eq=False)
class Samples:
    """A mini-batch of regions: images int64 (B,), the number of each one's image; rows int64 (B,), its place among that
    image's candidates; labels int64 (B,), its class, or -1 for background.
    """

    images: Tensor
    rows: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def targets(self, num_classes: int) -> Tensor:
        """int64 (B,), the columns of a network's K+1 scores: the class, or K for background."""
        return self.labels.where(self.labels >= 0, num_classes)


@dataclass(frozen=True, eq=False)
class Pools:
    """The candidates of all images by kind. They are numbered through: image i has those from starts[i] to starts[i + 1].

    starts: int64 (N+1,). foreground: int64 (F,), ascending numbers; labels: int64 (F,), their classes. background: int64
    (G,), ascending numbers.
    """

    sampling: Sampling
    starts: Tensor
    foreground: Tensor
    labels: Tensor
    background: Tensor

    def draw(self, seed: int, step: int) -> Samples:
        """Mini-batch number `step`, a function of seed and step alone: foreground first, drawn from all images alike.

        No candidate is drawn twice, unless its kind has fewer than are wanted; then each is drawn as often as any, or once
        more. Where a kind is empty the other fills the mini-batch.
        """
        dice, size = generator_for(seed, "regions", step), self.sampling.batch_size
        front = self.sampling.foreground_of(size, len(self.foreground) > 0, len(self.background) > 0)
        places = _choose(len(self.foreground), front, dice), _choose(len(self.background), size - front, dice)
        return self._samples(*places)

    def draw_by_image(self, count: int, seed: int, step: int) -> Samples:
        """Mini-batch number `step` from `count` images, so that a network sees few of them whole (Fast R-CNN 2.3).

        Each image that has candidates comes once in an epoch; the last ones of an epoch are left out where they do not fill
        a mini-batch. An image's part is batch_size / count regions, fewer where it has not got so many, none of them twice.
        Raises ValueError where `count` is below 1 or above the batch size.
        """
        if not 1 <= count <= self.sampling.batch_size:
            raise ValueError(
                f"{count} images cannot share {self.sampling.batch_size} regions; give 1 or more, one region each"
            )
        images, size = self._images, self.sampling.batch_size // count
        epoch, turn = divmod(step, max(1, len(images) // count))
        order = torch.randperm(len(images), generator=generator_for(seed, "images", epoch))
        dice, fronts, backs = generator_for(seed, "regions", step), [], []
        for image in images[order[turn * count : (turn + 1) * count]].tolist():
            (front, num_front), (back, num_back) = (self._within(image, kind) for kind in (self.foreground, self.background))
            shown = min(self.sampling.foreground_of(size, num_front > 0, num_back > 0), num_front)
            fronts.append(front + _choose(num_front, shown, dice))
            backs.append(back + _choose(num_back, min(size - shown, num_back), dice))
        return self._samples(torch.cat(fronts), torch.cat(backs))

    @cached_property
    def _images(self) -> Tensor:
        """Those that have candidates."""
        return self._image_of(torch.cat((self.foreground, self.background))).unique()

    def _image_of(self, numbers: Tensor) -> Tensor:
        return torch.searchsorted(self.starts, numbers, right=True) - 1

    def _within(self, image: int, kind: Tensor) -> tuple[int, int]:
        """Where in `kind` the candidates of an image begin, and how many there are."""
        first, last = torch.searchsorted(kind, self.starts[image : image + 2]).tolist()
        return first, last - first

    def _samples(self, front: Tensor, back: Tensor) -> Samples:
        """Of places in the two kinds."""
        numbers = torch.cat((self.foreground[front], self.background[back]))
        images = self._image_of(numbers)
        labels = torch.cat((self.labels[front], torch.full((len(back),), -1)))
        return Samples(images, numbers - self.starts[images], labels)


def _choose(total: int, count: int, dice: torch.Generator) -> Tensor:
    """int64 (count,): numbers from 0 to total - 1 at random, each as seldom as can be."""
    if 4 * count > total:
        turns = [torch.randperm(total, generator=dice) for _ in range(0, count, max(1, total))]
        return torch.cat([torch.zeros(0, dtype=torch.int64), *turns])[:count]
    chosen: dict[int, None] = {}
    while len(chosen) < count:  # a permutation of millions would take longer than the few that are wanted
        chosen.update(dict.fromkeys(torch.randint(total, (count,), generator=dice).tolist()))
    return torch.tensor(list(chosen)[:count], dtype=torch.int64)
