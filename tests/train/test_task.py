"""A task of another kind than images by class is learned by the same loop; and validation, by hand."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fourfold.data.dice import dice_for
from fourfold.data.examples import Examples
from fourfold.data.loader import Part
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.parallel import ALONE, Group
from fourfold.train.checkpoint import Point
from fourfold.train.loop import BEST, LAST, Moment, Settings, Watchers, learn
from fourfold.train.schedule import Schedule, Steps
from fourfold.train.task import Task, validate
from fourfold.weights import read_weights

SLOPE = torch.tensor([[2.0, -1.0]])


@dataclass(frozen=True)
class Plain:
    """Gradient descent without momentum or decay."""

    steps: int = 60
    batch_size: int = 8
    rate: Schedule = Steps(0.2, ())  # noqa: RUF009 (frozen)
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    decays_all: bool = True
    average: float = 0.0
    patience: int | None = None

    def description(self) -> dict[str, object]:
        return {"steps": self.steps}


@dataclass(frozen=True)
class Points:
    """Vectors and what a line makes of them, five mini-batches an epoch."""

    def __len__(self) -> int:
        return 5

    def epoch(self, epoch: int, start: int = 0, share: float = 0.0) -> Iterator[Part]:  # noqa: ARG002
        for index in range(start, len(self)):
            dice = dice_for(8, 1, epoch, index)
            yield Part(dice.normal(2), torch.zeros(8, dtype=torch.int64), dice, True)


@dataclass(frozen=True)
class Line(Task):
    """The slope of a line by least squares; an answer is wrong that misses by a tenth or more."""

    checks: bool = True

    def module(self, network: nn.Module) -> nn.Module:
        return network

    def loss(self, module: nn.Module, part: Part) -> tuple[Tensor, float]:
        missed = module(part.images) - part.images @ SLOPE.T
        return missed.square().sum() / 8, float((missed.abs() >= 0.1).sum())

    def check(self, network: nn.Module, group: Group) -> tuple[float, float] | None:  # noqa: ARG002
        points = torch.eye(2)
        missed = (network(points) - points @ SLOPE.T).detach()
        return (float(missed.square().mean()), float((missed.abs() >= 0.1).double().mean())) if self.checks else None

    def identity(self) -> list[object]:
        return [2]

    def tensors(self) -> Mapping[str, Tensor]:
        return {"told": torch.tensor([7.0])}


def learned(folder: Path, stop: int = 0, task: Line = Line()) -> tuple[nn.Linear, Point]:
    torch.manual_seed(0)
    network = nn.Linear(2, 1, bias=False)

    def watch(moment: Moment) -> None:
        if moment.step == stop:
            os.kill(os.getpid(), signal.SIGINT)

    return network, learn(
        network, task, Plain(), Points(), folder, settings=Settings(3, validate_every=2), watchers=Watchers(step=watch)
    )


def test_a_line_is_learned_and_checked_every_second_epoch(tmp_path: Path) -> None:
    network, point = learned(tmp_path)

    torch.testing.assert_close(network.weight.detach(), SLOPE, rtol=0, atol=1e-3)
    assert len(point.train_errors) == 12
    assert len(point.val_errors) == 6
    assert point.val_errors[-1] == 0
    assert read_weights(tmp_path / LAST)["told"].tolist() == [7.0]


def test_a_line_learned_with_an_interruption_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    expected, _ = learned(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learned(tmp_path / "cut", stop=23)
    found, _ = learned(tmp_path / "cut")

    assert torch.equal(found.weight, expected.weight)


def test_without_a_check_the_last_weights_are_the_best(tmp_path: Path) -> None:
    network, point = learned(tmp_path, task=Line(checks=False))

    assert point.val_errors == ()
    assert torch.equal(read_weights(tmp_path / BEST)["weight"], network.weight)


def test_loss_and_error_of_validation_by_hand_leaving_the_mode_as_it_was() -> None:
    network = Classifier(nn.Sequential(), MeanHead(sequential({"fc": nn.Linear(3, 3)}), 4), input_size=4)
    layer = network.get_submodule("head.fc.fc")
    assert isinstance(layer, nn.Linear)
    layer.weight.data, layer.bias.data = torch.eye(3), torch.zeros(3)  # the class is the strongest colour
    images = torch.zeros(7, 3, 4, 4, dtype=torch.uint8)
    for index in range(7):
        images[index, index % 3] = 2
    examples = Examples(images, torch.tensor([0, 1, 2, 0, 0, 0, 0]), ("r", "g", "b"))  # images 4 and 5 are not red
    right, wrong = math.log(math.e**2 + 2) - 2, math.log(math.e**2 + 2)

    for is_training in (True, False):
        network.train(is_training)
        loss, error = validate(network, Pixels(), examples, 4, ALONE)
        assert error == pytest.approx(2 / 7)
        assert loss == pytest.approx((5 * right + 2 * wrong) / 7)
        assert network.training is is_training
