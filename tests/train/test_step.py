"""The updates and losses of training against SGD by hand, and the error rate against a hand count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fourfold.data.augment import Flip, PadCrop
from fourfold.data.examples import Examples
from fourfold.data.loader import Loader
from fourfold.images import Pixels, channel_pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.models.googlenet import googlenet
from fourfold.train.initialise import He
from fourfold.train.loop import Moment, error_rate, fit
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Steps

HALF = Pixels(mean=(127.5,) * 3, std=(60.0,) * 3)


def made_examples(count: int = 26, classes: int = 3, size: int = 8) -> Examples:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, classes, (count,), generator=generator)
    return Examples(images, labels, tuple(f"class {label}" for label in range(classes)))


def naive_sgd(recipe: Recipe, examples: Examples, seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Softmax regression on the mean colour by Caffe's rule: v = m v + rate (g + decay w), w = w - v."""
    weights = np.concatenate([np.linspace(-1, 1, 3 * classes).reshape(classes, 3), np.ones((classes, 1))], axis=1)
    velocity, loader = np.zeros_like(weights), Loader(examples, recipe.batch_size, recipe.augment, seed)
    for step in range(recipe.steps):
        epoch, index = divmod(step, len(loader))
        images, labels = next(loader.epoch(epoch, index))
        colours = (images.numpy().astype(np.float64).mean((2, 3)) - 127.5) / 60
        inputs = np.concatenate([colours, np.ones((len(colours), 1))], axis=1)  # the last one is for the bias
        scores = np.exp(inputs @ weights.T)
        wrong = scores / scores.sum(1, keepdims=True) - np.eye(classes)[labels.numpy()]
        gradient = wrong.T @ inputs / len(inputs) + recipe.weight_decay * weights
        velocity = recipe.momentum * velocity + recipe.rate(step, recipe.steps) * gradient
        weights -= recipe.momentum * velocity + recipe.rate(step, recipe.steps) * gradient if recipe.nesterov else velocity
    return weights[:, :3], weights[:, 3]


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_steps_equal_sgd_with_momentum_and_weight_decay_by_hand(tmp_path: Path, nesterov: bool) -> None:
    def known(network: nn.Module, _generator: torch.Generator) -> None:
        layer = network.get_submodule("head.fc.fc")
        assert isinstance(layer, nn.Linear)
        nn.init.ones_(layer.bias)
        layer.weight.data = torch.linspace(-1, 1, 9).view(3, 3)

    steps = (PadCrop(2), Flip())
    recipe = Recipe("made", 24, 4, 15, lambda _step, _steps: 0.2, known, steps, channel_pixels, 0.9, 1e-2, nesterov)
    network = Classifier(nn.Sequential(), MeanHead(sequential({"fc": nn.Linear(3, 3)}), 8), input_size=8)

    fit(network, HALF, recipe, made_examples(), None, tmp_path, seed=3)

    weights, bias = naive_sgd(recipe, made_examples(), 3, 3)
    have = {name: value.numpy() for name, value in network.state_dict().items()}
    np.testing.assert_allclose(have["head.fc.fc.weight"], weights, rtol=1e-4, atol=1e-5)  # float32 against float64
    np.testing.assert_allclose(have["head.fc.fc.bias"], bias, rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_main_one_and_three_tenths_of_each_auxiliary(tmp_path: Path) -> None:
    network = googlenet(4, input_size=32, width=0.0625)
    seen: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if name in ("head", "auxiliaries.inception_4a", "auxiliaries.inception_4d"):
            module.register_forward_hook(lambda _m, _i, scores, name=name: seen.update({name: scores.detach()}))
    moments: list[Moment] = []
    recipe = Recipe("made", 6, 6, 1, Steps(0.05, ()), He(), (), channel_pixels, 0.9, 1e-2)

    fit(network, HALF, recipe, made_examples(6, 4, 32), None, tmp_path, seed=0, watch=moments.append)

    _, labels = next(Loader(made_examples(6, 4, 32), 6, (), 0).epoch(0))
    losses = []
    for name in ("head", "auxiliaries.inception_4a", "auxiliaries.inception_4d"):
        rows = zip(seen[name].double().tolist(), labels.tolist(), strict=True)
        losses.append(sum(math.log(sum(map(math.exp, row))) - row[label] for row, label in rows) / 6)
    assert len({round(loss, 3) for loss in losses}) == 3  # so that no head can stand in for another
    assert moments[0].loss == pytest.approx(losses[0] + 0.3 * losses[1] + 0.3 * losses[2], rel=1e-5)  # float32 sums
    assert moments[0].error == pytest.approx(float((seen["head"].argmax(1) != labels).float().mean()))


def test_the_error_rate_is_a_share_and_leaves_the_mode_as_it_was() -> None:
    network = Classifier(nn.Sequential(), MeanHead(sequential({"fc": nn.Linear(3, 3)}), 4), input_size=4)
    layer = network.get_submodule("head.fc.fc")
    assert isinstance(layer, nn.Linear)
    layer.weight.data, layer.bias.data = torch.eye(3), torch.zeros(3)  # the class is the strongest colour
    images = torch.zeros(7, 3, 4, 4, dtype=torch.uint8)
    for index in range(7):
        images[index, index % 3] = 200
    examples = Examples(images, torch.tensor([0, 1, 2, 0, 0, 0, 0]), ("r", "g", "b"))  # images 4 and 5 are not red

    for is_training in (True, False):
        network.train(is_training)
        assert error_rate(network, Pixels(), examples, batch_size=3) == pytest.approx(2 / 7)
        assert network.training is is_training
