"""Views lie where the papers say: places typed by hand for a few sizes, and laws that hold for every size."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.evaluate.crops import Crops
from fourfold.evaluate.views import CENTRE, GRID, NINE, TEN, TEN_WHOLE, THREE_SQUARES, Layout, View
from fourfold.images import scaled_size

LAYOUTS = {
    "centre": CENTRE,
    "ten": TEN,
    "ten whole": TEN_WHOLE,
    "grid": GRID,
    "three squares": THREE_SQUARES,
    "nine": NINE,
}

# A photo of 500x375 whose shorter side becomes 256, 288, 320, 352 has a longer side of 341, 384, 426, 469 (500 / 375 of the
# shorter, rounded down), so that GoogLeNet's squares begin at 0, (L - s) / 2, L - s; halves of a pixel go to the even one
SQUARES = {256: (0, 42, 85), 288: (0, 48, 96), 320: (0, 53, 106), 352: (0, 58, 117)}
INSIDE = {256: (32, 16), 288: (64, 32), 320: (96, 48), 352: (128, 64)}  # far corner and centre of 224 in each square


def places_of(views: tuple[View, ...], shorter: int) -> Counter[tuple[int, int, int, int, bool]]:
    """How often each rectangle occurs among the views of one scale."""
    return Counter(
        (view.top, view.left, view.height, view.width, view.is_mirrored) for view in views if min(view.scaled) == shorter
    )


def googlenet_places(squares: tuple[int, int, int], far: int, middle: int, side: int) -> Counter:
    """The places of the 36 views of a landscape at one scale, written out from the text of GoogLeNet 7."""
    places: Counter = Counter()
    for begin in squares:
        for mirrored in (False, True):
            for down, across in ((0, 0), (0, far), (far, 0), (far, far), (middle, middle)):
                places[down, begin + across, 224, 224, mirrored] += 1
            places[0, begin, side, side, mirrored] += 1
    return places


def transposed(places: Counter) -> Counter:
    return Counter(
        {(left, top, width, height, is_mirrored): count for (top, left, height, width, is_mirrored), count in places.items()}
    )


def crops144() -> Crops:
    return Crops((256, 288, 320, 352), 224, THREE_SQUARES)


@pytest.mark.parametrize("shorter", SQUARES)
def test_googlenets_144_views_of_a_landscape_lie_where_its_section_7_says(shorter: int) -> None:
    views = crops144().views(375, 500)

    assert len(views) == 144
    assert places_of(views, shorter) == googlenet_places(SQUARES[shorter], *INSIDE[shorter], shorter)


@pytest.mark.parametrize("shorter", SQUARES)
def test_those_of_a_portrait_are_the_transpose(shorter: int) -> None:
    views = crops144().views(500, 375)

    assert len(views) == 144
    assert places_of(views, shorter) == transposed(googlenet_places(SQUARES[shorter], *INSIDE[shorter], shorter))


@pytest.mark.parametrize("shorter", SQUARES)
def test_on_a_square_image_the_three_squares_coincide_and_all_144_count(shorter: int) -> None:
    views = crops144().views(640, 640)

    assert len(views) == 144
    assert places_of(views, shorter) == googlenet_places((0, 0, 0), *INSIDE[shorter], shorter)
    assert set(places_of(views, shorter).values()) == {3}


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (480, 480)])
def test_the_whole_of_each_of_the_three_squares_is_a_view(height: int, width: int) -> None:
    whole = [view for view in crops144().views(height, width) if view.height == min(view.scaled)]

    assert len(whole) == 4 * 3 * 2
    assert all(view.height == view.width for view in whole)


def test_the_ten_views_of_alexnet_are_of_the_central_256_square() -> None:
    views = Crops((256,), 224, TEN).views(375, 500)  # the square begins at column (341 - 256) / 2 = 42.5, so 42

    expected = [(0, 42), (0, 74), (32, 42), (32, 74), (16, 58)]
    assert Counter((view.top, view.left, view.is_mirrored) for view in views) == Counter(
        (*place, is_mirrored) for place in expected for is_mirrored in (False, True)
    )


def test_the_ten_views_of_spp_net_are_of_the_whole_image() -> None:
    views = Crops((256,), 224, TEN_WHOLE).views(500, 375)  # 341 rows, 256 columns

    expected = [(0, 0), (0, 32), (117, 0), (117, 32), (58, 16)]
    assert Counter((view.top, view.left, view.is_mirrored) for view in views) == Counter(
        (*place, is_mirrored) for place in expected for is_mirrored in (False, True)
    )


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (300, 300), (224, 1000)])
def test_single_is_of_ten_and_ten_is_of_the_central_square_of_the_144(height: int, width: int) -> None:
    single = set(Crops((256,), 224, CENTRE, are_mirrored=False).views(height, width))
    ten = set(Crops((256,), 224, TEN).views(height, width))
    all_views = crops144().views(height, width)

    at_256 = [view for view in all_views if min(view.scaled) == 256]
    assert len(single) == 1
    assert single < ten
    assert ten < set(at_256[12:24])  # of 36 views the second dozen is the central square's


@pytest.mark.parametrize(("shorter", "rows", "columns"), [
    (256, (0, 8, 16, 24, 32), (0, 29, 58, 88, 117)),  # 341 columns: 117 / 4 = 29.25
    (384, (0, 40, 80, 120, 160), (0, 72, 144, 216, 288)),  # 512 columns
    (512, (0, 72, 144, 216, 288), (0, 114, 229, 344, 458)),  # 682 columns: 458 / 4 = 114.5
])  # fmt: skip
def test_the_grid_of_vgg_is_regular(shorter: int, rows: tuple[int, ...], columns: tuple[int, ...]) -> None:
    views = Crops((256, 384, 512), 224, GRID).views(375, 500)

    expected = Counter(
        {(row, column, 224, 224, is_mirrored): 1 for row in rows for column in columns for is_mirrored in (False, True)}
    )
    assert places_of(views, shorter) == expected
    assert (len(views), expected.total()) == (150, 50)


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (224, 224), (1000, 230)])
def test_the_grid_has_50_views_of_every_image(height: int, width: int) -> None:
    assert len(Crops((256,), 224, GRID).views(height, width)) == 50
    assert len(Crops((256, 384, 512), 224, GRID).views(height, width)) == 150


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (300, 900)])
def test_spp_net_has_18_views_at_each_scale_but_6_at_224(height: int, width: int) -> None:
    views = Crops((224, 256, 300, 360, 448, 560), 224, NINE).views(height, width)

    assert [sum(places_of(views, shorter).values()) for shorter in (224, 256, 300, 360, 448, 560)] == [6, 18, 18, 18, 18, 18]
    assert len(views) == len(set(views)) == 96


def test_the_6_views_at_224_are_the_begin_the_middle_and_the_end_of_the_longer_side() -> None:
    landscape = Crops((224,), 224, NINE).views(375, 500)  # 298 columns
    portrait = Crops((224,), 224, NINE).views(500, 375)

    assert {(view.top, view.left) for view in landscape} == {(0, 0), (0, 37), (0, 74)}
    assert {(view.top, view.left) for view in portrait} == {(0, 0), (37, 0), (74, 0)}


def test_the_nine_views_of_a_square_image_at_448() -> None:
    views = Crops((448,), 224, NINE, are_mirrored=False).views(100, 100)

    assert {(view.top, view.left) for view in views} == {(row, column) for row in (0, 112, 224) for column in (0, 112, 224)}


def test_a_square_image_has_one_place_at_the_scale_of_the_views() -> None:
    assert [(view.top, view.left) for view in Crops((224,), 224, NINE).views(300, 300)] == [(0, 0), (0, 0)]


sides = st.integers(4, 400)
sizes = st.integers(4, 64)
layouts = st.sampled_from(list(LAYOUTS.values()))


@settings(deadline=None)  # a busy machine is no error
@given(layouts, sides, sides, sizes, st.integers(0, 90))
def test_every_view_lies_inside_the_scaled_image(layout: Layout, height: int, width: int, size: int, more: int) -> None:
    for view in Crops((size + more,), size, layout).views(height, width):
        assert view.scaled == scaled_size(height, width, size + more)
        assert 0 <= view.top <= view.top + view.height <= view.scaled[0]
        assert 0 <= view.left <= view.left + view.width <= view.scaled[1]
        assert view.height == view.width in (size, size + more)


@settings(deadline=None)
@given(layouts, sides, sides, sizes, st.integers(0, 90))
def test_a_portrait_has_the_transpose_of_a_landscapes_views(
    layout: Layout, height: int, width: int, size: int, more: int
) -> None:
    views = Crops((size + more,), size, layout).views(height, width)
    turned = Crops((size + more,), size, layout).views(width, height)

    assert places_of(turned, size + more) == transposed(places_of(views, size + more))


@settings(deadline=None)
@given(layouts, sides, sides, sizes, st.integers(0, 90))
def test_every_view_has_a_twin_of_the_mirror_image(layout: Layout, height: int, width: int, size: int, more: int) -> None:
    views = Crops((size + more,), size, layout).views(height, width)
    plain = Crops((size + more,), size, layout, are_mirrored=False).views(height, width)

    assert Counter(view for view in views if not view.is_mirrored) == Counter(plain)
    twins = Counter(View(*(view.scaled, view.top, view.left, view.height, view.width), is_mirrored=True) for view in plain)
    assert Counter(view for view in views if view.is_mirrored) == twins


@settings(deadline=None)
@given(layouts, sides, sides, sizes, st.integers(0, 90))
def test_a_layout_is_its_own_mirror_image(layout: Layout, height: int, width: int, size: int, more: int) -> None:
    views = Crops((size + more,), size, layout, are_mirrored=False).views(height, width)

    places = sorted((view.top, view.left) for view in views)
    mirrored = sorted((view.top, view.scaled[1] - view.left - view.width) for view in views)
    for place, twin in zip(places, mirrored, strict=True):
        assert place[0] == twin[0]
        assert abs(place[1] - twin[1]) <= 2  # halves of a pixel, once for the square and once for the crop in it


@settings(deadline=None)
@given(st.sampled_from([GRID, NINE, TEN_WHOLE]), sides, sides, sizes, st.integers(0, 90))
def test_the_whole_image_is_covered_from_edge_to_edge(layout: Layout, height: int, width: int, size: int, more: int) -> None:
    views = Crops((size + more,), size, layout).views(height, width)

    assert (min(view.top for view in views), min(view.left for view in views)) == (0, 0)
    assert max(view.top + view.height for view in views) == views[0].scaled[0]
    assert max(view.left + view.width for view in views) == views[0].scaled[1]


@settings(deadline=None)
@given(sides, sides, sizes, st.integers(0, 90))
def test_the_nine_places_are_every_other_row_and_column_of_the_grid(height: int, width: int, size: int, more: int) -> None:
    grid = Crops((size + more,), size, GRID, are_mirrored=False).views(height, width)
    nine = Crops((size + more,), size, NINE, are_mirrored=False).views(height, width)

    others = {grid[5 * row + column] for row in (0, 2, 4) for column in (0, 2, 4)}
    assert set(nine) == others
    assert len(nine) == len(others)


def test_a_box_is_given_in_pixels_of_the_image_before_it_was_scaled() -> None:
    box = View((256, 341), top=16, left=58, height=224, width=224).box(375, 500)

    # 500 / 341 = 1.466276 across and 375 / 256 = 1.464844 down
    assert box == pytest.approx((85.04399, 23.4375, 413.48974, 351.5625), abs=1e-4)


@settings(deadline=None)
@given(layouts, sides, sides, sizes, st.integers(0, 90), st.booleans())
def test_boxes_lie_on_the_image_and_keep_their_share_of_it(
    layout: Layout, height: int, width: int, size: int, more: int, is_mirrored: bool
) -> None:
    for view in Crops((size + more,), size, layout, are_mirrored=is_mirrored).views(height, width):
        left, top, right, bottom = view.box(height, width)
        assert -1e-9 <= left < right <= width + 1e-9
        assert -1e-9 <= top < bottom <= height + 1e-9
        assert (right - left) / width == pytest.approx(view.width / view.scaled[1])
        assert (bottom - top) / height == pytest.approx(view.height / view.scaled[0])


def test_the_box_of_a_whole_image_is_the_image() -> None:
    assert View((256, 341), 0, 0, 256, 341).box(375, 500) == pytest.approx((0, 0, 500, 375))
