"""How well things are located, as JSON records and terminal tables; it rounds, as report.py does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fourfold.report import Record, plain_table

if TYPE_CHECKING:  # for types alone, so that importing this stays cheap
    from rich.table import Table

    from fourfold.localize.replies import Edges, LocationReply
    from fourfold.localize.summary import ErrorRate, LocalizationEvaluation

NOTHING = "–"
Found = Sequence[tuple[str, "LocalizationEvaluation"]]
"""Evaluations of one localizer by the names of their protocols."""


def localization_record(result: LocalizationEvaluation) -> Record:
    """What `evaluate --json` prints of a localizer: errors in per cent, overlaps as shares of 1."""
    return {
        "model": result.model,
        "protocol": result.protocol,
        "images": result.images,
        **rates_record(result),
        "seconds_per_image": None if result.seconds is None else round(result.seconds / len(result.replies), 5),
        "per_class": class_records(result),
        "broken": [{"source": each.name, "error": each.error} for each in result.broken],
    }


def rates_record(result: LocalizationEvaluation) -> Record:
    """The errors in per cent with their 95 % intervals, and the mean overlap, 0..1, of the boxes for the true class."""
    record: Record = {}
    for name, rate in result.rates.items():
        record[name] = round(rate.per_cent, 3)
        record[f"{name}_interval"] = [round(rate.interval.low, 3), round(rate.interval.high, 3)]
    return {**record, "mean_iou": round(result.overlap, 5)}


def comparison_record(found: Found) -> Record:
    """A record for each protocol, with its name."""
    return {"protocols": [{"name": name, **localization_record(result)} for name, result in found]}


def class_records(result: LocalizationEvaluation) -> list[Record]:
    """A flat record for each class that has an image: what is in per_class.csv."""
    return [
        {
            "class": each.label,
            "images": each.given.count,
            "top1_error": round(each.top1.per_cent, 3),
            "top5_error": round(each.top5.per_cent, 3),
            "given_class_error": round(each.given.per_cent, 3),
            "top1_class_error": round(each.classification.per_cent, 3),
            "mean_iou": round(each.overlap, 5),
        }
        for each in result.per_class
        if each.given.count
    ]


def reply_record(result: LocalizationEvaluation, reply: LocationReply) -> Record:
    """A flat record of what was said of one image, beside what is true: a line of boxes.csv."""
    label = result.labels[reply.truth] if reply.truth >= 0 else ""
    record: Record = {"path": reply.name, "label": label, **_edges("", reply.box)}
    record |= {"iou": "" if reply.error else round(reply.given_overlap, 5), **_edges("given_", reply.given)}
    for number in range(5):
        guess = reply.guesses[number] if number < len(reply.guesses) else None
        record[f"guess{number + 1}"] = "" if guess is None else result.labels[guess.label]
        record[f"probability{number + 1}"] = "" if guess is None else round(guess.probability, 6)
        record |= _edges(f"guess{number + 1}_", None if guess is None else guess.box)
    return {**record, "error": reply.error}


def localization_table(found: Found) -> Table:
    """A row for each protocol (VGG Tables 8 and 9): errors in per cent, with the 95 % interval of the first."""
    first = found[0][1]
    columns = ("protocol", "images", "class given", "95 % interval", "top-1", "95 % interval", "top-5", "95 % interval",
               "class top-1", "top-5", "mean IoU", "s/image")  # fmt: skip
    caption = f"{first.model}: errors in per cent; a box is right above an overlap of a half"
    table = plain_table(*columns, caption=caption, right=1)
    for name, result in found:
        rates = result.rates
        boxes = [rates[key] for key in ("given_class_error", "top1_error", "top5_error")]
        cells = [text for rate in boxes for text in (_percent(rate), interval_words(rate))]
        classes = [_percent(rates[key]) for key in ("top1_class_error", "top5_class_error")]
        spent = NOTHING if result.seconds is None else f"{result.seconds / len(result.replies):.3g}"
        table.add_row(name, f"{result.images:,}", *cells, *classes, f"{result.overlap:.3f}", spent)
    return table


def interval_words(rate: ErrorRate) -> str:
    """The 95 % interval in per cent."""
    return f"{rate.interval.low:.1f} to {rate.interval.high:.1f}"


def _percent(rate: ErrorRate) -> str:
    return f"{rate.per_cent:.1f} %"


def _box(box: Edges) -> list[float]:
    return [round(edge, 2) for edge in box]


def _edges(start: str, box: Edges | None) -> Record:
    values = [""] * 4 if box is None else _box(box)
    return {f"{start}{edge}": value for edge, value in zip(("x1", "y1", "x2", "y2"), values, strict=True)}
