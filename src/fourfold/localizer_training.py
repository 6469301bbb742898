"""From annotated images to a localizer in a folder, stage by stage; what a stage has finished is not done again.

The stages: a classifier of the data's classes (classifier/, taught with classes.csv), a network that gives boxes (tuning/,
boxes.safetensors), and the localizer's results on validation images (localizer.json).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fourfold import catalog, runs
from fourfold.catalog import ENTRY, WEIGHTS, ModelEntry, Network
from fourfold.data.annotated import Annotated, Annotations
from fourfold.data.boxed import BoxedSplits
from fourfold.data.dice import generator_for
from fourfold.data.listing import Listing
from fourfold.detect.cache import key_of
from fourfold.detector_training import Watch
from fourfold.files import write_text
from fourfold.jobs import Arguments, run_training
from fourfold.localization_report import rates_record
from fourfold.localize.method import Method
from fourfold.localize.regressor import BoxNetwork, box_network, tuned
from fourfold.localize.summary import LocalizationEvaluation
from fourfold.localize.tuning import BoxTask, CropFeed, Scaled, scaled_images
from fourfold.localizer_files import BOXES, CLASSIFIER, LocalizerEntry, Opened, write_localizer_entry
from fourfold.localizing import CENTRAL, DENSE, evaluate_system, system_of
from fourfold.networks import build
from fourfold.parallel import ALONE
from fourfold.plan import choose, look_at
from fourfold.train.initialise import He
from fourfold.train.interrupt import interruptions
from fourfold.train.loop import LAST, Settings, learn
from fourfold.training import Watching, start_from
from fourfold.weights import read_weights, save_weights

TUNING, CLASSES, SEEN = "tuning", "classes.csv", "seen.txt"
CHECKED = (DENSE, CENTRAL)  # protocols
WORKERS = 2  # threads that read photos while the classes are learned


@dataclass(frozen=True, eq=False)
class TrainedLocalizer:
    """A localizer's folder, how it did on validation images by protocol, if there were any, and what they were."""

    folder: Path
    found: tuple[tuple[str, LocalizationEvaluation], ...]
    origin: str


@dataclass(frozen=True)
class ClassTraining:
    """How the classes are learned, where the weights to begin with have others: see `verbs.train`."""

    start: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    epochs: float | None = None
    seed: int = 0


def classes_to_learn(splits: BoxedSplits) -> tuple[str, ...]:
    """The classes of which there is an image to learn from, in the data's order; images have one object each."""
    used = {int(image.labels[0]) for image in splits.train.images}
    return tuple(name for label, name in enumerate(splits.train.classes) if label in used)


def fits(start: Network, splits: BoxedSplits) -> bool:
    """Whether a classifier has just the classes of the data, and need not learn them."""
    return set(start.labels) in (set(splits.train.classes), set(classes_to_learn(splits)))


def classifier_in(folder: Path, splits: BoxedSplits, training: ClassTraining, watch: Watch) -> Network:
    """The classifier of the data's classes, trained into folder/classifier, or the `start` that has them already.

    splits: images of one object each. Goes on where it was stopped. Raises ValueError as `run_training` does, and
    KeyboardInterrupt once Ctrl-C has been answered.
    """
    place = folder / CLASSIFIER
    if not (place / ENTRY).is_file():
        start = None if training.start is None else catalog.load(training.start)
        if start is not None and fits(start, splits):
            _take(place, start, watch)
        elif len(names := classes_to_learn(splits)) == 1:
            _take(place, _of_one_class(names[0], splits, training), watch)
            watch.say(f"{names[0]} is the only class, so that there is nothing to tell apart, and class maps mean nothing")
        else:
            watch.say(f"the classes are learned first: {', '.join(names)}")
            _teach(folder, splits, training, watch)
    return catalog.load(place)


def train_boxes_in(
    folder: Path, classifier: Network, method: Method, scale: int, splits: BoxedSplits, *, seed: int, watch: Watch
) -> TrainedLocalizer:
    """Teach boxes to a copy of the classifier, check it, and write localizer.json, or go on where that was stopped.

    scale: the shorter side of images in pixels. Raises ValueError for data from which nothing can be learned, or other data
    than the folder began with, and KeyboardInterrupt once Ctrl-C has been answered, with what was done kept.
    """
    with runs.writing(folder, "make room, then go on with --resume"):
        train, val = (
            _scaled(part, classifier.labels, scale, watch.say) if len(part) else Scaled((), scale)
            for part in (splits.train, splits.val)
        )
        _keep_to(folder, train, classifier.labels)
        network = box_network(classifier, per_class=method.per_class, scale=scale, generator=generator_for(seed, "last"))
        _tune(folder, network, method, train, val, seed, watch)
        save_weights(folder / BOXES, network.classifier.state_dict())
        opened = Opened(folder.resolve().name, classifier, network)
        found = _checked(opened, replace(splits.val, images=val.images, classes=classifier.labels), watch)
        trained = TrainedLocalizer(folder, found, splits.origin)
        _write(trained, classifier.entry, method, scale)
    return trained


def _take(place: Path, network: Network, watch: Watch) -> None:
    """Keep a classifier as it is."""
    watch.say(f"classes by {network.entry.name}, as they are")
    entry = network.entry
    with runs.writing(place, "choose another folder with --run"):
        place.mkdir(parents=True, exist_ok=True)
        save_weights(place / WEIGHTS, {**network.classifier.state_dict(), **network.pixels.tensors()})
        runs.write_record(
            place,
            network,
            recipe=entry.recipe,
            protocol=entry.protocol,
            accuracy=entry.accuracy,
            deviations=[each for each in entry.deviations if each not in network.classifier.deviations],
        )


