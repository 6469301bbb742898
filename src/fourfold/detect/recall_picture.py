"""How well proposers cover objects, as curves over the number of boxes (Uijlings et al. 2013, 5)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fourfold.detect.recall import Coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours that can be read as lines on white; dashes of another number, so that pairs do not come again soon
INKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("-", "--", "-.", ":")
RIGHT = 0.5  # overlap from which an object counts as covered, as in PASCAL VOC


def recall_curves(found: Mapping[str, Coverage], path: Path) -> None:
    """A PNG: recall at an overlap of 0.5, and the best overlap, mean over all objects, against the boxes on an image.

    found: by the proposer's name. A curve ends where the lists of boxes do; counts without a box are left out.
    Raises ValueError where there is no proposer.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    if not found:
        raise ValueError("there are no proposals to plot; give those of one proposer at least")
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    recall, overlap = figure.subplots(1, 2)
    for number, (name, each) in enumerate(found.items()):
        _curve(recall, each.proposals, each.recall(RIGHT), name, number)
        _curve(overlap, each.proposals, each.overlaps.mean(0), name, number)
    recall.set_ylabel(f"objects that a box overlaps by {RIGHT} or more (%)")
    overlap.set_ylabel("best overlap, mean over objects (%)")
    recall.legend(frameon=False, fontsize=9, loc="lower right")
    for axes in (recall, overlap):
        _scale(axes)
    figure.suptitle(_heading(found), fontsize=11)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names may be in any script
        figure.savefig(path, dpi=130, format="png")


def _curve(axes: Axes, boxes: Tensor, shares: Tensor, name: str, number: int) -> None:
    seen = boxes > 0
    label = name.replace("$", r"\$")  # which would begin a formula
    ink, dash = INKS[number % len(INKS)], DASHES[number % len(DASHES)]
    axes.plot(boxes[seen].tolist(), (100 * shares[seen]).tolist(), dash, color=ink, marker="o", markersize=3.5, label=label)


def _scale(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="boxes on an image", ylim=(0, 102))
    axes.grid(alpha=0.3)


def _heading(found: Mapping[str, Coverage]) -> str:
    counts = sorted({len(each.labels) for each in found.values()})
    return f"{' or '.join(f'{count:,}' for count in counts)} objects"
