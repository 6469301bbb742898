"""Every protocol of the papers keeps a protocol's promises, has the paper's number of views, and refuses in one line."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor

from fourfold.catalog import ModelEntry, Network
from fourfold.evaluate.protocol import Average
from fourfold.images import Pixels
from fourfold.networks import build
from fourfold.papers.protocols import PROTOCOLS, names_for, protocol_named
from fourfold.train.initialise import He

VIEWS = {  # of a photo that is no square
    "single": 1,
    "ten": 10,
    "ten-whole": 10,
    "dense": 2,
    "dense-places": 2,
    "dense3": 6,
    "dense3-fixed": 6,
    "dense5": 10,
    "grid50": 50,
    "grid150": 150,
    "crops144": 144,
    "crops144-max": 144,
    "full": 1,
    "ten-maps": 10,
    "views96": 96,
    "views98": 98,
}
SCALES = {  # shorter sides for inputs of 224 pixels, as the papers print them
    "single": [256],
    "ten": [256],
    "ten-whole": [256],
    "dense": [256],
    "dense-places": [256],
    "dense3": [256, 384, 512],
    "dense3-fixed": [224, 256, 288],
    "dense5": [224, 256, 384, 480, 640],
    "grid50": [256],
    "grid150": [256, 384, 512],
    "crops144": [256, 288, 320, 352],
    "crops144-max": [256, 288, 320, 352],
    "full": [256],
    "ten-maps": [256],
    "views96": [224, 256, 300, 360, 448, 560],
    "views98": [224, 256, 300, 360, 448, 560],
}
SHAPES = ((60, 81), (50, 40), (9, 12), (60, 81))
POOLED = {"full", "ten-maps", "views96", "views98"}  # these want a head that takes maps of any size


def small(name: str, *, seed: int = 0, **options: object) -> Network:
    classifier = build(name, classes=5, **options)
    He()(classifier, torch.Generator().manual_seed(seed))
    pixels = Pixels(mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 55.0))
    return Network(classifier.eval(), pixels, tuple("abcde"), ModelEntry(name=name, network=name))


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """Large spots rather than single pixels, which would be gone after scaling."""
    generator = torch.Generator().manual_seed(1000 * height + width + seed)
    spots = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=generator)
    return reference.resize(spots, [height, width], antialias=True)


def scales_of(name: str, size: int, given: list[int] | None = None) -> list[int]:
    """The shorter sides of a protocol, as its views have them."""
    views = protocol_named(name, size, given).views(375, 500)
    return list(dict.fromkeys(min(view.scaled) for view in views))


def test_the_tables_name_every_protocol() -> None:
    assert list(PROTOCOLS) == list(VIEWS) == list(SCALES)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("size", [224, 32, 64])
def test_a_photo_has_the_papers_number_of_views_whatever_the_networks_size(name: str, size: int) -> None:
    protocol = protocol_named(name, size)

    assert len(protocol.views(375, 500)) == len(protocol.views(500, 375)) == VIEWS[name]


@pytest.mark.parametrize("name", SCALES)
def test_scales_are_the_papers_at_224(name: str) -> None:
    assert scales_of(name, 224) == SCALES[name]


@pytest.mark.parametrize(
    ("name", "size", "scales"),
    [
        ("ten", 32, [37]),  # 256 / 7 = 36.57
        ("grid150", 32, [37, 55, 73]),  # 54.86, 73.14
        ("crops144", 32, [37, 41, 46, 50]),  # 41.14, 45.71, 50.29
        ("dense5", 32, [32, 37, 55, 69, 91]),  # 68.57, 91.43
        ("views96", 32, [32, 37, 43, 51, 64, 80]),  # 42.86, 51.43
        ("single", 32, [32]),  # ResNet 4.2: the whole image
        ("ten", 64, [73]),  # 73.14
        ("views98", 64, [64, 73, 86, 103, 128, 160]),  # 85.71, 102.86
        ("ten", 227, [256]),
        ("dense3-fixed", 227, [227, 256, 288]),  # no window of 227 fits into 224
        ("views96", 227, [227, 256, 300, 360, 448, 560]),
        ("single", 227, [256]),
    ],
)
def test_scales_are_in_proportion_for_other_sizes(name: str, size: int, scales: list[int]) -> None:
    assert scales_of(name, size) == scales


def test_given_scales_replace_the_papers_in_every_part() -> None:
    assert scales_of("grid50", 224, [288, 480]) == [288, 480]
    assert scales_of("dense+single", 32, [40]) == [40]
    whole = [view for view in protocol_named("views98", 224, [224, 320, 270]).views(375, 500) if view.height != 224]
    assert {view.scaled for view in whole} == {(270, 360)}  # the scale nearest to 256


@pytest.mark.parametrize("name", VIEWS)
def test_answers_sum_to_1_and_do_not_depend_on_the_images_beside(name: str) -> None:
    network, protocol = small("zf5-spp", input_size=32, width=0.1), protocol_named(name, 32)
    images = [noise(*shape, seed=number) for number, shape in enumerate(SHAPES)]
    order = [3, 0, 2, 1]

    together = protocol(network, images)
    permuted = protocol(network, [images[index] for index in order])
    alone = torch.cat([protocol(network, [image]) for image in images])
    pairs = torch.cat([protocol(network, images[start : start + 2]) for start in (0, 2)])

    assert together.shape == (4, 5)
    assert together.min() >= 0
    torch.testing.assert_close(together.sum(1), torch.ones(4), rtol=0, atol=1e-5)
    assert together.std(0).min() > 1e-4  # or the comparisons would say nothing
    for other in (permuted[torch.tensor(order).argsort()], alone, pairs):
        torch.testing.assert_close(together, other, rtol=0, atol=1e-5)  # batches are summed in other orders


@pytest.mark.parametrize("name", VIEWS)
def test_an_image_smaller_than_the_crop_is_scaled_up(name: str) -> None:
    network, protocol = small("resnet20", width=0.5), protocol_named(name, 32)
    image = noise(6, 7)
    scales = SCALES[name] if name != "single" else [224]
    largest = max(round(scale / 7) for scale in scales)  # both of its sides still grow when this is undone

    posterior = protocol(network, [image])

    assert posterior.sum().item() == pytest.approx(1, abs=1e-5)
    assert max(min(view.scaled) for view in protocol.views(6, 7)) == largest


@pytest.mark.parametrize("name", sorted(POOLED))
def test_a_network_whose_fc_layers_read_one_size_is_refused_where_maps_are_pooled(name: str) -> None:
    network = small("vgg-a", input_size=32, width=0.1)

    with pytest.raises(
        ValueError, match=r"the fc layers of vgg-a read 1x1 cells and no other map; use a network that pools"
    ):
        protocol_named(name, 32)(network, [noise(60, 81)])


def test_a_network_is_offered_the_protocols_that_it_can_be_asked_by() -> None:
    assert names_for(small("vgg-a", input_size=32, width=0.1)) == [name for name in VIEWS if name not in POOLED]
    assert names_for(small("zf5-spp", input_size=32, width=0.1)) == list(VIEWS)
    assert names_for(small("resnet20", width=0.5)) == list(VIEWS)
    with torch.device("meta"):
        classifier = build("alexnet", width=0.1)
    network = Network(classifier, Pixels(), tuple("abcde"), ModelEntry(name="alexnet", network="alexnet"))
    assert names_for(network) == [name for name in VIEWS if name not in POOLED]


def test_a_sum_of_names_is_the_mean_of_their_posteriors() -> None:
    network, images = small("resnet20", width=0.5), [noise(60, 81), noise(77, 50)]

    both = protocol_named("dense+grid50", 32)

    assert isinstance(both, Average)
    expected = (protocol_named("dense", 32)(network, images) + protocol_named("grid50", 32)(network, images)) / 2
    torch.testing.assert_close(both(network, images), expected, rtol=0, atol=1e-6)
    assert len(both.views(60, 81)) == 2 + 50
    assert str(both) == f"mean of: {protocol_named('dense', 32)}; and {protocol_named('grid50', 32)}"


def test_crops_and_maps_agree_where_they_show_a_network_the_same() -> None:
    network, image = small("resnet20", width=0.5), noise(32, 32)  # at a scale of 32 a square image has one place

    crops, maps = (protocol_named(name, 32, [32])(network, [image]) for name in ("ten-whole", "ten-maps"))

    torch.testing.assert_close(maps, crops, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crops", r"^no protocol 'crops'; closest are crops144.*; choose from single, ten, ten-whole, dense, "),
        ("grid5", r"^no protocol 'grid5'; closest are grid50, grid150; choose from"),
        ("quite another", r"^no protocol 'quite another'; choose from single"),
        ("dense+grid", r"^no protocol 'grid'; closest are .*grid50"),
        ("", r"^no protocol ''; choose from single"),
    ],
)
def test_an_unknown_name_is_refused_with_the_closest(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        protocol_named(name, 224)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", VIEWS)
def test_a_scale_smaller_than_the_window_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"^scale 200 is smaller than the network's 224x224 window; use scales of at least 224"
    ):
        protocol_named(name, 224, [256, 200])


@pytest.mark.parametrize("name", ["dense3", "dense5", "views96", "dense3+single"])
def test_an_image_that_becomes_too_large_is_refused_in_one_line(name: str) -> None:
    protocol = protocol_named(name, 224)

    with pytest.raises(
        ValueError, match=r"^an image of 5000x100 becomes \d+x\d+ at a shorter side of \d+, more than 4,000,000"
    ):
        protocol.views(100, 5000)


@pytest.mark.parametrize("name", ["single", "ten", "grid150", "crops144"])
def test_crops_of_a_long_strip_are_possible(name: str) -> None:
    assert len(protocol_named(name, 224).views(100, 5000)) == VIEWS[name]
