"""`fourfold features`, `probe` and `search`: parse, call the verb, print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fourfold.cli_models import DEFAULT_MODEL, ScalesText, parse_scales, write_png
from fourfold.terminal import Json, progress, report_broken, show_table

ModelName = Annotated[str, typer.Option("--model", "-m", help="A name of `fourfold models`, a run folder, or owner/name.")]
Layer = Annotated[str | None, typer.Option(help="A layer of `fourfold explain`; by default the last before the scores.")]
Pooling = Annotated[str, typer.Option(help="Of maps: mean, max, or levels of a spatial pyramid such as 4,2,1.")]
Aggregate = Annotated[str, typer.Option(help="Of several scales: mean or stack.")]
Mirrored = Annotated[bool, typer.Option("--mirror/--no-mirror", help="Average with the mirror image.")]


def features(
    paths: Annotated[list[str], typer.Argument(help="A folder for each class, a list, shards; or photos without classes.")],
    out: Annotated[
        Path, typer.Option(help="The .parquet, .npz or .safetensors file; photos are added to one that is there.")
    ],
    model: ModelName = DEFAULT_MODEL,
    layer: Layer = None,
    scales: ScalesText = None,
    pooling: Pooling = "mean",
    aggregate: Aggregate = "mean",
    normalise: Annotated[bool, typer.Option("--normalise/--no-normalise", help="Bring vectors to length 1.")] = True,
    mirror: Mirrored = True,
    split: Annotated[str | None, typer.Option(help="The part of the data: train, val or test; by default all.")] = None,
    ray: Annotated[str | None, typer.Option(help="Work on a Ray cluster: its address, or local.")] = None,
    as_json: Json = False,
) -> int:
    """Describe photos by a layer of a network, in a file; goes on where it stopped."""
    from fourfold import features_report, verbs_features

    with progress("describing", is_quiet=as_json) as show:
        table = verbs_features.features(
            list(paths),
            out,
            model,
            layer=layer,
            scales=parse_scales(scales),
            pooling=pooling,
            aggregate=aggregate,
            normalise=normalise,
            mirrored=mirror,
            split=split,
            ray=ray,
            watch=show,
        )
    if as_json:
        print(json.dumps(features_report.features_record(table, str(out))))
    else:
        show_table(features_report.features_table(table, str(out)))
    return report_broken([broken.error for broken in table.errors])


def probe(
    data: Annotated[str, typer.Argument(help="A folder for each class, or train/ and test/ with those; a list; shards.")],
    model: ModelName = DEFAULT_MODEL,
    layer: Layer = None,
    scales: ScalesText = None,
    pooling: Pooling = "mean",
    aggregate: Aggregate = "mean",
    mirror: Mirrored = True,
    kind: Annotated[str, typer.Option(help="svm or logistic.")] = "svm",
    seed: Annotated[int, typer.Option(help="Decides what is held out, and the parts of the cross-validation.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A folder for the probe: probe.safetensors and probe.json.")] = None,
    as_json: Json = False,
) -> int:
    """Learn new classes in seconds: a linear classifier on a network's features."""
    from fourfold import features_report, verbs_features

    with progress("describing", is_quiet=as_json) as show:
        result = verbs_features.probe(
            data,
            model,
            layer=layer,
            scales=parse_scales(scales),
            pooling=pooling,
            aggregate=aggregate,
            mirrored=mirror,
            kind=kind,
            seed=seed,
            out=out,
            watch=show,
        )
    if as_json:
        print(json.dumps(features_report.probed_record(result)))
    else:
        show_table(features_report.probed_table(result))
    if out is not None:
        print(f"wrote {out}", file=sys.stderr)
    return report_broken([broken.error for broken in result.broken])


def search(
    table: Annotated[Path, typer.Option("--in", help="A file that `fourfold features` made.")],
    queries: Annotated[list[str] | None, typer.Argument(help="Photos, folders, glob patterns, or -.")] = None,
    count: Annotated[int, typer.Option(help="How many photos to find for each.")] = 11,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The network of the file, if it has moved.")] = None,
    index: Annotated[bool, typer.Option("--index", help="Look through an index beside the file; made if need be.")] = False,
    duplicates: Annotated[
        float | None, typer.Option(help="In place of a query: pairs at least so alike, such as 0.995.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="A PNG file: a contact sheet of what was found.")] = None,
    as_json: Json = False,
) -> int:
    """Find photos that look like a photo, or like each other."""
    from fourfold import features_report, verbs_features
    from fourfold.sources import Failure

    if (duplicates is None) == (not queries):
        raise ValueError("search needs a photo to look for, or --duplicates 0.995; give one of them")
    if duplicates is not None:
        pairs = verbs_features.similar_pairs(table, duplicates)
        if as_json:
            print(json.dumps(features_report.pairs_record(pairs)))
        else:
            show_table(features_report.pairs_table(pairs))
        return 0
    answers = verbs_features.search(list(queries or []), table, count=count, model=model, index=index)
    found = [each for each in answers if not isinstance(each, Failure)]
    if save is not None and found:
        picture = features_report.neighbours_sheet(found)
        write_png(save, lambda path: picture.save(path, format="PNG"))
        print(f"wrote {save}", file=sys.stderr)
    if as_json:
        for each in answers:
            print(json.dumps(features_report.alike_record(each)))
    elif found:
        show_table(features_report.alike_table(found))
    return report_broken([each.error for each in answers if isinstance(each, Failure)])
