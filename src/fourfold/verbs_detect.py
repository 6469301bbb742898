"""What users do with boxes, as functions: propose, train_detector, detect, evaluate_detector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.boxed import boxed_test
from fourfold.detect.boxes_picture import side_by_side
from fourfold.detect.detections import Detections
from fourfold.detect.detector import Averaged, Detector, Finder, United, with_low_rank
from fourfold.detect.summary import DetectionEvaluation
from fourfold.detect_files import write_detection_report
from fourfold.detecting import Found, detect_each
from fourfold.detector_files import load_detector, propose_as
from fourfold.detector_jobs import DetectorArguments, run_detector_training
from fourfold.detector_training import TrainedDetector, Watch, evaluate_detector
from fourfold.sources import Failure, Source, find, read

if TYPE_CHECKING:
    from PIL import Image as Pillow

PROPOSALS, COUNT = "fast", 2000  # R-CNN 2.1

DetectorLike = str | Path | Detector | United | Averaged


def propose(source: Source, proposals: str = PROPOSALS, count: int = COUNT) -> tuple[Tensor, Tensor]:
    """Boxes that may hold an object: the image uint8 (3,H,W), and float32 (R,4) edges in its pixels, likeliest first.

    proposals: a kind that `proposer_named` knows, or a file of boxes. Raises ValueError for an image that cannot be read.
    """
    proposer = propose_as(proposals, count)
    name, image = read(source if not isinstance(source, str) else Path(source))
    if isinstance(image, Failure):
        raise ValueError(image.error)
    return image, proposer(image, name)


def train_detector(
    data: str | Path | None = None,
    *,
    run: str | Path,
    method: str | None = None,
    start: str | None = None,
    options: Mapping[str, object] | None = None,
    scales: Sequence[int] | None = None,
    proposals: str | None = None,
    count: int | None = None,
    steps: int | None = None,
    rate: float | None = None,
    scores: str | None = None,
    refines: bool | None = None,
    decay: float | None = None,
    seed: int | None = None,
    resume: bool = False,
    watch: Watch = Watch(),  # noqa: B008 (frozen)
) -> TrainedDetector:
    """Make a detector from annotated images in the folder `run`, which `detect` opens afterwards.

    data: what `find_boxed` takes: a folder in the layout of VOC, COCO or YOLO. method: a name of `DETECTORS`: "rcnn",
    "sppnet", "sppnet-5", "googlenet", or "modern". start: weights by name or a run folder. steps: mini-batches of
    fine-tuning, 0 for none. scores: "svm" or "softmax". refines: False for no box regression; decay: its lambda.
    `resume` goes on with the run in `run`, whose arguments it has kept. Raises ValueError for data, names or numbers that
    will not do; KeyboardInterrupt once Ctrl-C has been answered, with everything saved for `resume`.
    """
    given = DetectorArguments(
        data=None if data is None else str(data),
        method=method,
        start=start,
        options=dict(options or {}),
        scales=None if scales is None else tuple(scales),
        proposals=proposals,
        count=count,
        steps=steps,
        rate=rate,
        scores=scores,
        refines=refines,
        decay=decay,
        seed=seed,
    )
    return run_detector_training(given, Path(run), resume=resume, watch=watch)


def detector(
    models: DetectorLike | Sequence[DetectorLike],
    *,
    proposals: str | None = None,
    count: int | None = None,
    average: bool = False,
    low_rank: int | None = None,
) -> Finder:
    """A detector from its run folder; several as one: their boxes suppressed together (SPP-net 4.4), or with `average` their
    scores averaged on the proposals of the first (GoogLeNet 8).

    proposals, count: in place of those it was trained with. low_rank: the rank that fc layers are brought down to, which
    makes large ones several times as fast and costs a little precision (Fast R-CNN 3.1). Raises ValueError where a folder
    holds no detector, several do not fit together, or no layer gets cheaper.
    """
    many = [models] if isinstance(models, DetectorLike) else list(models)
    opened = [_opened(each, proposals, count, low_rank) for each in many]
    if len(opened) == 1:
        return opened[0]
    parts = tuple(each for each in opened if isinstance(each, Detector))
    if len(parts) < len(opened):
        raise ValueError("detectors that are united already cannot be united again; give all of their parts at once")
    return Averaged(parts) if average else United(parts)


def detect(
    sources: Source | Iterable[Source],
    model: DetectorLike | Sequence[DetectorLike],
    *,
    score: float | None = None,
    proposals: str | None = None,
    count: int | None = None,
    average: bool = False,
    low_rank: int | None = None,
) -> list[Found | Failure]:
    """Find objects in images: one Found or Failure for each, in order; of a video one for each frame.

    sources: as for `classify`, and video files. model: a run folder of `train_detector`, or several; see `detector`. score:
    from which on a box is shown; by default each class has its own.
    """
    many = [sources] if isinstance(sources, Source) else list(sources)
    asked = detector(model, proposals=proposals, count=count, average=average, low_rank=low_rank)
    return list(detect_each(asked, find(many), score))


def evaluate_detections(
    model: DetectorLike | Sequence[DetectorLike],
    data: str | Path,
    *,
    split: str | None = None,
    proposals: str | None = None,
    count: int | None = None,
    average: bool = False,
    low_rank: int | None = None,
    watch: Callable[[int, int], None] = lambda _done, _all: None,
    say: Callable[[str], None] = lambda _line: None,
) -> DetectionEvaluation:
    """How well a detector finds the objects of annotated images: average precision and what else DetectionEvaluation says.

    data: as for `train_detector`; `split` names the part, by default test, or else val, or else all. Images that cannot be
    read are named by `say` and left out. Raises ValueError for classes that the detector does not know.
    """
    asked = detector(model, proposals=proposals, count=count, average=average, low_rank=low_rank)
    part, name = boxed_test(data, split)
    if not set(part.classes) <= set(asked.labels):
        theirs, ours = ", ".join(part.classes), ", ".join(asked.labels)
        raise ValueError(f"{data} has the classes {theirs}, and {asked.title} finds {ours}; give data with the same classes")
    found = evaluate_detector(asked, part.relabelled(asked.labels), watch, say)
    return replace(found, protocol=f"{found.protocol}, on {data}{f' ({name})' if name else ''}")


def write_detections(found: DetectionEvaluation, folder: str | Path) -> None:
    """An evaluation as report.html, result.json, per_class.csv and detections.json in a folder."""

    def draw(image: Tensor, detections: Detections, truth: Annotated) -> Pillow.Image:
        return side_by_side(image, truth, detections, found.classes)

    write_detection_report(found, Path(folder), draw)


def _opened(model: DetectorLike, proposals: str | None, count: int | None, low_rank: int | None) -> Finder:
    if isinstance(model, str | Path):
        loaded = load_detector(model, proposals=proposals, count=count)
        return loaded if low_rank is None else with_low_rank(loaded, low_rank)
    if proposals is not None or count is not None or low_rank is not None:
        raise ValueError("a detector that is loaded already has its proposals and layers; give its folder to change them")
    return model
