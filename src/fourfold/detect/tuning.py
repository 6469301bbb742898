"""Fine-tuning on regions: mini-batches of foreground and background for the training loop (R-CNN 2.3, SPP-net 4.3).

What a mini-batch is depends on what learns: pooled features for the fc layers alone; warped regions for a whole network;
whole images with windows of their maps where gradients go through the pooling (beyond the papers: Fast R-CNN 2.3).
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.boxes import mirror
from fourfold.catalog import Network
from fourfold.data.dice import Dice, generator_for
from fourfold.data.loader import Part
from fourfold.detect.method import FineTuning
from fourfold.detect.pooling import pool_windows
from fourfold.detect.regions import PooledRegions, Regions, WarpedRegions, mean_pixel
from fourfold.detect.regions_seen import Seen
from fourfold.detect.sampling import Matches, Pools, Samples, Sampling
from fourfold.images import Pixels
from fourfold.models.base import Classifier, PyramidHead
from fourfold.parallel import Group
from fourfold.train.task import Task, freeze_norms

CHECKS = 10  # times that a fine-tuning is checked (ours)
CHECK_BATCHES = 8  # mini-batches of other images that it is checked on (ours)
FRONT, BACK = 64, 192  # regions of an image that fc layers alone learn from (ours)
BANK = 3 * 2**30  # bytes of memory for their pooled features (ours)
AT_ONCE, SMALL = 32, 64  # regions that go through a network together, where they have more pixels of side than SMALL


@dataclass(frozen=True)
class WindowPart(Part):
    """A part whose `images` is one whole image (1,3,H,W), with windows int64 (n,4) of its map, one for each label."""

    windows: Tensor


@dataclass(frozen=True, eq=False)
class RegionFeed(abc.ABC):
    """Mini-batches of regions; an epoch is what lies between two checks.

    Mini-batch number `step` is a function of the seed and of `step` alone; half of the regions are mirrored.
    """

    seen: Seen
    network: Network
    tuning: FineTuning
    seed: int
    watch: Callable[[int, int], None]

    def __len__(self) -> int:
        return max(1, self.tuning.steps // CHECKS)

    def epoch(self, epoch: int, start: int = 0, share: float = 0.0) -> Iterator[Part]:  # noqa: ARG002 (a Feed's)
        """See Feed."""
        for index in range(start, len(self)):
            yield from self.batch(epoch * len(self) + index)

    @cached_property
    def pools(self) -> Pools:
        """The candidates by kind. Raises ValueError where there are none."""
        return self.tuning.sampling.pools(self.seen.matches)

    @abc.abstractmethod
    def batch(self, step: int) -> Iterator[Part]:
        """The parts of one mini-batch."""

    def _drawn(self, step: int) -> tuple[Samples, Tensor, Dice]:
        """The regions of a mini-batch, and which of them are mirrored, bool (B,)."""
        samples = self.pools.draw(self.seed, step)
        return samples, self._coins(step, len(samples)), Dice(generator_for(self.seed, step), len(samples), 0, len(samples))

    def _coins(self, step: int, count: int) -> Tensor:
        return torch.randint(2, (count,), generator=generator_for(self.seed, "mirror", step)).bool()

    def _targets(self, samples: Samples) -> Tensor:
        return samples.targets(len(self.network.labels) - 1)

    def _groups(self, samples: Samples, coins: Tensor) -> Iterator[tuple[int, bool, Tensor, Tensor]]:
        """(image, is it mirrored, places in the mini-batch, boxes on the image or its mirror image) of those drawn."""
        for image in samples.images.unique().tolist():
            for is_mirrored in (False, True):
                places = ((samples.images == image) & (coins == is_mirrored)).nonzero()[:, 0]
                if len(places):
                    boxes = self.seen.candidates[image][samples.rows[places]]
                    width = self.seen.images[image].width
                    yield image, is_mirrored, places, mirror(boxes, width) if is_mirrored else boxes


@dataclass(frozen=True, eq=False)
class PooledFeed(RegionFeed):
    """Pooled features (B,P), for fc layers that learn alone (SPP-net 4.3).

    The maps stay as they are, so every region is pooled once, and once more from the mirror image, before training: of each
    image FRONT foreground and BACK background regions at most, or fewer where all of them would exceed BANK bytes.
    """

    regions: PooledRegions

    def batch(self, step: int) -> Iterator[Part]:
        """See RegionFeed."""
        samples, coins, dice = self._drawn(step)
        places = self.pools.starts[samples.images] + samples.rows
        yield Part(self.bank[coins.long(), places], self._targets(samples), dice, True)

    @cached_property
    def pools(self) -> Pools:
        """Of the regions that are pooled."""
        kept = zip(self.seen.matches, self.rows, strict=True)
        return self.tuning.sampling.pools([matches.take(rows) for matches, rows in kept])

    @cached_property
    def rows(self) -> list[Tensor]:
        """The candidates of each image that are pooled, int64 (n,)."""
        width = 4 * 2 * _pooled_width(self.network)  # bytes of a region and its mirror image
        share = min(1.0, BANK / (width * (FRONT + BACK) * len(self.seen)))
        front, back = max(1, round(FRONT * share)), max(1, round(BACK * share))
        return [
            _some(matches, self.tuning.sampling, front, back, generator_for(self.seed, "bank", index))
            for index, matches in enumerate(self.seen.matches)
        ]

    @cached_property
    def bank(self) -> Tensor:
        """float32 (2,n,P): the regions of all images, and those of their mirror images."""
        counts = [len(rows) for rows in self.rows]
        bank = torch.empty(2, sum(counts), _pooled_width(self.network))
        done = 0
        for index, rows in enumerate(self.rows):
            pixels, boxes = self.seen.pixels(index), self.seen.candidates[index][rows]
            bank[0, done : done + len(rows)] = self.regions.pooled(self.network, pixels, boxes)
            flipped = mirror(boxes, pixels.shape[-1])
            bank[1, done : done + len(rows)] = self.regions.pooled(self.network, pixels.flip(-1), flipped)
            done += len(rows)
            self.watch(index + 1, len(self.seen))
        return bank


def _pooled_width(network: Network) -> int:
    """P."""
    first = network.classifier.head.fc[0]
    assert isinstance(first, nn.Linear), "fc layers begin with a linear one where regions are pooled"
    return first.in_features


def _some(matches: Matches, sampling: Sampling, front: int, back: int, dice: torch.Generator) -> Tensor:
    """Some of one image's candidates, ascending: foreground and background, as many as there are, up to so many."""
    chosen = []
    for kind, count in ((sampling.is_foreground(matches), front), (sampling.is_background(matches), back)):
        rows = kind.nonzero()[:, 0]
        chosen.append(rows[torch.randperm(len(rows), generator=dice)[:count]])
    return torch.cat(chosen).unique()


