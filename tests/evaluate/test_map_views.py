"""Views on maps equal the obvious loop over views, and agree with whole images and crops where they must."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor, nn

from fourfold.catalog import ModelEntry, Network
from fourfold.evaluate.map_views import MapViews, Window, cells_of, pool_windows
from fourfold.evaluate.views import CENTRE, GRID, NINE, TEN_WHOLE, THREE_SQUARES, Layout, View
from fourfold.evaluate.whole import FullImage
from fourfold.images import Pixels
from fourfold.networks import build
from fourfold.shapes import Field
from fourfold.train.initialise import He

NETWORKS = {  # heads that pool maps of any size
    "resnet20": ("resnet20", {"width": 0.5}),
    "googlenet": ("googlenet", {"input_size": 32, "width": 0.1}),
    "nin": ("nin", {"width": 0.1}),
    "zf5-spp": ("zf5-spp", {"input_size": 32, "width": 0.1}),
    "vgg with a pyramid": ("vgg-a", {"input_size": 32, "width": 0.1, "levels": [2, 1]}),
}
LAYOUTS = (TEN_WHOLE, GRID, THREE_SQUARES)
SHAPES = ((60, 81), (60, 81), (77, 50), (48, 48), (9, 12), (40, 110))


def small(name: str) -> Network:
    """A network whose answers depend on where things lie."""
    network, options = NETWORKS[name]
    classifier = build(network, classes=5, **options)
    generator = torch.Generator().manual_seed(0)
    He()(classifier, generator)
    for layer in classifier.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.randn(layer.num_features, generator=generator) * 0.1  # type: ignore[assignment]
    pixels = Pixels(mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 55.0))
    return Network(classifier.eval(), pixels, tuple("abcde"), ModelEntry(name=name, network=network))


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """Large spots rather than single pixels, which would be gone after scaling."""
    generator = torch.Generator().manual_seed(1000 * height + width + seed)
    spots = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=generator)
    return reference.resize(spots, [height, width], antialias=True)


def photos() -> list[Tensor]:
    return [noise(*shape, seed=number) for number, shape in enumerate(SHAPES)]


def between(centres: list[float], low: float, high: float) -> list[int]:
    """The cells centred in a window; where there are none, the last that is not behind its begin."""
    inside = [cell for cell, centre in enumerate(centres) if low < centre < high]
    return inside or [max((cell for cell, centre in enumerate(centres) if centre <= low), default=0)]


@torch.inference_mode()
def slowly(network: Network, places: list[tuple[int, int, int, int]], shown: Tensor) -> list[Tensor]:
    """The posterior (K,) of each place (top, left, height, width) of an image, from its own run of the trunk."""
    field, given = network.classifier.field, []
    for top, left, height, width in places:
        maps = network.classifier.trunk(network.pixels(shown[None]))
        down, across = ([field.centre + field.stride * cell for cell in range(count)] for count in maps.shape[2:])
        rows, columns = between(down, top, top + height), between(across, left, left + width)
        window = maps[:, :, rows][:, :, :, columns].contiguous()
        given.append(network.classifier.head.fc(network.classifier.head.pool(window)).softmax(1)[0])
    return given


def all_views_slowly(network: Network, scales: tuple[int, ...], layout: Layout, image: Tensor) -> Tensor:
    """Posteriors (V,K); places in the mirror image are those of the image seen from its other side."""
    given = []
    for scale in scales:
        scaled = reference.resize(image, [scale], antialias=True)
        height, width = scaled.shape[1:]
        places = [(top, left, side, side) for top, left, side in layout(height, width, network.classifier.input_size)]
        given += slowly(network, places, scaled)
        mirrored = [(top, width - left - across, down, across) for top, left, down, across in places]
        given += slowly(network, mirrored, reference.hflip(scaled))
    return torch.stack(given)


@pytest.mark.parametrize(
    ("name", "layout"), [*[(name, NINE) for name in NETWORKS], *[("zf5-spp", layout) for layout in LAYOUTS]]
)
def test_the_posterior_is_the_mean_over_windows_pooled_one_by_one(name: str, layout: Layout) -> None:
    network, scales = small(name), (32, 43, 56)
    images = photos() if name == "zf5-spp" and layout is NINE else photos()[2:4]

    posteriors = MapViews(scales, 32, layout)(network, images)

    for image, posterior in zip(images, posteriors, strict=True):
        expected = all_views_slowly(network, scales, layout, image)
        assert len(expected) == len(MapViews(scales, 32, layout).views(*image.shape[1:]))
        assert expected.std(0).max() > 1e-4
        torch.testing.assert_close(posterior, expected.mean(0), rtol=0, atol=1e-5)  # batches sum in another order


@pytest.mark.parametrize("name", NETWORKS)
def test_the_whole_image_at_one_scale_is_two_views_more(name: str) -> None:
    network, scales = small(name), (32, 37, 48)
    image = noise(60, 81)  # 6 + 18 + 18 views

    without = MapViews(scales, 32, NINE)(network, [image])
    whole = MapViews(scales, 32, NINE, whole_at=37)(network, [image])

    views = MapViews(scales, 32, NINE, whole_at=37).views(60, 81)
    assert [view for view in views if view not in MapViews(scales, 32, NINE).views(60, 81)] == [
        View((37, 49), 0, 0, 37, 49),
        View((37, 49), 0, 0, 37, 49, is_mirrored=True),
    ]
    full = FullImage((37,), 32, are_mirrored=True)(network, [image])
    torch.testing.assert_close(44 * whole - 42 * without, 2 * full, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_window_of_the_whole_of_a_small_square_image_is_the_plain_network(name: str) -> None:
    network, image = small(name), noise(32, 32)

    posterior = MapViews((32,), 32, CENTRE)(network, [image])

    with torch.inference_mode():
        both = network.classifier(network.pixels(torch.stack([image, reference.hflip(image)]))).softmax(1)
    torch.testing.assert_close(posterior[0], both.mean(0), rtol=0, atol=1e-5)


def test_a_view_of_the_mirror_image_takes_the_cells_of_the_other_side() -> None:
    maps, field = torch.empty(1, 4, 8, 12), Field(stride=4, centre=2.0)  # cells centred on 2, 6, 10, ... of 32 x 48 pixels
    view = View((32, 48), top=4, left=0, height=20, width=11)
    mirrored = View((32, 48), top=4, left=0, height=20, width=11, is_mirrored=True)

    assert cells_of(view, maps, field) == (1, 6, 0, 3)  # rows at 6 to 22; columns at 2, 6, 10
    assert cells_of(mirrored, maps, field) == (1, 6, 9, 12)  # columns at 38, 42, 46, between 37 and 48


def test_windows_of_any_shape_and_order_are_pooled_each_by_itself() -> None:
    network = small("zf5-spp")
    maps = torch.randn(3, 25, 9, 11, generator=torch.Generator().manual_seed(0))
    windows: list[Window] = [(0, 9, 0, 11), (2, 3, 4, 5), (1, 5, 2, 8), (2, 6, 0, 6), (0, 4, 5, 11), (8, 9, 0, 11)]

    pooled = pool_windows(network, maps, windows)

    assert pooled.shape == (3, 6, 25 * 50)
    for image in range(3):
        for place, (top, bottom, left, right) in enumerate(windows):
            part = maps[image : image + 1, :, top:bottom, left:right]
            assert torch.equal(pooled[image, place], network.classifier.head.pool(part)[0])


def test_fc_layers_that_read_one_size_cannot_take_windows() -> None:
    classifier = build("vgg-a", classes=5, input_size=32, width=0.1).eval()
    network = Network(classifier, Pixels(), tuple("abcde"), ModelEntry(name="flat", network="vgg-a"))

    with pytest.raises(
        ValueError, match="the fc layers of flat read 1x1 cells and no other map; use a network that pools maps"
    ):
        MapViews((32,), 32, NINE)(network, [noise(60, 81)])


def test_scales_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="scale 200 is smaller than the network's 224x224 window"):
        MapViews((200, 256), 224, NINE)
    with pytest.raises(ValueError, match="the whole image at 300 has no map among shorter side 224, 256; add the scale"):
        MapViews((224, 256), 224, NINE, whole_at=300)
    with pytest.raises(ValueError, match="nin reads 32x32 pixels, and the protocol gives 64x64"):
        MapViews((64,), 64, NINE)(small("nin"), [noise(60, 81)])
    with pytest.raises(ValueError, match="an image of 200x5 becomes 25600x640 at a shorter side of 640"):
        MapViews((32, 640), 32, NINE)(small("nin"), [noise(5, 200)])


def test_views_on_maps_say_what_they_are() -> None:
    assert str(MapViews((224, 256), 224, NINE, whole_at=256)) == (
        "224 views on the maps of shorter side 224, 256: the centre, the corners and the middles of the sides, and the "
        "whole image at 256, mirrored too; posteriors averaged"
    )
