"""Several networks are averaged class by class, whatever the order of the classes, each with its own pixels and protocol."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor, nn

from fourfold.catalog import ModelEntry, Network
from fourfold.evaluate.crops import Crops, single_view
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.views import TEN
from fourfold.evaluate.whole import Dense
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential


def colour_network(labels: tuple[str, ...], pixels: Pixels, size: int = 16) -> Network:
    """Scores of red, green and blue are the mean of their channel, whatever the order of the labels."""
    classify = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        classify.weight.copy_(torch.eye(3)[[("red", "green", "blue").index(label) for label in labels]])
    head = MeanHead(sequential({"fc": classify}), side=size)
    classifier = Classifier(sequential({"none": nn.Identity()}), head, input_size=size).eval()
    return Network(classifier, pixels, labels, ModelEntry(name="-".join(labels), network="colours"))


def noise(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * height + width)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    return image // torch.tensor([1, 2, 4], dtype=torch.uint8).view(3, 1, 1)  # so that the classes differ


RGB = colour_network(("red", "green", "blue"), Pixels(std=(100.0,) * 3))
BRG = colour_network(("blue", "red", "green"), Pixels(mean=(30.0, 20.0, 10.0), std=(50.0, 60.0, 70.0)))


def means(image: Tensor) -> Tensor:
    """Of the channels of the central 16x16."""
    return reference.center_crop(reference.resize(image, [16], antialias=True), [16, 16]).float().mean((1, 2))


def test_networks_with_another_order_of_classes_are_averaged_by_name() -> None:
    images = [noise(16, 20), noise(40, 16), noise(30, 30)]

    predictor = Predictor((Member(RGB, single_view(16)), Member(BRG, single_view(16))))
    posteriors = predictor(images)

    for image, posterior in zip(images, posteriors, strict=True):
        mean = means(image)
        other = (mean - torch.tensor([30.0, 20.0, 10.0])) / torch.tensor([50.0, 60.0, 70.0])
        expected = ((mean / 100).softmax(0) + other.softmax(0)) / 2
        torch.testing.assert_close(posterior, expected, rtol=0, atol=1e-5)
    assert predictor.labels == ("red", "green", "blue")


def test_the_first_network_gives_the_order_of_the_classes() -> None:
    image = noise(16, 20)

    one = Predictor((Member(RGB, single_view(16)), Member(BRG, single_view(16))))([image])[0]
    other = Predictor((Member(BRG, single_view(16)), Member(RGB, single_view(16))))([image])[0]

    torch.testing.assert_close(other, one[[2, 0, 1]], rtol=0, atol=1e-6)


def test_each_member_is_asked_by_its_own_protocol() -> None:
    image, ten, dense = noise(30, 24), Crops((20,), 16, TEN), Dense((18,), 16)

    posteriors = Predictor((Member(RGB, ten), Member(RGB, dense), Member(RGB, dense)))([image])

    torch.testing.assert_close(posteriors, (ten(RGB, [image]) + 2 * dense(RGB, [image])) / 3, rtol=0, atol=1e-6)


def test_one_network_alone_answers_for_itself() -> None:
    predictor = Predictor((Member(BRG, single_view(16)),))
    image = noise(16, 20)

    assert torch.equal(predictor([image]), single_view(16)(BRG, [image]))
    assert (predictor.model, predictor.protocol, predictor.labels) == (
        "blue-red-green",
        "centre 16 of shorter side 16",
        BRG.labels,
    )
    assert predictor([]).shape == (0, 3)


def test_an_ensemble_names_its_networks_and_says_a_common_protocol_once() -> None:
    alike = Predictor((Member(RGB, single_view(16)), Member(BRG, single_view(16))))
    unlike = Predictor((Member(RGB, single_view(16)), Member(BRG, Dense((18,), 16))))

    assert alike.model == "red-green-blue + blue-red-green"
    assert alike.protocol == "centre 16 of shorter side 16"
    assert unlike.protocol == (
        "centre 16 of shorter side 16; dense over shorter side 18, mirrored too; scores of all places averaged, then softmax"
    )


def test_networks_of_other_classes_are_refused_in_one_line() -> None:
    other = colour_network(("red", "green", "blue"), Pixels())
    other = Network(other.classifier, other.pixels, ("red", "green", "cyan"), other.entry)

    with pytest.raises(ValueError, match=r"differ in the classes blue, cyan; an ensemble needs the same classes of all$"):
        Predictor((Member(RGB, single_view(16)), Member(other, single_view(16))))


def test_a_member_that_its_protocol_cannot_ask_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="blue-red-green reads 16x16 pixels, and the protocol gives 32x32"):
        Predictor((Member(RGB, single_view(16)), Member(BRG, single_view(32))))


def test_no_model_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no model is given; name one or several"):
        Predictor(())


def test_an_image_that_one_member_cannot_take_is_refused_beforehand_with_its_reason() -> None:
    predictor = Predictor((Member(RGB, single_view(16)), Member(RGB, Dense((640,), 16))))

    assert predictor.refusal(noise(16, 20)) is None
    strip = predictor.refusal(noise(5, 200))
    assert strip is not None
    assert strip.startswith("an image of 200x5 becomes 25600x640 at a shorter side of 640")
    with pytest.raises(ValueError, match="an image of 200x5 becomes 25600x640"):
        predictor([noise(5, 200)])
