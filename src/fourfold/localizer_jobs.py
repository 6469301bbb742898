"""A job of making a localizer: the arguments that a user gave, kept in the run folder so that it can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from fourfold import catalog, runs
from fourfold.data.boxed import BoxedSplits, find_boxed
from fourfold.data.located import largest_of_splits
from fourfold.detector_training import Watch
from fourfold.localize.method import Method
from fourfold.localizer_files import CLASSIFIER, LOCALIZER
from fourfold.localizer_training import (
    SEEN,
    TUNING,
    ClassTraining,
    TrainedLocalizer,
    classifier_in,
    fits,
    train_boxes_in,
)
from fourfold.papers.localization import localizer_named, modern_steps, scale_of
from fourfold.plan import check_names
from fourfold.train.recipe import Budget
from fourfold.training import begin, begun, refuse_old, refuse_other, whole_path

METHOD = "modern"
FAULTS_SAID = 5  # the others are counted


@dataclass(frozen=True)
class LocalizerArguments:
    """What a user said about a localizer; None, or no options, where nothing was said. Kept as args.json."""

    data: str | None = None
    method: str | None = None
    start: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    epochs: float | None = None
    scale: int | None = None
    steps: int | None = None
    rate: float | None = None
    batch_size: int | None = None
    seed: int | None = None

    def placed(self) -> LocalizerArguments:
        """With whole paths, so that a run can be resumed from any folder."""
        return replace(self, data=whole_path(self.data), start=whole_path(self.start))


def run_localizer_training(given: LocalizerArguments, folder: Path, *, resume: bool, watch: Watch) -> TrainedLocalizer:
    """Make a localizer as the arguments say, or go on with the one in the folder; see `verbs_localize.train_localizer`."""
    arguments = _resumed(given.placed(), folder) if resume else given.placed()
    if arguments.data is None:
        raise ValueError("no data given; give photos with boxes, in the layout of VOC, COCO or YOLO, or a CSV file")
    if not resume:
        _refuse(folder)
    seed = arguments.seed or 0
    _check(arguments)  # what is wrong is said before anything is read
    splits = largest_of_splits(find_boxed(arguments.data, seed=seed))
    method = method_for(arguments, len(splits.train))
    if not resume:
        _check_start(arguments, splits)
        begin(folder, asdict(arguments))
    watch = replace(watch, say=_once(watch.say))
    _say(splits, method, watch)
    training = ClassTraining(arguments.start, arguments.options, arguments.epochs, seed)
    with runs.writing(folder, "make room, then go on with --resume"):
        network = classifier_in(folder, splits, training, watch)
    size = network.classifier.input_size
    scale = scale_of(method, size) if arguments.scale is None else arguments.scale
    return train_boxes_in(folder, network, method, scale, splits, seed=seed, watch=watch)


def method_for(arguments: LocalizerArguments, images: int) -> Method:
    """The method that the arguments name, with what they change about it; images: how many there are to learn from.

    Raises ValueError for what cannot be.
    """
    method = localizer_named(arguments.method or METHOD)
    if (arguments.method or METHOD) == METHOD:
        method = replace(method, steps=modern_steps(images))
    method = method.with_steps(method.steps if arguments.steps is None else arguments.steps, arguments.batch_size)
    if arguments.scale is not None:
        note = f"images of scale {arguments.scale}"
        method = replace(method, deviations=(*method.deviations, note))
    return method if arguments.rate is None else method.at_rate(arguments.rate)


def _check(arguments: LocalizerArguments) -> None:
    """Raises ValueError for what is wrong whatever the data are."""
    method_for(arguments, 1)
    Budget(epochs=arguments.epochs)
    if "classes" in arguments.options:
        raise ValueError("the number of classes comes from the data; leave out the option classes")
    if arguments.start is not None:
        start = catalog.load(arguments.start)
        check_names(None, start.entry.network, {**start.entry.options, **arguments.options})


def _check_start(arguments: LocalizerArguments, splits: BoxedSplits) -> None:
    """Raises ValueError where a start that has the classes already is to be trained otherwise, or at a scale too small."""
    if arguments.start is None:
        return
    start = catalog.load(arguments.start)
    if fits(start, splits) and (arguments.options or arguments.epochs is not None):
        raise ValueError(f"{start.entry.name} knows the classes and is taken as it is; leave out options and epochs")
    size = arguments.options.get("input_size", start.classifier.input_size)
    if arguments.scale is not None and isinstance(size, int) and arguments.scale < size:
        raise ValueError(f"no {size}x{size} window fits images of scale {arguments.scale}; use at least {size} pixels")


def _refuse(folder: Path) -> None:
    refuse_old(folder)
    if any((folder / name).exists() for name in (CLASSIFIER, SEEN, TUNING, LOCALIZER)):  # their stages would be taken up
        raise ValueError(f"{folder} holds a run already; add --resume to go on with it, or choose another folder")


def _say(splits: BoxedSplits, method: Method, watch: Watch) -> None:
    parts = [splits.train, splits.val, *([splits.test] if splits.test is not None else [])]
    faults = [fault for part in parts for fault in part.faults]
    watch.say(
        f"{len(splits.train):,} images, the largest object of each, of {len(splits.train.classes)} classes; "
        f"checked on {splits.origin}"
    )
    watch.say(f"{method.source}: {method.steps:,} mini-batches of {method.batch_size}")
    for fault in faults[:FAULTS_SAID]:
        watch.say(f"{fault.name}: {fault.error}")
    if len(faults) > FAULTS_SAID:
        watch.say(f"and {len(faults) - FAULTS_SAID:,} faults more")


def _once(say: Callable[[str], None]) -> Callable[[str], None]:
    """The same, but that no line is said twice: both stages find out that a file is broken."""
    said: set[str] = set()

    def say_new(line: str) -> None:
        if line not in said:
            said.add(line)
            say(line)

    return say_new


def _resumed(given: LocalizerArguments, folder: Path) -> LocalizerArguments:
    """The run's own arguments; what is given again must say the same."""
    kept: dict[str, Any] = dict(begun(folder))
    try:
        arguments = LocalizerArguments(**kept)
    except TypeError as error:
        raise ValueError(f"{folder} holds another kind of run ({error}); start another") from error
    refuse_other(folder, given, arguments, (each.name for each in fields(LocalizerArguments)))
    return arguments
