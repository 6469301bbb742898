"""`fourfold propose`, `train-detector`, `detect`, and `evaluate` for detectors: parse, call a verb, print."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli_models import ScalesText, parse_scales, write_png
from fourfold.terminal import (
    Json,
    Options,
    free_path,
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
    from fourfold.detect.summary import DetectionEvaluation
    from fourfold.detecting import Found
    from fourfold.detector_training import Watch

QUIET_BELOW = 8  # images
Proposals = Annotated[
    str | None,
    typer.Option("--proposals", help="fast, quality, fast-x2, a MultiBox run, a file of boxes; A+B joins two."),
]
Count = Annotated[int | None, typer.Option("--count", help="How many proposals of a photo are looked at.")]

LowRank = Annotated[int | None, typer.Option("--low-rank", help="Cheaper fc layers of a detector, such as 256.")]


@dataclass(frozen=True)
class DetectorOptions:
    """What `evaluate` takes for detectors alone."""

    proposals: str | None = None
    count: int | None = None
    average: bool = False
    low_rank: int | None = None


def propose(
    photo: Annotated[str, typer.Argument(help="An image, or - for standard input.")],
    proposals: Proposals = None,
    count: Count = None,
    plot: Annotated[Path | None, typer.Option(help="A PNG file: the photo with the likeliest boxes.")] = None,
    shown: Annotated[int, typer.Option(help="How many boxes --plot draws.")] = 50,
    as_json: Json = False,
) -> int:
    """Find boxes that may hold an object, of whatever class (Selective Search)."""
    from fourfold import found_report, verbs_detect

    kind = verbs_detect.PROPOSALS if proposals is None else proposals
    image, boxes = verbs_detect.propose(photo, kind, verbs_detect.COUNT if count is None else count)
    if plot is not None:
        picture = found_report.proposals_picture(image, boxes, shown)
        write_png(plot, lambda path: picture.save(path, format="PNG"))
        print(f"wrote {plot}", file=sys.stderr)
    if as_json:
        print(json.dumps(found_report.proposals_record(photo, image, boxes)))
    else:
        show_table(found_report.proposals_table(photo, image, boxes))
    return 0


def train_detector(
    data: Annotated[str | None, typer.Argument(help="Photos with boxes, in the layout of VOC, COCO or YOLO.")] = None,
    run: Annotated[Path | None, typer.Option(help="The folder to write; by default runs/detector-NUMBER.")] = None,
    method: Annotated[str | None, typer.Option(help="modern, sppnet, sppnet-5, rcnn or googlenet.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Weights to begin with: a name, or a run folder.")] = None,
    option: Options = None,
    scales: ScalesText = None,
    proposals: Proposals = None,
    count: Count = None,
    steps: Annotated[int | None, typer.Option(help="Mini-batches of fine-tuning; 0 for none.")] = None,
    rate: Annotated[float | None, typer.Option(help="The highest learning rate; by default the method's.")] = None,
    scores: Annotated[str | None, typer.Option(help="svm or softmax; by default the method's.")] = None,
    boxes: Annotated[bool | None, typer.Option("--boxes/--no-boxes", help="Whether boxes are moved by regression.")] = None,
    decay: Annotated[float | None, typer.Option(help="Lambda of that regression; by default the paper's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides weights, mini-batches and what is held out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run.")] = False,
    as_json: Json = False,
) -> int:
    """Train a detector on photos with boxes; Ctrl-C saves, --resume goes on."""
    from fourfold import found_report, verbs_detect

    if resume and run is None:
        raise ValueError("--resume needs --run FOLDER, the run to go on with")
    folder = run or next_run("detector")
    try:
        with (
            progress("images", is_quiet=as_json) as stage,
            progress("fine-tuning", unit="steps", is_quiet=as_json) as show,
        ):
            trained = verbs_detect.train_detector(
                data,
                run=folder,
                method=method,
                start=start,
                options=parse_options(option),
                scales=parse_scales(scales),
                proposals=proposals,
                count=count,
                steps=steps,
                rate=rate,
                scores=scores,
                refines=boxes,
                decay=decay,
                seed=seed,
                resume=resume,
                watch=_watch(stage, show),
            )
    except KeyboardInterrupt:
        return stopped("train-detector", folder)
    if as_json:
        print(json.dumps(found_report.trained_detector_record(trained)))
        return 0
    if trained.evaluation is not None:
        show_detections(trained.evaluation)
    print(f"try it: fourfold detect PHOTO --model {folder} --save")
    return 0


def detect(
    paths: Annotated[list[str], typer.Argument(help="Images, folders, glob patterns, videos, or - for standard input.")],
    model: Annotated[list[str], typer.Option("--model", "-m", help="The run folder of a detector; several are united.")],
    score: Annotated[float | None, typer.Option(help="Show boxes from this score on; else each class has its own.")] = None,
    proposals: Proposals = None,
    count: Count = None,
    average: Annotated[bool, typer.Option("--average", help="Average the scores of several, in place of uniting.")] = False,
    low_rank: LowRank = None,
    save: Annotated[bool, typer.Option("--save", help="Write each photo with its boxes.")] = False,
    save_to: Annotated[Path | None, typer.Option(help="The folder for --save; by default detections.")] = None,
    coco: Annotated[Path | None, typer.Option(help="Write the boxes as COCO's results (.json).")] = None,
    yolo: Annotated[Path | None, typer.Option(help="Write the boxes as YOLO's text files into this folder.")] = None,
    as_json: Json = False,
) -> int:
    """Find objects in photos and videos."""
    from fourfold import found_report, verbs, verbs_detect

    asked = verbs_detect.detector(list(model), proposals=proposals, count=count, average=average, low_rank=low_rank)
    found_report.check_places(coco, yolo)
    sources = verbs.find(paths)
    records: list[dict[str, Any]] = []
    failures: list[str] = []
    kept: dict[str, found_report.Place] = {}
    folder = (save_to or Path("detections")) if save or save_to is not None else None
    is_quiet = as_json or len(sources) < QUIET_BELOW
    with progress("detecting", is_quiet=is_quiet) as show, _saved(folder) as keep:
        for number, found in enumerate(verbs_detect.detect_each(asked, sources, score), start=1):
            record = found_report.found_record(found)
            if as_json:
                print(json.dumps(record), flush=True)
            if isinstance(found, verbs.Failure):
                failures.append(found.error)
            else:
                keep(found)
                if coco is not None or yolo is not None:
                    kept[found.source] = found_report.place_of(found)
                if not as_json:
                    records.append(record)
            show(number, max(number, len(sources)))
    if records:
        show_table(found_report.found_table(records))
    found_report.write_found(kept, asked.labels, coco, yolo)
    return report_broken(failures)


def evaluate_detectors(
    folders: list[str], data: str, split: str | None, out: Path | None, options: DetectorOptions, *, as_json: bool
) -> int:
    """`fourfold evaluate` for run folders of detectors."""
    from fourfold import detect_report, verbs_detect
    from fourfold.report import PAGE

    problems: list[str] = []
    with progress("evaluating", is_quiet=as_json) as show:
        found = verbs_detect.evaluate_detections(
            list(folders),
            data,
            split=split,
            proposals=options.proposals,
            count=options.count,
            average=options.average,
            low_rank=options.low_rank,
            watch=show,
            say=problems.append,
        )
    if as_json:
        print(json.dumps(detect_report.detection_record(found)))
    else:
        show_detections(found)
    if out is not None:
        verbs_detect.write_detections(found, out)
        print(f"wrote {out / PAGE}", file=sys.stderr)
    return report_broken(problems)


def show_detections(found: DetectionEvaluation) -> None:
    """The tables of an evaluation: the whole, then the classes."""
    from fourfold import detect_report

    show_table(detect_report.detection_table(found))
    show_table(detect_report.class_table(found.per_class))


def _watch(stage: Callable[..., None], show: Callable[..., None]) -> Watch:
    """Progress bars, and lines for what there is to say."""
    from fourfold.detector_training import Watch
    from fourfold.train.loop import Moment, Watchers

    def step(moment: Moment) -> None:
        show(moment.step, moment.steps, f"loss {moment.loss:.3f}")

    return Watch(lambda what, done, total: stage(done, total, what), Watchers(step=step), say)


@contextmanager
def _saved(folder: Path | None) -> Iterator[Callable[[Found], None]]:
    """Gives a function that writes pictures into the folder, and the frames of a video as one video; None writes nothing."""
    from fourfold.data.video import frame_rate, video_writer

    videos: dict[str, Callable[[Any], None]] = {}
    with ExitStack() as stack:

        def save(found: Found) -> None:
            if folder is None:
                return
            name, is_frame, _ = found.source.rpartition("#")
            if not is_frame or found.frame is None:
                save_picture(found.plot(), folder, found.source)
                return
            if name not in videos:
                folder.mkdir(parents=True, exist_ok=True)
                path = free_path(folder, name, ".mp4")
                videos[name] = stack.enter_context(video_writer(path, frame_rate(Path(name))))
                print(f"writing {path}", file=sys.stderr)
            videos[name](found.drawn())

        yield save
