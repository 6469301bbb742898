"""A claim's picture: curves of training in the form of ResNet Figure 6, numbers layer by layer, and a bar for each arm."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fourfold.evaluate.figures import INKS, blank, save_png
from fourfold.reproduce.claim import MEASURES, Claim, Curve
from fourfold.reproduce.record import Result
from fourfold.reproduce.words import unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL = (5.2, 4.2)  # inches
BY_LAYER = {"responses": "standard deviation of responses", "gradient": "norm of the gradient"}


def picture(claim: Claim, result: Result, path: Path) -> None:
    """A PNG of all panels that there is something for, side by side."""
    panels: list[Callable[[Axes], None]] = []
    if curves_of(result, "training"):
        panels.append(lambda axes: _draw_training(axes, result))
    for name, words in BY_LAYER.items():
        if curves_of(result, name):
            panels.append(lambda axes, name=name, words=words: _draw_layers(axes, result, name, words))
    for measure in dict.fromkeys(contrast.measure for contrast in claim.contrasts):
        panels.append(lambda axes, measure=measure: _draw_bars(axes, claim, result, measure))
    figure = blank(PANEL[0] * len(panels), PANEL[1])
    for draw, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        draw(axes)
        axes.grid(alpha=0.3)
    save_png(figure, path)


def curves_of(result: Result, name: str) -> dict[str, list[Curve]]:
    """The curves of this name by arm, one for each seed; arms that have none are left out."""
    found = {arm: [each.curves[name] for each in many if each.curves.get(name)] for arm, many in result.measured.items()}
    return {arm: curves for arm, curves in found.items() if curves}


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of several curves as far as all of them go; their points must be at the same places."""
    points = zip(*curves, strict=False)
    return tuple((at[0][0], statistics.fmean(y for _, y in at)) for at in points)


def _draw_training(axes: Axes, result: Result) -> None:
    """Dashed for training and bold for validation; the mean over the seeds, and each seed faintly."""
    for name, dash, width in (("training", "--", 1.2), ("validation", "-", 2.0)):
        for number, (arm, curves) in enumerate(curves_of(result, name).items()):
            ink = _ink(number)
            label = _plain(arm) if name == "validation" else None
            marker = "o" if len(curves[0]) < 3 else ""
            axes.plot(*zip(*mean_curve(curves), strict=True), dash + marker, color=ink, linewidth=width, label=label)
            for curve in curves if len(curves) > 1 else []:
                axes.plot(*zip(*curve, strict=True), dash, color=ink, linewidth=0.6, alpha=0.35)
    axes.set(xlabel="mini-batches", ylabel="error (%); dashed: training")
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False, fontsize=9)


def _draw_layers(axes: Axes, result: Result, name: str, words: str) -> None:
    for number, (arm, curves) in enumerate(curves_of(result, name).items()):
        axes.plot(*zip(*mean_curve(curves), strict=True), color=_ink(number), label=_plain(arm))
    axes.set(xlabel="layer", ylabel=words)
    if name == "gradient":
        axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=9)


def _draw_bars(axes: Axes, claim: Claim, result: Result, measure: str) -> None:
    """A bar for each arm that has the measure, and a dot for each seed."""
    named = {arm for contrast in claim.contrasts if contrast.measure == measure for arm in (contrast.first, contrast.second)}
    arms = [arm for arm in claim.arms if arm in named]
    for place, arm in enumerate(arms):
        values = [each.values[measure] for each in result.measured[arm]]
        axes.barh(place, statistics.fmean(values), color=_ink(place), alpha=0.75)
        if len(set(values)) > 1:
            axes.plot(values, [place] * len(values), "o", color="black", markersize=3.5)
    axes.set_yticks(range(len(arms)), [_plain(arm) for arm in arms])
    axes.invert_yaxis()
    axes.set_xlabel(MEASURES[measure].rstrip(",") + unit_of(measure).replace(" ", ", "))


def _ink(number: int) -> str:
    return INKS[number % len(INKS)]


def _plain(name: str) -> str:
    """A dollar sign would begin a formula."""
    return name.replace("$", r"\$")
