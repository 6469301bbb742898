"""Maps light up where a class is seen, Grad-CAM is CAM upon a global mean, and boxes are about the largest part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.data.dice import generator_for
from fourfold.images import Pixels, resize_shorter
from fourfold.localize.heatmap import ByHeat, box_of, class_activation, gradient_activation
from fourfold.models.base import Classifier, FlattenHead, MeanHead, PyramidHead, fully_connected, sequential
from fourfold.networks import build
from fourfold.train.initialise import He

LABELS = ("red", "dark", "blue")
STRIDE = 4
NETWORKS = {
    "resnet20": {"width": 0.5},
    "googlenet": {"input_size": 32, "width": 0.125, "batch_norm": True},
    "nin": {"width": 0.25},
}


def made(name: str) -> Network:
    classifier = build(name, classes=3, **NETWORKS[name])
    He()(classifier, generator_for(name))
    return Network(classifier.eval().requires_grad_(False), PIXELS["half"], LABELS, ModelEntry(name, name))


def colours(kind: str) -> Network:
    """Red scores where red is bright, blue where blue is; cells see 4x4 pixels, windows 3x3 cells."""
    weight = torch.tensor([[8.0, 0, 0], [-1, -1, -1], [0, 0, 8.0]])
    if kind == "mean":
        head = MeanHead(sequential({"fc": nn.Linear(3, 3)}), side=3)
        head.fc[0].weight.data.copy_(weight)  # pyright: ignore[reportCallIssue, reportArgumentType]
    elif kind == "flat":
        head = FlattenHead(sequential({"fc": nn.Linear(27, 3)}), side=3)
        head.fc[0].weight.data.copy_(weight.repeat_interleave(9, 1))  # pyright: ignore[reportCallIssue, reportArgumentType]
    else:
        head = PyramidHead(sequential({"fc": nn.Linear(3, 3)}), side=3, levels=(1,))
        head.fc[0].weight.data.copy_(weight)  # pyright: ignore[reportCallIssue, reportArgumentType]
    classifier = Classifier(sequential({"pool": nn.AvgPool2d(STRIDE, STRIDE)}), head, input_size=12).eval()
    return Network(classifier.requires_grad_(False), Pixels(std=(255.0,) * 3), LABELS, ModelEntry(kind, kind))


def photo() -> Tensor:
    """48 x 80 with a red spot at the upper left and a blue one at the lower right."""
    image = torch.zeros(3, 48, 80, dtype=torch.uint8)
    image[0, 8:24, 12:24] = 255
    image[2, 28:44, 40:72] = 255
    return image


@pytest.mark.parametrize("name", ["resnet20", "googlenet"])
def test_upon_a_global_mean_both_maps_are_the_same_but_for_a_factor(name: str) -> None:
    network = made(name)
    image = torch.randint(256, (3, 45, 67), generator=generator_for("image"), dtype=torch.uint8)
    heats = gradient_activation(network, image, [2, 0, 1])

    for heat, label in zip(heats, (2, 0, 1), strict=True):
        activation = class_activation(network, image, label)
        torch.testing.assert_close(heat * activation.numel(), activation.clamp(min=0), atol=1e-4, rtol=1e-4)
    assert float(heats.max()) > 0
    assert not torch.allclose(heats[0], heats[1])


def test_activations_average_to_the_score() -> None:
    network = made("resnet20")
    image = torch.randint(256, (3, 45, 67), generator=generator_for("image"), dtype=torch.uint8)
    scores = network.classifier(network.pixels(image[None]))[0]
    bias = network.classifier.head.fc[-1].bias
    assert isinstance(bias, Tensor)
    found = [float(class_activation(network, image, label).mean() + bias[label]) for label in range(3)]
    assert found == pytest.approx(scores.tolist(), rel=1e-4)


def test_the_map_by_gradients_equals_its_definition_for_fc_layers_on_one_size() -> None:
    trunk = sequential({"conv": nn.Conv2d(3, 4, 4, stride=4), "relu": nn.ReLU()})
    classifier = Classifier(trunk, FlattenHead(fully_connected(4 * 9, 7, 3), side=3), input_size=12)
    He()(classifier, generator_for("small"))
    network = Network(classifier.eval().requires_grad_(False), PIXELS["half"], LABELS, ModelEntry("", ""))
    image = torch.randint(256, (3, 16, 24), generator=generator_for("image"), dtype=torch.uint8)
    maps = classifier.trunk(network.pixels(image[None])).double()
    classifier.double()

    weights = []
    for channel in range(4):  # slopes by differences: all cells of a channel a little up
        up, down = maps.clone(), maps.clone()
        up[0, channel] += 1e-5
        down[0, channel] -= 1e-5
        slope = (classifier.head.dense(up) - classifier.head.dense(down))[0, 1].mean() / 2e-5
        weights.append(float(slope) / 24)
    wanted = sum(weight * maps[0, channel] for channel, weight in enumerate(weights))
    assert isinstance(wanted, Tensor)

    found = gradient_activation(network_of(classifier.float(), network), image, [1])[0]

    torch.testing.assert_close(found.double(), wanted.clamp(min=0), atol=1e-5, rtol=1e-3)
    assert float(found.max()) > 0


def network_of(classifier: Classifier, like: Network) -> Network:
    return Network(classifier, like.pixels, like.labels, like.entry)


@pytest.mark.parametrize("kind", ["mean", "flat", "pyramid"])
def test_boxes_by_heat_lie_about_the_spots(kind: str) -> None:
    locate = ByHeat(colours(kind), 48)
    found = locate(photo(), [2, 0])
    wanted = torch.tensor([[40.0, 28, 72, 44], [12.0, 8, 24, 24]])
    assert float((found - wanted).abs().max()) <= STRIDE, "bilinear steps reach half a cell further"
    assert locate.labels == LABELS
    assert locate(photo(), []).shape == (0, 4)
    assert "above 20%" in str(locate)


def test_boxes_by_heat_are_in_pixels_of_the_image_whatever_the_scale() -> None:
    small = ByHeat(colours("mean"), 24)(photo(), [2])
    assert float((small - torch.tensor([[40.0, 28, 72, 44]])).abs().max()) <= 2 * STRIDE
    assert resize_shorter(photo(), 24).shape == (3, 24, 40)


def by_hand(mask: np.ndarray) -> list[int]:
    """The box about the largest part: cells take the smallest number among their neighbours until nothing changes."""
    numbers = np.where(mask, np.arange(mask.size).reshape(mask.shape) + 1, 0)
    while True:
        around = np.pad(numbers, 1)
        shifts = [around[y : y + mask.shape[0], x : x + mask.shape[1]] for y in range(3) for x in range(3)]
        least = np.min([np.where(shift > 0, shift, mask.size + 1) for shift in shifts], 0)
        fresh = np.where(mask, least, 0)
        if (fresh == numbers).all():
            break
        numbers = fresh
    names, counts = np.unique(numbers[numbers > 0], return_counts=True)
    rows, columns = np.nonzero(numbers == names[counts.argmax()])
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def test_the_largest_part_is_found_among_many() -> None:
    dice = np.random.default_rng(0)
    for _ in range(60):
        mask = dice.random((13, 17)) < dice.choice([0.15, 0.3, 0.5])
        mask[0, 0] = True
        assert box_of(torch.from_numpy(mask).float(), 13, 17).tolist() == by_hand(mask)


def test_the_share_is_of_the_maximum_and_only_what_is_above_counts() -> None:
    heat = torch.zeros(6, 9)
    heat[1, 1:5], heat[4, 6:8] = 1.0, 5.0
    assert box_of(heat, 6, 9, 0.2).tolist() == [6, 4, 8, 5]
    assert box_of(heat, 6, 9, 0.19).tolist() == [1, 1, 5, 2]


def test_a_map_is_stretched_over_the_image() -> None:
    heat = torch.zeros(2, 3)
    heat[1, 2] = 1.0
    x1, y1, x2, y2 = box_of(heat, 20, 60, 0.5).tolist()
    assert (x2, y2) == (60, 20)
    assert (x1, y1) == (40, 10)


def test_a_map_without_heat_is_the_whole_image_and_a_share_must_be_one() -> None:
    assert box_of(torch.zeros(3, 4), 30, 50).tolist() == [0, 0, 50, 30]
    assert box_of(-torch.ones(3, 4), 30, 50).tolist() == [0, 0, 50, 30]
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match="of the maximum cannot be"):
            box_of(torch.ones(3, 4), 30, 50, share)


def test_what_has_no_activation_map_is_refused() -> None:
    with pytest.raises(ValueError, match="flat is no global mean with one fc layer"):
        class_activation(colours("flat"), photo(), 0)
    with pytest.raises(ValueError, match="scale 11 is smaller"):
        ByHeat(colours("mean"), 11)
    assert gradient_activation(made("nin"), photo(), [0]).shape[0] == 1, "no fc layer: the maps are the classes' own"
