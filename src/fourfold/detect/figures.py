"""Figures of a detector's evaluation, drawn without a display: precision against recall, and what detections got wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fourfold import plots
from fourfold.detect.found_class import OUTCOMES, FoundClass
from fourfold.detect.summary import DetectionEvaluation
from fourfold.detect.voc_ap import Curve
from fourfold.evaluate.figures import blank, save_png, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 4  # panels side by side
MOST_PANELS = 20  # all of VOC's classes; of more those are drawn that are found worst
MULTIPLES = (0.125, 0.25, 0.5, 1, 2, 4, 8)  # of the number of objects (Hoiem et al. 2012, figure 2)
INKS = dict(zip(OUTCOMES, (plots.BLUE, plots.ORANGE, "#fdba74", "#db2777", plots.GREY), strict=True))
WORDS = {
    "right": "right",
    "localization": "off the mark, or found twice",
    "similar": "a class alike",
    "other": "another class",
    "background": "background",
}


def precision_recall(evaluation: DetectionEvaluation, path: Path) -> None:
    """A PNG with a panel for each class that has objects: its curve, and the place of the highest F1.

    The thin line is the precision itself; the thick one the highest precision at that recall or more, and the area under it
    the average precision (VOC 2010). Of more than 20 classes those are drawn that are found worst, in the order given.
    """
    drawn = shown_classes(evaluation.per_class)
    across = min(ACROSS, len(drawn))
    down = -(-len(drawn) // across)
    figure = blank(max(4.6, 2.9 * across), 3.1 * down if down > 1 else 3.6)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten().tolist()
    for axes, index in zip(panels, drawn, strict=False):
        _draw_curve(axes, evaluation.voc.curves[index], evaluation.per_class[index])
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    for place, axes in enumerate(panels[: len(drawn)]):
        axes.tick_params(labelbottom=place + across >= len(drawn))  # the lowest of its column
    figure.supxlabel("recall (%)", fontsize=10)
    figure.supylabel("precision (%)", fontsize=10)
    save_png(figure, path)


def shown_classes(scores: Sequence[FoundClass]) -> list[int]:
    """Places of the classes that have objects, of more than MOST_PANELS those of the lowest average precision; ascending."""
    aps = [(score.ap_2010, index) for index, score in enumerate(scores) if score.ap_2010 is not None]
    return sorted(index for _, index in sorted(aps)[:MOST_PANELS])


def _draw_curve(axes: Axes, curve: Curve, score: FoundClass) -> None:
    recall, precision = 100 * curve.recall, 100 * curve.precision
    highest = precision.flip(0).cummax(0).values.flip(0)
    axes.plot(recall, precision, color=plots.GREY, linewidth=1)
    if len(recall):  # from recall 0 on, and down to the ground where no more are found
        across = torch.cat((recall.new_zeros(1), recall, recall[-1:]))
        up = torch.cat((highest[:1], highest, highest.new_zeros(1)))
        axes.plot(across, up, color=plots.BLUE, linewidth=1.8, drawstyle="steps-pre")
    if score.threshold is not None:
        place = (100 * score.recall, 100 * score.precision)
        axes.plot(*([value] for value in place), "o", color=plots.ORANGE, markersize=6)
        side, across = ("right", -5) if score.recall > 0.2 else ("left", 5)
        up = -11 if score.precision > 0.1 else 5
        axes.annotate(f"{score.threshold:.2f}", place, (across, up), textcoords="offset points", fontsize=8, ha=side)
    axes.set(xlim=(0, 102), ylim=(0, 104))
    axes.set_title(f"{_short(score.label)}   {100 * (score.ap_2010 or 0):.1f} %", fontsize=10, parse_math=False)
    axes.grid(alpha=0.3)


def _short(name: str) -> str:
    name = " ".join(visible(name).split())
    return name if len(name) <= 22 else f"{name[:21]}…"


def error_kinds(evaluation: DetectionEvaluation, path: Path) -> None:
    """A PNG of what the surest detections are, by how many are looked at (Hoiem et al. 2012, figure 2).

    Each bar takes from every class as many of its surest detections as it has objects, times an eighth to eight, and shows
    which share of them is right, and what is wrong with the others. Above the bars is their number.
    """
    counts = outcome_counts(evaluation)
    totals = counts.sum(1)
    shares = (100 * counts / totals[:, None].clamp(min=1)).double()
    figure = blank(6.4, 4.8)
    axes = figure.add_subplot()
    foot = torch.zeros(len(MULTIPLES), dtype=torch.float64)
    for at, outcome in enumerate(OUTCOMES):
        if at != OUTCOMES.index("similar") or evaluation.groups:  # without groups there are none alike
            axes.bar(range(len(MULTIPLES)), shares[:, at], 0.82, foot, color=INKS[outcome], label=WORDS[outcome])
        foot += shares[:, at]
    for place, total in enumerate(totals.tolist()):
        axes.text(place, 101, f"{total:,}", ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(MULTIPLES)), ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.set(
        ylim=(0, 107), ylabel="% of the detections", xlabel="surest detections of each class, as multiples of its objects"
    )
    figure.legend(fontsize=9, loc="outside lower center", ncols=3)
    save_png(figure, path)


def outcome_counts(evaluation: DetectionEvaluation) -> Tensor:
    """int64 (M,5): for each of MULTIPLES, how many of that many surest detections are each of OUTCOMES; of all classes.

    Of a class with few objects at least one is looked at; of one that has none, nothing.
    """
    rows = torch.zeros(len(MULTIPLES), len(OUTCOMES), dtype=torch.int64)
    for score, outcomes in zip(evaluation.per_class, evaluation.outcomes, strict=True):
        for place, multiple in enumerate(MULTIPLES):
            count = max(1, round(multiple * score.objects)) if score.objects else 0
            rows[place] += outcomes[:count].bincount(minlength=len(OUTCOMES))
    return rows
