"""Colours are where other libraries, and the definitions, put them."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from fourfold.detect.colour_spaces import SPACES, hsv, lab, rgi

COLOURS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_hsv_is_that_of_the_standard_library() -> None:
    expected = [[colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in row] for row in COLOURS]

    assert hsv(COLOURS) == pytest.approx(np.array(expected) * 255, abs=1e-3)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [  # CIE 1976 values of sRGB's corners under D65, as colour tables print them
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_is_that_of_the_tables(colour: tuple[int, int, int], expected: tuple[float, float, float]) -> None:
    found = lab(np.array([[colour]], np.uint8))[0, 0]

    assert (found[0] / 2.55, found[1] - 128, found[2] - 128) == pytest.approx(expected, abs=0.06)


def test_rgi_has_shares_that_do_not_change_with_brightness() -> None:
    bright, dark = np.array([[[100, 60, 40]]], np.uint8), np.array([[[50, 30, 20]]], np.uint8)

    assert rgi(bright)[0, 0] == pytest.approx([127.5, 76.5, 66.667], abs=1e-3)
    assert rgi(dark)[0, 0, :2] == pytest.approx(rgi(bright)[0, 0, :2])


@pytest.mark.parametrize("name", SPACES)
def test_every_space_has_three_channels_from_0_to_255(name: str) -> None:
    extremes = np.array([[[a, b, c] for c in (0, 255)] for a in (0, 255) for b in (0, 255)], np.uint8)
    for image in (COLOURS, extremes):
        seen = SPACES[name](image)
        assert (seen.shape, seen.dtype) == (image.shape, np.float32)
        assert 0 <= seen.min() <= seen.max() <= 255.001


def test_grey_has_no_hue_and_no_saturation() -> None:
    grey = np.full((1, 1, 3), 77, np.uint8)

    assert hsv(grey)[0, 0].tolist() == [0, 0, 77]
    assert SPACES["H"](grey).max() == 0
    assert SPACES["I"](grey)[0, 0].tolist() == [77, 77, 77]
