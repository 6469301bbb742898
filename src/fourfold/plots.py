"""Plots by matplotlib, drawn without a display: training curves, confusions, and a network's cost by layer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from fourfold.explain import Explanation
from fourfold.shapes import expect
from fourfold.train.journal import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#a1a1aa"
WRITTEN_OUT = 20  # classes up to which the cells of a confusion matrix hold their numbers
MOST_CELLS = 250  # cells of an image of a matrix per side: more would be smaller than two pixels
PAIRS = 30  # most confused pairs that are listed


def training_curves(epochs: Sequence[Epoch], path: Path) -> None:
    """Errors in the form of ResNet Figure 6, dashed for training and solid for validation; below, losses and learning rate.

    Raises ValueError where there is no epoch.
    """
    if not epochs:
        raise ValueError("there is no epoch to plot; train for one epoch at least")
    figure = _figure(7.7, 7.7)
    errors, losses, rates = figure.subplots(3, sharex=True, height_ratios=(5, 3, 1.4))
    _pair(
        errors,
        [(epoch.step, 100 * epoch.train_error) for epoch in epochs],
        [(epoch.step, 100 * epoch.val_error) for epoch in epochs if epoch.val_error is not None],
    )
    _mark_best(errors, epochs)
    errors.set_ylabel("error (%)")
    _pair(
        losses,
        [(epoch.step, epoch.train_loss) for epoch in epochs],
        [(epoch.step, epoch.val_loss) for epoch in epochs if epoch.val_loss is not None],
    )
    losses.set_ylabel("loss")
    steps = [epoch.step for epoch in epochs]
    rates.plot(steps, [epoch.rate for epoch in epochs], _marker(epochs), color=ORANGE)
    rates.set(ylabel="learning rate", xlabel=f"mini-batches (epochs: {epochs[-1].epoch:,})")
    rates.xaxis.set_major_formatter("{x:,.0f}")
    if min(epoch.rate for epoch in epochs) > 0:  # a cosine ends at zero
        rates.set_yscale("log")
    for axes in (errors, losses, rates):
        axes.grid(alpha=0.3)
    errors.legend(frameon=False, loc="upper right")  # errors fall
    _save(figure, path)


def _pair(axes: Axes, train: Sequence[tuple[int, float]], val: Sequence[tuple[int, float]]) -> None:
    axes.plot(*zip(*train, strict=True), "--" + _marker(train), color=GREY, label="training, as augmented")
    if val:
        axes.plot(*zip(*val, strict=True), "-" + _marker(val), color=BLUE, label="validation")
    axes.set_ylim(0, 1.08 * max((value for _, value in (*train, *val) if 0 < value < math.inf), default=1.0))


def _marker(points: Sequence[object]) -> str:
    """Few points are seen as such; one alone would make no line at all."""
    return "o" if len(points) < 4 else ""


def _mark_best(axes: Axes, epochs: Sequence[Epoch]) -> None:
    points = [(100 * epoch.val_error, epoch.step, epoch.epoch) for epoch in epochs if epoch.val_error is not None]
    if points:
        error, step, number = min(points)
        label = f"best: {error:.2f} % after epoch {number:,}"
        axes.plot([step], [error], "o", color=BLUE, markersize=9, markerfacecolor="white", markeredgewidth=2, label=label)


def confusion(matrix: Tensor, classes: Sequence[str], path: Path) -> None:
    """Which classes are taken for which: `matrix` (K,K), counts of images of the class of its row guessed as its column.

    Each row is shown as shares of its class; a class without images stays white. Up to 20 classes have their numbers in the
    cells; beside more, the pairs confused most are listed, and of more than 250 classes a dot shows the highest share of
    several neighbours. Raises ValueError where the matrix and the classes disagree.
    """
    expect(matrix, f"{len(classes)} {len(classes)}", name="the confusion matrix")
    counts = matrix.double()
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    if len(classes) <= WRITTEN_OUT:
        unit, side = "", max(4.5, 1.8 + 0.42 * len(classes))
        figure = _figure(side + 1, side)
        axes = figure.add_subplot()
        _write_cells(axes, shares, [_name(name, 18) for name in classes])
    else:
        unit, figure = " (number from 0)", _figure(15, 8)
        axes, beside = figure.subplots(1, 2, width_ratios=(8, 5))
        _list_pairs(beside, counts, classes)
    side = -(-len(classes) // MOST_CELLS)
    dots = F.max_pool2d(shares[None], side, ceil_mode=True)[0]  # not one in several: a confusion would be lost between them
    edge = side * len(dots) - 0.5
    drawn = axes.imshow(dots.numpy(), cmap="Blues", norm=_root(), interpolation="nearest", extent=(-0.5, edge, edge, -0.5))
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, label="% of the images of the true class")
    bar.set_ticks([0, 0.01, 0.05, 0.2, 0.5, 1], labels=["0", "1", "5", "20", "50", "100"])
    axes.set(xlabel=f"guessed class{unit}", ylabel=f"true class{unit}")
    total, right = int(counts.sum()), int(counts.diagonal().sum())
    figure.suptitle(f"top-1 accuracy {100 * right / max(1, total):.2f} % ({right:,} of {total:,} images)", fontsize=11)
    _save(figure, path)


def _root() -> Normalize:
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=1)  # the root of a share: confusions of a few per cent can be seen


def _write_cells(axes: Axes, shares: Tensor, names: Sequence[str]) -> None:
    """Per cents, without those that round to zero."""
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90)
    axes.set_yticks(places, names)
    for row in places:
        for column in places:
            percent = 100 * float(shares[row, column])
            if percent >= 0.5:
                ink = "white" if percent > 35 else "black"
                axes.text(column, row, f"{percent:.0f}", ha="center", va="center", color=ink, fontsize=8)


def _list_pairs(axes: Axes, counts: Tensor, classes: Sequence[str]) -> None:
    pairs = most_confused(counts, PAIRS)
    totals = counts.sum(1)
    shares = [100 * count / float(totals[true]) for true, _, count in pairs]
    axes.barh(range(len(pairs)), shares, color=ORANGE)
    labels = [f"{_name(classes[true], 24)} → {_name(classes[guess], 24)}" for true, guess, _ in pairs]
    axes.set_yticks(range(len(pairs)), labels, fontsize=7)
    for place, (share, (_, _, count)) in enumerate(zip(shares, pairs, strict=True)):
        axes.text(share, place, f" {count:,}", va="center", fontsize=7)
    axes.set(xlabel="% of the images of the true class; beside the bars their number")
    axes.set(xlim=(0, 1.15 * max([*shares, 1.0])), ylim=(PAIRS - 0.5, -0.5))
    axes.set_title("confused most" if pairs else "no class is taken for another", fontsize=10)
    if not pairs:
        axes.set_axis_off()


def most_confused(matrix: Tensor, count: int) -> list[tuple[int, int, int]]:
    """The wrong cells of a matrix (K,K) with the highest share of their row: (true, guessed, images), highest first.

    Equal shares are in the order of the number of images, then of the classes; cells without images are left out.
    """
    wrong = matrix.double() - torch.diag(matrix.double().diagonal())
    rows, columns = wrong.nonzero().unbind(1)
    images = wrong[rows, columns]
    shares = images / matrix.double().sum(1)[rows]
    cells = zip(shares.tolist(), images.tolist(), rows.tolist(), columns.tolist(), strict=True)
    ordered = sorted(cells, key=lambda cell: (-cell[0], -cell[1], cell[2:]))
    return [(row, column, int(number)) for _, number, row, column in ordered[:count]]


def _name(name: str, length: int) -> str:
    """A class's name in one short line; a dollar sign would begin a formula, and a lone surrogate cannot be drawn."""
    line = " ".join(name.encode("utf-8", "backslashreplace").decode().split())
    return (line if len(line) <= length else f"{line[: length - 1].rstrip()}…").replace("$", r"\$")


