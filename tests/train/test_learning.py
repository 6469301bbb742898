"""What can be learned is fitted to the last image, and what cannot stays at chance on new ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fourfold.data.augment import Flip, PadCrop
from fourfold.data.examples import Examples
from fourfold.images import Pixels, channel_pixels
from fourfold.models.base import Classifier
from fourfold.models.resnet import cifar_resnet
from fourfold.train.initialise import He
from fourfold.train.loop import Settings, fit
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Steps
from fourfold.train.task import validate


def coloured_shapes(count: int, seed: int) -> Examples:
    """Red discs, green squares, blue bars and yellow crosses, somewhere on a noisy grey ground of 16x16."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    images, labels = draw.integers(90, 140, (count, 3, 16, 16), dtype=np.uint8), draw.integers(0, 4, count)
    for image, label in zip(images, labels, strict=True):
        dy, dx = abs(y - draw.integers(5, 11)), abs(x - draw.integers(5, 11))
        shapes = (dy**2 + dx**2 < 16, (dy < 4) & (dx < 4), (dy < 2) & (dx < 5), ((dy < 2) | (dx < 2)) & (dy + dx < 5))
        image[:, shapes[label]] = np.array([(220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 30)][label])[:, None]
    return Examples(torch.from_numpy(images), torch.from_numpy(labels), ("disc", "square", "bar", "cross"))


def fit_shapes(train: Examples, folder: Path) -> tuple[Classifier, Pixels]:
    network, pixels = cifar_resnet(8, 4, width=0.5), channel_pixels(train.images)
    recipe = Recipe("made", 96, 16, 60, Steps(0.1, (0.7,)), He(), (PadCrop(2), Flip()), channel_pixels, 0.9, 1e-4)
    fit(network, pixels, recipe, train, None, folder, settings=Settings(seed=0))
    return network, pixels


def error_rate(network: Classifier, pixels: Pixels, examples: Examples) -> float:
    return validate(network, pixels, examples, 16)[1]


def test_what_can_be_learned_is_fitted_without_an_error(tmp_path: Path) -> None:
    train = coloured_shapes(96, 0)
    network, pixels = fit_shapes(train, tmp_path)

    assert error_rate(network, pixels, train) == 0
    assert error_rate(network, pixels, coloured_shapes(200, 1)) < 0.03


def test_what_cannot_be_learned_stays_near_chance_on_new_images(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    train, new = (
        Examples(made.images, torch.randint(0, 4, (len(made),), generator=draw), made.classes)
        for made in (coloured_shapes(96, 0), coloured_shapes(400, 1))
    )
    network, pixels = fit_shapes(train, tmp_path)

    assert abs(error_rate(network, pixels, new) - 0.75) < 5 * (0.75 * 0.25 / 400) ** 0.5  # five standard deviations
