"""`fourfold data`: look at a data set before training on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.terminal import Json, progress, show_table, write_picture

if TYPE_CHECKING:
    from fourfold.data.check import DataReport

MOST_CLASSES = 20  # rows of the table of classes
DATA = "A folder of class folders, a manifest, CIFAR's archive, shards (wds/PATH) or a hub data set (hfds/NAME)."

data_app = typer.Typer(help="Look at a data set before training on it.", no_args_is_help=True, rich_markup_mode=None)


@data_app.callback()
def root() -> None:
    """Look at a data set before training on it."""


@data_app.command()
def check(
    path: Annotated[str, typer.Argument(help=DATA)],
    as_json: Json = False,
    save: Annotated[Path | None, typer.Option(help="Draw classes, copies and odd images into this PNG file.")] = None,
) -> int:
    """Find broken and odd images, copies (also between train and test), and classes out of balance."""
    from fourfold.data.check_picture import draw_check
    from fourfold.verbs import check_data

    if save is not None and save.suffix.lower() != ".png":
        raise ValueError(f"{save} is not the name of a PNG file; end it with .png")
    with progress("reading images", is_quiet=as_json) as show:
        report = check_data(path, watch=show)
    if save is not None:
        write_picture(save, lambda temporary: draw_check(report, temporary))
    if as_json:
        print(json.dumps(check_record(report)))
        return 0
    for table in check_tables(report):
        show_table(table)
        print()
    if save is not None:
        print(f"wrote {save}")
    return 0


def check_record(report: DataReport) -> dict[str, Any]:
    """What `data check --json` prints."""
    return {
        "path": report.path,
        "counts": {part or "all": classes for part, classes in report.counts.items()},
        "sizes": dict(zip(("width", "height"), report.sizes, strict=True)) if report.sizes else None,
        "broken": [{"source": broken.name, "error": broken.error} for broken in report.broken],
        "odd": {word: [place.item.name for place in places] for word, places in report.odd.items()},
        "twins": [
            {
                "images": [twins.first.item.name, twins.second.item.name],
                "parts": [twins.first.part or "all", twins.second.part or "all"],
                "classes": [twins.first.label, twins.second.label],
                "is_exact": twins.is_exact,
                "alike": round(twins.alike, 4),
            }
            for twins in report.twins
        ],
        "notes": list(report.notes),
    }


def check_tables(report: DataReport) -> list[Any]:
    """Images per class and part, then what was found."""
    return [_class_table(report), _finding_table(report)]


def _class_table(report: DataReport) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", no_wrap=True, overflow="ellipsis")
    for part in report.counts:
        table.add_column(part or "images", justify="right")
    total = {
        name: sum(part.get(name, 0) for part in report.counts.values()) for part in report.counts.values() for name in part
    }
    names = sorted(total, key=lambda name: (-total[name], name))
    half = MOST_CLASSES // 2
    shown = names if len(names) <= MOST_CLASSES else [*names[:half], "", *names[-half:]]
    for name in shown:
        cells = [f"{part.get(name, 0):,}" for part in report.counts.values()] if name else ["" for _ in report.counts]
        table.add_row(_one_line(name) or f"... {len(names) - 2 * half:,} more", *cells)
    table.add_section()
    table.add_row(f"all {len(names):,}", *(f"{sum(part.values()):,}" for part in report.counts.values()))
    if report.sizes:
        (left, middle, right), (low, mean, high) = report.sizes
        table.caption = f"pixels: width {left} to {right}, median {middle}; height {low} to {high}, median {mean}"
    return table


def _finding_table(report: DataReport) -> Any:
    from rich.table import Table

    findings = report.findings()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("finding", overflow="fold")
    table.add_column("images", justify="right")
    table.add_column("such as", overflow="fold")
    for finding in findings:
        example = _one_line(finding.examples[0].replace(f"{report.path.rstrip('/')}/", "")) if finding.examples else ""
        table.add_row(_one_line(finding.what), f"{finding.count:,}" if finding.count else "", example)
    if not findings:
        table.add_row("nothing", "", "")
    return table


def _one_line(text: str) -> str:
    from fourfold.report import one_line

    return one_line(text)
