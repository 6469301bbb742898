"""The updates and losses of training against SGD by hand, whatever the parts that a mini-batch comes in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fourfold.data.augment import Flip, PadCrop
from fourfold.data.examples import Examples
from fourfold.data.loader import Loader, Part, Rows
from fourfold.images import Pixels, channel_pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.models.googlenet import googlenet
from fourfold.train.initialise import He
from fourfold.train.loop import Moment, Settings, Watchers, fit
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Progress, Steps
from fourfold.train.step import Trainer, batches, optimiser_for
from fourfold.train.task import Classify

HALF = Pixels(mean=(127.5,) * 3, std=(60.0,) * 3)
SEED, SIZE = 3, 8
MADE = Recipe("made", 24, 7, 15, Steps(0.2, ()), He(), (PadCrop(2), Flip()), channel_pixels, 0.9, 1e-2)


def made_examples(count: int = 26, classes: int = 3, size: int = SIZE) -> Examples:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, classes, (count,), generator=generator)
    return Examples(images, labels, tuple(f"class {label}" for label in range(classes)))


def smooth_network(seed: int = 0) -> Classifier:
    """No batch norm and no dropout, whose values depend on which images come together, or on chance."""
    torch.manual_seed(seed)
    trunk = sequential({"conv": nn.Conv2d(3, 5, 3), "relu": nn.ReLU()})
    return Classifier(trunk, MeanHead(sequential({"fc": nn.Linear(5, 3)}), 6), input_size=SIZE)


def trainer_of(network: Classifier, recipe: Recipe, class_weights: Sequence[float] | None = None) -> Trainer:
    task = Classify(HALF, recipe, made_examples(), None, SIZE, tuple(class_weights or ()))
    return Trainer(task.module(network), task, recipe, optimiser_for(network, recipe), SEED)


def first_batch(recipe: Recipe, at_once: int | None = None) -> list[Part]:
    loader = Loader(made_examples(), recipe.batch_size, recipe.augment, SEED, SIZE, rows=Rows(at_once=at_once))
    return next(batches(loader.epoch(0)))


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def naive_sgd(recipe: Recipe, examples: Examples, seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Softmax regression on the mean colour by Caffe's rule: v = m v + rate (g + decay w), w = w - v."""
    weights = np.concatenate([np.linspace(-1, 1, 3 * classes).reshape(classes, 3), np.ones((classes, 1))], axis=1)
    velocity, loader = np.zeros_like(weights), Loader(examples, recipe.batch_size, recipe.augment, seed, SIZE)
    for step in range(recipe.steps):
        epoch, index = divmod(step, len(loader))
        part = next(loader.epoch(epoch, index))
        colours = (part.images.numpy().astype(np.float64).mean((2, 3)) - 127.5) / 60
        inputs = np.concatenate([colours, np.ones((len(colours), 1))], axis=1)  # the last one is for the bias
        scores = np.exp(inputs @ weights.T)
        wrong = scores / scores.sum(1, keepdims=True) - np.eye(classes)[part.labels.numpy()]
        gradient = wrong.T @ inputs / len(inputs) + recipe.weight_decay * weights
        rate = recipe.rate(Progress(step, recipe.steps))
        velocity = recipe.momentum * velocity + rate * gradient
        weights -= recipe.momentum * velocity + rate * gradient if recipe.nesterov else velocity
    return weights[:, :3], weights[:, 3]


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_steps_equal_sgd_with_momentum_and_weight_decay_by_hand(tmp_path: Path, nesterov: bool) -> None:
    def known(network: nn.Module, _generator: torch.Generator) -> None:
        layer = network.get_submodule("head.fc.fc")
        assert isinstance(layer, nn.Linear)
        nn.init.ones_(layer.bias)
        layer.weight.data = torch.linspace(-1, 1, 9).view(3, 3)

    recipe = dataclasses.replace(MADE, batch_size=4, rate=lambda _progress: 0.2, initialise=known, nesterov=nesterov)
    network = Classifier(nn.Sequential(), MeanHead(sequential({"fc": nn.Linear(3, 3)}), 8), input_size=SIZE)

    fit(network, HALF, recipe, made_examples(), None, tmp_path, settings=Settings(SEED))

    weights, bias = naive_sgd(recipe, made_examples(), SEED, 3)
    have = {name: value.numpy() for name, value in network.state_dict().items()}
    np.testing.assert_allclose(have["head.fc.fc.weight"], weights, rtol=1e-4, atol=1e-5)  # float32 against float64
    np.testing.assert_allclose(have["head.fc.fc.bias"], bias, rtol=1e-4, atol=1e-5)


