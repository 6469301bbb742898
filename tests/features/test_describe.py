"""Describers against the network's own layers, loops over windows, and sums by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fourfold.catalog import ModelEntry, Network
from fourfold.features.describe import Describer, check_same, describer, describer_from, parse_pooling
from fourfold.images import Pixels, resize
from fourfold.models.base import pyramid_pool
from fourfold.networks import build

OPTIONS = {
    "resnet20": {"classes": 3, "width": 0.5},
    "vgg-a": {"classes": 3, "width": 0.0625},
    "zf5-spp": {"classes": 3, "width": 0.0625},
}


def network(name: str, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    classifier = build(name, **OPTIONS[name]).eval().requires_grad_(False)
    for module in classifier.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    pixels = Pixels(mean=(120.0, 110.0, 100.0), std=(60.0, 61.0, 62.0))
    return Network(classifier, pixels, ("a", "b", "c"), ModelEntry(f"my-{name}", name, OPTIONS[name]))


def image(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(256, (3, 9, 7), generator=generator, dtype=torch.uint8)
    return resize(coarse, height, width)


def plain(net: Network, layer: str, scale: int) -> Describer:
    return describer(net, layer, scales=[scale], normalise=False, mirrored=False)


@pytest.mark.parametrize(("name", "layer"), [("vgg-a", "relu7"), ("vgg-a", "fc6"), ("zf5-spp", "fc7"), ("resnet20", "fc")])
def test_at_the_own_size_an_fc_layer_is_that_of_a_forward_pass(name: str, layer: str) -> None:
    net = network(name)
    size = net.classifier.input_size
    photo = image(size, size)
    expected = net.features(photo, [layer])[layer]
    torch.testing.assert_close(plain(net, layer, size)([photo]), expected, rtol=1e-4, atol=1e-5)


def test_an_fc_layer_that_reads_one_size_is_averaged_over_all_windows() -> None:
    net = network("vgg-a")  # strides sum up to 32: a map of 7 x 9 has three windows side by side
    maps = net.classifier.trunk(net.pixels(image(224, 288)[None]))
    windows = [net.classifier.head.until("relu6").fc(maps[:, :, :, at : at + 7].flatten(1)) for at in range(3)]
    found = plain(net, "relu6", 224)([image(224, 288)])
    torch.testing.assert_close(found, torch.stack(windows).mean(0), rtol=1e-4, atol=1e-6)


def test_a_head_that_pools_any_map_pools_it_once() -> None:
    net, photo = network("zf5-spp"), image(224, 300)
    maps = net.classifier.trunk(net.pixels(photo[None]))
    torch.testing.assert_close(plain(net, "pool", 224)([photo]), net.classifier.head.pool(maps), rtol=1e-4, atol=1e-6)
    expected = net.classifier.head.until("fc6").fc(net.classifier.head.pool(maps))
    torch.testing.assert_close(plain(net, "fc6", 224)([photo]), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", lambda maps: maps.flatten(2).mean(2)),
        ("max", lambda maps: maps.flatten(2).amax(2)),
        ("3,1", lambda maps: pyramid_pool(maps, (3, 1))),
        ([2], lambda maps: pyramid_pool(maps, (2,))),
    ],
)
def test_maps_are_pooled_as_asked(pooling: str | list[int], expected: Callable[[Tensor], Tensor]) -> None:
    net, photo = network("resnet20"), image(40, 53)
    maps = net.features(photo, ["conv3_2"])["conv3_2"]
    ask = describer(net, "conv3_2", scales=[40], pooling=pooling, normalise=False, mirrored=False)
    torch.testing.assert_close(ask([photo]), expected(maps), rtol=1e-4, atol=1e-5)
    assert ask.width == expected(maps).shape[1] == len(ask.names())


def test_scales_mirror_images_and_lengths_are_put_together_as_vgg_says() -> None:
    net, photo = network("resnet20"), image(30, 41)

    def at(height: int, width: int) -> Tensor:
        scaled = resize(photo, height, width)
        both = [net.features(each, ["pool"])["pool"][0] for each in (scaled, scaled.flip(-1))]
        return torch.stack(both).mean(0)

    small, large = at(32, 43), at(48, 65)  # 32 * 41 / 30 = 43.7, and 48 * 41 / 30 = 65.6, rounded down
    mean = describer(net, scales=[32, 48], normalise=False)([photo])[0]
    torch.testing.assert_close(mean, (small + large) / 2, rtol=1e-4, atol=1e-5)
    small, large = small / small.square().sum().sqrt(), large / large.square().sum().sqrt()
    stacked = describer(net, scales=[32, 48], aggregate="stack")([photo])[0]
    torch.testing.assert_close(stacked, torch.cat([small, large]) / 2**0.5, rtol=1e-4, atol=1e-5)
    mean = describer(net, scales=[32, 48])([photo])[0]
    joined = small + large
    torch.testing.assert_close(mean, joined / joined.square().sum().sqrt(), rtol=1e-4, atol=1e-5)


def test_a_mirror_image_has_the_same_description() -> None:
    ask, photo = describer(network("resnet20"), "conv2_1"), image(32, 50)
    torch.testing.assert_close(ask([photo]), ask([photo.flip(-1)]), rtol=1e-4, atol=1e-5)
    alone = describer(network("resnet20"), "conv2_1", mirrored=False, pooling="2")
    assert (alone([photo]) - alone([photo.flip(-1)])).abs().max() > 1e-3


def test_images_of_all_sizes_come_in_the_order_given() -> None:
    ask = describer(network("resnet20"), pooling="mean", scales=[32])
    photos = [image(*size, seed) for seed, size in enumerate([(32, 32), (20, 61), (90, 33), (32, 32), (61, 20)])]
    together = ask(photos)
    torch.testing.assert_close(together, torch.cat([ask([photo]) for photo in photos]), rtol=1e-4, atol=1e-5)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together.norm(dim=1), torch.ones(5))
    assert ask([]).shape == (0, ask.width)


@pytest.mark.parametrize(("name", "layer"), [("vgg-a", "relu7"), ("zf5-spp", "relu7"), ("resnet20", "pool")])
def test_by_default_the_layer_before_the_scores_is_taken(name: str, layer: str) -> None:
    ask = describer(network(name))
    assert ask.layer == layer
    assert ask.scales == ((32,) if name == "resnet20" else (256,))


def test_columns_are_named_after_layer_and_scale() -> None:
    assert describer(network("resnet20")).names()[31] == "pool_0031"
    names = describer(network("resnet20"), "fc", scales=[32, 48], aggregate="stack").names()
    assert names == ["fc@32_0000", "fc@32_0001", "fc@32_0002", "fc@48_0000", "fc@48_0001", "fc@48_0002"]


def test_a_record_makes_the_describer_again_on_the_same_weights_alone() -> None:
    net = network("resnet20")
    ask = describer(net, "conv2_2", scales=[32, 40], pooling="2,1", aggregate="stack", mirrored=False)
    again = describer_from(net, {**ask.record(), "model": "anywhere"})
    photo = image(40, 32)
    assert torch.equal(again([photo]), ask([photo]))
    with pytest.raises(ValueError, match=r"made by my-resnet20 with other weights; use the same"):
        describer_from(network("resnet20", seed=1), ask.record())


def test_the_mean_of_pixels_is_part_of_what_a_record_tells_apart() -> None:
    net = network("resnet20")
    other = replace(net, pixels=Pixels(mean=(1.0, 2.0, 3.0), std=net.pixels.std))
    image_mean = replace(net, pixels=Pixels(mean_image=torch.ones(3, 32, 32)))
    prints = {describer(each).record()["sha256"] for each in (net, other, image_mean)}
    assert len(prints) == 3


def test_records_that_differ_in_a_choice_are_named() -> None:
    net = network("resnet20")
    mine = describer(net, scales=[32, 48]).record()
    check_same(mine, {**mine, "network": "a copy", "model": "elsewhere"}, "these")
    with pytest.raises(ValueError, match=r"^these were made by my-resnet20 with scales \[32\] and not \[32, 48\]; use"):
        check_same(mine, describer(net).record(), "these")


@pytest.mark.parametrize("text", ["median", "2,x", "", "0", "2,-1"])
def test_poolings_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="pooling"):
        parse_pooling(text)


def test_what_a_network_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer 'conv9'; closest"):
        describer(network("resnet20"), "conv9")
    with pytest.raises(ValueError, match="scale 200 is smaller than the network's 224x224 window"):
        describer(network("vgg-a"), scales=[256, 200])
    with pytest.raises(ValueError, match="shorter side of 16 pixels is too small for my-vgg-a"):
        describer(network("vgg-a"), "pool5", scales=[16])
    with pytest.raises(ValueError, match="no scale is given"):
        describer(network("resnet20"), scales=[])
    with pytest.raises(ValueError, match="no map that could be pooled"):
        describer(network("resnet20"), "pool", pooling="max")
    with pytest.raises(ValueError, match="aggregate is 'sum'"):
        describer(network("resnet20"), aggregate="sum")


def test_an_image_that_becomes_too_large_is_refused_by_itself() -> None:
    ask = describer(network("resnet20"), scales=[2000])
    refusal = ask.refusal(image(30, 90))
    assert refusal is not None
    assert "6000x2000" in refusal
    assert ask.refusal(image(30, 30)) is None
    with pytest.raises(ValueError, match="6000x2000"):
        ask([image(30, 90)])


def test_trunk_layers_take_scales_below_the_own_size() -> None:
    ask = describer(network("vgg-a"), "relu3_2", scales=[50], pooling="4,2,1")
    assert ask([image(70, 50)]).shape == (1, ask.width)
