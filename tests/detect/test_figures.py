"""Figures of a detector are PNG files that show the numbers they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect import figures
from fourfold.detect.detections import Detections
from fourfold.detect.found_class import FoundClass
from fourfold.detect.summary import DetectionEvaluation

OBJECT = torch.tensor([[0.0, 0.0, 20.0, 40.0]])


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


def evaluation_of(rows: list[tuple[int, list[int]]], groups: tuple[tuple[int, ...], ...] = ()) -> DetectionEvaluation:
    """For each class: how many images with one object it has, and of each of its detections the outcome, surest first.

    Right ones are on the first images of the class; localization finds the first once more, half of it; similar and other
    are on an object of the class after it and the one after that; and background is far away.
    """
    images, label_of = [], []
    for label, (objects, _) in enumerate(rows):
        for _ in range(objects):
            labels = torch.tensor([label])
            images.append(Annotated(File(Path("a.jpg")), 200, 300, OBJECT, labels, torch.tensor([False])))
            label_of.append(label)
    found: list[list[tuple[torch.Tensor, int, float]]] = [[] for _ in images]
    for label, (_, outcomes) in enumerate(rows):
        free = iter([at for at, owner in enumerate(label_of) if owner == label])
        for rank, outcome in enumerate(outcomes):
            score = 0.95 - 0.01 * rank
            if outcome == 0:
                found[next(free)].append((OBJECT[0], label, score))
            elif outcome == 1:
                found[label_of.index(label)].append((OBJECT[0] * torch.tensor([1, 1, 0.4, 1]), label, score))
            elif outcome in (2, 3):
                found[label_of.index((label + outcome - 1) % len(rows))].append((OBJECT[0], label, score))
            else:
                found[0].append((OBJECT[0] + 100, label, score))
    made = [
        Detections(
            torch.stack([box for box, _, _ in each]) if each else torch.zeros(0, 4),
            torch.tensor([label for _, label, _ in each], dtype=torch.int64),
            torch.tensor([score for _, _, score in each]),
        )
        for each in found
    ]
    return DetectionEvaluation(
        "net", "", tuple(f"${at}$" for at in range(len(rows))), tuple(images), tuple(made), groups=groups
    )


ROWS = [(4, [0, 4, 0, 1, 2, 3]), (2, [4, 0]), (1, [])]


def test_outcomes_are_counted_for_each_multiple_of_the_objects() -> None:
    result = evaluation_of(ROWS, ((0, 1),))
    assert [each.tolist() for each in result.outcomes] == [[0, 4, 0, 1, 2, 3], [4, 0], []]
    assert figures.outcome_counts(result).tolist() == [
        [1, 0, 0, 0, 1],  # an eighth: the first of each class that has detections
        [1, 0, 0, 0, 1],
        [1, 0, 0, 0, 2],  # half: two of the first class, one of the second
        [3, 1, 0, 0, 2],  # four and two
        [3, 1, 1, 1, 2],  # all that there are
        [3, 1, 1, 1, 2],
        [3, 1, 1, 1, 2],
    ]


def test_a_class_without_objects_is_not_among_the_outcomes() -> None:
    result = evaluation_of([(2, [0, 0]), (0, [4, 4, 4])])
    assert figures.outcome_counts(result)[-1].tolist() == [2, 0, 0, 0, 0]


def bars_of(figure: Figure) -> list[list[tuple[float, float]]]:
    """Foot and height of the bars of each kind."""
    kinds = [[bar for bar in each if isinstance(bar, Rectangle)] for each in figure.axes[0].containers]
    return [[(bar.get_y(), bar.get_height()) for bar in kind] for kind in kinds]


def test_bars_are_shares_that_fill_the_whole(tmp_path: Path, drawn: list[Figure]) -> None:
    figures.error_kinds(evaluation_of(ROWS, ((0, 1),)), tmp_path / "errors.png")
    bars = bars_of(drawn[0])
    assert len(bars) == 5
    assert [kind[3] for kind in bars] == [pytest.approx(pair) for pair in
        [(0, 50), (50, 100 / 6), (400 / 6, 0), (400 / 6, 0), (400 / 6, 200 / 6)]]  # fmt: skip
    assert [sum(height for _, height in column) for column in zip(*bars, strict=True)] == pytest.approx([100] * 7)
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["2", "2", "3", "6", "8", "8", "8"]
    words = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert words == ["right", "off the mark, or found twice", "a class alike", "another class", "background"]


def test_without_groups_no_class_is_alike(tmp_path: Path, drawn: list[Figure]) -> None:
    figures.error_kinds(evaluation_of(ROWS), tmp_path / "errors.png")
    assert "a class alike" not in [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert [sum(height for _, height in column) for column in zip(*bars_of(drawn[0]), strict=True)] == pytest.approx(
        [100] * 7
    )


def test_curves_have_a_panel_for_each_class_with_objects(tmp_path: Path, drawn: list[Figure]) -> None:
    result = evaluation_of([*ROWS, (0, [4])])
    figures.precision_recall(result, tmp_path / "curves.png")
    shown = [axes for axes in drawn[0].axes if axes.axison]
    assert [axes.get_title() for axes in shown] == ["$0$   41.7 %", "$1$   25.0 %", "$2$   0.0 %"]  # (1 + 2/3) / 4; 1/2 / 2
    line, steps, dot = shown[0].lines
    assert np.asarray(line.get_xydata()) == pytest.approx(np.array(
        [(25, 100), (25, 50), (50, 200 / 3), (50, 50), (50, 40), (50, 100 / 3)]))  # fmt: skip
    assert np.asarray(steps.get_xydata()) == pytest.approx(np.array(
        [(0, 100), (25, 100), (25, 200 / 3), (50, 200 / 3), (50, 50), (50, 40), (50, 100 / 3), (50, 0)]))  # fmt: skip
    assert steps.get_drawstyle() == "steps-pre"  # which keeps the highest precision up to each recall
    assert np.asarray(dot.get_xydata()) == pytest.approx(np.array([(50, 200 / 3)]))
    assert [text.get_text() for text in shown[0].texts] == ["0.93"]
    assert [len(axes.lines) for axes in shown] == [3, 3, 1]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"
        assert (np.abs(np.asarray(picture.convert("RGB")).astype(int) - (0x25, 0x63, 0xEB)).max(2) < 8).mean() > 0.001


def score_of(label: str, ap: float | None) -> FoundClass:
    return FoundClass(label, 0 if ap is None else 5, 0, 5, ap, ap, None, 0.0, 0.0, 0.0, (0, 0, 0, 0, 0))


def test_of_many_classes_the_worst_have_panels(tmp_path: Path) -> None:
    scores = [score_of(f"{at}", None if at == 7 else ((at * 37) % 100) / 100) for at in range(100)]
    shown = figures.shown_classes(scores)
    assert len(shown) == 20
    assert shown == sorted(shown)
    assert 7 not in shown
    assert max(scores[at].ap_2010 or 0 for at in shown) < min(
        score.ap_2010 for at, score in enumerate(scores) if at not in shown and score.ap_2010 is not None
    )
    figures.precision_recall(evaluation_of([(1, [0])] * 9), tmp_path / "nine.png")
    with Image.open(tmp_path / "nine.png") as picture:
        assert picture.width > picture.height


def test_names_in_any_script_are_written(tmp_path: Path) -> None:
    result = evaluation_of(ROWS)
    names = ("猫 \udc80", "$\\frac{$", "a\nvery long name that would reach into the panel beside it")
    figures.precision_recall(DetectionEvaluation("net", "", names, result.images, result.found), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
