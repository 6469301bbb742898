"""A predictor is asked about many images in batches: every source gets its own answer, or the reason why it has none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fourfold.answering import BATCH, Answer, answer_each
from fourfold.catalog import ModelEntry, Network
from fourfold.evaluate import protocol
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.whole import Dense
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.sources import Failure


def colours() -> Predictor:
    """Scores are the mean of each channel divided by 25; asked densely, so that a long strip is too large."""
    classify = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.eye_(classify.weight)
    head = MeanHead(sequential({"fc": classify}), side=8)
    classifier = Classifier(sequential({"none": torch.nn.Identity()}), head, input_size=8).eval()
    network = Network(
        classifier, Pixels(std=(25.0,) * 3), ("red", "green", "blue"), ModelEntry(name="colours", network="colours")
    )
    return Predictor((Member(network, Dense((8,), 8)),))


def of_colour(channel: int, height: int = 9, width: int = 12) -> Tensor:
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[channel] = 200
    return image


def test_every_source_is_answered_in_order_over_several_batches() -> None:
    channels = [index % 3 for index in range(BATCH + 5)]

    answers = list(answer_each(colours(), [of_colour(channel) for channel in channels], top=2))

    assert [answer.top[0].index for answer in answers if isinstance(answer, Answer)] == channels
    assert all(isinstance(answer, Answer) and len(answer.top) == 2 for answer in answers)


def test_an_image_that_becomes_too_large_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_PIXELS", 8 * 80)

    first, strip, last = answer_each(colours(), [of_colour(0), of_colour(1, 10, 200), of_colour(2)], top=1)

    assert isinstance(strip, Failure)
    assert "an image of 200x10 becomes 160x8" in strip.error
    assert [each.top[0].label for each in (first, last) if isinstance(each, Answer)] == ["red", "blue"]


def test_probabilities_are_the_softmax_of_the_scores_and_name_model_and_protocol() -> None:
    (answer,) = answer_each(colours(), [of_colour(1)], top=3)

    assert isinstance(answer, Answer)
    assert answer.top[0].probability == pytest.approx(1 / (1 + 2 * 2.718281828**-8), abs=1e-6)  # scores 0, 8, 0
    assert [guess.label for guess in answer.top] == ["green", "red", "blue"]  # of equal ones the first is first
    assert (answer.model, answer.protocol.split(" over")[0]) == ("colours", "dense")


def test_fewer_than_one_class_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="top is 0; ask for at least 1 class"):
        next(answer_each(colours(), [of_colour(1)], top=0))


def test_what_cannot_be_read_is_passed_on(tmp_path: Path) -> None:
    (failure,) = answer_each(colours(), [Failure(str(tmp_path), "no images")], top=1)

    assert isinstance(failure, Failure)
    assert failure.error == "no images"
