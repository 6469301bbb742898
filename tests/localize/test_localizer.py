"""A localizer gives the likeliest classes, each with its own box, and a reply beside what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from fourfold.catalog import ModelEntry, Network
from fourfold.data.annotated import Annotated
from fourfold.evaluate.crops import single_view
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.whole import Dense
from fourfold.images import Pixels
from fourfold.localize.localizer import Localizer
from fourfold.localize.locate import Locate
from fourfold.models.base import Classifier, MeanHead, sequential

LABELS = ("a", "b", "c", "d", "e", "f", "g")


@dataclass(frozen=True, eq=False)
class Memory:
    name: str
    pixels: Tensor | bytes

    def content(self) -> Tensor | bytes:
        return self.pixels


@dataclass(frozen=True)
class Told(Locate):
    """A box that tells the class that was asked for."""

    names: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.names

    def __call__(self, image: Tensor, labels: Sequence[int]) -> Tensor:
        numbers = [LABELS.index(self.names[label]) for label in labels]
        return torch.tensor([[number, 0, 10 + number, image.shape[1]] for number in numbers]).float()


def predictor(labels: tuple[str, ...] = LABELS, dense: bool = False) -> Predictor:
    """Likelier the higher a class's bias: f, e, d, c, b, a, g."""
    head = MeanHead(sequential({"fc": nn.Linear(3, len(labels))}), side=8)
    fc = head.fc[0]
    assert isinstance(fc, nn.Linear)
    nn.init.zeros_(fc.weight)
    fc.bias.data = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.0])[: len(labels)]
    classifier = Classifier(sequential({"pool": nn.AvgPool2d(4, 4)}), head, input_size=32).eval().requires_grad_(False)
    protocol = Dense((1000,), 32) if dense else single_view(32)
    return Predictor((Member(Network(classifier, Pixels(), labels, ModelEntry("made", "made")), protocol),))


IMAGE = torch.zeros(3, 40, 60, dtype=torch.uint8)


def annotated(label: int, pixels: Tensor | bytes = IMAGE) -> Annotated:
    box = torch.tensor([[1.0, 2, 30, 40]])
    return Annotated(Memory("x.png", pixels), 40, 60, box, torch.tensor([label]), torch.zeros(1).bool())


@pytest.mark.parametrize("order", [LABELS, LABELS[::-1]])
def test_the_five_likeliest_classes_have_their_own_boxes(order: tuple[str, ...]) -> None:
    guesses = Localizer(predictor(), Told(order))(IMAGE)

    assert [guess.label for guess in guesses] == [5, 4, 3, 2, 1]
    assert [guess.box for guess in guesses] == [(label, 0, 10 + label, 40) for label in (5, 4, 3, 2, 1)]
    bias = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.0]).softmax(0)
    assert [guess.probability for guess in guesses] == pytest.approx(bias[[5, 4, 3, 2, 1]].tolist(), abs=1e-6)


@pytest.mark.parametrize("truth", [3, 6])
def test_a_reply_has_the_box_of_the_true_class_whether_guessed_or_not(truth: int) -> None:
    found = Localizer(predictor(), Told(LABELS)).reply(8, annotated(truth))

    assert (found.index, found.name, found.truth, found.box, found.error) == (8, "x.png", truth, (1, 2, 30, 40), "")
    assert [guess.label for guess in found.guesses] == [5, 4, 3, 2, 1]
    assert found.given == (truth, 0, 10 + truth, 40)


def test_fewer_classes_give_fewer_guesses() -> None:
    assert [guess.label for guess in Localizer(predictor(LABELS[:3]), Told(LABELS[:3]))(IMAGE)] == [2, 1, 0]


def test_an_image_that_cannot_be_used_has_a_reply_that_says_why() -> None:
    found = Localizer(predictor(), Told(LABELS)).reply(1, annotated(2, b"no image"))
    assert "x.png is not an image" in found.error
    assert (found.truth, found.guesses, found.given) == (2, (), None)
    large = Localizer(predictor(dense=True), Told(LABELS)).reply(1, annotated(2, torch.zeros(3, 10, 400, dtype=torch.uint8)))
    assert "more than 4,000,000 pixels" in large.error


def test_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in the classes g, x"):
        Localizer(predictor(), Told((*LABELS[:6], "x")))
    assert Localizer(predictor(), Told(LABELS)).labels == LABELS
