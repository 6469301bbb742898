"""Figures of evaluations, drawn without a display: confusions, calibration, and accuracy against cost."""

from __future__ import annotations

import math
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fourfold import plots
from fourfold.evaluate.metrics import Bin, Calibration
from fourfold.evaluate.summary import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect
    from matplotlib.transforms import Bbox

INKS = (plots.BLUE, plots.ORANGE, "#16a34a", "#9333ea", "#db2777", "#0891b2")
PEACH, MINT = "#fdba74", "#86efac"
HIDDEN = ("Cc", "Cs", "Zl", "Zp")  # Unicode's controls, lone surrogates (undecodable bytes), line and paragraph separators
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # these reverse the words around them
REACHES = (7, 16, 28, 42, 58, 76, 96)  # points from a dot to its name: the nearest free place is taken
TURNS = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))  # right, left, corners, above, below
POINTS = 72  # in an inch
DOT = 5  # points from a dot's centre to what is kept free around it


def visible(text: str) -> str:
    """The text with control characters, undecodable bytes and changes of direction written as escapes."""
    return "".join(
        each.encode("unicode_escape").decode("ascii") if unicodedata.category(each) in HIDDEN or each in TURNING else each
        for each in text
    )


def confusion(evaluation: Evaluation, path: Path) -> None:
    """The confusion matrix as a PNG, of those classes alone that have images or are guessed; see `plots.confusion`."""
    kept = torch.tensor([index for index, score in enumerate(evaluation.per_class) if score.support or score.guessed])
    names = [visible(evaluation.labels[index]) for index in kept.tolist()]
    plots.confusion(evaluation.confusion[kept][:, kept], names, path)


def reliability(calibration: Calibration, path: Path) -> None:
    """A PNG of accuracy against confidence (Guo et al. 2017, figure 1), and below it the share of the answers in each bin.

    The orange or green part of a bin is the distance between the two, whose mean is the calibration error.
    """
    total = sum(each.count for each in calibration.bins)
    figure = blank(6.2, 6.6)
    figure.suptitle(
        f"expected calibration error {100 * calibration.error:.2f} % ({total:,} images, {len(calibration.bins)} bins)",
        fontsize=11,
    )
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    _draw_bins(above, [each for each in calibration.bins if each.count])
    below.bar(
        [100 * each.low for each in calibration.bins],
        [100 * each.count / max(1, total) for each in calibration.bins],
        **_bar(calibration.bins),
        color=plots.GREY,
    )
    below.set(xlim=(0, 100), xlabel="probability of the first class (%)", ylabel="% of the images")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    save_png(figure, path)


def _draw_bins(axes: Axes, bins: Sequence[Bin]) -> None:
    left, right = [100 * each.low for each in bins], [100 * each.accuracy for each in bins]
    axes.bar(left, right, **_bar(bins), color=plots.BLUE, label="right answers")
    too_sure = [each for each in bins if each.confidence > each.accuracy]
    unsure = [each for each in bins if each.confidence < each.accuracy]
    for part, ink, words in (
        (too_sure, PEACH, "too sure by this"),
        (unsure, MINT, "right answers, not sure enough by this"),
    ):
        gaps = [100 * (each.confidence - each.accuracy) for each in part]
        feet = [100 * each.accuracy for each in part]
        if part:  # the legend would show another colour for none
            axes.bar([100 * each.low for each in part], gaps, bottom=feet, **_bar(part), color=ink, label=words)
    axes.plot([0, 100], [0, 100], "--", color="black", linewidth=1, label="probability = accuracy")
    axes.set(ylim=(0, 102), ylabel="accuracy (%)")
    axes.legend(loc="upper left", fontsize=9)


def _bar(bins: Sequence[Bin]) -> dict[str, Any]:
    return {"width": [100 * (each.high - each.low) for each in bins], "align": "edge", "edgecolor": "white"}


