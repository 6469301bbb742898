"""The parts of a training run: images prepared, weights taken over, classes weighted, time measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold import catalog
from fourfold.data.examples import Examples
from fourfold.data.photos import Photos
from fourfold.data.splits import find_data
from fourfold.images import centre_view, read_image
from fourfold.networks import build
from fourfold.papers import RECIPES
from fourfold.train.loop import Settings
from fourfold.training import Watching, class_weights, images_within, prepare, start_from


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(10):
            pixels = draw.integers(0, 256, (30 + index, 50 - index, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    return tmp_path


def test_small_images_are_held_in_memory_and_photos_are_not(data: Path) -> None:
    splits, network = find_data(data, seed=0), build("resnet20", classes=2)

    whole = prepare(splits, network, RECIPES["resnet-cifar"], None, 2, Watching())
    cut = prepare(splits, network, RECIPES["modern"], None, 2, Watching())

    assert isinstance(whole.train, Examples)
    assert isinstance(cut.train, Photos)
    assert len(whole.train) == len(cut.train) == 18
    assert len(whole.val) == len(cut.val) == len(cut.listed) == 2
    assert whole.pixels.mean_image is not None  # ResNet 4.2
    views = torch.stack([centre_view(read_image(Path(item.name)), 32) for item in splits.train.items])
    for channel, mean in enumerate(cut.pixels.mean):
        assert mean == pytest.approx(views[:, channel].double().mean().item(), abs=0.3)  # two ways to scale an image


def test_weights_of_a_start_are_taken_where_name_and_shape_agree() -> None:
    network, start = build("resnet20", classes=3), catalog.load("resnet20-cifar10")
    before = network.state_dict()["head.fc.fc.weight"].clone()

    left = start_from(network, start)

    assert left == ["head.fc.fc.weight", "head.fc.fc.bias"]
    state = network.state_dict()
    assert torch.equal(state["head.fc.fc.weight"], before)
    assert all(torch.equal(state[name], value) for name, value in start.classifier.state_dict().items() if name not in left)
    assert all(parameter.requires_grad for parameter in network.parameters())  # the start itself is frozen
    with pytest.raises(ValueError, match="no layer in common"):
        start_from(build("vgg-a", classes=3, input_size=32, width=0.0625), start)


def test_rare_classes_weigh_more_and_the_mean_image_weighs_one() -> None:
    weights = class_weights([0] * 6 + [1] * 3 + [2], 3)

    assert weights == pytest.approx((10 / 18, 10 / 9, 10 / 3))
    assert sum(weights[label] for label in [0] * 6 + [1] * 3 + [2]) == pytest.approx(10)


def test_the_time_of_a_mini_batch_decides_how_many_fit_and_leaves_the_network_as_it_was(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits, network = find_data(data, seed=0), build("resnet20", classes=2, width=0.25)
    recipe = RECIPES["resnet-cifar"].fitted(18, batch_size=6)
    material = prepare(splits, network, recipe, None, 2, Watching())
    state = {name: value.clone() for name, value in network.state_dict().items()}
    ticks = iter(range(0, 1000, 3))
    monkeypatch.setattr("fourfold.training.time.monotonic", lambda: float(next(ticks)))  # 3 seconds from call to call

    images = images_within(10.0, network, recipe, material, Settings(seed=0))

    assert images == 1200 * 6  # 600 seconds at 3 seconds for six mini-batches of six
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    for minutes in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="minutes is not a length of training"):
            images_within(minutes, network, recipe, material, Settings(seed=0))
