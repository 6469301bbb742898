"""Mini-batches of crops with the boxes of their objects, the loss, and training on made images."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.data.annotated import Annotated
from fourfold.data.dice import generator_for
from fourfold.data.loader import Part
from fourfold.localize.method import Method
from fourfold.localize.regressor import BoxNetwork, box_network, tuned
from fourfold.localize.tuning import (
    AT_ONCE,
    BoxPart,
    BoxTask,
    CropFeed,
    Scaled,
    central_part,
    crop_of,
    scaled_images,
    target,
)
from fourfold.models.base import Classifier, FlattenHead, fully_connected, sequential
from fourfold.parallel import ALONE
from fourfold.train.initialise import He
from fourfold.train.loop import Moment, Settings, Watchers, learn
from fourfold.train.schedule import Steps

LABELS = ("red", "blue", "green")
METHOD = Method("made", True, "all", 256, False, 30, Steps(0.02, (0.8,)), 6, 0.9, 5e-4)
SIZE, SCALE = 16, 24


@dataclass(frozen=True, eq=False)
class Memory:
    name: str
    pixels: Tensor | bytes

    def content(self) -> Tensor | bytes:
        return self.pixels


def made(number: int, height: int = 48, width: int = 60) -> Annotated:
    """Grey noise with one bright rectangle in the channel of its class."""
    dice = generator_for("made", number)
    pixels = torch.randint(0, 90, (3, height, width), generator=dice, dtype=torch.uint8)
    left, top = (int(torch.randint(2, side - 28, (), generator=dice)) for side in (width, height))
    wide, high = (int(torch.randint(14, 25, (), generator=dice)) for _ in range(2))
    pixels[number % 3, top : top + high, left : left + wide] = 250
    box = torch.tensor([[left, top, left + wide, top + high]]).float()
    item = Memory(f"image {number}", pixels)
    return Annotated(item, height, width, box, torch.tensor([number % 3]), torch.zeros(1, dtype=torch.bool))


def scaled(count: int = 7, scale: int = SCALE, first: int = 0) -> Scaled:
    return scaled_images([made(first + number) for number in range(count)], scale)[0]


def start(per_class: bool = True, norm: bool = False) -> BoxNetwork:
    layers: dict[str, nn.Module] = {"conv1": nn.Conv2d(3, 8, 3, padding=1)}
    if norm:
        layers["norm"] = nn.BatchNorm2d(8)
    layers |= {
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(8, 12, 3, padding=1),
        "pool2": nn.MaxPool2d(2),
    }
    head = FlattenHead(fully_connected(12 * 16, 32, len(LABELS), dropout=0.0), side=4)
    classifier = Classifier(sequential(layers), head, input_size=SIZE)
    He()(classifier, generator_for("start"))
    network = Network(classifier.eval().requires_grad_(False), PIXELS["half"], LABELS, ModelEntry("", "made"))
    return box_network(network, per_class=per_class, scale=SCALE, generator=generator_for("last"))


def whole(parts: Sequence[Part]) -> tuple[Tensor, Tensor, Tensor]:
    codes = [part.codes for part in parts if isinstance(part, BoxPart)]
    return torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts]), torch.cat(codes)


def bright_box(crop: Tensor, label: int) -> list[int]:
    """Edges of what is bright in a crop, in the channel of a class."""
    rows, columns = (crop[label] > 170).nonzero().unbind(1)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


@pytest.mark.parametrize("is_cut", [False, True])
def test_codes_say_where_the_object_is_in_its_crop_mirrored_or_not(is_cut: bool) -> None:
    feed = CropFeed(scaled(scale=48), replace(METHOD, is_cut=is_cut), 32, seed=1)
    cut = 0
    for step in range(12):
        for crop, label, (x, y, wide, high) in zip(*whole(list(feed.batch(step))), strict=True):
            edges = [32 * float(each) for each in (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)]
            shown = [min(max(edge, 0), 32) for edge in edges]
            assert bright_box(crop, int(label)) == pytest.approx(shown, abs=1e-3)
            cut += edges != pytest.approx(shown, abs=1e-3)
    assert (cut == 0) is is_cut


def test_half_of_the_crops_are_mirrored() -> None:
    pixels = torch.arange(48 * 60).remainder(60).view(1, 48, 60).expand(3, 48, 60).to(torch.uint8)  # brighter to the right
    image = replace(made(0), item=Memory("ramp", pixels))
    crops = torch.cat([p.images for step in range(20) for p in CropFeed(Scaled((image,), 48), METHOD, 32, 0).batch(step)])
    falls = (crops[:, 0, 0, 0] > crops[:, 0, 0, -1]).float().mean()
    assert 0.35 < float(falls) < 0.65


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=200)
def test_a_crop_lies_in_the_image_and_shows_half_of_what_it_could(seed: int) -> None:
    dice = generator_for(seed)
    size, height, width = (int(torch.randint(low, 60, (), generator=dice)) for low in (8, 59, 59))
    edges = torch.rand(2, 2, generator=dice).sort(0).values * torch.tensor([width, height]) + torch.tensor([[0.0], [0.1]])
    box = torch.minimum(edges, torch.tensor([width, height])).flatten()
    draws = torch.rand(3, 2, generator=dice).tolist()

    top, left = crop_of(box, height, width, size, draws)

    assert 0 <= top <= height - size
    assert 0 <= left <= width - size
    seen_wide = min(float(box[2]), left + size) - max(float(box[0]), left)
    seen_high = min(float(box[3]), top + size) - max(float(box[1]), top)
    wide, high = float(box[2] - box[0]), float(box[3] - box[1])
    assert max(seen_wide, 0) * max(seen_high, 0) >= 0.5 * min(wide, size) * min(high, size) - 1.0 * (wide + high)


def test_the_first_good_crop_is_taken_and_else_that_about_the_object() -> None:
    box = torch.tensor([30.0, 40, 40, 60])
    draws = [[0.0, 0.0], [0.49, 0.3], [0.5, 0.3]]
    assert crop_of(box, 100, 80, 20, draws) == (39, 18)  # shows 8 of 10 columns, 19 of 20 rows
    assert crop_of(box, 100, 80, 20, draws[:1]) == (40, 25)
    assert crop_of(torch.tensor([70.0, 90, 80, 100]), 100, 80, 20, draws[:1]) == (80, 60)
    assert crop_of(torch.tensor([0.0, 0, 80, 100]), 100, 80, 20, draws) == (0, 0)  # any crop shows as much of it
    assert crop_of(torch.tensor([0.0, 0, 80, 100]), 100, 80, 20, [[0.9999, 0.9999]]) == (80, 60)  # the last place
    assert crop_of(torch.tensor([10.0, 0, 20, 10]), 100, 80, 20, [[0.0, 0.25]]) == (0, 15)  # exactly half
    assert crop_of(torch.tensor([10.0, 0, 20, 10]), 100, 80, 20, [[0.0, 0.27]]) == (0, 5)


def test_a_target_is_the_whole_box_or_what_is_shown_of_it() -> None:
    box = torch.tensor([10.0, 20, 50, 30])
    assert target(box, 10, 20, 20, False).tolist() == pytest.approx([0.5, 0.75, 2.0, 0.5])
    assert target(box, 10, 20, 20, True).tolist() == pytest.approx([0.5, 0.75, 1.0, 0.5])


def test_mini_batches_are_a_function_of_seed_and_step_and_every_image_comes_once() -> None:
    feed = CropFeed(scaled(7), METHOD, SIZE, seed=4)
    again = CropFeed(scaled(7), METHOD, SIZE, seed=4)
    parts = list(feed.epoch(0)) + list(feed.epoch(1))
    later = list(again.epoch(1, start=1))

    assert len(feed) == 3
    assert [torch.equal(one, two) for one, two in zip(whole(parts[4:]), whole(later), strict=True)] == [True] * 3
    assert all(part.is_last for part in parts)
    assert not torch.equal(whole(parts[:3])[2], whole(parts[3:])[2])
    other = list(CropFeed(scaled(7), METHOD, SIZE, seed=5).epoch(0))
    assert not torch.equal(whole(parts[:3])[2], whole(other)[2])
    order = [place for step in range(7) for place in feed._places(step)]
    assert [sorted(order[turn : turn + 7]) for turn in range(0, 42, 7)] == [list(range(7))] * 6
    assert order[:7] != order[7:14]


def test_large_crops_come_in_parts_that_share_a_mini_batch() -> None:
    feed = CropFeed(scaled(5, scale=72), replace(METHOD, batch_size=AT_ONCE + 3), 65, seed=4)
    parts = list(feed.batch(2))
    assert [len(part.labels) for part in parts] == [AT_ONCE, 3]
    assert [part.is_last for part in parts] == [False, True]
    assert [(part.dice.total, part.dice.start, part.dice.stop) for part in parts] == [(35, 0, 32), (35, 32, 35)]


@pytest.mark.parametrize("per_class", [True, False])
def test_the_loss_is_half_the_squared_distance_and_wrong_is_by_overlap(per_class: bool) -> None:
    network = start(per_class)
    (part,) = CropFeed(scaled(), METHOD, SIZE, seed=2).batch(0)
    part = replace(part, codes=part.codes.lerp(torch.tensor([0.5, 0.5, 0.5, 0.6]), torch.linspace(0, 1, 6)[:, None]))
    task = BoxTask(network, METHOD, 7, None)

    loss, wrong = task.loss(network.classifier, part)

    outputs = network.classifier(PIXELS["half"](part.images))
    total, missed = 0.0, 0
    for row, label, code in zip(outputs.tolist(), part.labels.tolist(), part.codes.tolist(), strict=True):
        own = row[4 * label : 4 * label + 4] if per_class else row
        total += sum((a - b) ** 2 for a, b in zip(own, code, strict=True)) / 2
        shared = 1.0
        for at in range(2):
            low = max(one[at] - one[at + 2] / 2 for one in (own, code))
            shared *= max(0.0, min(one[at] + one[at + 2] / 2 for one in (own, code)) - low)
        missed += shared / (own[2] * own[3] + code[2] * code[3] - shared) <= 0.5
    assert float(loss) == pytest.approx(total / 6, rel=1e-5)
    assert wrong == missed
    assert 0 < missed < 6, "the made network is right of some"


def test_only_the_true_class_s_four_outputs_are_trained() -> None:
    network = start()
    tuned(network.classifier, "all")
    (part,) = CropFeed(scaled(), METHOD, SIZE, seed=2).batch(0)
    chosen = part.labels == 1
    assert 0 < int(chosen.sum()) < 6
    part = replace(part, images=part.images[chosen], labels=part.labels[chosen], codes=part.codes[chosen])

    BoxTask(network, METHOD, 7, None).loss(network.classifier, part)[0].backward()

    last = network.classifier.head.fc[-1]
    assert isinstance(last, nn.Linear)
    for gradient in (last.weight.grad, last.bias.grad):
        assert gradient is not None
        assert (gradient.view(12, -1) != 0).any(1).tolist() == [False] * 4 + [True] * 4 + [False] * 4


def test_norms_keep_their_statistics_while_boxes_are_learned() -> None:
    network = start(norm=True)
    (part,) = CropFeed(scaled(), METHOD, SIZE, seed=2).batch(0)
    before = {name: value.clone() for name, value in network.classifier.named_buffers()}
    BoxTask(network, METHOD, 7, None).loss(network.classifier.train(), part)
    assert before
    assert all(torch.equal(value, before[name]) for name, value in network.classifier.named_buffers())


def test_a_check_looks_at_central_crops_of_all_images() -> None:
    network, val = start(), scaled(5, first=20)
    task = BoxTask(network, METHOD, 7, val)
    losses = [task.loss(network.classifier, central_part(val, index, SIZE, False)) for index in range(5)]

    found = task.check(network.classifier.train(), ALONE)

    assert found is not None
    assert network.classifier.training
    assert found[0] == pytest.approx(6 * sum(float(loss) for loss, _ in losses) / 5)
    assert found[1] == pytest.approx(sum(wrong for _, wrong in losses) / 5)
    part = central_part(val, 1, SIZE, False)
    pixels = val.pixels(1)
    assert pixels.shape == (3, 24, 30)
    assert torch.equal(part.images[0], pixels[:, 4:20, 7:23])
    for nothing in (None, scaled_images([], SCALE)[0]):
        assert BoxTask(network, METHOD, 7, nothing).check(network.classifier, ALONE) is None


def test_images_that_cannot_be_read_are_named_and_left_out() -> None:
    images = [replace(made(1), item=Memory("broken.png", b"no image")), made(0), made(2)]
    found, faults = scaled_images(images, SCALE)
    assert [each.item.name for each in found.images] == ["image 0", "image 2"]
    assert [fault.name for fault in faults] == ["broken.png"]
    assert found.label(1) == 2
    assert torch.equal(found.pixels(1), Scaled((made(2),), SCALE).pixels(0)), "not those of the image left out"
    with pytest.raises(ValueError, match=r"none of the 1 images can be read; the first: broken\.png"):
        scaled_images(images[:1], SCALE)


def learned(folder: Path, method: Method, train: Scaled, val: Scaled, stops_at: int | None = None) -> BoxNetwork:
    """A network trained in a folder; where it is told to stop, Ctrl-C comes then, and a second run goes on."""
    network = start()
    tuned(network.classifier, method.layers)
    task, feed = BoxTask(network, method, len(train), val), CropFeed(train, method, SIZE, seed=3)

    def step(moment: Moment) -> None:
        if moment.step == stops_at:
            signal.raise_signal(signal.SIGINT)

    folder.mkdir(exist_ok=True)
    try:
        learn(network.classifier, task, method, feed, folder, settings=Settings(3), watchers=Watchers(step))
    except KeyboardInterrupt:
        return learned(folder, method, train, val)
    return network


@pytest.mark.parametrize("layers", ["fc", "all"])
def test_made_images_are_learned_and_a_stopped_run_goes_on_bit_for_bit(layers: str, tmp_path: Path) -> None:
    assert layers in ("fc", "all")
    method = replace(METHOD, layers=layers, steps=240, batch_size=16)
    train, val = scaled(60), scaled(20, first=100)

    straight = learned(tmp_path / "one", method, train, val)
    stopped = learned(tmp_path / "two", method, train, val, stops_at=100)

    ours, theirs = straight.classifier.state_dict(), stopped.classifier.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    before, after = (BoxTask(each, method, 60, val).check(each.classifier.eval(), ALONE) for each in (start(), straight))
    assert before is not None
    assert after is not None
    assert after[0] < before[0] / 2
    assert after[1] < before[1]
    fresh = start().classifier.state_dict()
    assert {name.split(".")[0] for name in ours if torch.equal(ours[name], fresh[name])} == (
        {"trunk"} if layers == "fc" else set()
    )