# with mixup an image is mixed with its neighbour in the same part, so that parts of an odd length mix other pairs
@pytest.mark.parametrize(
    ("at_once", "mixup"), [(1, 0), (2, 0), (3, 0), (5, 0), (7, 0), (99, 0), (2, 0.4), (4, 0.4), (99, 0.4)]
)
def test_a_batch_in_parts_gives_the_weights_of_a_whole_one(tmp_path: Path, at_once: int, mixup: float) -> None:
    recipe = dataclasses.replace(MADE, label_smoothing=0.1, mixup=mixup)
    networks, moments = [smooth_network() for _ in range(2)], [[], []]
    for number, parts in enumerate((None, at_once)):
        settings = Settings(SEED, at_once=parts, class_weights=(0.5, 2.0, 1.0))
        watchers = Watchers(step=moments[number].append)
        folder = tmp_path / str(number)
        folder.mkdir()
        fit(networks[number], HALF, recipe, made_examples(), None, folder, settings=settings, watchers=watchers)

    have, want = (network.state_dict() for network in reversed(networks))
    for name, value in want.items():
        torch.testing.assert_close(have[name], value, rtol=1e-4, atol=1e-5)  # sums of float32 in another order
    assert [moment.error for moment in moments[1]] == pytest.approx([moment.error for moment in moments[0]])
    assert [moment.loss for moment in moments[1]] == pytest.approx([moment.loss for moment in moments[0]], rel=1e-4)


def log_posteriors(scores: Sequence[float]) -> list[float]:
    total = math.log(sum(map(math.exp, scores)))
    return [score - total for score in scores]


