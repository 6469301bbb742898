"""Responses and gradients by layer, against the same computed without hooks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.data.examples import Examples
from fourfold.networks import build
from fourfold.reproduce.claim import Measured, Scene
from fourfold.reproduce.effort import Effort
from fourfold.reproduce.made import made_splits
from fourfold.reproduce.probed import Probed, gradients, responses
from fourfold.reproduce.trained import Trained, digest
from fourfold.train.initialise import He

EFFORT = Effort(train_images=40, val_images=30, epochs=1, seeds=1, batch_size=10)
NET = Trained("resnet20", "resnet-cifar", smoke={"width": 0.25})


def network_of(name: str, **options: object) -> Network:
    classifier = build(name, **options)
    He()(classifier, torch.Generator().manual_seed(1))
    for layer in classifier.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(generator=torch.Generator().manual_seed(2))
            layer.running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(3))
    labels = tuple(map(str, range(10)))
    return Network(classifier.eval().requires_grad_(False), PIXELS["cifar10"], labels, ModelEntry(name, name))


@pytest.fixture
def examples() -> Examples:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (12, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Examples(images, torch.randint(10, (12,), generator=generator), tuple(map(str, range(10))))


@pytest.mark.parametrize(("name", "options", "layers"), [("resnet20", {"shortcut": "C"}, 19), ("plain20", {}, 19)])
def test_responses_are_those_behind_batch_norm_without_the_shortcuts(
    name: str, options: dict[str, object], layers: int, examples: Examples
) -> None:
    network = network_of(name, width=0.5, **options)
    found = responses(network, examples)
    names = [each for each in network.classifier.feature_names if each.rpartition(".")[2].startswith("bn")]
    kept = [each for each in names if "shortcut" not in each]
    outputs = network.features(examples.images, kept)
    expected = [outputs[each].std().item() for each in kept]
    assert len(expected) == layers
    assert [x for x, _ in found.curves["responses"]] == list(range(1, layers + 1))
    assert [y for _, y in found.curves["responses"]] == pytest.approx(expected, rel=1e-5)
    assert found.values["mean_std"] == pytest.approx(sum(expected) / layers, rel=1e-5)


def test_no_hook_stays_behind(examples: Examples) -> None:
    network = network_of("resnet20", width=0.25)
    first = responses(network, examples)
    assert responses(network, examples) == first
    assert all(not layer._forward_hooks for layer in network.classifier.modules())


def test_gradients_are_those_of_the_loss_in_training(examples: Examples) -> None:
    network, twin = network_of("plain20", width=0.5), network_of("plain20", width=0.5).classifier
    found = gradients(network, examples)
    twin.train().requires_grad_(True)
    F.cross_entropy(twin(network.pixels(examples.images)), examples.labels).backward()
    norms = [p.grad.norm().item() for name, p in twin.trunk.named_parameters() if p.ndim == 4 and p.grad is not None]
    assert len(norms) == 19
    assert [y for _, y in found.curves["gradient"]] == pytest.approx(norms, rel=1e-4)
    assert found.values["first_to_last"] == pytest.approx(norms[0] / norms[-1], rel=1e-4)
    assert found.values["least"] == pytest.approx(min(norms) / max(norms), rel=1e-4)


def test_the_network_is_left_ready_to_answer(examples: Examples) -> None:
    network = network_of("vgg-a", input_size=32, width=0.125, classes=10)
    first = gradients(network, examples)
    assert gradients(network, examples).values == first.values, "dropout draws alike each time"
    assert not network.classifier.training
    assert not any(parameter.requires_grad for parameter in network.classifier.parameters())


def shapes(network: Network, examples: Examples) -> Measured:
    """A probe that says what it was given."""
    labels = examples.labels.bincount(minlength=10).tolist()
    return Measured({"images": len(examples), "most": max(labels), "classes": len(network.labels)})


def test_a_probe_sees_images_that_were_not_learned_from(tmp_path: Path) -> None:
    scene = Scene("smoke", EFFORT, made_splits(EFFORT), tmp_path)
    arm = Probed(NET, shapes)
    assert arm.measure(scene, 0).values == {"images": 30, "most": 3, "classes": 10}
    assert len({digest(each.record(scene)) for each in (arm, Probed(NET, responses), NET)}) == 3
