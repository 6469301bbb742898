"""A class lights up where it is seen: at the right place of a photo that is wider than high, and of one that is higher."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fourfold.catalog import ModelEntry, Network
from fourfold.heat import class_heat
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential

LABELS = ("red", "dark", "blue")
STRIDE, SIZE = 4, 32


def colour_network() -> Network:
    """Red scores where red is bright, blue where blue is; "dark" otherwise. Cells see 4x4 pixels, windows 2x2 cells."""
    pool, classify = nn.AvgPool2d(STRIDE, STRIDE), nn.Linear(3, 3)
    with torch.no_grad():
        classify.weight.copy_(torch.tensor([[8.0, 0, 0], [0, 0, 0], [0, 0, 8.0]]))
        classify.bias.copy_(torch.tensor([-2.0, 0, -2.0]))
    head = MeanHead(sequential({"fc": classify}), side=2)
    classifier = Classifier(sequential({"pool": pool}), head, input_size=SIZE).eval()
    return Network(classifier, Pixels(std=(255.0,) * 3), LABELS, ModelEntry(name="colours", network="colours"))


def photo_with_spot(height: int, width: int, row: int, column: int, channel: int = 0) -> Tensor:
    """A black photo with a square of 20x20 pixels around (row, column) that is bright in one channel."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[channel, row - 10 : row + 10, column - 10 : column + 10] = 255
    return image


PLACES = [(80, 140, 30, 110), (80, 140, 60, 25), (150, 80, 125, 20), (150, 80, 40, 66), (160, 280, 50, 230)]


@pytest.mark.parametrize(("height", "width", "row", "column"), PLACES)
def test_the_map_is_largest_where_the_spot_is(height: int, width: int, row: int, column: int) -> None:
    heat = class_heat(colour_network(), photo_with_spot(height, width, row, column), "red")

    weights = heat.map / heat.map.sum()
    step = STRIDE * min(height, width) / 80  # the network is shown the photo scaled to a shorter side of 2.5 * 32
    centre_row = heat.top + step * (weights.sum(1) * torch.arange(len(weights))).sum()
    centre_column = heat.left + step * (weights.sum(0) * torch.arange(weights.shape[1])).sum()
    peak = divmod(int(heat.map.argmax()), heat.map.shape[1])
    assert (heat.top + step * peak[0], heat.left + step * peak[1]) == pytest.approx((row, column), abs=11)  # in the spot
    assert abs(centre_row - row) < abs(centre_row - (height - row))  # the faint rest pulls towards the middle, no further
    assert abs(centre_column - column) < abs(centre_column - (width - column))


@pytest.mark.parametrize(("height", "width", "row", "column"), PLACES)
def test_the_picture_is_yellow_at_the_spot_and_dark_far_from_it(height: int, width: int, row: int, column: int) -> None:
    heat = class_heat(colour_network(), photo_with_spot(height, width, row, column), "red")

    picture = heat.plot().convert("RGB")

    scale = picture.width / width  # small photos are enlarged before the caption is added below
    at_spot = picture.getpixel((round(scale * column), round(scale * row)))
    elsewhere = picture.getpixel((round(scale * (width - column)), round(scale * (height - row))))
    assert isinstance(at_spot, tuple)
    assert isinstance(elsewhere, tuple)
    assert at_spot[1] > 120  # green is 231 at the bright end of viridis
    assert elsewhere[1] < 60  # it is 1 at the dark end, and 0 in the photo


def test_the_map_holds_the_posterior_of_each_window() -> None:
    image = torch.zeros(3, 80, 120, dtype=torch.uint8)
    image[2, :, 60:] = 255

    heat = class_heat(colour_network(), image, "blue")

    # 20 x 30 cells give 19 x 29 windows; a cell that is all blue has scores (-2, 0, 6), a black one (-2, 0, -2)
    dark, blue = (torch.tensor(scores).softmax(0)[2].item() for scores in ([-2.0, 0, -2], [-2.0, 0, 6]))
    half = torch.tensor([-2.0, 0, 2]).softmax(0)[2].item()
    expected = torch.tensor([dark] * 14 + [half] + [blue] * 14).expand(19, 29)
    torch.testing.assert_close(heat.map, expected, rtol=0, atol=1e-6)
    assert heat.probability == pytest.approx(expected.mean().item(), abs=1e-6)
    assert (heat.top, heat.left) == (4, 4)  # the middle of the first window, which covers pixels 0 to 8


def test_without_a_label_the_class_with_the_highest_mean_is_taken() -> None:
    image = torch.zeros(3, 80, 120, dtype=torch.uint8)
    assert class_heat(colour_network(), image).label == "dark"

    image[2, :, 30:] = 255
    assert class_heat(colour_network(), image).label == "blue"


def test_a_class_that_is_nowhere_gives_a_picture_too() -> None:
    heat = class_heat(colour_network(), torch.zeros(3, 80, 120, dtype=torch.uint8), "red")

    assert heat.plot().size[0] >= 120


def test_a_class_that_the_network_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="colours has no class 'zebra'; its classes are red, dark, blue"):
        class_heat(colour_network(), torch.zeros(3, 80, 120, dtype=torch.uint8), "zebra")


def test_the_map_of_a_panorama_stays_small() -> None:
    photo = torch.zeros(3, 40, 2000, dtype=torch.uint8)
    assert class_heat(colour_network(), photo).map.shape == (7, 399)  # 32x1600 pixels, no 80x4000
