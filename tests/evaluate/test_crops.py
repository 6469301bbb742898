"""Crops equal the obvious loop: scale with torchvision, cut, mirror, ask for one crop at a time, average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor, nn

from fourfold.catalog import ModelEntry, Network
from fourfold.evaluate.crops import Crops, single_view
from fourfold.evaluate.views import CENTRE, GRID, NINE, TEN, TEN_WHOLE, THREE_SQUARES, Layout
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.networks import build
from fourfold.train.initialise import He

LABELS = ("red", "green", "blue")
LAYOUTS = {"ten": TEN, "ten whole": TEN_WHOLE, "grid": GRID, "three squares": THREE_SQUARES, "nine": NINE}
# two landscapes of one size, a portrait, a square, one that must be scaled up, and a strip
SHAPES = ((60, 81), (60, 81), (77, 50), (48, 48), (9, 12), (40, 200))


def colour_network(size: int) -> Network:
    """Scores are the mean of each channel divided by 100."""
    classify = nn.Linear(3, 3, bias=False)
    nn.init.eye_(classify.weight)
    head = MeanHead(sequential({"fc": classify}), side=size)
    classifier = Classifier(sequential({"none": nn.Identity()}), head, input_size=size).eval()
    return Network(classifier, Pixels(std=(100.0,) * 3), LABELS, ModelEntry(name="colours", network="colours"))


def small_network(seed: int = 0) -> Network:
    """A VGG of 32 pixels whose answers depend on where things lie."""
    classifier = build("vgg-a", classes=5, input_size=32, width=0.1)
    He()(classifier, torch.Generator().manual_seed(seed))
    pixels = Pixels(mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 55.0))
    return Network(classifier.eval(), pixels, tuple("abcde"), ModelEntry(name="small", network="vgg-a"))


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """Large spots rather than single pixels, which would be gone after scaling."""
    generator = torch.Generator().manual_seed(1000 * height + width + seed)
    spots = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=generator)
    return reference.resize(spots, [height, width], antialias=True)


def photos() -> list[Tensor]:
    return [noise(*shape, seed=number) for number, shape in enumerate(SHAPES)]


@torch.inference_mode()
def slowly(network: Network, protocol: Crops, image: Tensor) -> Tensor:
    """Posteriors (V,K) of the protocol's views, each cut and shown by itself, as written by hand from its parameters."""
    given = []
    for scale in protocol.scales:
        scaled = reference.resize(image, [scale], antialias=True)
        for top, left, side in protocol.layout(scaled.shape[1], scaled.shape[2], protocol.size):
            crop = reference.crop(scaled, top, left, side, side)
            crop = reference.resize(crop, [protocol.size, protocol.size], antialias=True)
            for shown in [crop, reference.hflip(crop)] if protocol.are_mirrored else [crop]:
                given.append(network.classifier(network.pixels(shown[None])).softmax(1)[0])
    return torch.stack(given)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("are_mirrored", [False, True], ids=["plain", "mirrored"])
def test_the_posterior_is_the_mean_over_crops_shown_one_by_one(layout: Layout, are_mirrored: bool) -> None:
    network, protocol = small_network(), Crops((37, 48), 32, layout, are_mirrored)
    images = photos()

    posteriors = protocol(network, images)

    for image, posterior in zip(images, posteriors, strict=True):
        expected = slowly(network, protocol, image)
        assert expected.std(0).max() > 1e-3  # or views would not tell apart
        torch.testing.assert_close(posterior, expected.mean(0), rtol=0, atol=1e-5)  # batches sum in another order


def test_the_maximum_over_crops_is_taken_class_by_class_and_brought_to_sum_1() -> None:
    network, protocol = small_network(), Crops((37, 41), 32, THREE_SQUARES, combine="max")
    images = photos()

    posteriors = protocol(network, images)

    for image, posterior in zip(images, posteriors, strict=True):
        highest = slowly(network, protocol, image).amax(0)
        assert highest.sum() > 1.01
        torch.testing.assert_close(posterior, highest / highest.sum(), rtol=0, atol=1e-5)


def test_crops_come_in_the_order_of_the_views() -> None:
    protocol = Crops((37, 48), 32, THREE_SQUARES)
    image = noise(60, 81)

    crops = list(protocol.cut(image))

    views = protocol.views(60, 81)
    assert len(crops) == len(views) == 72
    for crop, view in zip(crops, views, strict=True):
        scaled = reference.resize(image, list(view.scaled), antialias=True)
        part = reference.crop(scaled, view.top, view.left, view.height, view.width)
        part = reference.resize(part, [32, 32], antialias=True)
        assert torch.equal(crop, reference.hflip(part) if view.is_mirrored else part)


def test_many_images_fill_batches_and_none_is_mixed_up() -> None:
    network, protocol = colour_network(32), Crops((40,), 32, TEN)  # 784 crops of 32 pixels go together
    images = [torch.full((3, 40, 41), 7 * number % 256, dtype=torch.uint8) for number in range(161)]
    for number, image in enumerate(images):
        image[number % 3] = 255

    posteriors = protocol(network, images)

    means = torch.stack([image.float().mean((1, 2)) / 100 for image in images])
    torch.testing.assert_close(posteriors, means.softmax(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("size", "scale"), [(32, 32), (127, 127), (128, 256), (224, 256), (227, 256)])
def test_large_networks_see_a_crop_of_256_and_small_ones_the_whole_image(size: int, scale: int) -> None:
    assert single_view(size) == Crops((scale,), size, CENTRE, are_mirrored=False)


@pytest.mark.parametrize(("height", "width"), [(40, 61), (61, 40), (9, 12), (33, 33)])
def test_the_single_view_is_the_centre_of_the_scaled_image(height: int, width: int) -> None:
    image = noise(height, width)

    (view,) = Crops((40,), 32, CENTRE, are_mirrored=False).cut(image)

    expected = reference.center_crop(reference.resize(image, [40], antialias=True), [32, 32])
    assert torch.equal(view, expected)


def test_posteriors_are_the_softmax_of_each_images_scores_in_order() -> None:
    images = [noise(16, 16), noise(16, 30) // 2, noise(50, 16) // 3]

    posteriors = single_view(16)(colour_network(16), images)

    means = [reference.center_crop(image, [16, 16]).numpy().mean((1, 2)) / 100 for image in images]
    expected = [np.exp(mean) / np.exp(mean).sum() for mean in means]
    assert posteriors.numpy() == pytest.approx(np.stack(expected), abs=1e-6)  # float32 means of 256 values


def test_a_scale_smaller_than_the_crop_is_refused() -> None:
    with pytest.raises(
        ValueError, match="scale 31 is smaller than the network's 32x32 window; use scales of at least 32 pix"
    ):
        Crops((48, 31), 32, GRID)


def test_a_network_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="small reads 32x32 pixels, and the protocol gives 224x224; make the protocol for"):
        Crops((256,), 224, TEN)(small_network(), [noise(60, 81)])


def test_crops_say_what_they_are() -> None:
    assert str(Crops((32,), 32, CENTRE, are_mirrored=False)) == "centre 32 of shorter side 32"
    assert str(Crops((256,), 224, CENTRE, are_mirrored=False)) == "centre 224 crop of shorter side 256"
    assert str(Crops((256, 384), 224, GRID)) == (
        "224 crops of shorter side 256, 384: a grid of 5 x 5 places, mirrored too; posteriors averaged"
    )
    assert str(Crops((256,), 224, TEN, are_mirrored=False, combine="max")) == (
        "224 crops of shorter side 256: the corners and the centre of the central square; posteriors fused by their maximum"
    )
