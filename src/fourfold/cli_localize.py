"""`fourfold localize`, `train-localizer`, and `evaluate` for localizers: parse, call a verb, print."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli_models import DEFAULT_MODEL, ScalesText, open_models, parse_scales, take_models
from fourfold.terminal import (
    Json,
    Options,
    next_run,
    parse_options,
    progress,
    report_broken,
    save_picture,
    say,
    show_table,
    stopped,
)

if TYPE_CHECKING:
    from fourfold.detector_training import Watch
    from fourfold.localizer_files import Opened
    from fourfold.verbs import Model

QUIET_BELOW = 8  # images


def localize(
    paths: Annotated[list[str], typer.Argument(help="Images, folders, glob patterns, or - for standard input.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Run folders of localizers, whose boxes are united, or any classifier."),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", "-p", help="dense, central or heat; heat needs no localizer.")
    ] = None,
    scales: ScalesText = None,
    top: Annotated[int, typer.Option(help="How many classes to name, each with its box; 5 at most.")] = 1,
    save: Annotated[bool, typer.Option("--save", help="Write each photo with its boxes.")] = False,
    save_to: Annotated[Path | None, typer.Option(help="The folder for --save; by default locations.")] = None,
    heat: Annotated[bool, typer.Option("--heat", help="Draw the class map beneath the boxes.")] = False,
    as_json: Json = False,
) -> int:
    """Say what is in photos and where: one box for each class."""
    from fourfold import located_report, verbs, verbs_localize

    if heat and not save and save_to is None:
        raise ValueError("--heat is drawn into the pictures that --save writes; add --save")
    more, photos = take_models_and_localizers(paths) if model else ([], paths)
    names = [*(model or [DEFAULT_MODEL]), *more]
    asked = verbs_localize.load_localizer(_opened(names), protocol=protocol, scales=parse_scales(scales))
    found = verbs.find(photos)
    records: list[dict[str, Any]] = []
    failures: list[str] = []
    with progress("localizing", is_quiet=as_json or len(found) < QUIET_BELOW) as show:
        for number, located in enumerate(verbs_localize.localize_each(asked, found, top, with_heat=heat), start=1):
            record = located_report.located_record(located)
            if as_json:
                print(json.dumps(record), flush=True)
            if isinstance(located, verbs.Failure):
                failures.append(located.error)
            else:
                if save or save_to is not None:
                    save_picture(located.plot(), save_to or Path("locations"), located.source)
                if not as_json:
                    records.append(record)
            show(number, len(found))
    if records:
        show_table(located_report.located_table(records))
    return report_broken(failures)


def train_localizer(
    data: Annotated[str | None, typer.Argument(help="Photos with boxes: VOC, COCO or YOLO layout, or a CSV file.")] = None,
    run: Annotated[Path | None, typer.Option(help="The folder to write; by default runs/localizer-NUMBER.")] = None,
    method: Annotated[
        str | None, typer.Option(help="modern, vgg-pcr, vgg-pcr-fc, vgg-scr, vgg-scr-fc or vgg-pcr-256.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="Weights to begin with: a name, or a run folder.")] = None,
    option: Options = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the photos to learn the classes.")] = None,
    scale: Annotated[int | None, typer.Option(help="The photos' shorter side in pixels; by default the method's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Mini-batches to learn the boxes.")] = None,
    rate: Annotated[float | None, typer.Option(help="Their highest learning rate; by default the method's.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a mini-batch; by default the method's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides weights, mini-batches and what is held out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run.")] = False,
    as_json: Json = False,
) -> int:
    """Teach a network where the largest object of a photo is; Ctrl-C saves, --resume goes on."""
    from fourfold import localization_report, located_report, verbs_localize

    if resume and run is None:
        raise ValueError("--resume needs --run FOLDER, the run to go on with")
    folder = run or next_run("localizer")
    try:
        with progress("images", is_quiet=as_json) as stage, progress("training", unit="steps", is_quiet=as_json) as show:
            trained = verbs_localize.train_localizer(
                data,
                run=folder,
                method=method,
                start=start,
                options=parse_options(option),
                epochs=epochs,
                scale=scale,
                steps=steps,
                rate=rate,
                batch_size=batch_size,
                seed=seed,
                resume=resume,
                watch=_watch(stage, show),
            )
    except KeyboardInterrupt:
        return stopped("train-localizer", folder)
    if as_json:
        print(json.dumps(located_report.trained_localizer_record(trained)))
        return 0
    if trained.found:
        show_table(localization_report.localization_table(trained.found))
    print(f"try it: fourfold localize PHOTO --model {folder} --save")
    return 0


def evaluate_localizers(
    names: list[str],
    data: str,
    protocol: str | None,
    scales: str | None,
    split: str | None,
    out: Path | None,
    *,
    as_json: bool,
) -> int:
    """`fourfold evaluate` for run folders of localizers, and for the class maps of a classifier."""
    from fourfold import localization_report, verbs_localize
    from fourfold.report import PAGE

    with progress("evaluating", is_quiet=as_json) as show:
        found = verbs_localize.evaluate_localizer_each(
            _opened(names),
            data,
            protocol,
            scales=parse_scales(scales),
            split=split,
            out=out,
            watch=lambda name, done, total: show(done, total, name),
        )
    if as_json:
        alone = len(found) == 1
        record = localization_report.localization_record(found[0][1]) if alone else None
        print(json.dumps(record or localization_report.comparison_record(found)))
    else:
        show_table(localization_report.localization_table(found))
    if out is not None:
        print(f"wrote {out / PAGE}", file=sys.stderr)
    return report_broken([each.error for each in found[0][1].broken])


def take_models_and_localizers(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """`take_models`, with the run folders of localizers among the models."""
    from fourfold.localizer_files import is_localizer

    found, others = take_models(words)
    return [*found, *filter(is_localizer, others)], [word for word in others if not is_localizer(word)]


def _opened(names: Sequence[str]) -> list[Opened | Model]:
    """Localizers by folder; others as `classify` opens them, saying first what will be downloaded."""
    from fourfold.localizer_files import is_localizer, open_localizer

    return [open_localizer(name) if is_localizer(name) else open_models([name], None, None, None)[0] for name in names]


def _watch(stage: Callable[..., None], show: Callable[..., None]) -> Watch:
    """Progress bars, and lines for what there is to say."""
    from fourfold.detector_training import Watch
    from fourfold.train.loop import Moment, Watchers

    def step(moment: Moment) -> None:
        show(moment.step, moment.steps, f"loss {moment.loss:.4f}")

    return Watch(lambda what, done, total: stage(done, total, what), Watchers(step=step), say)
