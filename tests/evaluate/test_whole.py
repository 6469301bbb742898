"""Dense testing equals the plain network at its own size, and the fc layers slid over the map by hand at larger ones."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor, nn

from fourfold.catalog import ModelEntry, Network
from fourfold.evaluate.views import View
from fourfold.evaluate.whole import Dense, FullImage
from fourfold.images import Pixels
from fourfold.networks import build
from fourfold.train.initialise import He

NETWORKS = {  # every kind of head: flatten, mean with and without fc layers, pyramid
    "vgg-a": ("vgg-a", {"input_size": 32, "width": 0.1}),
    "zf5": ("zf5", {"input_size": 32, "width": 0.1}),
    "resnet20": ("resnet20", {"width": 0.5}),
    "googlenet": ("googlenet", {"input_size": 32, "width": 0.1}),
    "nin": ("nin", {"width": 0.1}),
    "zf5-spp": ("zf5-spp", {"input_size": 32, "width": 0.1}),
}
POOLING = [name for name in NETWORKS if name not in ("vgg-a", "zf5")]
SHAPES = ((60, 81), (60, 81), (77, 50), (48, 48), (9, 12))
CLASSES = 5


def make(name: str, **options: object) -> Network:
    """A network whose answers depend on where things lie."""
    classifier = build(name, classes=CLASSES, **options)
    generator = torch.Generator().manual_seed(0)
    He()(classifier, generator)
    for layer in classifier.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.randn(layer.num_features, generator=generator) * 0.1  # type: ignore[assignment]
    pixels = Pixels(mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 55.0))
    return Network(classifier.eval(), pixels, tuple("abcde"), ModelEntry(name=name, network=name))


def small(name: str) -> Network:
    network, options = NETWORKS[name]
    return make(network, **options)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """Large spots rather than single pixels, which would be gone after scaling."""
    generator = torch.Generator().manual_seed(1000 * height + width + seed)
    spots = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=generator)
    return reference.resize(spots, [height, width], antialias=True)


def scaled(image: Tensor, scale: int, *, is_mirrored: bool = False) -> Tensor:
    shown = reference.resize(image, [scale], antialias=True)
    return reference.hflip(shown) if is_mirrored else shown


@torch.inference_mode()
def score_map(network: Network, image: Tensor) -> Tensor:
    """(K,rows,columns): the head asked about every side x side window of the trunk's map, one after the other."""
    maps = network.classifier.trunk(network.pixels(image[None]))
    side = network.classifier.head.side
    rows, columns = maps.shape[2] - side + 1, maps.shape[3] - side + 1
    scores = torch.empty(CLASSES, rows, columns)
    for row in range(rows):
        for column in range(columns):
            window = maps[:, :, row : row + side, column : column + side].contiguous()
            scores[:, row, column] = network.classifier.head(window)[0]
    return scores


@pytest.mark.parametrize("name", NETWORKS)
def test_dense_at_the_networks_own_size_is_the_plain_network(name: str) -> None:
    network, image = small(name), noise(32, 32)

    posterior = Dense((32,), 32, are_mirrored=False)(network, [image])

    with torch.inference_mode():
        plain = network.classifier(network.pixels(image[None])).softmax(1)
    assert plain.std() > 1e-3
    torch.testing.assert_close(posterior, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("softmax_first", [False, True], ids=["scores averaged", "posteriors averaged"])
@pytest.mark.parametrize("name", NETWORKS)
def test_dense_is_the_head_at_every_window_over_scales_and_mirror_images(name: str, softmax_first: bool) -> None:
    network, scales = small(name), (32, 44, 64)
    images = [noise(*shape, seed=number) for number, shape in enumerate(SHAPES)]

    posteriors = Dense(scales, 32, softmax_first)(network, images)

    for image, posterior in zip(images, posteriors, strict=True):
        parts = []
        for scale in scales:
            for is_mirrored in (False, True):
                scores = score_map(network, scaled(image, scale, is_mirrored=is_mirrored)).flatten(1)
                parts.append(scores.softmax(0).mean(1) if softmax_first else scores.mean(1).softmax(0))
        assert torch.stack(parts).std(0).max() > 1e-4
        torch.testing.assert_close(posterior, torch.stack(parts).mean(0), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("scale", "places"), [(224, 1), (256, 2), (384, 6), (512, 10)])  # VGG: Q / 32 - 6
def test_a_vgg_of_224_gives_the_papers_score_maps_with_the_scores_of_its_windows(scale: int, places: int) -> None:
    network, image = make("vgg-a", width=0.05), noise(300, 300)

    expected = score_map(network, scaled(image, scale))
    with torch.inference_mode():
        scores = network.classifier.dense(network.pixels(scaled(image, scale)[None]))[0]
    posterior = Dense((scale,), 224, are_mirrored=False)(network, [image])[0]

    assert scores.shape == (CLASSES, places, places)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)  # convolution and product sum in other orders
    torch.testing.assert_close(posterior, expected.mean((1, 2)).softmax(0), rtol=0, atol=1e-5)


