"""Boxes from a central crop, and from all windows of whole images, equal those of crops cut and shown one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.catalog import ModelEntry, Network
from fourfold.data.dice import generator_for
from fourfold.images import Pixels
from fourfold.localize.locate import Boxer, CentralCrop, Everywhere, look, windows_of
from fourfold.localize.merge import merge
from fourfold.localize.regressor import BoxNetwork, box_network
from fourfold.models.base import Classifier, FlattenHead, Head, MeanHead, PyramidHead, fully_connected, sequential
from fourfold.train.initialise import He

LABELS = ("a", "b", "c")
SIZE, STRIDE = 24, 4
HEADS = ("flat", "mean", "pyramid")
IMAGE = torch.randint(256, (3, 61, 98), generator=generator_for("image"), dtype=torch.uint8)


def head_of(kind: str, channels: int, side: int) -> Head:
    if kind == "flat":
        return FlattenHead(fully_connected(channels * side * side, 9, len(LABELS)), side)
    if kind == "mean":
        return MeanHead(sequential({"fc": nn.Linear(channels, len(LABELS))}), side)
    return PyramidHead(fully_connected(channels * 5, 9, len(LABELS)), side, (2, 1))


def classifier_of(kind: str, seed: int, stride: int = STRIDE) -> Network:
    """Without padding, so that a window of the map sees exactly a crop of the image."""
    trunk = sequential({"conv": nn.Conv2d(3, 5, stride, stride=stride), "relu": nn.ReLU()})
    classifier = Classifier(trunk, head_of(kind, 5, SIZE // stride), input_size=SIZE)
    He()(classifier, generator_for(seed))
    classifier.head.fc[-1].weight.data.mul_(3)  # pyright: ignore[reportCallIssue, reportArgumentType]
    pixels = Pixels(mean=(120.0, 125.0, 130.0), std=(60.0, 61.0, 62.0))
    return Network(classifier.eval().requires_grad_(False), pixels, LABELS, ModelEntry(f"made {seed}", "made"))


def boxer_of(kind: str, seed: int = 0, per_class: bool = True, scales: tuple[int, ...] = (30, 41)) -> Boxer:
    start = classifier_of(kind, seed)
    network = box_network(start, per_class=per_class, scale=33, generator=generator_for(seed, "boxes"))
    network.classifier.head.fc[-1].weight.data.mul_(20)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return Boxer(network, start, scales)


def scaled_to(image: Tensor, scale: int) -> tuple[Tensor, float, float]:
    """The image at a shorter side, and how many of the image's pixels one of its has down and across."""
    height, width = image.shape[1:]
    size = (scale, int(scale * width / height)) if height < width else (int(scale * height / width), scale)
    scaled = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return scaled, height / size[0], width / size[1]


def box_in(code: Tensor, top: int, left: int, down: float, across: float, image: Tensor) -> list[float]:
    """The box of four numbers in a crop, in pixels of the image and cut to it."""
    x, y, wide, high = code.tolist()
    wide, high = max(wide, 0), max(high, 0)
    edges = [
        (x - wide / 2, left, across),
        (y - high / 2, top, down),
        (x + wide / 2, left, across),
        (y + high / 2, top, down),
    ]
    sides = image.shape[2], image.shape[1]
    return [min(max((SIZE * at + low) * unit, 0), sides[row % 2]) for row, (at, low, unit) in enumerate(edges)]


