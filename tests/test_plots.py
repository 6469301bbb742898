"""Plots are PNG files of the size asked for and show the numbers they are given."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold import plots, verbs
from fourfold.train.journal import Epoch

EPOCHS = [
    Epoch(1, 100, 0.1, 2.25, 0.9, 2.0, 0.8, 60.0),
    Epoch(2, 200, 0.1, 1.25, 0.5, None, None, 50.0),
    Epoch(3, 300, 0.01, 0.5, 0.2, 0.75, 0.3, 60.0),
    Epoch(4, 400, 0.001, 0.25, 0.1, 0.875, 0.4, 60.0),
]


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def share_of(array: np.ndarray, colour: str) -> float:
    """Share of the pixels that have a colour such as "#2563eb"."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return float((np.abs(array - wanted).max(2) < 8).mean())


def test_training_curves_are_a_picture_with_both_curves_and_the_rate(tmp_path: Path) -> None:
    plots.training_curves(EPOCHS, tmp_path / "curves.part")  # whatever the name: it is renamed later

    array = read(tmp_path / "curves.part")
    assert array.shape == (1001, 1001, 3)  # 7.7 inches of 130 pixels
    assert share_of(array, plots.BLUE) > 0.002
    assert share_of(array, plots.GREY) > 0.001
    assert share_of(array[800:], plots.ORANGE) > 0.001
    assert share_of(array[:800], plots.ORANGE) == 0  # the rate has a panel of its own


def test_an_unvalidated_run_has_curves_of_training_alone(tmp_path: Path) -> None:
    plots.training_curves([replace(epoch, val_error=None, val_loss=None) for epoch in EPOCHS], tmp_path / "a.png")

    assert share_of(read(tmp_path / "a.png"), plots.BLUE) == 0


def test_the_best_epoch_is_marked_where_it_lies(tmp_path: Path) -> None:
    flat = [Epoch(n, 100 * n, 0.1, 1.0, 0.0, None, 0.5, 1.0) for n in range(1, 42)]  # step 100 to 4100
    best = [replace(epoch, val_error=0.25 if epoch.epoch == 31 else 0.5) for epoch in flat]  # three quarters to the right
    plots.training_curves(best, tmp_path / "a.png")
    best[30], best[10] = replace(best[30], val_error=0.5), replace(best[10], val_error=0.25)  # one quarter
    plots.training_curves(best, tmp_path / "b.png")

    marks = [ring_column(read(tmp_path / name)) for name in ("a.png", "b.png")]
    assert marks[0] == pytest.approx(0.05 + 0.95 * (0.045 + 0.91 * 0.75), abs=0.03)
    assert marks[1] == pytest.approx(0.05 + 0.95 * (0.045 + 0.91 * 0.25), abs=0.03)


def ring_column(array: np.ndarray) -> float:
    """Where in the upper half of the picture, 0 left to 1 right, the lowest blue lies: a ring around the curve's dip."""
    blue = np.abs(array[:470] - [int(plots.BLUE[at : at + 2], 16) for at in (1, 3, 5)]).max(2) < 8
    rows, columns = blue.nonzero()
    lowest = columns[rows > rows.max() - 3]
    assert np.ptp(lowest) > 8, "the tip of a curve is not as wide as a ring"
    return float(lowest.mean() / array.shape[1])


@pytest.mark.parametrize(
    "epochs",
    [
        [EPOCHS[0]],
        [replace(EPOCHS[0], train_error=0.0, train_loss=0.0, val_error=0.0, val_loss=0.0, rate=0.0)],
        [replace(EPOCHS[0], val_loss=float("inf")), replace(EPOCHS[1], val_loss=float("nan"))],
    ],
    ids=["one", "zeros", "no numbers"],
)
def test_the_shortest_and_strangest_runs_have_a_picture(epochs: list[Epoch], tmp_path: Path) -> None:
    plots.training_curves(epochs, tmp_path / "curves.png")

    assert share_of(read(tmp_path / "curves.png"), plots.BLUE) > 0.0002