def test_a_landscape_has_more_places_across_than_down() -> None:
    network, image = make("vgg-a", width=0.05), noise(300, 450)

    scores = score_map(network, scaled(image, 256))  # 256 x 384
    posterior = Dense((256,), 224, are_mirrored=False)(network, [image])[0]

    assert scores.shape == (CLASSES, 2, 6)
    torch.testing.assert_close(posterior, scores.mean((1, 2)).softmax(0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("are_mirrored", [False, True], ids=["plain", "mirrored"])
@pytest.mark.parametrize("name", POOLING)
def test_the_full_image_is_the_plain_network_on_all_of_it(name: str, are_mirrored: bool) -> None:
    network, scales = small(name), (37, 48)
    images = [noise(*shape, seed=number) for number, shape in enumerate(SHAPES)]

    posteriors = FullImage(scales, 32, are_mirrored)(network, images)

    for image, posterior in zip(images, posteriors, strict=True):
        parts = []
        for scale in scales:
            for is_mirrored in (False, True) if are_mirrored else (False,):
                pixels = network.pixels(scaled(image, scale, is_mirrored=is_mirrored)[None])
                with torch.inference_mode():
                    parts.append(network.classifier(pixels).softmax(1)[0])
        torch.testing.assert_close(posterior, torch.stack(parts).mean(0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("protocol", [Dense((256, 384), 224), FullImage((256, 384), 224, are_mirrored=True)], ids=type)
def test_the_views_are_the_whole_image_at_each_scale_and_its_mirror_image(protocol: Dense | FullImage) -> None:
    expected = [((256, 341), False), ((256, 341), True), ((384, 512), False), ((384, 512), True)]
    assert protocol.views(375, 500) == tuple(View(size, 0, 0, *size, is_mirrored) for size, is_mirrored in expected)


def test_without_mirror_images_each_scale_is_one_view() -> None:
    assert len(Dense((256, 384), 224, are_mirrored=False).views(375, 500)) == 2
    assert len(FullImage((256,), 224).views(375, 500)) == 1


@pytest.mark.parametrize("name", ["vgg-a", "zf5"])
def test_fc_layers_that_read_one_size_cannot_pool_the_full_image(name: str) -> None:
    side = {"vgg-a": 1, "zf5": 3}[name]  # 32 halved five times; (8 - 3) // 2 + 1
    with pytest.raises(
        ValueError, match=rf"the fc layers of {name} read {side}x{side} cells and no other map; use a network th"
    ):
        FullImage((32,), 32)(small(name), [noise(60, 81)])


@pytest.mark.parametrize("kind", [Dense, FullImage])
def test_a_scale_smaller_than_the_window_is_refused(kind: type[Dense | FullImage]) -> None:
    with pytest.raises(ValueError, match="scale 200 is smaller than the network's 224x224 window"):
        kind((200, 256), 224)


@pytest.mark.parametrize("kind", [Dense, FullImage])
def test_a_network_of_another_size_is_refused(kind: type[Dense | FullImage]) -> None:
    with pytest.raises(ValueError, match="nin reads 32x32 pixels, and the protocol gives 64x64"):
        kind((64,), 64)(small("nin"), [noise(60, 81)])


@pytest.mark.parametrize("kind", [Dense, FullImage])
def test_a_strip_that_becomes_too_large_is_refused_as_views_are(kind: type[Dense | FullImage]) -> None:
    protocol, strip = kind((32, 640), 32), noise(5, 200)

    with pytest.raises(ValueError, match="an image of 200x5 becomes 25600x640 at a shorter side of 640"):
        protocol(small("nin"), [noise(60, 81), strip])
    with pytest.raises(ValueError, match="an image of 200x5 becomes 25600x640 at a shorter side of 640"):
        protocol.views(5, 200)


def test_whole_image_protocols_say_what_they_do() -> None:
    assert (
        str(Dense((256,), 224)) == "dense over shorter side 256, mirrored too; scores of all places averaged, then softmax"
    )
    assert str(Dense((256, 384), 224, softmax_first=True, are_mirrored=False)) == (
        "dense over shorter side 256, 384; posteriors of all places averaged"
    )
    assert str(FullImage((256,), 224)) == "full image of shorter side 256, pooled at once"
    assert str(FullImage((256,), 224, are_mirrored=True)) == "full image of shorter side 256, mirrored too, pooled at once"
