"""Methods as values, and networks made ready to score regions."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.detect.method import Method, for_detection
from fourfold.detect.regions import PooledRegions, WarpedRegions
from fourfold.models.base import FlattenHead, MeanHead, PyramidHead
from fourfold.networks import build
from fourfold.papers.detectors import GOOGLENET, MODERN, RCNN, SPPNET
from fourfold.train.initialise import He
from fourfold.train.schedule import Progress

CLASSES = ("cat", "dog", "red panda", "cup", "hat", "jug")


def start_of(name: str, classes: int = 7, **options: object) -> Network:
    """A network with weights, biases and statistics that differ from new ones."""
    classifier = build(name, classes=classes, **options)
    dice = torch.Generator().manual_seed(1)
    He()(classifier, dice)
    for key, value in classifier.state_dict().items():
        if key.endswith(("bias", "running_mean", "running_var")):
            value.copy_(torch.rand(value.shape, generator=dice) + 0.5)
    entry = ModelEntry(name="old", network=name, options={**options, "classes": classes}, licence="MIT")
    return Network(classifier.eval(), PIXELS["half"], tuple("abcdefghij"[:classes]), entry)


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(name == key and torch.equal(value, theirs) for (name, value), (key, theirs) in pairs)


def linear(network: Network, name: str) -> nn.Linear:
    layer = dict(network.classifier.head.fc.named_children())[name]
    assert isinstance(layer, nn.Linear)
    return layer


def test_a_mean_becomes_a_pyramid_with_fc6_and_fc7() -> None:
    start = start_of("resnet20", width=0.5)
    network, new = for_detection(start, CLASSES, MODERN, seed=3)

    head = network.classifier.head
    assert isinstance(head, PyramidHead)
    assert head.levels == (6, 3, 2, 1)  # SPP-net 3.1.2
    assert same(network.classifier.trunk, start.classifier.trunk)
    assert new == [f"head.fc.fc{number}.{kind}" for number in (6, 7, 8) for kind in ("weight", "bias")]
    assert (linear(network, "fc6").in_features, linear(network, "fc8").out_features) == (32 * 50, len(CLASSES) + 1)
    assert float(linear(network, "fc6").weight.std()) == pytest.approx((2 / (32 * 50)) ** 0.5, rel=0.02)  # He
    assert float(linear(network, "fc8").weight.std()) == pytest.approx(0.01, rel=0.05)  # SPP-net 4.3
    assert float(linear(network, "fc8").bias.abs().max()) == 0
    assert network.labels == (*CLASSES, "background")
    assert network.pixels is start.pixels
    assert network.classifier(torch.randn(2, 3, 44, 52)).shape == (2, 7)


@pytest.mark.parametrize("method", [MODERN, RCNN])
def test_the_record_of_a_network_made_ready_builds_it_again(method: Method) -> None:
    network, _ = for_detection(start_of("resnet20", width=0.5), CLASSES, method, seed=0)
    options = json.loads(json.dumps(network.entry.options))
    again = build(network.entry.network, **options)
    again.load_state_dict(network.classifier.state_dict())
    assert str(again) == str(network.classifier)
    assert network.entry.name == ""
    assert "spatial pyramid (6, 3, 2, 1) (SPP-net 2.2) in place of the global mean" in network.entry.deviations


def test_a_mean_is_kept_where_the_method_says_so() -> None:
    start = start_of("resnet20", width=0.5)
    network, new = for_detection(start, CLASSES, GOOGLENET, seed=3)
    assert isinstance(network.classifier.head, MeanHead)
    assert new == ["head.fc.fc.weight", "head.fc.fc.bias"]
    assert same(network.classifier.trunk, start.classifier.trunk)
    assert not torch.equal(linear(network, "fc").weight, linear(start, "fc").weight), "scores of as many classes are new too"


def test_scores_are_new_beside_auxiliary_heads_even_where_the_start_has_as_many() -> None:
    start = start_of("googlenet", input_size=32, width=0.1)
    network, new = for_detection(start, CLASSES, GOOGLENET, seed=3)
    assert new == ["head.fc.fc.weight", "head.fc.fc.bias"]
    assert float(linear(network, "fc").weight.std()) == pytest.approx(0.01, rel=0.1)
    assert float(linear(network, "fc").bias.abs().max()) == 0


@pytest.mark.parametrize("classes", [7, 10])
def test_fc_layers_that_fit_are_copied_but_not_the_scores(classes: int) -> None:
    start = start_of("zf5-spp", classes, input_size=32, width=0.1)
    network, new = for_detection(start, CLASSES, SPPNET, seed=3)
    assert new == ["head.fc.fc8.weight", "head.fc.fc8.bias"]
    assert same(network.classifier.trunk, start.classifier.trunk)
    for name in ("fc6", "fc7"):
        assert same(linear(network, name), linear(start, name))
    assert linear(network, "fc8").weight.shape == (7, 51)
    assert float(linear(network, "fc8").weight.std()) == pytest.approx(0.01, rel=0.15)  # of 357 numbers
    assert float(linear(network, "fc8").bias.abs().max()) == 0


def test_fc_layers_for_one_map_become_a_pyramid_only_where_regions_are_pooled() -> None:
    start = start_of("vgg-a", input_size=32, width=0.05)

    warped, new = for_detection(start, CLASSES, RCNN, seed=3)
    assert isinstance(warped.classifier.head, FlattenHead)
    assert new == ["head.fc.fc8.weight", "head.fc.fc8.bias"]
    assert same(linear(warped, "fc6"), linear(start, "fc6"))

    pooled, new = for_detection(start, CLASSES, SPPNET, seed=3)
    assert isinstance(pooled.classifier.head, PyramidHead)
    assert new == [f"head.fc.{name}" for name in ("fc6.weight", "fc6.bias", "fc8.weight", "fc8.bias")], "whole layers"
    assert same(linear(pooled, "fc7"), linear(start, "fc7"))
    kept = {name: value for name, value in start.classifier.trunk.state_dict().items() if "pool" not in name}
    assert all(torch.equal(value, kept[name]) for name, value in pooled.classifier.trunk.state_dict().items())


def test_new_weights_follow_from_the_seed_and_the_start_stays_as_it_is() -> None:
    start = start_of("resnet20", width=0.5)
    before = {name: value.clone() for name, value in start.classifier.state_dict().items()}
    one, other, third = (for_detection(start, CLASSES, MODERN, seed=seed)[0].classifier for seed in (0, 0, 1))
    assert same(one, other)
    assert not torch.equal(one.state_dict()["head.fc.fc7.weight"], third.state_dict()["head.fc.fc7.weight"])
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in start.classifier.state_dict().items())
    assert not any(parameter.requires_grad for parameter in other.parameters())
    assert not other.training


@pytest.mark.parametrize(
    ("name", "options", "method", "words"),
    [
        ("alexnet", {"width": 0.05}, MODERN, "alexnet cannot score regions by this method .*spatial pyramid"),
        ("nin", {"width": 0.1}, MODERN, "nin cannot score regions by this method"),
        ("nin", {"width": 0.1}, GOOGLENET, "nin has no fc layer to score regions with"),
    ],
)
def test_networks_that_cannot_score_regions_are_refused(name: str, options: dict, method: Method, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        for_detection(start_of(name, **options), CLASSES, method, seed=0)


def test_weights_that_do_not_fit_the_network_are_refused() -> None:
    start = start_of("resnet20", width=0.5)
    wrong = replace(start, entry=replace(start.entry, options={"width": 1.0}))
    with pytest.raises(ValueError, match="old does not fit resnet20"):
        for_detection(wrong, CLASSES, MODERN, seed=0)


def test_a_class_called_like_what_shows_none_is_refused() -> None:
    with pytest.raises(ValueError, match="a class is called 'background'"):
        for_detection(start_of("resnet20"), ("cat", "background"), MODERN, seed=0)


def test_another_length_is_said_and_stretches_the_schedule() -> None:
    short = RCNN.with_steps(700)
    assert short.tuning is not None
    assert short.tuning.steps == 700
    rates = [short.tuning.rate(Progress(step, 700)) for step in (0, 199, 200, 400, 600)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-6])
    assert short.deviations == ("fine-tuned for 700 mini-batches, not 70,000; the schedule is stretched to that",)
    assert RCNN.with_steps(70_000) == RCNN

    none = RCNN.with_steps(0)
    assert (none.tuning, none.deviations) == (None, ("no fine-tuning",))
    with pytest.raises(ValueError, match="-1 mini-batches cannot be; give 0 or more"):
        RCNN.with_steps(-1)
    with pytest.raises(ValueError, match="not tuned to regions has no scores"):
        GOOGLENET.with_steps(0)


def test_another_lambda_and_another_rate_are_said() -> None:
    soft = SPPNET.with_decay(12)
    assert soft.ridge is not None
    assert (soft.ridge.decay, soft.ridge.overlap) == (12, 0.5)
    assert soft.deviations == ("box regression with a lambda of 12, not 4000",)
    quick = soft.at_rate(0.02)
    assert quick.tuning is not None
    assert [quick.tuning.rate(Progress(step, 6)) for step in (0, 5)] == pytest.approx([0.02, 0.002])
    assert quick.deviations == (*soft.deviations, "a learning rate of 0.02")


@pytest.mark.parametrize("decay", [0.0, -3.0, float("nan")])
def test_a_lambda_that_holds_nothing_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="leaves box regression without hold"):
        RCNN.with_decay(decay)


def test_what_a_method_has_not_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="no boxes are moved by this method"):
        GOOGLENET.with_decay(1000)
    with pytest.raises(ValueError, match="nothing is tuned by this method"):
        RCNN.with_steps(0).at_rate(0.1)


@pytest.mark.parametrize("method", [RCNN, SPPNET, GOOGLENET, MODERN, RCNN.with_steps(0)])
def test_a_description_is_json_and_tells_methods_apart(method: Method) -> None:
    said = json.dumps(method.description())
    assert method.source in said
    assert said != json.dumps(replace(method, regions=PooledRegions((99,))).description())
    assert said != json.dumps(replace(method, regions=WarpedRegions(context=3)).description())
    if method.tuning is not None:
        other = replace(method.tuning, weight_decay=0.125)
        assert json.dumps(method.tuning.description()) != json.dumps(other.description())