def one_by_one(boxer: Boxer, image: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """Boxes and scores of a class of all crops, each cut from the scaled image and shown by itself."""
    boxes, scores = [], []
    for scale in boxer.scales:
        scaled, down, across = scaled_to(image, scale)
        for top in range(0, scaled.shape[1] - SIZE + 1, STRIDE):
            for left in range(0, scaled.shape[2] - SIZE + 1, STRIDE):
                crop = scaled[None, :, top : top + SIZE, left : left + SIZE]
                outputs = boxer.network.classifier(boxer.network.pixels(crop))[0]
                code = outputs[4 * label : 4 * label + 4] if boxer.network.per_class else outputs
                boxes.append(box_in(code, top, left, down, across, image))
                scores.append(float(boxer.rater.classifier(boxer.rater.pixels(crop)).softmax(1)[0, label]))
    return torch.tensor(boxes), torch.tensor(scores)


@pytest.mark.parametrize("image", [IMAGE, IMAGE.transpose(1, 2).contiguous()], ids=["wide", "high"])
@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("kind", HEADS)
def test_every_window_gives_the_box_of_its_crop(kind: str, per_class: bool, image: Tensor) -> None:
    boxer = boxer_of(kind, per_class=per_class)
    boxes, scores = one_by_one(boxer, image, 2)

    seen = look(boxer, image)

    assert len(seen) == 2
    found = torch.cat([each.boxes_for(2) for each in seen])
    sides = torch.tensor([image.shape[2], image.shape[1]] * 2)
    torch.testing.assert_close(torch.minimum(found.clamp(min=0), sides), boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cat([each.posteriors[:, 2] for each in seen]), scores, atol=1e-5, rtol=0)
    assert len({tuple(row) for row in boxes.round().tolist()}) > 10
    assert float(scores.std()) > 0.01


@pytest.mark.parametrize("kind", HEADS)
def test_the_best_merged_box_of_all_networks_and_scales_is_given(kind: str) -> None:
    boxers = (boxer_of(kind, 1), boxer_of("flat", 2, per_class=False, scales=(27,)))
    wanted = []
    for label in (1, 0):
        boxes, scores = (torch.cat(each) for each in zip(*(one_by_one(each, IMAGE, label) for each in boxers), strict=True))
        merged = merge(boxes, scores, -0.1)
        assert 1 < len(merged) < len(boxes)
        wanted.append(merged.boxes[0].float())

    found = Everywhere(boxers, -0.1)(IMAGE, [1, 0])

    torch.testing.assert_close(found, torch.stack(wanted), atol=1e-2, rtol=0)
    assert not torch.equal(found[0], found[1])
    assert str(Everywhere(boxers)) == "dense over shorter side 30, 41; and dense over shorter side 27; boxes merged"


@pytest.mark.parametrize("image", [IMAGE, IMAGE.transpose(1, 2).contiguous()], ids=["wide", "high"])
@pytest.mark.parametrize("per_class", [True, False])
def test_the_central_crop_gives_the_box_that_its_code_names(per_class: bool, image: Tensor) -> None:
    network = boxer_of("flat", per_class=per_class).network
    scaled, down, across = scaled_to(image, 33)
    top, left = round((scaled.shape[1] - SIZE) / 2), round((scaled.shape[2] - SIZE) / 2)
    outputs = network.classifier(network.pixels(scaled[None, :, top : top + SIZE, left : left + SIZE]))[0]
    codes = [outputs[4 * label : 4 * label + 4] if per_class else outputs for label in (2, 0)]

    found = CentralCrop(network)(image, [2, 0])

    wanted = torch.tensor([box_in(code, top, left, down, across, image) for code in codes])
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)


def test_boxes_are_cut_to_the_image_before_they_are_merged() -> None:
    boxer = boxer_of("flat")
    last = boxer.network.classifier.head.fc[-1]
    assert isinstance(last, nn.Linear)
    last.weight.data.zero_()
    last.bias.data = torch.tensor([0.5, 0.5, 9.0, 9.0]).repeat(3)
    assert Everywhere((boxer,))(IMAGE, [1]).tolist() == [[0, 0, 98, 61]]
    assert CentralCrop(boxer.network)(IMAGE, [1]).tolist() == [[0, 0, 98, 61]]


def test_no_class_gets_no_box() -> None:
    assert CentralCrop(boxer_of("flat").network)(IMAGE, []).shape == (0, 4)
    assert Everywhere((boxer_of("flat"),))(IMAGE, []).shape == (0, 4)


def test_windows_are_a_stride_apart_row_by_row() -> None:
    assert windows_of(2, 3, 8, 20).tolist() == [
        [0, 0, 20, 20],
        [8, 0, 28, 20],
        [16, 0, 36, 20],
        [0, 8, 20, 28],
        [8, 8, 28, 28],
        [16, 8, 36, 28],
    ]


def other_labels(network: BoxNetwork) -> BoxNetwork:
    return replace(network, labels=("a", "c", "b"))


def test_networks_that_do_not_belong_together_are_refused() -> None:
    boxer = boxer_of("flat")
    with pytest.raises(ValueError, match="scale 23 is smaller than the network's 24x24 window"):
        replace(boxer, scales=(30, 23))
    with pytest.raises(ValueError, match="made 0 has other classes"):
        replace(boxer, network=other_labels(boxer.network))
    with pytest.raises(ValueError, match="made 5 looks at other windows"):
        replace(boxer, rater=classifier_of("flat", 5, stride=8))
    with pytest.raises(ValueError, match="no network that gives boxes is named"):
        Everywhere(())
    odd = Boxer(other_labels(boxer.network), replace(boxer.rater, labels=("a", "c", "b")), (30,))
    with pytest.raises(ValueError, match="have different classes"):
        Everywhere((boxer, odd))


def test_an_image_that_becomes_too_large_is_refused() -> None:
    strip = torch.zeros(3, 4, 200, dtype=torch.uint8)
    with pytest.raises(ValueError, match="more than 4,000,000 pixels"):
        Everywhere((boxer_of("flat", scales=(400,)),))(strip, [0])
