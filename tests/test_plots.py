"""Plots are PNG files of the size asked for and show the numbers they are given."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourfold import plots, verbs

LINES = [
    {"step": 100, "train_error": 0.9, "val_error": 0.8},
    {"step": 200, "train_error": 0.5, "val_error": None},
    {"step": 300, "train_error": 0.2, "val_error": 0.3},
]


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def share_of(array: np.ndarray, colour: str) -> float:
    """Share of the pixels that have a colour such as "#2563eb"."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return float((np.abs(array - wanted).max(2) < 8).mean())


def test_training_curves_are_a_picture_with_both_curves(tmp_path: Path) -> None:
    plots.training_curves(LINES, tmp_path / "curves.part")  # whatever the name: it is renamed later

    array = read(tmp_path / "curves.part")
    assert array.shape == (520, 910, 3)  # 4 x 7 inches of 130 pixels
    assert share_of(array, plots.BLUE) > 0.001
    assert share_of(array, plots.GREY) > 0.0005


def test_an_unvalidated_run_has_a_curve_of_training_alone(tmp_path: Path) -> None:
    plots.training_curves([{**line, "val_error": None} for line in LINES], tmp_path / "a.png")
    plots.training_curves(LINES, tmp_path / "b.png")

    assert share_of(read(tmp_path / "a.png"), plots.BLUE) < share_of(read(tmp_path / "b.png"), plots.BLUE) / 2  # legend only


@pytest.mark.parametrize("network", ["resnet20", "vgg-d", "googlenet"])
def test_an_explanation_shows_costs_of_every_network(network: str, tmp_path: Path) -> None:
    plots.explanation(verbs.explain(network), tmp_path / "network.png")

    array = read(tmp_path / "network.png")
    assert array.shape[0] == 910
    assert array.shape[1] >= 910
    assert share_of(array, plots.BLUE) > 0.002
    assert share_of(array, plots.ORANGE) > 0.001


def test_the_costliest_layer_has_the_highest_bar(tmp_path: Path) -> None:
    result = verbs.explain("vgg-d")  # fc6 has 102,764,544 of 138,357,544 parameters (VGG 2.3), and is the last but two

    plots.explanation(result, tmp_path / "vgg.png")

    array = read(tmp_path / "vgg.png")
    wanted = [int(plots.ORANGE[at : at + 2], 16) for at in (1, 3, 5)]
    heights = (np.abs(array - wanted).max(2) < 8).sum(0)
    assert 0.7 < heights.argmax() / array.shape[1] < 1.0
    assert heights.max() > 5 * np.median(heights[heights > 0])


def test_no_window_toolkit_is_loaded(tmp_path: Path) -> None:
    plots.training_curves(LINES, tmp_path / "curves.png")

    assert "tkinter" not in sys.modules
