"""A job of making a detector: the arguments that a user gave, kept in the run folder so that it can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from fourfold import catalog
from fourfold.data.annotated import Annotations
from fourfold.data.boxed import BoxedSplits, find_boxed
from fourfold.detect import box_regression
from fourfold.detect.method import Method, for_detection
from fourfold.detect.proposals import First, proposer_named
from fourfold.detector_files import DETECTOR
from fourfold.detector_training import SEEN, TUNING, TrainedDetector, Watch, train_detector_in
from fourfold.papers.detectors import method_named
from fourfold.training import begin, begun, refuse_old, refuse_other, whole_path

METHOD = "modern"
FAULTS_SAID = 5  # the others are counted


@dataclass(frozen=True)
class DetectorArguments:
    """What a user said about a detector; None, or no options, where nothing was said. Kept as args.json."""

    data: str | None = None
    method: str | None = None
    start: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    scales: tuple[int, ...] | None = None
    proposals: str | None = None
    count: int | None = None
    steps: int | None = None
    rate: float | None = None
    scores: str | None = None
    refines: bool | None = None
    decay: float | None = None
    seed: int | None = None

    def placed(self) -> DetectorArguments:
        """With whole paths, so that a run can be resumed from any folder."""
        data, start = whole_path(self.data), whole_path(self.start)
        return replace(self, data=data, start=start, proposals=_whole_paths(self.proposals))


def _whole_paths(proposals: str | None) -> str | None:
    """A kind of proposals whose paths are whole, each by itself where several are joined."""
    if proposals is None or Path(proposals).exists():
        return whole_path(proposals)
    return "+".join(whole_path(part.strip()) or "" for part in proposals.split("+"))


def run_detector_training(given: DetectorArguments, folder: Path, *, resume: bool, watch: Watch) -> TrainedDetector:
    """Make a detector as the arguments say, or go on with the one in the folder; see `verbs.train_detector`."""
    arguments = _resumed(given.placed(), folder) if resume else given.placed()
    if arguments.data is None:
        raise ValueError("no data given; give a folder of annotated images in the layout of VOC, COCO or YOLO")
    if not resume:
        refuse_old(folder)
        if any((folder / name).exists() for name in (SEEN, TUNING, DETECTOR)):  # their stages would be taken up
            raise ValueError(f"{folder} holds a run already; add --resume to go on with it, or choose another folder")
    seed = arguments.seed or 0
    start = catalog.load(arguments.start or catalog.DEFAULT)
    start = replace(start, entry=replace(start.entry, options={**start.entry.options, **arguments.options}))
    method = method_for(arguments, _size(start))
    splits = find_boxed(arguments.data, seed=seed)
    network, _ = for_detection(start, splits.train.classes, method, seed=seed)
    method.regions.check(network)
    _say(splits, method, start.entry.name, watch)
    if not resume:
        begin(folder, asdict(arguments))
    return train_detector_in(folder, network, method, splits, seed=seed, watch=watch)


def method_for(arguments: DetectorArguments, size: int) -> Method:
    """The method that the arguments name, with what they change about it. Raises ValueError for what cannot be."""
    method = method_named(arguments.method or METHOD, size, arguments.scales)
    if arguments.proposals is not None or arguments.count is not None:
        kind = method.proposals if arguments.proposals is None else arguments.proposals
        count = method.count if arguments.count is None else arguments.count
        First(proposer_named(kind), count)  # so that a wrong name or number is said before anything is read
        note = f"{count:,} proposals of {kind}"
        method = replace(method, proposals=kind, count=count, deviations=(*method.deviations, note))
    if arguments.scores is not None and arguments.scores != method.scores:
        if arguments.scores not in ("svm", "softmax"):
            raise ValueError(f"no scores by {arguments.scores!r}; choose svm or softmax")
        note = f"scores by {arguments.scores}"
        method = replace(method, scores=arguments.scores, deviations=(*method.deviations, note))  # pyright: ignore[reportArgumentType]
    if arguments.refines is False and method.ridge is not None:
        method = replace(method, ridge=None, deviations=(*method.deviations, "no box regression"))
    if arguments.refines and method.ridge is None:
        method = replace(method, ridge=box_regression.RCNN, deviations=(*method.deviations, "box regression, as R-CNN's"))
    if arguments.decay is not None:
        method = method.with_decay(arguments.decay)
    method = method if arguments.steps is None else method.with_steps(arguments.steps)
    return method if arguments.rate is None else method.at_rate(arguments.rate)


def _size(start: catalog.Network) -> int:
    size = start.entry.options.get("input_size", start.classifier.input_size)
    return size if isinstance(size, int) else start.classifier.input_size


def _say(splits: BoxedSplits, method: Method, start: str, watch: Watch) -> None:
    train = splits.train
    faults = [fault for part in _parts(splits) for fault in part.faults]
    watch.say(
        f"{len(train):,} images, {train.num_boxes:,} boxes of {len(train.classes)} classes; checked on {splits.origin}"
    )
    watch.say(f"{method.source}: {method.regions}, starting from {start}")
    for fault in faults[:FAULTS_SAID]:
        watch.say(f"{fault.name}: {fault.error}")
    if len(faults) > FAULTS_SAID:
        watch.say(f"and {len(faults) - FAULTS_SAID:,} faults more")


def _parts(splits: BoxedSplits) -> list[Annotations]:
    return [splits.train, splits.val, *([splits.test] if splits.test is not None else [])]


def _resumed(given: DetectorArguments, folder: Path) -> DetectorArguments:
    """The run's own arguments; what is given again must say the same."""
    kept: dict[str, Any] = dict(begun(folder))
    try:
        scales = kept.get("scales")
        arguments = DetectorArguments(**{**kept, "scales": tuple(scales) if scales else None})
    except TypeError as error:
        raise ValueError(f"{folder} holds another kind of run ({error}); start another") from error
    refuse_other(folder, given, arguments, (each.name for each in fields(DetectorArguments)))
    return arguments
