"""Promises that every network keeps, whichever paper it is from."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fourfold.models.base import Classifier
from fourfold.networks import NETWORKS, build
from fourfold.train.initialise import He

DEEPEST = ("resnet1202", "plain1202")  # the same code as resnet110, at ten times its cost
NAMES = [name for name in NETWORKS if name not in DEEPEST]
WIDTH = 0.25


def narrow(name: str) -> Classifier:
    """A narrow copy with weights and running statistics that tell every tensor apart."""
    torch.manual_seed(0)
    network = build(name, classes=6, width=WIDTH)
    generator = torch.Generator().manual_seed(1)
    He()(network, generator)  # torch's own initialisation lets the signal of a deep narrow net die
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.randn(layer.num_features, generator=generator) * 0.1  # type: ignore[assignment]
            layer.running_var = torch.rand(layer.num_features, generator=generator) + 0.5  # type: ignore[assignment]
    return network.eval()


def pixels_for(network: Classifier, count: int = 2) -> torch.Tensor:
    size = network.input_size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(2))


def test_there_are_networks_to_test() -> None:
    assert len(NAMES) == 36


@pytest.mark.parametrize("name", NAMES)
def test_dense_on_a_training_size_image_equals_forward(name: str) -> None:
    network = narrow(name)
    pixels = pixels_for(network)
    with torch.inference_mode():
        dense, plain = network.dense(pixels), network(pixels)
    assert dense.shape == (2, 6, 1, 1)
    # convolution and matrix product sum in different orders
    torch.testing.assert_close(dense[:, :, 0, 0], plain, rtol=1e-4, atol=1e-5 * float(plain.abs().max() + 1))


@pytest.mark.parametrize("name", NAMES)
def test_an_image_scores_the_same_alone_and_in_a_batch(name: str) -> None:
    network = narrow(name)
    pixels = pixels_for(network, 3)
    with torch.inference_mode():
        together, alone = network(pixels), network(pixels[1:2])
    assert not torch.allclose(together[0], together[1])  # or the comparison would say nothing
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_the_loss_reaches_every_parameter(name: str) -> None:
    network = narrow(name).train()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.1  # so that no unit of a narrow layer is dropped in both images
    scores = network.all_scores(pixels_for(network))
    sum(score.square().sum() for score in scores).backward()  # type: ignore[union-attr]
    without = [n for n, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_weights_put_into_a_fresh_network_give_the_same_scores(name: str) -> None:
    network = narrow(name)
    torch.manual_seed(5)
    fresh = build(name, classes=6, width=WIDTH).eval()
    fresh.load_state_dict(copy.deepcopy(network.state_dict()))
    pixels = pixels_for(network, 1)
    with torch.inference_mode():
        torch.testing.assert_close(fresh(pixels), network(pixels), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_in_the_papers_width_says_nothing_of_deviations(name: str) -> None:
    with torch.device("meta"):
        assert build(name).deviations == ()


@pytest.mark.parametrize("name", [name for name in NAMES if build(name, width=WIDTH).input_size >= 224])
def test_a_larger_image_has_one_dense_score_for_each_window(name: str) -> None:
    with torch.device("meta"):
        network = build(name, width=WIDTH).eval()
        stride, size = network.field.stride, network.input_size
        dense = network.dense(torch.empty(1, 3, size + 2 * stride, size + 3 * stride))
    assert dense.shape[-2:] == (3, 4)
