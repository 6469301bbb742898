"""`fourfold evaluate` and `fourfold protocols`: parse, call the verb, print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fourfold.cli_detect import Count, DetectorOptions, LowRank, Proposals, evaluate_detectors
from fourfold.cli_localize import evaluate_localizers, take_models_and_localizers
from fourfold.cli_models import (
    DEFAULT_MODEL,
    ClassesFile,
    ModelNames,
    PixelsText,
    ScalesText,
    WeightsFile,
    draw_views,
    open_models,
    parse_scales,
)
from fourfold.terminal import Json, progress, report_broken, show_table

if TYPE_CHECKING:
    from fourfold.evaluate.summary import Evaluation

AnyProtocol = Annotated[
    str | None,
    typer.Option("--protocol", "-p", help="By default single; see `fourfold protocols`. For boxes dense, central, heat."),
]
HEAT = "heat"  # localizing.HEAT; importing that would import torch


def evaluate(
    models_and_data: Annotated[list[str], typer.Argument(metavar="[MODEL...] DATA", help="DATA: a folder for each class.")],
    model: ModelNames = None,
    protocol: AnyProtocol = None,
    scales: ScalesText = None,
    split: Annotated[str | None, typer.Option(help="The part of DATA to measure on: train, val or test.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for report.html and answers.csv; goes on where it stopped.")
    ] = None,
    show_views: Annotated[Path | None, typer.Option(help="A PNG file: what the protocol sees of the first photo.")] = None,
    ray: Annotated[str | None, typer.Option(help="With --out, work on a Ray cluster: its address, or local.")] = None,
    proposals: Proposals = None,
    count: Count = None,
    average: Annotated[bool, typer.Option("--average", help="Of several detectors, average the scores.")] = False,
    low_rank: LowRank = None,
    as_json: Json = False,
    weights: WeightsFile = None,
    classes: ClassesFile = None,
    pixels: PixelsText = None,
) -> int:
    """Measure a model, or several together, on labelled photos; detectors and localizers on photos with boxes.

    --protocol all, or a,b,c, compares test protocols; heat measures the boxes of a classifier's class maps.
    """
    from fourfold import report, verbs
    from fourfold.detector_files import is_detector
    from fourfold.localizer_files import is_localizer

    names, data = _names_and_data(models_and_data, model or [])
    options = DetectorOptions(proposals, count, average, low_rank)
    others = any((show_views, ray, weights, classes, pixels))
    if any(is_detector(name) for name in names):
        takes = "--split, --proposals, --count, --average and --low-rank"
        _refuse(others or protocol is not None or scales, f"a detector takes {takes}; leave the others out")
        return evaluate_detectors(names, data, split, out, options, as_json=as_json)
    _refuse(options != DetectorOptions(), "--proposals, --count, --average and --low-rank are for detectors; leave them out")
    if protocol == HEAT or any(is_localizer(name) for name in names):
        _refuse(others, "boxes are measured with --protocol, --scales, --split and --out; leave the others out")
        return evaluate_localizers(names, data, protocol, scales, split, out, as_json=as_json)
    models = open_models(names, weights, classes, pixels)
    protocol = verbs.SINGLE if protocol is None else protocol
    given = verbs.protocol_names(models) if protocol == "all" else [name.strip() for name in protocol.split(",")]
    numbers = parse_scales(scales)
    if show_views is not None:
        draw_views(show_views, models[0], data, given[0], numbers, split)
    with progress("evaluating", is_quiet=as_json) as show:
        found = verbs.evaluate_each(
            models, data, given, scales=numbers, split=split, out=out, ray=ray,
            watch=lambda name, done, total: show(given.index(name) * total + done, len(given) * total, name),
        )  # fmt: skip
    if found:  # under torchrun the first process alone has them
        _print(found, as_json=as_json)
    if out is not None and found:
        print(f"wrote {out / report.PAGE}", file=sys.stderr)
    return report_broken([broken.error for broken in found[0][1].broken] if found else [])


def protocols(
    size: Annotated[int, typer.Option(help="The side of the network's input in pixels; scales follow it.")] = 224,
    as_json: Json = False,
) -> int:
    """List the papers' test protocols."""
    from fourfold import report

    if size < 1:
        raise ValueError(f"size is {size}; give the side of a network's input, at least 1 pixel")
    records = report.protocol_records(size)
    if as_json:
        print(json.dumps({"protocols": records}))
    else:
        show_table(report.protocol_table(records))
    return 0


def _refuse(is_wrong: object, message: str) -> None:
    if is_wrong:
        raise ValueError(message)


def _names_and_data(words: list[str], given: list[str]) -> tuple[list[str], str]:
    """The models' names, before or behind DATA, and DATA: the one word that is no model, or else the last."""
    found, others = take_models_and_localizers(words)
    data = others[0] if len(others) == 1 else words[-1]
    rest = words[:-1] if len(others) != 1 else found
    return [*given, *rest] or [DEFAULT_MODEL], data


def _print(found: list[tuple[str, Evaluation]], *, as_json: bool) -> None:
    from fourfold import report

    if as_json:
        alone = len(found) == 1
        print(json.dumps(report.evaluation_record(found[0][1]) if alone else report.comparison_record(found)))
    else:
        show_table(report.evaluation_table(found[0][1]) if len(found) == 1 else report.comparison_table(found))