def _of_one_class(name: str, splits: BoxedSplits, training: ClassTraining) -> Network:
    """The network that would have been trained, with the weights that it would have begun with."""
    plan = choose(
        look_at(_listing(splits.train)),
        model=None,
        options=training.options,
        start=training.start,
        recipe=None,
        budget=None,
    )
    options = {**plan.options, "classes": 1}
    network = build(plan.model, **options)
    start = catalog.load(plan.start or catalog.DEFAULT)
    He()(network, generator_for(training.seed))
    start_from(network, start)
    entry = ModelEntry(start.entry.name, plan.model, options, recipe=start.entry.recipe, deviations=network.deviations)
    return Network(network.eval().requires_grad_(False), start.pixels, (name,), entry)


def _listing(part: Annotations) -> Listing:
    return Listing(
        tuple(image.item for image in part.images), tuple(int(image.labels[0]) for image in part.images), part.classes
    )


def _teach(folder: Path, splits: BoxedSplits, training: ClassTraining, watch: Watch) -> None:
    """Train the classifier as `fourfold train` does, on classes.csv."""
    place = folder / CLASSIFIER
    is_begun = (place / runs.ARGS).is_file()
    if not is_begun:
        write_text(folder / CLASSES, _manifest(splits))
    given = Arguments(
        data=str(folder.absolute() / CLASSES),
        start=training.start,
        options=training.options,
        epochs=training.epochs,
        seed=training.seed,
    )
    watching = Watching(
        lambda done, total: watch.stage("reading", done, total),
        watch.training,
        lambda done, total: watch.stage("testing classes", done, total),
        watch.say,
    )
    asked = Arguments() if is_begun else given
    done = run_training(asked, place, workers=WORKERS, resume=is_begun, watching=watching, group=ALONE)
    assert done is not None, "one process has the result"
    watch.say(f"classes learned: {done.top1:.1f} % of {done.images:,} validation images right")


def _manifest(splits: BoxedSplits) -> str:
    """Images with the class of their object, as `fourfold train` reads them; of val those of classes that train has."""
    known, text = set(classes_to_learn(splits)), io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "label", "split"))
    for name, part in (("train", splits.train), ("val", splits.val)):
        for image in part.images:
            label = part.classes[int(image.labels[0])]
            if label in known:
                rows.writerow((Path(image.item.name).absolute(), label, name))
    return text.getvalue()


def _scaled(part: Annotations, labels: tuple[str, ...], scale: int, say: Callable[[str], None]) -> Scaled:
    """The images of known classes that can be read; what is left out is said."""
    kept: list[Annotated] = []
    for image, was in zip(part.relabelled(labels).images, part.images, strict=True):
        if int(image.labels[0]) < 0:
            say(f"left out: {image.item.name}: no image of class {part.classes[int(was.labels[0])]} is there to learn from")
        else:
            kept.append(image)
    made, faults = scaled_images(kept, scale)
    for fault in faults:
        say(f"left out: {fault.error}")
    return made


def _keep_to(folder: Path, train: Scaled, labels: tuple[str, ...]) -> None:
    """Note what is learned from. Raises ValueError where the folder began with other images, boxes or classes."""
    names = [image.item.name for image in train.images]
    boxes = [tensor for image in train.images for tensor in (image.boxes, image.labels)]
    digest, path = key_of(*labels, *names, *boxes) + "\n", folder / SEEN
    if path.exists() and path.read_text(encoding="utf-8") != digest:
        raise ValueError(f"{folder} began with other images or boxes; restore them to go on, or choose another folder")
    write_text(path, digest)


def _tune(folder: Path, network: BoxNetwork, method: Method, train: Scaled, val: Scaled, seed: int, watch: Watch) -> None:
    """Teach the network in place, or take up what was taught before."""
    place, classifier = folder / TUNING, network.classifier
    if not (place / LAST).exists():
        place.mkdir(exist_ok=True)
        tuned(classifier, method.layers)
        task = BoxTask(network, method, len(train), val if len(val) else None)
        feed = CropFeed(train, method, classifier.input_size, seed)
        learn(classifier, task, method, feed, place, settings=Settings(seed, keeps_best=False), watchers=watch.training)
    state = read_weights(place / LAST)
    classifier.load_state_dict({name: state[name] for name in classifier.state_dict()})
    classifier.eval().requires_grad_(False)


def _checked(opened: Opened, val: Annotations, watch: Watch) -> tuple[tuple[str, LocalizationEvaluation], ...]:
    """What the localizer says of validation images, where there are some."""
    if not len(val):
        return ()
    with interruptions() as is_interrupted:

        def show(done: int, total: int) -> None:
            if is_interrupted():
                raise KeyboardInterrupt
            watch.stage("testing", done, total)

        return tuple((name, evaluate_system(system_of([opened], name), val, show)) for name in CHECKED)


def _write(trained: TrainedLocalizer, entry: ModelEntry, method: Method, scale: int) -> None:
    found = {name: {**rates_record(result), "images": result.images} for name, result in trained.found}
    told = {"on": trained.origin, **found} if found else {}
    record = LocalizerEntry(method.source, method.per_class, scale, entry.name, told, method.deviations)
    write_localizer_entry(trained.folder, record)
