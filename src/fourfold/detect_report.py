"""A detector's results as JSON records and terminal tables; with report.py the only place that rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fourfold.report import plain_table

if TYPE_CHECKING:  # for types alone, so that importing this stays cheap
    from rich.table import Table

    from fourfold.detect.found_class import FoundClass
    from fourfold.detect.recall import Coverage
    from fourfold.detect.summary import DetectionEvaluation, Seconds

Record = dict[str, Any]
NOTHING = "–"


def detection_record(result: DetectionEvaluation) -> Record:
    """What `evaluate --json` prints of a detector: shares of 1, seconds, and None for what there is not."""
    return {
        "detector": result.detector,
        "protocol": result.protocol,
        "images": len(result.images),
        "objects": result.objects,
        "detections": sum(len(each) for each in result.found),
        "map_2007": _rounded(result.voc.map_2007),
        "map_2007_interval": _interval(result.map_2007_interval),
        "map_2010": _rounded(result.voc.map_2010),
        "map_2010_interval": _interval(result.map_2010_interval),
        "coco": {name: _rounded(value) for name, value in asdict(result.coco).items()} if result.coco else None,
        "why_no_coco": result.why_no_coco or None,
        "seconds_per_image": _seconds(result.seconds, len(result.images)),
        "proposals": _coverage(result.coverage),
        "per_class": class_records(result.per_class),
    }


def class_records(scores: Sequence[FoundClass]) -> list[Record]:
    """A flat record for each class: what is in per_class.csv."""
    from fourfold.detect.found_class import OUTCOMES

    return [
        {
            "class": score.label,
            "objects": score.objects,
            "difficult": score.difficult,
            "found": score.found,
            **{key: _rounded(getattr(score, key)) for key in ("ap_2007", "ap_2010")},
            "threshold": score.threshold,  # whole: a rounded one would leave out its last detection, or let in another
            **{key: _rounded(getattr(score, key)) for key in ("precision", "recall", "f1")},
            **dict(zip(OUTCOMES, score.outcomes, strict=True)),
        }
        for score in scores
    ]


def detection_table(result: DetectionEvaluation) -> Table:
    """One row: how many images and objects, how well they are found, and how long it took."""
    columns = ("images", "objects", "mAP 2007", "95 % interval", "mAP 2010", "AP", "AP50", "s/image")
    table = plain_table(*columns, caption=f"{result.detector}, {result.protocol}", right=0)
    span, coco, seconds = result.map_2007_interval, result.coco, result.seconds
    table.add_row(
        f"{len(result.images):,}",
        f"{result.objects:,}",
        _percent(result.voc.map_2007),
        f"{100 * span[0]:.2f} to {100 * span[1]:.2f}" if span else NOTHING,
        _percent(result.voc.map_2010),
        _percent(coco.ap if coco else None),
        _percent(coco.ap_50 if coco else None),
        f"{seconds.total / len(result.images):.3g}" if seconds else NOTHING,
    )
    return table


def class_table(scores: Sequence[FoundClass]) -> Table:
    """A row for each class that has objects or was found."""
    columns = ("class", "objects", "AP 2007", "AP 2010", "threshold", "precision", "recall", "detections")
    table = plain_table(*columns, caption="at the threshold of the highest F1", right=1)
    for score in scores:
        if score.objects or score.difficult or score.found:
            chosen = [NOTHING] * 3
            if score.threshold is not None:
                chosen = [f"{score.threshold:.3f}", _percent(score.precision), _percent(score.recall)]
            aps = [_percent(score.ap_2007), _percent(score.ap_2010)]
            table.add_row(score.label, f"{score.objects:,}", *aps, *chosen, f"{score.found:,}")
    return table


def _seconds(spent: Seconds | None, images: int) -> Record | None:
    if spent is None:
        return None
    return {name: _rounded(value / images) for name, value in (*asdict(spent).items(), ("total", spent.total))}


def _coverage(covered: Coverage | None) -> list[Record] | None:
    if covered is None:
        return None
    columns = (covered.proposals, covered.recall(0.5), covered.recall(0.7), covered.mabo())
    names = ("per_image", "recall_50", "recall_70", "mabo")
    return [
        {"at_most": count, **{name: _rounded(float(column[at])) for name, column in zip(names, columns, strict=True)}}
        for at, count in enumerate(covered.counts)
    ]


def _interval(span: tuple[float, float] | None) -> list[float | None] | None:
    return None if span is None else [_rounded(end) for end in span]


def _rounded(value: float | None) -> float | None:
    """JSON knows no number that is not finite."""
    return None if value is None or not math.isfinite(value) else round(value, 5)


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.2f} %"
