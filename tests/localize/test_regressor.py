"""A classifier becomes a network that gives boxes: its last layer is new, all else is copied."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.data.dice import generator_for
from fourfold.localize.regressor import box_network, tuned, with_boxes
from fourfold.networks import build
from fourfold.train.initialise import He

LABELS = ("a", "b", "c")
HEADS = {
    "flat": ("alexnet", {"input_size": 32, "width": 0.125}),
    "pyramid": ("resnet20", {"width": 0.25, "levels": [2, 1], "units": 8}),
    "mean": ("resnet20", {"width": 0.5}),
    "auxiliary": ("googlenet", {"input_size": 32, "width": 0.125}),
}


def start_of(kind: str) -> Network:
    name, options = HEADS[kind]
    try:
        classifier = build(name, classes=3, **options)
    except ValueError:
        classifier = build(name, classes=3, **{key: value for key, value in options.items() if key != "input_size"})
    He()(classifier, generator_for("start", kind))
    return Network(classifier.eval().requires_grad_(False), PIXELS["half"], LABELS, ModelEntry("", name))


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("kind", HEADS)
def test_the_last_layer_alone_is_new(kind: str, per_class: bool) -> None:
    start = start_of(kind)
    found = box_network(start, per_class=per_class, scale=300, generator=generator_for(1))
    theirs, ours = start.classifier.state_dict(), found.classifier.state_dict()
    last = [name for name, _ in start.classifier.head.fc.named_children()][-1]

    assert {name for name in theirs if not name.startswith("auxiliaries.")} == set(ours)
    new = {name for name in ours if ours[name].shape != theirs[name].shape or not torch.equal(ours[name], theirs[name])}
    assert new == {f"head.fc.{last}.weight", f"head.fc.{last}.bias"}
    weight = ours[f"head.fc.{last}.weight"]
    cells = start.classifier.head.side**2 if kind == "mean" else 1  # the new layer reads each of them
    assert weight.shape == (12 if per_class else 4, cells * theirs[f"head.fc.{last}.weight"].shape[1])
    assert 0.005 < float(weight.std()) < 0.015
    size = start.classifier.input_size
    pixels = torch.rand(2, 3, size, size, generator=generator_for("pixels"))
    assert found.classifier(pixels).shape == (2, 12 if per_class else 4)
    assert found.classifier.dense(pixels).shape == (2, 12 if per_class else 4, 1, 1)
    assert start.classifier(pixels).shape == (2, 3), "the classifier stays as it was"
    assert (found.labels, found.scale, found.per_class) == (LABELS, 300, per_class)


def test_boxes_begin_as_the_middle_of_the_window() -> None:
    found = box_network(start_of("pyramid"), per_class=True, scale=32, generator=generator_for(1))
    last = found.classifier.head.fc[-1]
    assert isinstance(last, nn.Linear)
    assert last.bias.tolist() == [0.5] * 12


def test_weights_are_a_function_of_the_generator() -> None:
    start = start_of("pyramid")
    one, same, other = (
        box_network(start, per_class=True, scale=32, generator=generator_for(seed)).classifier.state_dict()[
            "head.fc.fc8.weight"
        ]
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_class_has_its_own_four_outputs_or_the_same_as_all() -> None:
    start = start_of("pyramid")
    own, shared = (box_network(start, per_class=each, scale=32, generator=generator_for(1)) for each in (True, False))
    outputs = torch.arange(2 * 12 * 5 * 7).view(2, 12, 5, 7)
    assert own.codes_for(outputs, 2)[1, :, 3, 4].tolist() == outputs[1, 8:12, 3, 4].tolist()
    assert own.codes_for(outputs[..., 0, 0], 0).tolist() == outputs[:, :4, 0, 0].tolist()
    assert torch.equal(shared.codes_for(outputs[:, :4], 2), outputs[:, :4])


@pytest.mark.parametrize("layers", ["fc", "all"])
def test_gradients_are_asked_for_where_layers_are_tuned(layers: str) -> None:
    assert layers in ("fc", "all")
    found = tuned(with_boxes(start_of("pyramid").classifier, 1, "made"), layers)  # pyright: ignore[reportArgumentType]
    asked = {name.split(".")[0] for name, each in found.named_parameters() if each.requires_grad}
    assert asked == ({"head"} if layers == "fc" else {"head", "trunk"})
    assert all(each.requires_grad for each in found.head.parameters())


def test_what_cannot_give_boxes_is_refused() -> None:
    nin = Network(build("nin", classes=3), PIXELS["half"], LABELS, ModelEntry("", "nin"))
    with pytest.raises(ValueError, match="nin has no fc layer"):
        box_network(nin, per_class=True, scale=32, generator=generator_for(0))
    with pytest.raises(ValueError, match="no 32x32 window fits images of scale 31"):
        box_network(start_of("mean"), per_class=True, scale=31, generator=generator_for(0))
