"""Regions against slow twins: crops made by torch and shown one by one, and maps cut out and pooled one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.detect.pooling import pool_windows
from fourfold.detect.regions import Maps, PooledRegions, WarpedRegions, mean_pixel, side_after, windows_of
from fourfold.detect.warp import warp
from fourfold.images import Pixels, resize
from fourfold.networks import NETWORKS, build
from fourfold.shapes import Field
from fourfold.train.initialise import He

BOXES = torch.tensor(
    [
        [0.0, 0.0, 70.0, 50.0],
        [12.3, 8.9, 40.1, 45.6],
        [60.0, 30.0, 61.0, 31.0],
        [0.0, 40.0, 70.0, 44.0],
        [33.0, 20.0, 33.0, 20.0],
        [-9.0, -7.0, 80.0, 12.0],
    ]
)


def make(name: str, pixels: Pixels = PIXELS["imagenet"], **options: object) -> Network:
    """A small network with weights with which its answers differ."""
    classifier = build(name, classes=5, **options)
    He()(classifier, torch.Generator().manual_seed(0))
    ready = classifier.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return Network(ready, pixels, tuple("abcde"), ModelEntry(name="", network=name))


@pytest.fixture(scope="module")
def spp() -> Network:
    return make("zf5-spp", input_size=32, width=0.1)


def photo(height: int = 50, width: int = 70) -> Tensor:
    small = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(1)) * 255
    return F.interpolate(small, (height, width), mode="bilinear")[0].to(torch.uint8)


def cut_out(network: Network, values: Tensor, cells: Sequence[tuple[int, int, int, int]]) -> Tensor:
    """Windows cut from maps (C,h,w) and pooled by the head itself."""
    return torch.cat(
        [network.classifier.head.pool(values[None, :, top:bottom, left:right]) for top, bottom, left, right in cells]
    )


def cells_by_hand(field: Field, box: Tensor, size: tuple[int, int], image: tuple[int, int], shape: Sequence[int]) -> tuple:
    """Rows and columns of one box, number by number."""
    x1, y1, x2, y2 = box.tolist()
    rows = field.cells(y1 * size[0] / image[0], y2 * size[0] / image[0], shape[0])
    return *rows, *field.cells(x1 * size[1] / image[1], x2 * size[1] / image[1], shape[1])


def test_pooled_regions_are_windows_of_the_map_at_one_scale(spp: Network) -> None:
    pooled = PooledRegions((96,)).pooled(spp, photo(), BOXES)

    maps = spp.classifier.trunk(spp.pixels(resize(photo(), 96, 134)[None]))[0]
    field = spp.classifier.field
    cells = [cells_by_hand(field, box, (96, 134), (50, 70), maps.shape[1:]) for box in BOXES]
    assert torch.equal(pooled, cut_out(spp, maps, cells))
    assert len(pooled.unique(dim=0)) > 4


def test_each_box_is_pooled_at_the_scale_that_suits_it(spp: Network) -> None:
    scales, sizes = (64, 96, 144), ((64, 89), (96, 134), (144, 201))
    boxes = torch.cat([BOXES, torch.tensor([[5.0, 5.0, 30.0, 30.0], [5.0, 5.0, 23.0, 21.0], [5.0, 5.0, 15.0, 18.0]])])
    field = spp.classifier.field

    pooled = PooledRegions(scales).pooled(spp, photo(), boxes)

    seen = set()
    for box, row in zip(boxes, pooled, strict=True):
        x1, y1, x2, y2 = box.tolist()
        areas = [(x2 - x1) * (y2 - y1) * (height / 50) * (width / 70) for height, width in sizes]
        at = min(range(3), key=lambda index: abs(areas[index] - 32 * 32))
        seen.add(at)
        maps = spp.classifier.trunk(spp.pixels(resize(photo(), *sizes[at])[None]))[0]
        cells = cells_by_hand(field, box, sizes[at], (50, 70), maps.shape[1:])
        assert torch.equal(row[None], cut_out(spp, maps, [cells]))
    assert seen == {0, 1, 2}


def test_the_scale_of_a_box_is_that_of_the_paper(spp: Network) -> None:
    regions = PooledRegions((480, 576, 688, 864, 1200), area=224 * 224)  # SPP-net 4.1
    boxes = torch.tensor([[50.0, 50, 150, 150], [0, 0, 500, 400], [0, 0, 10, 10], [7, 7, 7, 9]])
    assert regions.chosen(spp, boxes, (400, 500)).tolist() == [3, 0, 4, 0]  # 896 wanted; the largest; the smallest; a tie
    assert PooledRegions((32, 64)).chosen(spp, torch.tensor([[0.0, 0, 32, 32], [0, 0, 16, 16]]), (32, 48)).tolist() == [0, 1]


def test_windows_are_the_cells_of_the_field() -> None:
    dice = torch.Generator().manual_seed(2)
    boxes = torch.rand(500, 4, generator=dice) * torch.tensor([90.0, 70.0, 90.0, 70.0]) - 10
    boxes = torch.cat([boxes[:, :2].minimum(boxes[:, 2:]), boxes[:, :2].maximum(boxes[:, 2:])], 1)
    boxes = torch.cat([boxes, boxes.round(), boxes[:, :2].repeat(1, 2)])  # on the centres of cells, and without area
    for field in (Field(7, 16, 0.0), Field(31, 4, 6.5), Field(3, 2, -0.5), Field()):
        maps = Maps(torch.empty(0, 6, 11), (120, 190), (50, 70))

        windows = windows_of(boxes, maps, field)

        expected = [list(cells_by_hand(field, box, (120, 190), (50, 70), (6, 11))) for box in boxes.double()]
        assert windows.dtype == torch.int64
        assert windows.tolist() == expected


def test_a_box_without_area_on_the_centre_of_a_cell_is_that_cell() -> None:
    maps = Maps(torch.empty(0, 6, 11), (90, 170), (90, 170))
    assert windows_of(torch.tensor([[32.0, 48.0, 32.0, 48.0]]), maps, Field(7, 16, 0.0)).tolist() == [[3, 4, 2, 3]]


def test_warped_regions_are_crops_shown_one_by_one() -> None:
    network = make("zf5", input_size=32, width=0.1)
    fill = torch.tensor([124, 116, 104], dtype=torch.uint8)  # ImageNet's mean, rounded

    pooled = WarpedRegions(at_once=4).pooled(network, photo(), BOXES)

    low, high = BOXES[:, :2], BOXES[:, 2:]
    more = (high - low) * (227 / 195 - 1) / 2  # 16 of 227 pixels on each side
    crops = warp(photo(), torch.cat([low - more, high + more], 1), 32, fill)
    theirs = torch.cat(
        [network.classifier.head.pool(network.classifier.trunk(network.pixels(crop[None]))) for crop in crops]
    )
    torch.testing.assert_close(pooled, theirs, rtol=1e-4, atol=1e-4)  # batches sum in another order
    assert len(pooled.unique(dim=0)) == len(BOXES)
    assert not torch.allclose(WarpedRegions(context=0).pooled(network, photo(), BOXES), theirs, rtol=1e-2)


@pytest.mark.parametrize("name", ["zf5-spp", "resnet20", "zf5"])
def test_every_head_reads_warped_regions_and_none_have_no_rows(name: str) -> None:
    network = make(name, **({} if name == "resnet20" else {"input_size": 32, "width": 0.1}))
    WarpedRegions().check(network)
    rows = WarpedRegions().pooled(network, photo(), BOXES)
    assert rows.shape[0] == len(BOXES)
    assert network.classifier.head.fc(rows).shape == (len(BOXES), 5)
    assert WarpedRegions().pooled(network, photo(), BOXES[:0]).shape == (0, rows.shape[1])


@pytest.mark.parametrize("scales", [(64,), (64, 96)])
def test_no_boxes_have_no_rows(spp: Network, scales: tuple[int, ...]) -> None:
    assert PooledRegions(scales).pooled(spp, photo(), torch.zeros(0, 4)).shape == (0, 26 * 50)


@pytest.mark.parametrize("regions", [PooledRegions((64,)), PooledRegions((64, 96)), WarpedRegions()])
def test_rows_may_be_learnt_from_later(spp: Network, regions: PooledRegions | WarpedRegions) -> None:
    pooled = regions.pooled(spp, photo(), BOXES)
    assert not pooled.requires_grad
    assert pooled.dtype == torch.float32
    weights = torch.ones(pooled.shape[1], requires_grad=True)
    (pooled * weights).sum().backward()  # impossible with tensors of inference mode
    assert weights.grad is not None


def test_maps_are_kept_apart_from_boxes(spp: Network) -> None:
    regions = PooledRegions((64, 96))
    maps = regions.maps(spp, photo())
    assert [(each.size, each.image) for each in maps] == [((64, 89), (50, 70)), ((96, 134), (50, 70))]
    assert torch.equal(regions.pool(spp, maps, BOXES), regions.pooled(spp, photo(), BOXES))


def test_the_windows_of_a_scaled_image_are_those_that_its_maps_will_have(spp: Network) -> None:
    scaled, windows = PooledRegions((77,)).scaled(spp, photo(), BOXES)

    assert torch.equal(scaled, resize(photo(), 77, 107))
    maps = spp.classifier.trunk(spp.pixels(scaled[None]))[0]
    assert torch.equal(pool_windows(maps, windows, (6, 3, 2, 1)), PooledRegions((77,)).pooled(spp, photo(), BOXES))
    with pytest.raises(ValueError, match="choose one"):
        PooledRegions((64, 77)).scaled(spp, photo(), BOXES)


@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.endswith(("1202", "110", "56", "152", "101"))])
def test_the_side_of_a_map_is_known_before_it_is_made(name: str) -> None:
    with torch.device("meta"):
        classifier = build(name).eval()
        for height, width in ((224, 231), (240, 257), (263, 229)):
            maps = classifier.trunk(torch.empty(1, 3, height, width))
            assert [side_after(classifier.trunk, side) for side in (height, width)] == list(maps.shape[2:])


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("is_ceiled", [False, True])
def test_the_side_after_a_pool_is_that_of_torch(kernel: int, stride: int, is_ceiled: bool) -> None:
    for padding in {0, kernel // 2}:
        layer = nn.MaxPool2d(kernel, stride, padding, ceil_mode=is_ceiled)
        sides = range(5, 20)
        assert [side_after(layer, side) for side in sides] == [layer(torch.zeros(1, 1, 9, side)).shape[3] for side in sides]


def test_the_mean_pixel_is_in_the_order_of_images() -> None:
    assert mean_pixel(PIXELS["imagenet"]).tolist() == [124, 116, 104]
    assert mean_pixel(Pixels(mean=(1.0, 2.4, 300.0), order="BGR")).tolist() == [255, 2, 1]
    image = torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1) + torch.tensor([[-5.0, 5.0]])
    assert mean_pixel(Pixels(mean_image=image)).tolist() == [10, 20, 30]
    assert mean_pixel(Pixels(mean_image=image, order="BGR")).tolist() == [30, 20, 10]
    for pixels in (PIXELS["half"], Pixels(mean=(9.0, 80.0, 200.0), order="BGR")):
        assert pixels(mean_pixel(pixels).view(1, 3, 1, 1)).abs().max() <= 0.5


@pytest.mark.parametrize("regions", [PooledRegions((64, 96)), PooledRegions((64,)), WarpedRegions()])
def test_boxes_without_sense_are_refused(spp: Network, regions: PooledRegions | WarpedRegions) -> None:
    for wrong in ([5.0, 5.0, 4.0, 9.0], [0.0, 0.0, float("nan"), 9.0]):
        with pytest.raises(ValueError, match="box 1 of boxes"):
            regions.pooled(spp, photo(), torch.tensor([[0.0, 0.0, 9.0, 9.0], wrong]))


@pytest.mark.parametrize(("name", "head"), [("zf5", "FlattenHead"), ("resnet20", "MeanHead")])
def test_a_head_without_a_pyramid_pools_no_windows(name: str, head: str) -> None:
    network = make(name, width=0.1) if name == "zf5" else make(name)
    for call in (PooledRegions().check, lambda each: PooledRegions((64,)).pooled(each, photo(224, 224), BOXES)):
        with pytest.raises(ValueError, match=rf"{name} has a {head}.*; use "):
            call(network)


def test_settings_without_sense_are_refused() -> None:
    for make_wrong in (
        lambda: WarpedRegions(context=114),
        lambda: WarpedRegions(context=-1),
        lambda: WarpedRegions(at_once=0),
        lambda: PooledRegions(()),
        lambda: PooledRegions((0, 64)),
        lambda: PooledRegions(area=0),
    ):
        with pytest.raises(ValueError, match="; give "):
            make_wrong()
    WarpedRegions(context=113)


def test_regions_say_what_they_are() -> None:
    assert str(PooledRegions((480, 576))) == "regions pooled from maps at 480, 576"
    assert str(WarpedRegions()) == "regions warped with a context of 16 in 227 pixels"