def test_a_run_without_an_epoch_cannot_be_plotted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no epoch to plot"):
        plots.training_curves([], tmp_path / "curves.png")


def test_a_confusion_is_darkest_in_the_row_of_the_truth_and_the_column_of_the_guess(tmp_path: Path) -> None:
    matrix = torch.zeros(4, 4, dtype=torch.int64)
    matrix[0, 2], matrix[1, 1], matrix[3, 0], matrix[3, 3] = 8, 300, 1, 3  # the third class has no image

    plots.confusion(matrix, ["a", "b", "c", "d"], tmp_path / "confusion.png")

    dark = cells(read(tmp_path / "confusion.png"), 4) < 40  # a full share, however few the images
    assert dark.tolist() == [
        [False, False, True, False],
        [False, True, False, False],
        [False, False, False, False],
        [False, False, False, True],
    ]


def cells(array: np.ndarray, count: int) -> np.ndarray:
    """The red of each cell of the matrix in a picture, left of its middle so that a number is not met."""
    ink = array.max(2) < 100  # black: the frame of the axes
    rows = np.flatnonzero(ink.mean(1) > 0.4)
    columns = np.flatnonzero(ink[rows[0] : rows[-1]].mean(0) > 0.95)
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    down = [round(top + (bottom - top) * (place + 0.5) / count) for place in range(count)]
    across = [round(left + (right - left) * (place + 0.15) / count) for place in range(count)]
    return array[np.ix_(down, across)][..., 0]


@pytest.mark.parametrize("count", [2, 20, 21, 100, 999])
def test_matrices_of_every_size_and_names_of_every_kind_have_a_picture(count: int, tmp_path: Path) -> None:
    names = ["猫", "$100$ bill$", "a\nb", "a very long name of a class, and its synonyms", ""]
    matrix = torch.eye(count, dtype=torch.int64) * 9
    matrix[1, 0] = 1

    plots.confusion(matrix, [names[index % 5] for index in range(count)], tmp_path / "confusion.png")

    array = read(tmp_path / "confusion.png")
    assert 500 < array.shape[0] < 1400
    assert 500 < array.shape[1] < 2000
    assert (share_of(array, plots.ORANGE) > 0.002) == (count > 20)  # the list of pairs


def test_one_wrong_cell_among_a_million_is_still_to_be_seen(tmp_path: Path) -> None:
    matrix = torch.eye(1000, dtype=torch.int64)
    matrix[0, 1] = 1  # both pictures list a pair
    plots.confusion(matrix, ["x"] * 1000, tmp_path / "a.png")
    matrix[100, 901], matrix[100, 100] = 1, 0
    plots.confusion(matrix, ["x"] * 1000, tmp_path / "b.png")

    before, after = read(tmp_path / "a.png"), read(tmp_path / "b.png")
    new = (after[:, :, 0] < 60) & (before[:, :, 0] > 240)
    rows, columns = new[100:500, 600:1050].nonzero()  # above the diagonal
    assert 4 <= len(rows) <= 30
    assert (int(np.ptp(rows)), int(np.ptp(columns))) <= (5, 5)  # one dot


def test_the_most_confused_pairs_are_those_of_the_highest_share_of_their_class() -> None:
    matrix = torch.tensor([[90, 10, 0, 0], [2, 6, 2, 0], [0, 50, 50, 0], [0, 0, 0, 0]])

    pairs = plots.most_confused(matrix, 3)

    assert pairs == [(2, 1, 50), (1, 0, 2), (1, 2, 2)]  # 50 %, 20 %, 20 %; then 10 % of class 0
    assert plots.most_confused(matrix, 30)[3:] == [(0, 1, 10)]
    assert plots.most_confused(torch.eye(3, dtype=torch.int64), 5) == []


def test_a_matrix_of_other_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"confusion matrix has shape \(3, 3\); expected \(2, 2\)"):
        plots.confusion(torch.eye(3), ["a", "b"], tmp_path / "confusion.png")


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
    plots.training_curves(EPOCHS, tmp_path / "curves.png")

    assert "tkinter" not in sys.modules
