"""The curves go through the numbers they are given; every kind of name and list has a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold.detect.recall import Coverage
from fourfold.detect.recall_picture import INKS, recall_curves


def covered(*best: float, counts: tuple[int, ...] = (1, 10, 100)) -> Coverage:
    """Two objects; the first is never overlapped, the second by `best`, one value for each count."""
    overlaps = torch.stack([torch.zeros(len(best)), torch.tensor(best)], 1).double().T
    return Coverage(counts, overlaps, torch.tensor([0, 1]), torch.tensor(counts).double())


def drawn(found: dict[str, Coverage], path: Path) -> np.ndarray:
    recall_curves(found, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def ink_rows(array: np.ndarray, ink: str) -> np.ndarray:
    """For each column the mean row that has an ink, not a number where none has."""
    wanted = [int(ink[at : at + 2], 16) for at in (1, 3, 5)]
    mask = np.abs(array - wanted).max(2) < 30
    rows = np.arange(len(array))[:, None]
    return np.where(mask.any(0), (mask * rows).sum(0) / np.maximum(mask.sum(0), 1), np.nan)


def frame_of(array: np.ndarray, left: bool) -> tuple[int, int]:
    """Rows of the top and the bottom of one panel's frame."""
    half = array[:, : array.shape[1] // 2] if left else array[:, array.shape[1] // 2 :]
    rows = np.flatnonzero((half.max(2) < 100).mean(1) > 0.6)
    return int(rows[0]), int(rows[-1])


def test_recall_is_on_the_left_and_mean_best_overlap_on_the_right(tmp_path: Path) -> None:
    array = drawn({"a": covered(0.4, 0.49, 0.5)}, tmp_path / "a.part")

    middle = array.shape[1] // 2
    for is_left, first, last in ((True, 0.0, 0.5), (False, 0.2, 0.25)):
        top, bottom = frame_of(array, is_left)
        panel = (array[:, :middle] if is_left else array[:, middle:]).copy()
        if is_left:
            panel[bottom - 60 :, -160:] = 255  # the legend
        rows = ink_rows(panel, INKS[0])
        shares = 1.02 * (bottom - rows[~np.isnan(rows)]) / (bottom - top)
        assert shares[0] == pytest.approx(first, abs=0.02)
        assert shares.max() == pytest.approx(last, abs=0.02)


def test_several_proposers_differ_in_ink_and_dash(tmp_path: Path) -> None:
    array = drawn({str(n): covered(0.1 * n, 0.1 * n, 0.1 * n) for n in range(1, 9)}, tmp_path / "a.png")

    right = array[:, array.shape[1] // 2 :]
    shares = [float((~np.isnan(ink_rows(right, ink))).mean()) for ink in INKS]
    assert min(shares) > 0.1
    solid, dashed = (np.isnan(ink_rows(right, INKS[number])).mean() for number in (0, 1))
    assert dashed > solid


def test_counts_without_a_box_and_strange_names_have_a_picture(tmp_path: Path) -> None:
    odd = {"$x{$ 猫": covered(0, 0.2, 0.7, counts=(0, 1, 5)), "none": covered(0, 0, counts=(0, 0))}

    assert drawn(odd, tmp_path / "a.png").shape == (598, 1365, 3)
    with pytest.raises(ValueError, match="there are no proposals to plot"):
        recall_curves({}, tmp_path / "b.png")
