"""The picture of `check_data`: how many images each class has, and the copies and odd images themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fourfold.data.check import DataReport, Place, Twins
from fourfold.data.listing import read_item
from fourfold.images import resize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"train": "#2563eb", "": "#2563eb", "val": "#ea580c", "test": "#16a34a"}
ALARM, QUIET = "#dc2626", "#52525b"
MOST_CLASSES, MOST_TWINS, MOST_ODD = 60, 12, 12
COLUMNS = 6  # images in a row of the contact sheet: three pairs
THUMB = 160  # pixels of the longer side
NAME = 26  # characters of a name


def draw_check(report: DataReport, path: Path) -> None:
    """Write a PNG: bars of images per class and part, then pairs of copies side by side, then odd images.

    The pairs in two parts or classes come first and are written in red. The number of each is in the heading.
    """
    from matplotlib.figure import Figure  # without pyplot: no window and no global state

    twins = _worst(report)
    odd = _some_odd(report)
    rows = -(-2 * len(twins) // COLUMNS) + -(-len(odd) // COLUMNS)
    figure = Figure(figsize=(13, 3.6 + 2.2 * rows), layout="constrained")
    bars, *parts = figure.subfigures(
        1 + bool(twins) + bool(odd), 1, height_ratios=_heights(len(twins), len(odd)), squeeze=False
    )[:, 0]
    _draw_bars(bars.subplots(), report)
    if twins:
        count = sum(one.is_leak or one.is_contradiction for one in report.twins)
        parts[0].suptitle(f"copies: {len(report.twins):,} pairs, {count:,} of them in two parts or classes", fontsize=11)
        cells = [(place, f"{'=' if pair.is_exact else '~'} {_where(place)}", pair.is_leak or pair.is_contradiction)
                 for pair in twins for place in (pair.first, pair.second)]  # fmt: skip
        _draw_sheet(parts[0], cells)
    if odd:
        parts[-1].suptitle(f"odd images: {sum(map(len, report.odd.values())):,}", fontsize=11)
        _draw_sheet(parts[-1], [(place, word, False) for word, place in odd])
    figure.savefig(path, dpi=100, format="png")


def _worst(report: DataReport) -> list[Twins]:
    """The pairs to show: those in two parts or classes before the others; of these the most alike."""
    return sorted(report.twins, key=lambda two: (not (two.is_leak or two.is_contradiction), -two.alike))[:MOST_TWINS]


def _some_odd(report: DataReport) -> list[tuple[str, Place]]:
    """Some images of each oddity in turn, so that a frequent one leaves room for the rare."""
    most = max(map(len, report.odd.values()), default=0)
    turns = [(word, places[turn]) for turn in range(most) for word, places in report.odd.items() if turn < len(places)]
    return sorted(turns[:MOST_ODD], key=lambda pair: pair[0])


def _heights(twins: int, odd: int) -> list[float]:
    rows = [-(-2 * twins // COLUMNS), -(-odd // COLUMNS)]
    return [3.6, *(2.2 * count for count in rows if count)]


def _draw_bars(axes: Axes, report: DataReport) -> None:
    """A stacked bar for each class, the largest first; of many classes the largest and the smallest."""
    total: dict[str, int] = {}
    for classes in report.counts.values():
        for name, count in classes.items():
            total[name] = total.get(name, 0) + count
    names = sorted(total, key=lambda name: -total[name])
    left_out = max(0, len(names) - MOST_CLASSES)
    if left_out:
        names = names[: MOST_CLASSES // 2] + names[-MOST_CLASSES // 2 :]
    below = [0] * len(names)
    for part, classes in report.counts.items():
        heights = [classes.get(name, 0) for name in names]
        axes.bar(range(len(names)), heights, bottom=below, color=COLOURS[part], label=part or "all")
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_xticks(range(len(names)), [_cut(name, 18) for name in names], rotation=90 if len(names) > 12 else 0, fontsize=8)
    axes.set_ylabel("images")
    note = f" (without {left_out:,} classes between the largest and the smallest)" if left_out else ""
    axes.set_title(f"{_cut(report.path, 60)}: {sum(total.values()):,} images, {len(total):,} classes{note}", fontsize=11)
    axes.grid(alpha=0.3, axis="y")
    if len(report.counts) > 1:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _draw_sheet(figure: Figure, cells: Sequence[tuple[Place, str, bool]]) -> None:
    """The images with a line of words and their name below, in red where asked for."""
    grid = figure.subplots(-(-len(cells) // COLUMNS), COLUMNS, squeeze=False).flatten()
    for axes in grid:
        axes.axis("off")
    for axes, (place, words, is_alarm) in zip(grid, cells, strict=False):
        axes.imshow(_thumb(place).permute(1, 2, 0).numpy(), interpolation="nearest")
        name = _cut(Path(place.item.name).name, NAME)
        axes.set_title(f"{words}\n{name}", fontsize=8, color=ALARM if is_alarm else QUIET, parse_math=False)


def _thumb(place: Place) -> Tensor:
    image = read_item(place.item)
    scale = THUMB / max(image.shape[1:])
    return resize(image, *(max(1, round(side * scale)) for side in image.shape[1:])) if scale < 1 else image


def _where(place: Place) -> str:
    return "/".join(word for word in (place.part, _cut(place.label, 18)) if word)


def _cut(text: str, most: int) -> str:
    """The end of a text, without what a font may lack."""
    plain = "".join(character if character.isprintable() else "?" for character in text)
    return plain if len(plain) <= most else f"…{plain[1 - most :]}"