@pytest.mark.parametrize("weights", [None, (0.5, 3.0, 1.25)], ids=["all alike", "class weights"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("at_once", [None, 3])
def test_smoothing_and_class_weights_by_hand(weights: Sequence[float] | None, smoothing: float, at_once: int | None) -> None:
    recipe, network = dataclasses.replace(MADE, label_smoothing=smoothing), smooth_network()
    (whole,) = first_batch(recipe)
    counts = weights or (1.0, 1.0, 1.0)
    expected = 0.0
    scores = network(HALF(whole.images)).tolist()
    for row, label in zip(scores, whole.labels.tolist(), strict=True):
        # 1 - smoothing goes to the label, and smoothing to all three classes alike; each class has its weight
        targets = [smoothing / 3 + (1 - smoothing) * (label == other) for other in range(3)]
        expected -= sum(counts[k] * targets[k] * log for k, log in enumerate(log_posteriors(row)))

    loss, error, _ = trainer_of(network, recipe, weights).step(first_batch(recipe, at_once), 0, 0.1)

    assert len(set(whole.labels.tolist())) == 3
    assert loss == pytest.approx(expected / 7, rel=1e-5)  # over the batch, not over the sum of the weights
    assert error == sum(row.index(max(row)) != label for row, label in zip(scores, whole.labels.tolist(), strict=True)) / 7


def test_mixup_by_hand() -> None:
    recipe, network = dataclasses.replace(MADE, mixup=0.4), smooth_network()
    (whole,), (twin,) = first_batch(recipe), first_batch(recipe)
    shares, values, labels = twin.dice.beta(0.4).tolist(), HALF(whole.images), whole.labels.tolist()
    partners = [1, 0, 3, 2, 5, 4, 6]  # the last of seven has no neighbour
    mixed = torch.stack(
        [share * values[i] + (1 - share) * values[j] for i, (share, j) in enumerate(zip(shares, partners, strict=True))]
    )
    expected = 0.0
    for i, row in enumerate(network(mixed).tolist()):
        logs = log_posteriors(row)
        expected -= shares[i] * logs[labels[i]] + (1 - shares[i]) * logs[labels[partners[i]]]

    loss, _, _ = trainer_of(network, recipe).step([whole], 0, 0.1)

    assert any(labels[i] != labels[j] and 0.1 < shares[i] < 0.9 for i, j in enumerate(partners))
    assert loss == pytest.approx(expected / 7, rel=1e-5)


def test_biases_and_batch_norms_are_decayed_unless_the_recipe_says_otherwise() -> None:
    for decays_all in (True, False):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
        for parameter in network.parameters():
            nn.init.constant_(parameter, 2.0)
            parameter.grad = torch.zeros_like(parameter)
        optimiser = optimiser_for(network, dataclasses.replace(MADE, decays_all=decays_all, weight_decay=0.5))
        for group in optimiser.param_groups:
            group["lr"] = 0.25
        optimiser.step()

        decayed = {name for name, value in network.named_parameters() if bool((value == 1.75).all())}  # 2 - 0.25 * 0.5 * 2
        kept = {name for name, value in network.named_parameters() if bool((value == 2.0).all())}
        assert decayed == ({"0.weight", "2.weight"} | ({"0.bias", "1.weight", "1.bias", "2.bias"} if decays_all else set()))
        assert decayed | kept == {name for name, _ in network.named_parameters()}


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
    examples, watchers = made_examples(6, 4, 32), Watchers(step=moments.append)

    fit(network, HALF, recipe, examples, None, tmp_path, settings=Settings(0), watchers=watchers)

    labels = next(Loader(examples, 6, (), 0, 32).epoch(0)).labels
    losses = []
    for name in ("head", "auxiliaries.inception_4a", "auxiliaries.inception_4d"):
        rows = zip(seen[name].double().tolist(), labels.tolist(), strict=True)
        losses.append(sum(math.log(sum(map(math.exp, row))) - row[label] for row, label in rows) / 6)
    assert len({round(loss, 3) for loss in losses}) == 3  # so that no head can stand in for another
    assert moments[0].loss == pytest.approx(losses[0] + 0.3 * losses[1] + 0.3 * losses[2], rel=1e-5)  # float32 sums
    assert moments[0].error == pytest.approx(float((seen["head"].argmax(1) != labels).float().mean()))


class FaultyFrom(nn.Module):
    """The classifier inside, until `calls` batches have come; after that its scores are no numbers."""

    def __init__(self, inner: nn.Module, calls: int) -> None:
        super().__init__()
        self.inner, self.calls = inner, calls

    def forward(self, pixels: Tensor) -> list[Tensor]:
        self.calls -= 1
        return [scores * (1.0 if self.calls >= 0 else math.nan) for scores in self.inner(pixels)]


@pytest.mark.parametrize("at_once", [None, 3])
def test_a_loss_that_is_no_number_is_said_before_the_weights_change(at_once: int | None) -> None:
    network = smooth_network()
    trainer = trainer_of(network, MADE)
    trainer.step(first_batch(MADE), 0, 0.1)  # so that there is a momentum
    before = weights_of(network)
    momenta = [trainer.optimiser.state[p]["momentum_buffer"].clone() for p in network.parameters()]
    parts = first_batch(MADE, at_once)
    faulty = dataclasses.replace(trainer, module=FaultyFrom(trainer.module, len(parts) - 1))

    with pytest.raises(
        ValueError, match=r"^the loss is nan after 1 steps at a learning rate of 0\.25; train with a lower rate"
    ):
        faulty.step(parts, 1, 0.25)

    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for parameter, value in zip(network.parameters(), momenta, strict=True):
        assert torch.equal(trainer.optimiser.state[parameter]["momentum_buffer"], value)


def test_a_step_begins_with_no_gradient_and_passes_a_wish_to_stop_on() -> None:
    once, twice = smooth_network(), smooth_network()
    with_rest = trainer_of(twice, MADE)
    for parameter in twice.parameters():
        parameter.grad = torch.full_like(parameter, 1e6)

    answers = [
        trainer.step(first_batch(MADE), 0, 0.1, stop)[2]
        for trainer, stop in ((trainer_of(once, MADE), False), (with_rest, True))
    ]

    assert answers == [False, True]
    assert all(torch.equal(value, once.state_dict()[name]) for name, value in twice.state_dict().items())


def test_every_step_and_part_has_dropout_masks_of_its_own_that_its_place_decides() -> None:
    masks: list[Tensor] = []
    drop = nn.Dropout(0.5)
    network = Classifier(nn.Sequential(), MeanHead(sequential({"drop": drop, "fc": nn.Linear(3, 3)}), 8), input_size=SIZE)
    drop.register_forward_hook(lambda _m, _inputs, output: masks.append(output.eq(0)))
    recipe = dataclasses.replace(MADE, batch_size=24, augment=())

    for step in (0, 1, 0):
        torch.manual_seed(step + 50)  # what came before must not matter
        trainer_of(network, recipe).step(first_batch(recipe, at_once=8), step, 0.0)

    assert [tuple(mask.shape) for mask in masks] == [(8, 3)] * 9
    assert len({mask.numpy().tobytes() for mask in masks[:6]}) == 6
    assert all(torch.equal(again, first) for again, first in zip(masks[6:], masks[:3], strict=True))


def test_parts_are_put_together_to_mini_batches() -> None:
    loader = Loader(made_examples(), 7, (), SEED, SIZE, rows=Rows(at_once=3))

    together = list(batches(loader.epoch(0)))

    assert [[len(part.labels) for part in parts] for parts in together] == [[3, 3, 1]] * 3
    assert [[part.is_last for part in parts] for parts in together] == [[False, False, True]] * 3