@dataclass(frozen=True, eq=False)
class WarpedFeed(RegionFeed):
    """Regions warped to the network's size, uint8 (B,3,S,S) (R-CNN 2.3)."""

    regions: WarpedRegions

    def batch(self, step: int) -> Iterator[Part]:
        """See RegionFeed."""
        samples, coins, dice = self._drawn(step)
        size, fill = self.network.classifier.input_size, mean_pixel(self.network.pixels)
        crops = torch.empty(len(samples), 3, size, size, dtype=torch.uint8)
        for image, is_mirrored, places, boxes in self._groups(samples, coins):
            pixels = self.seen.pixels(image)
            pixels = pixels.flip(-1) if is_mirrored else pixels
            crops[places] = self.regions.crops(pixels, boxes, size, fill)
        targets = self._targets(samples)
        at_once = len(samples) if size <= SMALL else AT_ONCE
        for first in range(0, len(samples), at_once):
            last = min(first + at_once, len(samples))
            part = Dice(dice.generator, dice.total, first, last)
            yield Part(crops[first:last], targets[first:last], part, last == len(samples))


@dataclass(frozen=True, eq=False)
class ImageFeed(RegionFeed):
    """Whole images with windows of their maps; of several scales each image has one at random (code of SPP-net)."""

    regions: PooledRegions

    def batch(self, step: int) -> Iterator[Part]:
        """See RegionFeed."""
        count = min(self.tuning.by_image, len(self.seen))
        samples = self.pools.draw_by_image(count, self.seed, step)
        images = samples.images.unique().tolist()
        draw = generator_for(self.seed, "scale", step)
        coins = self._coins(step, len(images))
        done = 0
        for image, is_mirrored in zip(images, coins.tolist(), strict=True):
            own = samples.images == image
            scale = self.regions.scales[int(torch.randint(len(self.regions.scales), (), generator=draw))]
            done += int(own.sum())
            yield self._part(samples, own, is_mirrored, scale, (done, len(samples)))

    def _part(self, samples: Samples, own: Tensor, is_mirrored: bool, scale: int, place: tuple[int, int]) -> WindowPart:
        """One image of a mini-batch; place: regions up to its end, of how many."""
        image = int(samples.images[own][0])
        pixels, boxes = self.seen.pixels(image), self.seen.candidates[image][samples.rows[own]]
        if is_mirrored:
            pixels, boxes = pixels.flip(-1), mirror(boxes, pixels.shape[-1])
        at_scale = PooledRegions((scale,))
        scaled, windows = at_scale.scaled(self.network, pixels, boxes)
        done, total = place
        dice = Dice(generator_for(self.seed, "part", image), total, done - len(boxes), done)
        return WindowPart(scaled[None], self._targets(samples)[own], dice, done == total, windows)


