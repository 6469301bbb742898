"""Where things are on photos, and a localizer that was made, as JSON records and tables; it rounds, as report.py does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fourfold.localization_report import comparison_record
from fourfold.report import Record, one_line, plain_table
from fourfold.sources import Failure

if TYPE_CHECKING:  # for types alone, so that importing this stays cheap
    from rich.table import Table

    from fourfold.localizer_training import TrainedLocalizer
    from fourfold.localizing import Located


def located_record(located: Located | Failure) -> Record:
    """What `localize --json` prints for one photo; boxes are x1 y1 x2 y2 in its pixels."""
    if isinstance(located, Failure):
        return {"source": located.source, "error": located.error}
    return {
        "source": located.source,
        "height": located.image.shape[1],
        "width": located.image.shape[2],
        "top": [
            {
                "label": spot.label,
                "index": spot.index,
                "probability": round(spot.probability, 6),
                "box": [round(edge, 2) for edge in spot.box],
            }
            for spot in located.top
        ],
        "model": located.model,
        "protocol": located.protocol,
    }


def located_table(records: Sequence[Record]) -> Table:
    """A row for each guess; of a photo the likeliest first."""
    caption = f"{records[0]['model']}; {records[0]['protocol']}"
    table = plain_table("photo", "class", "probability", "x1", "y1", "x2", "y2", caption=caption, right=2)
    for record in records:
        for number, spot in enumerate(record["top"]):
            name = one_line(record["source"]) if number == 0 else ""
            edges = (f"{edge:.0f}" for edge in spot["box"])
            table.add_row(name, one_line(spot["label"]), f"{100 * spot['probability']:.1f} %", *edges)
    return table


def trained_localizer_record(trained: TrainedLocalizer) -> Record:
    """Where a localizer is, and how it did."""
    return {"folder": str(trained.folder), "checked_on": trained.origin, **comparison_record(trained.found)}