def costs(rows: Sequence[tuple[str, Evaluation]], path: Path) -> None:
    """A PNG of top-1 accuracy against milliseconds for an image, a named dot for each evaluation, with 95 % intervals.

    A line joins those that no other one beats in both. Those whose time was not measured are left out, which is said.
    Raises ValueError where none has a time.
    """
    timed = [(name, each) for name, each in rows if each.seconds > 0]
    if not timed:
        raise ValueError("no evaluation has a measured time; evaluate anew rather than read answers that are there")
    figure = blank(8.6, 5.6)
    axes = figure.add_subplot()
    points = [_point(each) for _, each in timed]
    front = sorted(points[index] for index in pareto(points))
    axes.plot(*zip(*front, strict=True), color=plots.GREY, linewidth=1.5, drawstyle="steps-post", zorder=1)
    models = list(dict.fromkeys(each.model for _, each in timed))
    for model, ink in zip(models, _inks(len(models)), strict=True):
        _draw_dots(axes, [each for _, each in timed if each.model == model], ink)
    left_out = len(rows) - len(timed)
    _label(axes, left_out)
    if len(models) > 1:
        axes.legend(fontsize=9, loc="lower right")
    with _any_script():
        _place_names(figure, axes, timed)
    save_png(figure, path)


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the points (cost, gain) that no other one beats: none costs less or the same and gains more or the same,
    but for its equals. In the order given.
    """
    return [
        index
        for index, (cost, gain) in enumerate(points)
        if not any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)
    ]


def _point(each: Evaluation) -> tuple[float, float]:
    """Milliseconds for an image, and per cent of the images that are right."""
    return 1000 * each.seconds_per_image, each.top1


def _inks(count: int) -> list[str]:
    return [INKS[index % len(INKS)] for index in range(count)]


def _draw_dots(axes: Axes, evaluations: Sequence[Evaluation], ink: str) -> None:
    tops = [each.top1 for each in evaluations]
    low = [each.top1 - each.top1_interval.low for each in evaluations]
    high = [each.top1_interval.high - each.top1 for each in evaluations]
    milliseconds = [1000 * each.seconds_per_image for each in evaluations]
    label = visible(evaluations[0].model).replace("$", r"\$")  # which would begin a formula
    axes.errorbar(milliseconds, tops, (low, high), fmt="o", color=ink, ecolor=ink, elinewidth=1, capsize=3, label=label)


def _label(axes: Axes, left_out: int) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    note = f"; {left_out} without a time left out" if left_out else ""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="milliseconds for an image", ylabel=f"top-1 accuracy (%), with 95 % intervals{note}")
    axes.margins(x=0.12, y=0.08)
    axes.grid(alpha=0.3)


def _place_names(figure: Figure, axes: Axes, rows: Sequence[tuple[str, Evaluation]]) -> None:
    """Write each name at the nearest place around its dot that is inside the axes and free."""
    figure.draw_without_rendering()  # the layout, which says where the dots are
    figure.set_layout_engine("none")
    unit = figure.dpi / POINTS
    taken = [_dot_box(axes, each, unit) for _, each in rows]
    for name, each in rows:
        taken.append(_place_name(axes, visible(name), _point(each), taken, unit))


def _dot_box(axes: Axes, each: Evaluation, unit: float) -> Bbox:
    """What a dot and its interval cover; unit: pixels in a point."""
    from matplotlib.transforms import Bbox

    cost, gain = _point(each)
    interval = each.top1_interval
    (x, low), (_, y), (_, high) = axes.transData.transform([(cost, interval.low), (cost, gain), (cost, interval.high)])
    around = DOT * unit
    return Bbox.from_extents(x - around, min(low, y - around), x + around, max(high, y + around))


def _place_name(axes: Axes, name: str, point: tuple[float, float], taken: Sequence[Bbox], unit: float) -> Bbox:
    """Write one name, with a thin line to its dot if that is not beside it; return what the name covers, in pixels."""
    note = axes.annotate(name, point, (0, 0), fontsize=9, textcoords="offset points", parse_math=False, zorder=4)
    size = note.get_window_extent()
    width, height = size.width / unit, size.height / unit
    left, foot = min(
        _corners(width, height), key=lambda at: _crowding(size.translated(at[0] * unit, at[1] * unit), taken, axes.bbox)
    )
    note.set(position=(left, foot), path_effects=[_halo()])
    near = (min(max(0, left), left + width), min(max(0, foot), foot + height))
    if math.hypot(*near) > 2 * DOT:
        line = {"arrowstyle": "-", "linewidth": 0.7, "color": "black", "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", point, near, textcoords="offset points", arrowprops=line, zorder=3)
    return note.get_window_extent()


def _halo() -> AbstractPathEffect:
    """White around the letters, so that lines do not strike them out."""
    from matplotlib.patheffects import withStroke

    return withStroke(linewidth=3, foreground="white")


def _corners(width: float, height: float) -> Iterator[tuple[float, float]]:
    """Lower left corners of a name of that size, in points from its dot, from near to far."""
    for reach in REACHES:
        for across, up in TURNS:
            shrink = math.hypot(across, up)
            yield across * reach / shrink + (across - 1) * width / 2, up * reach / shrink + (up - 1) * height / 2


def _crowding(box: Bbox, taken: Iterable[Bbox], room: Bbox) -> float:
    """The area that a name shares with what is there, and that it has outside of the axes."""
    from matplotlib.transforms import Bbox

    overlaps = [Bbox.intersection(box, other) for other in taken]
    inside = Bbox.intersection(box, room)
    outside = box.width * box.height - (inside.width * inside.height if inside else 0)
    return outside + sum(each.width * each.height for each in overlaps if each)


def blank(width: float, height: float) -> Figure:
    """An empty figure of that many inches."""
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    return Figure(figsize=(width, height), dpi=130, layout="constrained")


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, with names in any script."""
    with _any_script():
        figure.savefig(path, dpi=figure.dpi, format="png")


@contextmanager
def _any_script() -> Iterator[None]:
    """Let names be in any script: what the font lacks is drawn as a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
