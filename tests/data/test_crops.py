"""Windows against places counted by hand, against the distributions that the papers name, and against torchvision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from fourfold.data.crops import AreaCrop, CentralCrop, Centre, CornerCrop, Crop, ScaleCrop
from fourfold.windows import Window

DRAWS = 10_000
UNLIKELY = 1e-3  # the seeds are fixed: of correct draws one in a thousand would be refused
RULES = [
    ScaleCrop(256, 256),
    ScaleCrop(256, 512),
    ScaleCrop(224, 230),
    CentralCrop(),
    CornerCrop(),
    CornerCrop(224),
    Centre(224),
    Centre(32),
    AreaCrop(),
]


def windows(rule: Crop, height: int, width: int, seed: int = 0, draws: int = DRAWS) -> list[Window]:
    numbers = np.random.default_rng(seed).random((draws, rule.draws))
    return [rule(height, width, row) for row in numbers.tolist()]


def are_even(values: Sequence[object], kinds: int) -> bool:
    """Whether all of so many kinds of values occur, each as often as the others but for chance."""
    counts = Counter(values)
    return len(counts) == kinds and stats.chisquare(list(counts.values())).pvalue > UNLIKELY


@pytest.mark.parametrize("rule", RULES, ids=repr)
@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.data())
def test_a_window_lies_in_the_image(rule: Crop, height: int, width: int, data: st.DataObject) -> None:
    number = st.one_of(st.sampled_from([0.0, 0.5, 1 - 2**-53]), st.floats(0, 1, exclude_max=True))
    numbers = data.draw(st.lists(number, min_size=rule.draws, max_size=rule.draws))

    window = rule(height, width, numbers)

    slack = 1e-9 * max(height, width)  # rounding of products
    assert window.top >= -slack
    assert window.left >= -slack
    assert window.top + window.height <= height + slack
    assert window.left + window.width <= width + slack
    assert min(window.height, window.width) > 0
    assert window == rule(height, width, numbers)


@pytest.mark.parametrize("rule", RULES[:-1], ids=repr)
@pytest.mark.parametrize("number", [0.0, 0.3, 0.77])
def test_a_larger_copy_of_an_image_shows_the_same_part(rule: Crop, number: float) -> None:
    small, large = rule(300, 450, [number] * rule.draws), rule(900, 1350, [number] * rule.draws)

    assert (large.top, large.left, large.height, large.width) == pytest.approx(
        (3 * small.top, 3 * small.left, 3 * small.height, 3 * small.width)
    )


def test_vggs_fixed_scale_cuts_seven_eighths_of_the_shorter_side_at_whole_pixels_of_the_scaled_image() -> None:
    found = windows(ScaleCrop(256, 256), 512, 640)  # scaled by a half: 256 x 320

    assert {(w.height, w.width) for w in found} == {(448, 448)}
    assert are_even([w.top / 2 for w in found], 33)  # 256 - 224 + 1
    assert are_even([w.left / 2 for w in found], 97)  # 320 - 224 + 1
    assert {w.top % 2 for w in found} == {w.left % 2 for w in found} == {0}


@pytest.mark.parametrize(("low", "high"), [(256, 512), (256, 480)])  # VGG 3.1, ResNet 3.4
def test_every_scale_of_a_range_is_as_likely(low: int, high: int) -> None:
    found = windows(ScaleCrop(low, high), 600, 400)

    scales = [round(224 * 400 / w.height, 6) for w in found]  # the side is 224 / S of the shorter side, 400

    assert sorted(set(scales)) == list(range(low, high + 1))
    assert are_even(scales, high - low + 1)
    assert all(w.height == w.width for w in found)


def test_scale_and_place_are_unrelated() -> None:
    found = windows(ScaleCrop(256, 512), 600, 400)
    rows = [(w.height, w.top / (600 - w.height), w.left / (400 - w.width)) for w in found]

    correlations = np.corrcoef(np.array(rows).T) - np.eye(3)

    assert np.abs(correlations).max() < 4 / DRAWS**0.5


def test_alexnet_cuts_from_the_central_square_alone() -> None:
    found = windows(CentralCrop(), 256, 400)

    assert {(w.height, w.width) for w in found} == {(224, 224)}
    assert are_even([w.top for w in found], 33)
    assert are_even([w.left for w in found], 33)
    assert (min(w.left for w in found), max(w.left for w in found)) == (72, 104)  # 72 = (400 - 256) / 2, and 32 more
    portrait = windows(CentralCrop(), 400, 256)
    assert {w.left for w in portrait} == set(range(33))
    assert {w.top for w in portrait} == set(range(72, 105))


def test_spp_net_cuts_the_centre_or_a_corner_of_the_entire_image_equally_often() -> None:
    found = [(w.top, w.left, w.height, w.width) for w in windows(CornerCrop(), 512, 768)]  # scaled: 256 x 384

    assert set(found) == {(top, left, 448, 448) for top in (0, 64) for left in (0, 320)} | {(32, 160, 448, 448)}
    assert are_even(found, 5)


def test_areas_are_uniform_and_aspects_between_three_quarters_and_four_thirds() -> None:
    found = windows(AreaCrop(area=(0.08, 0.75)), 2000, 2000)  # up to 3/4 of a square every aspect fits

    areas = [w.height * w.width / 2000**2 for w in found]
    aspects = np.log([w.width / w.height for w in found])

    assert stats.kstest(areas, "uniform", (0.08, 0.67)).pvalue > UNLIKELY
    assert stats.kstest(aspects, "uniform", (np.log(3 / 4), np.log(16 / 9))).pvalue > UNLIKELY
    assert abs(np.corrcoef(areas, aspects)[0, 1]) < 4 / DRAWS**0.5
    assert stats.kstest([w.top / (2000 - w.height) for w in found], "uniform").pvalue > UNLIKELY
    assert stats.kstest([w.left / (2000 - w.width) for w in found], "uniform").pvalue > UNLIKELY


def test_the_aspect_is_width_by_height() -> None:
    window = AreaCrop(area=(0.08, 0.08), aspect=(2.0, 2.0))(1000, 1000, [0.5] * 23)

    assert (window.height, window.width) == (200, 400)
    assert (window.top, window.left) == (400, 300)  # halves of 801 and of 601 places


def test_the_four_interpolations_are_as_likely() -> None:
    found = [w.interpolation for w in windows(AreaCrop(), 300, 500)]

    assert set(found) == {"bilinear", "area", "nearest", "cubic"}
    assert are_even(found, 4)


@pytest.mark.parametrize(("height", "width"), [(500, 333), (375, 500), (200, 900)])
def test_windows_are_distributed_as_torchvisions(height: int, width: int) -> None:
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)])
    found = windows(AreaCrop(), height, width, draws=4000)

    ours = np.array([(w.top, w.left, w.height, w.width) for w in found])

    for name, here, there in zip(("top", "left", "height", "width"), ours.T, theirs.T, strict=True):
        assert stats.kstest(here, there).pvalue > UNLIKELY, name


@pytest.mark.parametrize(
    ("height", "width", "window"),
    [  # a window of the whole area fits neither; the largest of aspect 4:3 or 3:4 in the middle does
        (30, 100, Window(0, 30, 30, 40, "bilinear")),
        (100, 30, Window(30, 0, 40, 30, "bilinear")),
        (60, 70, Window(0, 0, 60, 70, "bilinear")),
    ],
)
def test_an_image_that_no_window_fits_shows_its_middle(height: int, width: int, window: Window) -> None:
    rule = AreaCrop(area=(1.0, 1.0))

    assert rule(height, width, [0.0, 0.9, 0.9, *[0.0, 0.0] * 10]) == window  # aspect 3:4 each time
    assert rule(height, width, [0.0, 0.9, 0.9, *[0.0, 1 - 2**-53] * 10]) == window  # and 4:3


def test_the_tries_are_taken_in_turn() -> None:
    numbers = [0.0, 0.0, 0.0, *[1.0, 1.0] * 9, 0.0, 0.5]  # nine that do not fit 100 x 90, then 8 % and aspect 1

    assert AreaCrop()(100, 90, numbers) == Window(0, 0, 27, 27, "bilinear")  # 0.08 * 9000 = 26.8 squared
    assert AreaCrop()(100, 90, [0.0, 0.0, 0.0, *[1.0, 1.0] * 10]) == Window(0, 0, 100, 90, "bilinear")


@pytest.mark.parametrize(
    ("size", "window"),
    [  # of an image of 512 x 768: ResNet 4.1 cuts 224 of 256, small images are seen whole
        (224, Window(32, 160, 448, 448)),
        (256, Window(0, 128, 512, 512)),
        (32, Window(0, 128, 512, 512)),
    ],
)
def test_the_single_view_is_the_middle(size: int, window: Window) -> None:
    assert Centre(size)(512, 768, []) == window
    assert Centre(size).draws == 0


@pytest.mark.parametrize("build", [lambda: ScaleCrop(223, 300), lambda: CentralCrop(200), lambda: CornerCrop(0)])
def test_a_scale_below_the_crop_is_refused(build: object) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match=r"no 224x224 crop fits an image of scale \d+; use a scale of at least 224"):
        build()


def test_ranges_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no scale lies between 300 and 299; give the smaller one first"):
        ScaleCrop(300, 299)
    for area in ((0.0, 1.0), (0.5, 0.4), (0.5, 1.1)):
        with pytest.raises(ValueError, match=r"a window cannot have .* of the image's area"):
            AreaCrop(area=area)
    with pytest.raises(ValueError, match=r"aspects \(2, 1\) are no range"):
        AreaCrop(aspect=(2, 1))
    with pytest.raises(ValueError, match="and an interpolation"):
        AreaCrop(interpolations=())