def explanation(subject: Explanation, path: Path) -> None:
    """Receptive field of each layer, and the multiply-adds and parameters it costs."""
    layers = [layer for layer in subject.layers if layer.multiply_adds or layer.field]
    layers = [layer for layer in layers if layer.kind != "batch norm"]
    figure = _figure(max(7.0, min(24.0, 0.22 * len(layers))), 7)
    top, middle, bottom = figure.subplots(3, sharex=True)
    places = range(len(layers))
    fields = [(place, layer.field.size) for place, layer in zip(places, layers, strict=True) if layer.field]
    top.plot([place for place, _ in fields], [size for _, size in fields], "o-", color=BLUE, markersize=3)
    top.axhline(subject.input_size, color=GREY, linestyle="--", linewidth=1)
    top.set_ylabel("receptive field\n(pixels; dashed: input)")
    middle.bar(places, [layer.multiply_adds / 1e6 for layer in layers], color=BLUE)
    middle.set_ylabel("multiply-adds\n(millions)")
    bottom.bar(places, [layer.parameters / 1e6 for layer in layers], color=ORANGE)
    bottom.set_ylabel("parameters\n(millions)")
    every = max(1, len(layers) // 80)
    bottom.set_xticks(list(places)[::every], [layer.name for layer in layers][::every], rotation=90, fontsize=6)
    top.set_title(
        f"{subject.network}: {subject.parameters:,} parameters, {subject.multiply_adds / 1e9:.3f} G multiply-adds",
        fontsize=10,
    )
    for axes in (top, middle, bottom):
        axes.grid(alpha=0.3, axis="y")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # without pyplot: no window, no global state, and half the time to import

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # class names may be in any script
        figure.savefig(path, dpi=130, format="png")
