"""The single view shows a network the pixels that the papers name, and gives the softmax of its scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor, nn

from fourfold.catalog import ModelEntry, Network
from fourfold.evaluate.protocol import CentreView, single_view
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential

LABELS = ("red", "green", "blue")


def colour_network(size: int) -> Network:
    """Scores are the mean of each channel divided by 100."""
    classify = nn.Linear(3, 3, bias=False)
    nn.init.eye_(classify.weight)
    head = MeanHead(sequential({"fc": classify}), side=size)
    classifier = Classifier(sequential({"none": nn.Identity()}), head, input_size=size).eval()
    return Network(classifier, Pixels(std=(100.0,) * 3), LABELS, ModelEntry(name="colours", network="colours"))


def noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(height))


@pytest.mark.parametrize(("size", "scale"), [(32, 32), (127, 127), (128, 256), (224, 256), (227, 256)])
def test_large_networks_see_a_crop_of_256_and_small_ones_the_whole_image(size: int, scale: int) -> None:
    assert single_view(size) == CentreView(scale=scale, size=size)


@pytest.mark.parametrize(("height", "width"), [(40, 61), (61, 40), (9, 12), (33, 33)])
def test_the_view_is_the_centre_of_the_scaled_image(height: int, width: int) -> None:
    image = noise(height, width)

    view = CentreView(scale=40, size=32).view(image)

    expected = reference.center_crop(reference.resize(image, [40], antialias=True), [32, 32])
    assert torch.equal(view, expected)


def test_posteriors_are_the_softmax_of_each_images_scores_in_order() -> None:
    images = [noise(16, 16), noise(16, 30) // 2, noise(50, 16) // 3]

    posteriors = CentreView(scale=16, size=16)(colour_network(16), images)

    means = [reference.center_crop(image, [16, 16]).numpy().mean((1, 2)) / 100 for image in images]
    expected = [np.exp(mean) / np.exp(mean).sum() for mean in means]
    assert posteriors.numpy() == pytest.approx(np.stack(expected), abs=1e-6)  # float32 means of 256 values
    assert posteriors.dtype == torch.float32
    assert not posteriors.requires_grad


def test_an_image_gets_the_same_answer_alone_and_among_others() -> None:
    network, view = colour_network(16), CentreView(scale=16, size=16)
    images = [noise(20, 30), noise(31, 17), noise(16, 16)]

    together = view(network, images)

    alone = torch.cat([view(network, [image]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)  # batches may be summed in another order


def test_a_protocol_says_what_it_does() -> None:
    assert str(CentreView(scale=32, size=32)) == "centre 32 of shorter side 32"
    assert str(CentreView(scale=256, size=224)) == "centre 224 crop of shorter side 256"
