"""Plots by matplotlib, drawn without a display: training curves, and a network's cost and receptive field by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.explain import Explanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#a1a1aa"


def training_curves(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Errors over mini-batches in the form of ResNet Figure 6: dashed for training, solid for validation."""
    figure = _figure(7, 4)
    axes = figure.add_subplot()
    steps = [line["step"] for line in lines]
    axes.plot(steps, [100 * line["train_error"] for line in lines], "--", color=GREY, label="training")
    val = [(line["step"], 100 * line["val_error"]) for line in lines if line["val_error"] is not None]
    axes.plot([step for step, _ in val], [error for _, error in val], color=BLUE, label="validation")
    axes.set(xlabel="mini-batches", ylabel="error (%)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _save(figure, path)


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
    figure.savefig(path, dpi=130, format="png")
