"""Features, probes and neighbours as JSON records, terminal tables and pictures; rounding is done here, as in report.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fourfold.data.listing import Broken
from fourfold.draw import Tile, contact_sheet
from fourfold.features.files import Features
from fourfold.report import Record, one_line, plain_table
from fourfold.sources import Failure, read
from fourfold.verbs_features import Alike, Neighbour, Probed

if TYPE_CHECKING:
    from PIL import Image as Pillow
    from rich.table import Table


def features_record(table: Features, out: str) -> Record:
    """What `features --json` prints: counts and the header; the numbers themselves are in the file."""
    return {
        "out": out,
        "images": len(table),
        "classes": len(table.classes),
        **{key: value for key, value in table.header.items() if key != "model"},
        "broken": _broken(table.errors),
    }


def features_table(table: Features, out: str) -> Table:
    """One row: how many images, of what width, where."""
    header = table.header
    caption = f"{header['network']}, {header['layer']} at {', '.join(map(str, header['scales']))} pixels"
    shown = plain_table("file", "images", "classes", "numbers", "broken", caption=caption)
    shown.add_row(out, f"{len(table):,}", f"{len(table.classes):,}", f"{table.matrix.shape[1]:,}", f"{len(table.errors):,}")
    return shown


def probed_record(result: Probed) -> Record:
    """What `probe --json` prints; accuracies in per cent, scores of classes as shares of 1."""
    scores, fitted = result.scores, result.probe
    return {
        "model": fitted.header["network"],
        "layer": fitted.header["layer"],
        "kind": fitted.kind,
        "cost": fitted.cost,
        "cross_validation": [{"cost": cost, "accuracy": round(share, 3)} for cost, share in fitted.chances],
        "trained_images": result.trained_images,
        "tested_on": result.tested_on,
        "images": scores.images,
        "accuracy": round(scores.accuracy, 3),
        "interval": [round(scores.interval.low, 3), round(scores.interval.high, 3)],
        "per_class": [
            {"label": each.label, "precision": round(each.precision, 5), "recall": round(each.recall, 5),
             "images": each.support}
            for each in scores.per_class
        ],
        "seconds": round(result.seconds, 2),
        "broken": _broken(result.broken),
    }  # fmt: skip


def probed_table(result: Probed) -> Table:
    """One row: the accuracy on images that were not seen, and the cost that was chosen."""
    scores, fitted = result.scores, result.probe
    caption = f"{fitted.kind} on {fitted.header['layer']} of {fitted.header['network']}; measured on {result.tested_on}"
    table = plain_table("trained on", "tested on", "accuracy", "95 % interval", "C", "seconds", caption=caption)
    interval = f"{scores.interval.low:.1f} .. {scores.interval.high:.1f} %"
    counts = f"{result.trained_images:,}", f"{scores.images:,}"
    table.add_row(*counts, f"{scores.accuracy:.2f} %", interval, f"{fitted.cost:g}", f"{result.seconds:.1f}")
    return table


def alike_record(found: Alike | Failure) -> Record:
    """What `search --json` prints for one query."""
    if isinstance(found, Failure):
        return {"source": found.source, "error": found.error}
    return {"source": found.source, "neighbours": [_neighbour_record(each) for each in found.neighbours]}


def alike_table(found: Sequence[Alike]) -> Table:
    """A row for each neighbour of each query."""
    table = plain_table("query", "rank", "image", "class", "similarity")
    for each in found:
        for rank, near in enumerate(each.neighbours, start=1):
            query = one_line(each.source) if rank == 1 else ""
            table.add_row(query, str(rank), one_line(near.name), one_line(near.truth), f"{near.similarity:.4f}")
    return table


def pairs_table(pairs: Sequence[tuple[str, str, float]]) -> Table:
    """A row for each pair of images that are nearly the same."""
    table = plain_table("image", "like", "similarity", caption=f"{len(pairs):,} pairs")
    for first, second, value in pairs:
        table.add_row(one_line(first), one_line(second), f"{value:.4f}")
    return table


def pairs_record(pairs: Sequence[tuple[str, str, float]]) -> Record:
    """What `search --duplicates --json` prints."""
    return {"pairs": [{"images": [first, second], "similarity": round(value, 6)} for first, second, value in pairs]}


def neighbours_sheet(found: Sequence[Alike]) -> Pillow.Image:
    """A contact sheet: of each query the photo, then those most like it. Ticked are those of the class that most have.

    Neighbours whose files are gone are left out.
    """
    return contact_sheet([_section(each) for each in found])


def _section(found: Alike) -> tuple[str, list[Tile]]:
    votes = Counter(each.truth for each in found.neighbours).most_common(1)
    winner = votes[0][0] if votes else ""
    heading = f"Like {Path(found.source).name}" + (f": most are {winner}" if winner else "")
    tiles = [Tile(found.image, ("query",), True)]
    for near in found.neighbours:
        _, image = read(Path(near.name))
        if isinstance(image, Tensor):
            tiles.append(
                Tile(image, (f"{near.truth or Path(near.name).name}\t{near.similarity:.3f}",), near.truth == winner)
            )
    return one_line(heading), tiles


def _neighbour_record(near: Neighbour) -> Record:
    return {"image": near.name, "class": near.truth or None, "similarity": round(near.similarity, 6)}


def _broken(errors: Sequence[Broken]) -> list[Record]:
    return [{"image": each.name, "error": each.error} for each in errors]