def feed_for(
    seen: Seen,
    network: Network,
    regions: Regions,
    tuning: FineTuning,
    seed: int,
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> RegionFeed:
    """The mini-batches that this fine-tuning learns from; watch: images of which regions are pooled beforehand.

    Raises ValueError for fc layers alone on warped regions.
    """
    if isinstance(regions, WarpedRegions):
        if tuning.layers == "fc":
            raise ValueError("warped regions run through the trunk each by itself, so all layers are tuned; ask for all")
        return WarpedFeed(seen, network, tuning, seed, watch, regions)
    assert isinstance(regions, PooledRegions), "regions are warped or pooled"
    kind = PooledFeed if tuning.layers == "fc" else ImageFeed
    return kind(seen, network, tuning, seed, watch, regions)


class WindowScores(nn.Module):
    """A classifier whose forward pools windows of the map of one image, with gradients to the trunk."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor, windows: Tensor) -> Tensor:
        """pixels (1,3,H,W), windows int64 (R,4) in cells -> scores (R,K+1)."""
        head = self.classifier.head
        assert isinstance(head, PyramidHead), "windows are pooled by a pyramid"
        maps = self.classifier.trunk(pixels)[0]
        return head.fc(pool_windows(maps, windows, head.levels))


@dataclass(frozen=True, eq=False)
class RegionTask(Task):
    """Regions by their class or background.

    candidates: how many there are. held: parts of images that are not learned from, to check on; empty for no check.
    by_window: whether the network is given whole images and windows of their maps.
    """

    pixels: Pixels
    tuning: FineTuning
    classes: tuple[str, ...]
    candidates: int
    held: Sequence[Part]
    by_window: bool

    def module(self, network: nn.Module) -> nn.Module:
        """See Task."""
        if not self.by_window:
            return network
        assert isinstance(network, Classifier), "windows are scored by a whole classifier"
        return WindowScores(network)

    def loss(self, module: nn.Module, part: Part) -> tuple[Tensor, float]:
        """See Task."""
        freeze_norms(module)
        scores = self._scores(module, part)
        wrong = (scores.detach().argmax(1) != part.labels).sum().item()
        return F.cross_entropy(scores, part.labels, reduction="sum") / self.tuning.batch_size, wrong

    @torch.inference_mode()
    def check(self, network: nn.Module, group: Group) -> tuple[float, float] | None:  # noqa: ARG002 (one process)
        """See Task."""
        if not self.held:
            return None
        was_training = network.training
        module = self.module(network).eval()
        loss = wrong = count = 0.0
        for part in self.held:
            scores = self._scores(module, part)
            loss += F.cross_entropy(scores, part.labels, reduction="sum").item()
            wrong += (scores.argmax(1) != part.labels).sum().item()
            count += len(part.labels)
        network.train(was_training)
        return loss / count, wrong / count

    def identity(self) -> list[object]:
        """See Task."""
        return [self.candidates, self.classes]

    def _scores(self, module: nn.Module, part: Part) -> Tensor:
        if part.images.dtype != torch.uint8:  # pooled features
            return module(part.images)
        values = self.pixels(part.images)
        return module(values, part.windows) if isinstance(part, WindowPart) else module(values)


def held_parts(feed: RegionFeed) -> list[Part]:
    """Mini-batches of a feed to check on."""
    return [part for step in range(CHECK_BATCHES) for part in feed.batch(step)]
