"""Figures of evaluations are PNG files that show the numbers they are given, with names that do not overlap."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from fourfold import plots
from fourfold.evaluate import figures
from fourfold.evaluate.answers import Reply
from fourfold.evaluate.metrics import calibration
from fourfold.evaluate.summary import Evaluation

COSTS = (1, 10, 10, 2, 6, 6, 10, 50, 150, 144, 144, 1, 2.2, 11, 11.5)  # some protocols lie at the same place


def evaluation_of(
    right: int, seconds: float, model: str = "net", labels: tuple[str, ...] = ("a", "b", "c", "d")
) -> Evaluation:
    """Two hundred images of the second class, taken for it or else for the fourth."""
    replies = [
        Reply(at, f"{at}", 1, 0, 0.9, ((1, 0.9),)) if at < right else Reply(at, f"{at}", 1, 1, 0.1, ((3, 0.9), (1, 0.1)))
        for at in range(200)
    ]
    return Evaluation(model, "some views", labels, tuple(replies), 1, seconds, seconds)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def share_of(array: np.ndarray, colour: str) -> float:
    """Share of the pixels that have a colour such as "#2563eb"."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return float((np.abs(array - wanted).max(2) < 8).mean())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were written, to ask what is on them."""
    found: list[Figure] = []
    write = Figure.savefig

    def keep(self: Figure, path: Path, **options: Any) -> None:
        found.append(self)
        write(self, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def test_only_classes_that_occur_are_in_the_confusion(tmp_path: Path) -> None:
    figures.confusion(evaluation_of(150, 1.0), tmp_path / "some.png")
    plots.confusion(torch.tensor([[150, 50], [0, 0]]), ["b", "d"], tmp_path / "expected.png")

    assert (read(tmp_path / "some.png") == read(tmp_path / "expected.png")).all()


def extent_of(bar: Patch) -> tuple[float, float, float, float]:
    """Left, foot, right and top."""
    box = bar.get_path().get_extents(bar.get_patch_transform())
    return box.x0, box.y0, box.x1, box.y1


def test_bars_of_a_reliability_diagram_are_accuracies_and_shares(tmp_path: Path, drawn: list[Figure]) -> None:
    found = calibration(torch.tensor([0.95, 0.95, 0.95, 0.5]), torch.tensor([True, False, True, True]))

    figures.reliability(found, tmp_path / "reliability.png")

    above, below = drawn[0].axes
    corners = [extent_of(bar) for bar in above.patches]  # accuracies, then what is too sure, then what is not sure enough
    width = 100 / 15
    assert np.array(corners) == pytest.approx(
        np.array([
            (7 * width, 0, 8 * width, 100), (14 * width, 0, 100, 200 / 3),
            (14 * width, 200 / 3, 100, 95), (7 * width, 50, 8 * width, 100),
        ]), abs=1e-4,
    )  # fmt: skip
    assert [extent_of(bar)[3] for bar in below.patches] == pytest.approx([0] * 7 + [25] + [0] * 6 + [75])
    expected = 100 * (3 * (0.95 - 2 / 3) + 0.5) / 4
    assert f"{expected:.2f} %" in drawn[0].get_suptitle()
    assert share_of(read(tmp_path / "reliability.png"), plots.BLUE) > 0.02


@pytest.mark.parametrize("models", [("net",), ("net", "another net"), ("$", "猫 \udc80 $")])
def test_each_protocol_is_a_dot_with_its_interval(models: tuple[str, ...], tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [("$one$ \udc80", evaluation_of(100, 20.0, models[0])), ("猫", evaluation_of(120, 200.0, models[-1]))]

    figures.costs(rows, tmp_path / "costs.png")

    axes = drawn[0].axes[0]
    assert axes.get_xscale() == "log"
    dots = np.concatenate([container[0].get_xydata() for container in axes.containers])
    assert dots == pytest.approx(np.array([(100.0, 50.0), (1000.0, 60.0)]))
    ends = np.concatenate([container[2][0].get_segments()[0][:, 1] for container in axes.containers] if len(models) > 1
                          else [segment[:, 1] for segment in axes.containers[0][2][0].get_segments()])  # fmt: skip
    assert ends == pytest.approx([43.13, 56.87, 53.08, 66.54], abs=0.01)  # Wilson's formula, worked out by hand
    assert (axes.get_legend() is not None) == (len(models) > 1)
    assert share_of(read(tmp_path / "costs.png"), plots.BLUE) > 0.0001


def test_names_cover_neither_each_other_nor_a_dot(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [(f"protocol {at}", evaluation_of(100 + 3 * int(cost**0.5), 10 * cost)) for at, cost in enumerate(COSTS)]

    figures.costs(rows, tmp_path / "costs.png")

    axes = drawn[0].axes[0]
    names = [text for text in axes.texts if text.get_text()]
    assert [text.get_text() for text in names] == [name for name, _ in rows]
    boxes = [text.get_window_extent() for text in names]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    dots = axes.transData.transform(axes.containers[0][0].get_xydata())
    assert not any(box.contains(x, y) for box in boxes for x, y in dots)
    assert all(axes.bbox.contains(*corner) for box in boxes for corner in box.corners())


def test_what_has_no_time_is_left_out_and_said(tmp_path: Path, drawn: list[Figure]) -> None:
    figures.costs([("read", evaluation_of(100, 0.0)), ("run", evaluation_of(90, 5.0))], tmp_path / "costs.png")

    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.texts] == ["run"]
    assert "1 without a time left out" in axes.get_ylabel()


def test_without_any_time_there_is_nothing_to_plot(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no evaluation has a measured time"):
        figures.costs([("read", evaluation_of(100, 0.0))], tmp_path / "costs.png")


def test_the_front_by_hand() -> None:
    points = [(1.0, 50.0), (2.0, 49.0), (2.0, 60.0), (3.0, 60.0), (2.0, 60.0), (9.0, 61.0), (0.5, 10.0)]

    assert figures.pareto(points) == [0, 2, 4, 5, 6]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_a_point_off_the_front_is_beaten_by_one_on_it(points: list[tuple[float, float]]) -> None:
    front = figures.pareto(points)

    assert max(gain for _, gain in points) in [points[index][1] for index in front]
    for index, (cost, gain) in enumerate(points):
        beaten = any(c <= cost and g >= gain and (c < cost or g > gain) for c, g in (points[at] for at in front))
        assert beaten == (index not in front)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\nb\x00", "a\\nb\\x00"), ("\udcff.png", "\\udcff.png"), ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\u2028", "\\u2028"), ("猫 é \u200d", "猫 é \u200d"),
    ],
)  # fmt: skip
def test_hidden_characters_are_seen_and_others_stay(text: str, seen: str) -> None:
    assert figures.visible(text) == seen
