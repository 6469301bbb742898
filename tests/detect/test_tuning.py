"""Mini-batches of regions, their losses, and fine-tuning on made images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.boxes import mirror
from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.data.annotated import Annotated
from fourfold.data.dice import generator_for
from fourfold.data.loader import Part
from fourfold.detect import tuning as tuning_file
from fourfold.detect.method import FineTuning
from fourfold.detect.regions import PooledRegions, Regions, WarpedRegions
from fourfold.detect.regions_seen import Seen
from fourfold.detect.sampling import Sampling, with_objects
from fourfold.detect.tuning import (
    PooledFeed,
    RegionFeed,
    RegionTask,
    WindowPart,
    feed_for,
    held_parts,
)
from fourfold.models.resnet import cifar_resnet
from fourfold.train.initialise import He
from fourfold.train.loop import Settings, learn
from fourfold.train.schedule import Steps
from fourfold.train.task import freeze_norms

LABELS = ("red", "blue", "background")
COLOURS = ((255, 30, 30), (30, 30, 255))
SAMPLING = Sampling(batch_size=16)
SCALES = (40, 56)


@dataclass(frozen=True, eq=False)
class Memory:
    """An image in memory."""

    pixels: Tensor
    name: str

    def content(self) -> Tensor:
        return self.pixels


def made_image(index: int) -> tuple[Annotated, Tensor]:
    """Noise of 40 x 60 with a red and a blue rectangle; candidates: the two, boxes near them, and boxes anywhere."""
    dice = generator_for("image", index)
    pixels = torch.randint(60, 200, (3, 40, 60), generator=dice, dtype=torch.uint8)
    corners = torch.tensor([[2, 3], [33, 12]]) + torch.randint(6, (2, 2), generator=dice)
    boxes = torch.cat([corners, corners + torch.randint(14, 19, (2, 2), generator=dice)], 1)
    for (x1, y1, x2, y2), colour in zip(boxes.tolist(), COLOURS, strict=True):
        pixels[:, y1:y2, x1:x2] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    boxes = boxes.float()
    near = boxes.repeat(8, 1) + torch.rand(16, 4, generator=dice) * 5 - 2.5
    low = torch.rand(40, 2, generator=dice) * torch.tensor([38.0, 20.0])
    anywhere = torch.cat([low, low + 8 + 12 * torch.rand(40, 2, generator=dice)], 1)
    image = Annotated(Memory(pixels, f"image {index}"), 40, 60, boxes, torch.tensor([0, 1]), torch.zeros(2).bool())
    return image, with_objects(torch.cat([near, anywhere]), image)


def made(first: int = 0, count: int = 6) -> Seen:
    images, candidates = zip(*(made_image(first + index) for index in range(count)), strict=True)
    return Seen(images, candidates)


def made_network(levels: Sequence[int] = (2, 1), width: float = 0.5, units: int | None = 8) -> Network:
    classifier = cifar_resnet(8, 3, levels=levels, units=units, width=width)
    He()(classifier, generator_for("network"))
    for layer in classifier.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.3, 0.3, generator=generator_for("mean"))  # pyright: ignore[reportOptionalMemberAccess]
            layer.running_var.uniform_(0.7, 1.5, generator=generator_for("variance"))  # pyright: ignore[reportOptionalMemberAccess]
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # losses are compared with those of the network itself
    return Network(classifier.eval().requires_grad_(False), PIXELS["cifar10"], LABELS, ModelEntry("", "resnet8"))


def course(layers: str, sampling: Sampling = SAMPLING, steps: int = 40) -> FineTuning:
    assert layers in ("fc", "all")
    return FineTuning(steps, Steps(0.01, (0.8,)), sampling, layers)  # pyright: ignore[reportArgumentType]


def feed_of(kind: str, seed: int = 5, sampling: Sampling = SAMPLING) -> RegionFeed:
    regions: Regions = WarpedRegions() if kind == "crops" else PooledRegions(SCALES)
    return feed_for(made(), made_network(), regions, course("fc" if kind == "features" else "all", sampling), seed)


KINDS = pytest.mark.parametrize("kind", ["features", "crops", "windows"])


def tensors(parts: Sequence[Part]) -> list[Tensor]:
    windows = [part.windows for part in parts if isinstance(part, WindowPart)]
    return [part.images for part in parts] + [part.labels for part in parts] + windows


def alike(one: Sequence[Part], other: Sequence[Part]) -> bool:
    pairs = zip(tensors(one), tensors(other), strict=True)
    return all(first.shape == second.shape and torch.equal(first, second) for first, second in pairs)


@KINDS
def test_a_mini_batch_is_a_quarter_foreground_and_its_parts_follow_each_other(kind: str) -> None:
    feed = feed_of(kind)
    for step in range(6):
        parts = list(feed.batch(step))
        labels = torch.cat([part.labels for part in parts])
        assert labels.dtype == torch.int64
        assert (len(labels), int((labels < 2).sum()), int((labels == 2).sum())) == (16, 4, 12)
        assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
        assert [(part.dice.start, part.dice.stop) for part in parts] == places_of(parts)
        assert {part.dice.total for part in parts} == {16}
        assert len(parts) == (2 if kind == "windows" else 1)


def places_of(parts: Sequence[Part]) -> list[tuple[int, int]]:
    ends = torch.tensor([len(part.labels) for part in parts]).cumsum(0).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


@KINDS
def test_a_mini_batch_is_a_function_of_seed_and_step(kind: str) -> None:
    feed, again = feed_of(kind), feed_of(kind)
    assert len(feed) == 4  # a tenth of the steps
    later = list(again.batch(7))
    assert alike(list(feed.epoch(1, 3)), later)
    assert alike(list(feed.epoch(1))[-len(later) :], later)
    assert len({float(part.labels.sum()) + float(part.images.float().sum()) for part in feed.epoch(0)}) >= 4
    assert not alike(list(feed_of(kind, seed=6).batch(7)), later)


def by_hand(seed: int, step: int, feed: RegionFeed) -> list[tuple[int, Tensor, bool]]:
    """Image, box and whether it is mirrored, of each region of a mini-batch drawn from all images."""
    samples = feed.pools.draw(seed, step)
    coins = torch.randint(2, (16,), generator=generator_for(seed, "mirror", step)).bool()
    rows = zip(samples.images.tolist(), samples.rows.tolist(), coins.tolist(), strict=True)
    kept = feed.rows if isinstance(feed, PooledFeed) else [torch.arange(len(boxes)) for boxes in feed.seen.candidates]
    return [(image, feed.seen.candidates[image][kept[image][row]], coin) for image, row, coin in rows]


def as_shown(pixels: Tensor, box: Tensor, is_mirrored: bool) -> tuple[Tensor, Tensor]:
    """An image 60 pixels wide and a box (1,4), or both mirrored."""
    if not is_mirrored:
        return pixels, box[None]
    x1, y1, x2, y2 = box
    return pixels.flip(2), torch.stack([60 - x2, y1, 60 - x1, y2])[None]


def test_features_are_those_of_the_image_or_of_its_mirror_image() -> None:
    feed = feed_of("features")
    network, regions = made_network(), PooledRegions(SCALES)
    (part,) = feed.batch(2)
    coins = 0
    for (image, box, is_mirrored), row, label in zip(by_hand(5, 2, feed), part.images, part.labels, strict=True):
        coins += is_mirrored
        wanted = regions.pooled(network, *as_shown(feed.seen.pixels(image), box, is_mirrored))[0]
        torch.testing.assert_close(row, wanted, rtol=1e-5, atol=1e-5)
        found = overlaps_by_hand(box, feed.seen.images[image])
        assert int(label) == (int(found.argmax()) if float(found.max()) >= 0.5 else 2)
    assert 0 < coins < 16


def overlaps_by_hand(box: Tensor, image: Annotated) -> Tensor:
    sides = (torch.minimum(box[2:], image.boxes[:, 2:]) - torch.maximum(box[:2], image.boxes[:, :2])).clamp(min=0)
    shared = sides.prod(1)
    return shared / ((box[2:] - box[:2]).prod() + (image.boxes[:, 2:] - image.boxes[:, :2]).prod(1) - shared)


def test_crops_are_warped_from_the_image_or_its_mirror_image() -> None:
    feed = feed_of("crops")
    fill = torch.tensor([125, 123, 114], dtype=torch.uint8)  # CIFAR-10's mean, rounded
    (part,) = feed.batch(3)
    assert part.images.dtype == torch.uint8
    for (image, box, is_mirrored), crop in zip(by_hand(5, 3, feed), part.images, strict=True):
        pixels, boxes = as_shown(feed.seen.pixels(image), box, is_mirrored)
        assert torch.equal(crop, WarpedRegions().crops(pixels, boxes, 32, fill)[0])


def test_half_of_the_regions_are_mirrored() -> None:
    feed = feed_of("crops", sampling=Sampling(batch_size=64))
    mirrored = sum(is_mirrored.sum() for is_mirrored in (feed._drawn(step)[1] for step in range(50)))
    assert 1400 < int(mirrored) < 1800  # of 3200; the deviation is 28


def test_large_crops_come_in_parts_that_join_to_the_mini_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = feed_of("crops").batch(1)
    monkeypatch.setattr(tuning_file, "SMALL", 31)
    monkeypatch.setattr(tuning_file, "AT_ONCE", 6)
    parts = list(feed_of("crops").batch(1))
    assert [len(part.labels) for part in parts] == [6, 6, 4]
    assert [(part.dice.start, part.dice.stop, part.is_last) for part in parts] == [
        (0, 6, False),
        (6, 12, False),
        (12, 16, True),
    ]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)


def test_windows_come_from_two_images_each_at_a_random_scale_and_half_mirrored() -> None:
    feed, network = feed_of("windows"), made_network()
    sizes, mirrored = [], 0
    for step in range(12):
        samples = feed.pools.draw_by_image(2, 5, step)
        for part, image in zip(feed.batch(step), samples.images.unique().tolist(), strict=True):
            assert isinstance(part, WindowPart)
            height, width = part.images.shape[-2:]
            sizes.append((height, width))
            own = samples.rows[samples.images == image]
            boxes, pixels = feed.seen.candidates[image][own], feed.seen.pixels(image)
            is_mirrored = not torch.equal(PooledRegions((height,)).scaled(network, pixels, boxes)[0], part.images[0])
            if is_mirrored:
                pixels, boxes = pixels.flip(2), mirror(boxes, 60)
            mirrored += is_mirrored
            scaled, windows = PooledRegions((height,)).scaled(network, pixels, boxes)
            assert torch.equal(part.images, scaled[None])
            assert torch.equal(part.windows, windows)
    assert set(sizes) == {(40, 60), (56, 84)}
    assert 5 < mirrored < 19  # of 24


@KINDS
def test_the_loss_is_the_mean_over_the_mini_batch(kind: str) -> None:
    feed, network = feed_of(kind), made_network()
    task = task_of(kind, feed)
    parts = list(feed.batch(4))
    module = task.module(network.classifier if kind != "features" else network.classifier.head.fc).train()

    losses, wrong = zip(*(task.loss(module, part) for part in parts), strict=True)

    scores, labels = scores_by_hand(kind, network, parts), torch.cat([part.labels for part in parts])
    assert float(sum(losses)) == pytest.approx(float(F.cross_entropy(scores, labels)), rel=1e-4)
    assert sum(wrong) == int((scores.argmax(1) != labels).sum())
    assert task.check(network.classifier if kind != "features" else network.classifier.head.fc, None) is None  # pyright: ignore[reportArgumentType]


def task_of(kind: str, feed: RegionFeed, held: Sequence[Part] = ()) -> RegionTask:
    return RegionTask(PIXELS["cifar10"], feed.tuning, LABELS, 300, held, by_window=kind == "windows")


def scores_by_hand(kind: str, network: Network, parts: Sequence[Part]) -> Tensor:
    """Region by region, by the network in its test state."""
    classifier, rows = network.classifier.eval(), []
    for part in parts:
        if kind == "features":
            rows += [classifier.head.fc(row[None]) for row in part.images]
        elif kind == "crops":
            rows += [classifier(network.pixels(crop[None])) for crop in part.images]
        else:
            assert isinstance(part, WindowPart)
            maps = classifier.trunk(network.pixels(part.images))
            rows += [
                classifier.head(maps[:, :, top:bottom, left:right]) for top, bottom, left, right in part.windows.tolist()
            ]
    return torch.cat(rows)


@KINDS
def test_gradients_are_those_of_the_regions_one_by_one(kind: str) -> None:
    feed, network = feed_of(kind), made_network()
    learner = network.classifier.head.fc if kind == "features" else network.classifier
    learner.requires_grad_(True)
    parts = list(feed.batch(4))
    task = task_of(kind, feed)
    module = task.module(learner)
    for part in parts:
        task.loss(module, part)[0].backward()
    found = {name: value.grad for name, value in learner.named_parameters()}
    learner.zero_grad()
    F.cross_entropy(scores_by_hand(kind, network, parts), torch.cat([part.labels for part in parts])).backward()
    for name, value in learner.named_parameters():
        assert value.grad is not None
        assert float(value.grad.abs().max()) > 0, name
        torch.testing.assert_close(found[name], value.grad, rtol=1e-3, atol=1e-5)  # sums in another order


@KINDS
def test_checks_leave_the_network_as_it_was(kind: str) -> None:
    feed, network = feed_of(kind), made_network()
    held = held_parts(feed_of(kind, seed=9))
    assert sum(part.is_last for part in held) == 8
    learner = network.classifier.head.fc if kind == "features" else network.classifier
    learner.train()
    answer = task_of(kind, feed, held).check(learner, None)  # pyright: ignore[reportArgumentType]

    scores, labels = scores_by_hand(kind, made_network(), held), torch.cat([part.labels for part in held])
    assert answer is not None
    assert answer[0] == pytest.approx(float(F.cross_entropy(scores, labels)), rel=1e-4)
    assert answer[1] == pytest.approx(float((scores.argmax(1) != labels).float().mean()))
    assert all(layer.training for layer in learner.modules())
    assert all(torch.equal(v, made_network().classifier.state_dict()[n]) for n, v in network.classifier.state_dict().items())


def test_norms_are_frozen_and_nothing_else() -> None:
    network = made_network().classifier.train()
    freeze_norms(network)
    resting = {type(layer) for layer in network.modules() if not layer.training}
    assert resting == {nn.BatchNorm2d}
    assert all(not layer.training for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))


@KINDS
def test_made_images_are_learned(kind: str, tmp_path: Path) -> None:
    network = made_network(units=32)
    regions: Regions = WarpedRegions() if kind == "crops" else PooledRegions((40,))
    apart = Sampling((0.6, 1.0), (0.0, 0.2), batch_size=32)  # so that the two kinds can be told
    tuning = course("fc" if kind == "features" else "all", apart)
    feed = feed_for(made(), network, regions, tuning, 0)
    before = {name: value.clone() for name, value in network.classifier.state_dict().items()}
    learner = network.classifier.head.fc if kind == "features" else network.classifier
    learner.requires_grad_(True)
    task = RegionTask(network.pixels, tuning, LABELS, 300, (), by_window=kind == "windows")

    point = learn(learner, task, tuning, feed, tmp_path, settings=Settings(0, keeps_best=False))

    assert point.train_errors[0] > 0.1
    assert point.train_errors[-1] < 0.1
    assert len(point.train_errors) == 10
    changed = {name for name, value in network.classifier.state_dict().items() if not torch.equal(value, before[name])}
    assert not any("running" in name for name in changed)
    assert any(name.startswith("head.fc.fc6") for name in changed)
    assert any(name.startswith("trunk.conv1") for name in changed) == (kind != "features")
    assert any(name.startswith("trunk") for name in changed) == (kind != "features")


def test_the_bank_holds_no_more_than_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = feed_of("features")
    assert isinstance(whole, PooledFeed)
    for rows, matches in zip(whole.rows, whole.seen.matches, strict=True):
        front, back = (matches.overlaps >= 0.5), (matches.overlaps >= 0.1) & (matches.overlaps < 0.5)
        assert rows.tolist() == (front | back).nonzero()[:, 0].tolist(), "all that can be drawn: fewer than 64 and 192"
    wide = 32 * 5  # P
    monkeypatch.setattr(tuning_file, "BANK", 4 * 2 * wide * 6 * 16)
    small = feed_of("features")
    assert isinstance(small, PooledFeed)
    assert small.bank.shape == (2, sum(map(len, small.rows)), wide)
    for rows, matches in zip(small.rows, small.seen.matches, strict=True):
        assert int((matches.overlaps[rows] >= 0.5).sum()) == 4
        assert len(rows) <= 16
    assert sum(map(len, small.rows)) > 40
    assert len(next(iter(small.batch(0))).labels) == 16


def test_regions_upon_difficult_objects_take_no_place_in_the_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_file, "BACK", 3)
    image, _ = made_image(0)
    far = torch.tensor([[1.0, 1, 30, 9]])
    hard = replace(
        image,
        boxes=torch.cat([image.boxes, far]),
        labels=torch.tensor([0, 1, 1]),
        is_difficult=torch.tensor([0, 0, 1]).bool(),
    )
    x1, y1, x2, y2 = image.boxes[0].tolist()
    upon = far.repeat(30, 1) + torch.arange(30)[:, None] * 0.01
    free = torch.tensor(
        [[x1 + 9, y1 + 9, x2 + 9, y2 + 9], [x1 + 8, y1 + 9, x2 + 8, y2 + 9], [x1 + 9, y1 + 8, x2 + 9, y2 + 8]]
    )
    seen = Seen((hard,), (torch.cat([image.boxes, upon, free]),))
    tuning = course("fc", Sampling(background=(0.0, 0.5), batch_size=8))
    feed = feed_for(seen, made_network(), PooledRegions((40,)), tuning, 0)
    assert isinstance(feed, PooledFeed)
    assert feed.rows[0].tolist() == [0, 1, 32, 33, 34]


def test_pooling_beforehand_is_watched() -> None:
    told: list[tuple[int, int]] = []
    feed = feed_for(made(), made_network(), PooledRegions((40,)), course("fc"), 0, lambda *counts: told.append(counts))
    list(feed.batch(0))
    list(feed.batch(1))
    assert told == [(index, 6) for index in range(1, 7)]


def test_fc_layers_alone_cannot_learn_from_warped_regions() -> None:
    with pytest.raises(ValueError, match="so all layers are tuned; ask for all"):
        feed_for(made(), made_network(), WarpedRegions(), course("fc"), 0)


def test_a_run_goes_on_only_with_the_same_regions_and_classes() -> None:
    feed = feed_of("features")
    task = task_of("features", feed)
    assert replace(task, candidates=301).identity() != task.identity()
    assert replace(task, classes=("blue", "red", "background")).identity() != task.identity()
