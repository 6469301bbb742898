"""From annotated images to a detector in a folder, stage by stage; what a stage has finished is not done again.

The stages: proposals of all images (cache/, seen.txt), fine-tuning (tuning/), SVMs (svm.safetensors), box regression
(boxes.safetensors), and the detector's results on validation images (detector.json).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fourfold import runs
from fourfold.catalog import WEIGHTS, Network
from fourfold.data.annotated import Annotated, Annotations
from fourfold.data.boxed import BoxedSplits
from fourfold.data.dice import generator_for
from fourfold.data.listing import read_item
from fourfold.detect import box_regression, mining
from fourfold.detect.box_regression import BoxRegression, pairs_of
from fourfold.detect.cache import TensorCache, cached_proposals, key_of
from fourfold.detect.detector import Detector, Finder, Look, Score, Softmax, SvmScore, features_of
from fourfold.detect.method import Method
from fourfold.detect.mining import Mined, Miner, MiningState, RegionFeatures
from fourfold.detect.propose import Propose
from fourfold.detect.regions import PooledRegions
from fourfold.detect.regions_seen import Seen
from fourfold.detect.sampling import class_overlaps, with_objects
from fourfold.detect.summary import DetectionEvaluation, Seconds
from fourfold.detect.svm import LinearSvms, scale_for
from fourfold.detect.tuning import RegionTask, feed_for, held_parts
from fourfold.detector_files import BOXES, SVMS, DetectorEntry, propose_as, regions_record, write_detector_entry
from fourfold.files import write_text
from fourfold.train.interrupt import interruptions
from fourfold.train.loop import LAST, Settings, Watchers, learn
from fourfold.weights import read_weights, save_weights

CACHE, SEEN, TUNING, MINING = "cache", "seen.txt", "tuning", "mining.safetensors"
CACHE_BYTES = 20 * 2**30  # on disk: proposals, and features of the regions of some thousand images (ours)
SAVE_EVERY = 60.0  # seconds between two states of mining
SAMPLE = 200  # images, and boxes of each, from which the length of features is taken (code of R-CNN)


@dataclass(frozen=True)
class Watch:
    """Called while a detector is made. stage: (what, done, of how many). training: mini-batches. say: a line for people."""

    stage: Callable[[str, int, int], None] = lambda _what, _done, _all: None
    training: Watchers = Watchers()  # noqa: RUF009 (frozen)
    say: Callable[[str], None] = lambda _line: None


@dataclass(frozen=True, eq=False)
class TrainedDetector:
    """A detector, the folder it is in, how it did on validation images, if there were any, and what they were."""

    folder: Path
    detector: Detector
    evaluation: DetectionEvaluation | None
    origin: str


@dataclass(frozen=True, eq=False)
class _Work:
    """What all stages need."""

    folder: Path
    network: Network
    method: Method
    splits: BoxedSplits
    cache: TensorCache
    propose: Propose
    seed: int
    watch: Watch

    @property
    def num_classes(self) -> int:
        return len(self.splits.train.classes)


def train_detector_in(
    folder: Path, network: Network, method: Method, splits: BoxedSplits, *, seed: int, watch: Watch
) -> TrainedDetector:
    """Make a detector in a folder, or go on where one was stopped; `network` is `for_detection`'s.

    Raises ValueError for data from which nothing can be learned, and KeyboardInterrupt once Ctrl-C has been answered, with
    what was done kept.
    """
    cache = TensorCache(folder / CACHE, CACHE_BYTES)
    propose = cached_proposals(propose_as(method.proposals, method.count), cache)
    work = _Work(folder, network, method, splits, cache, propose, seed, watch)
    with runs.writing(folder, "make room, then go on with --resume"):
        seen = _seen(work, splits.train, "proposals", watch.say)
        if not _has_objects(seen.images):
            raise ValueError(
                f"no object is left in the {len(splits.train)} images to learn from; mend those that were named"
            )
        _keep_to(work, seen)
        if method.tuning is not None:
            _tune(work, seen)
        save_weights(folder / WEIGHTS, {**network.classifier.state_dict(), **network.pixels.tensors()})
        with interruptions() as is_interrupted:
            stop = _stopper(is_interrupted)
            describe = _describer(work, seen)
            score = _scored(work, seen, describe, stop) if method.scores == "svm" else Softmax()
            refine = _refined(work, seen, describe, stop) if method.ridge is not None else None
            detector = Detector(network, propose, method.regions, score, refine, method.suppress, (), folder.resolve().name)
            evaluation = _checked(work, detector, stop)
        detector = _written(work, detector, evaluation)
    return TrainedDetector(folder, detector, evaluation, splits.origin)


def _stopper(is_interrupted: Callable[[], bool]) -> Callable[[], None]:
    def stop() -> None:
        if is_interrupted():
            raise KeyboardInterrupt

    return stop


def _seen(work: _Work, part: Annotations, what: str, say: Callable[[str], None]) -> Seen:
    """The images of a part that can be read, with their candidates; others are named and left out."""
    images, candidates = [], []
    for index, image in enumerate(part.images):
        try:
            boxes = work.propose(read_item(image.item), image.item.name)
        except ValueError as error:
            say(f"left out: {error}")
            continue
        images.append(image)
        candidates.append(with_objects(boxes, image))
        work.watch.stage(what, index + 1, len(part))
    return Seen(tuple(images), tuple(candidates))


def _has_objects(images: Iterable[Annotated]) -> bool:
    """Whether there is one to learn from or to be found, which difficult ones are not."""
    return any(bool((~image.is_difficult).any()) for image in images)


def _keep_to(work: _Work, seen: Seen) -> None:
    """Note what is learned from. Raises ValueError where the folder's stages were finished with other images or boxes."""
    labels = [image.labels for image in seen.images]
    digest = key_of(*work.splits.train.classes, *labels, *seen.candidates) + "\n"
    path = work.folder / SEEN
    if path.exists() and path.read_text(encoding="utf-8") != digest:
        raise ValueError(f"{work.folder} began with other images or boxes; restore them to go on, or choose another folder")
    write_text(path, digest)


def _tune(work: _Work, seen: Seen) -> None:
    """Fine-tune the network in place, or take up what was tuned before."""
    tuning, regions, folder = work.method.tuning, work.method.regions, work.folder / TUNING
    assert tuning is not None
    module = work.network.classifier if tuning.layers == "all" else work.network.classifier.head.fc
    if (folder / LAST).exists():
        module.load_state_dict(read_weights(folder / LAST))
        return
    feed = feed_for(seen, work.network, regions, tuning, work.seed, partial(work.watch.stage, "pooling regions"))
    held_seen = _seen(work, work.splits.val, "proposals to check on", lambda _line: None)  # testing says it
    held = held_parts(feed_for(held_seen, work.network, regions, tuning, 0)) if _has_objects(held_seen.images) else []
    task = RegionTask(
        work.network.pixels,
        tuning,
        work.network.labels,
        sum(len(boxes) for boxes in seen.candidates),
        held,
        by_window=tuning.layers == "all" and isinstance(regions, PooledRegions),
    )
    module.requires_grad_(True)
    folder.mkdir(exist_ok=True)
    settings = Settings(work.seed, keeps_best=False)
    learn(module, task, tuning, feed, folder, settings=settings, watchers=work.watch.training)
    module.requires_grad_(False).eval()


Describe = Callable[[int], dict[str, Tensor]]
"""Of an image by its number: "features" (R,D) of its candidates, and "pooled" (n,P) of the rows "near" an object."""


def _describer(work: _Work, seen: Seen) -> Describe:
    least = work.method.ridge.overlap if work.method.ridge else 2.0

    @torch.inference_mode()
    def describe(index: int) -> dict[str, Tensor]:
        key = f"regions-{index:06d}"
        kept = work.cache.get(key)
        if kept is not None:
            return kept
        pooled = work.method.regions.pooled(work.network, seen.pixels(index), seen.candidates[index])
        near = (seen.matches[index].overlaps >= least).nonzero()[:, 0]
        made = {"features": features_of(work.network, pooled), "near": near, "pooled": pooled[near].clone()}
        work.cache.put(key, made)
        return made

    return describe


def _scored(work: _Work, seen: Seen, describe: Describe, stop: Callable[[], None]) -> Score:
    """SVMs of all classes, mined or taken up."""
    path = work.folder / SVMS
    if not path.exists():
        mined = _mined(work, seen, describe, stop)
        for label, report in zip(work.splits.train.classes, mined.reports, strict=True):
            if not report.is_trained:
                what = "object" if not report.positives else "background"
                work.watch.say(f"{label} has no {what} to learn from, and will never be found")
        save_weights(path, mined.svms.tensors())
    (work.folder / MINING).unlink(missing_ok=True)
    return SvmScore(LinearSvms.from_tensors(read_weights(path)))


def _mined(work: _Work, seen: Seen, describe: Describe, stop: Callable[[], None]) -> Mined:
    def features(index: int) -> RegionFeatures:
        stop()
        work.watch.stage("hard negatives", index + 1, len(seen))
        boxes = seen.candidates[index]
        overlaps = class_overlaps(boxes, seen.images[index], work.num_classes)
        return RegionFeatures(describe(index)["features"], boxes, overlaps)

    positives: list[list[Tensor]] = [[] for _ in range(work.num_classes)]
    sample = []
    for index, image in enumerate(seen.images):
        stop()
        found = describe(index)["features"]
        own = image.labels[~image.is_difficult]  # with_objects puts these first
        for label in range(work.num_classes):
            positives[label].append(found[: len(own)][own == label])
        if index < SAMPLE:
            drawn = torch.randperm(len(found), generator=generator_for(work.seed, "length", index))[:SAMPLE]
            sample.append(found[drawn])
        work.watch.stage("features", index + 1, len(seen))
    miner = Miner([torch.cat(each) for each in positives], scale_for(torch.cat(sample)), work.method.mining, work.seed)
    path, saved = work.folder / MINING, time.monotonic()

    def save(state: MiningState) -> None:
        nonlocal saved
        if time.monotonic() - saved > SAVE_EVERY:
            save_weights(path, state.tensors(miner.width))
            saved = time.monotonic()

    begun = MiningState.from_tensors(read_weights(path)) if path.exists() else None
    return mining.mine(miner, features, len(seen), begun, save)


def _refined(work: _Work, seen: Seen, describe: Describe, stop: Callable[[], None]) -> BoxRegression:
    """Box regression of all classes, solved or taken up."""
    ridge, path = work.method.ridge, work.folder / BOXES
    assert ridge is not None
    if not path.exists():
        pairs = pairs_of(seen.matches, ridge, work.num_classes, seed=work.seed)

        def pooled(index: int, rows: Tensor) -> Tensor:
            stop()
            work.watch.stage("box regression", index + 1, len(seen))
            found = describe(index)
            return found["pooled"][torch.searchsorted(found["near"], rows)]

        examples = box_regression.gather(pairs, seen.candidates, seen.images, work.num_classes, pooled)
        if not len(pairs):
            raise ValueError(f"no proposal overlaps an object by {ridge.overlap:g}; ask for more proposals, or --no-boxes")
        scale = scale_for(torch.cat([each.pooled[:SAMPLE] for each in examples]))  # Reading: of boxes that show objects
        save_weights(path, box_regression.fit_boxes(examples, scale, ridge).tensors())
    return BoxRegression.from_tensors(read_weights(path))


def _checked(work: _Work, detector: Detector, stop: Callable[[], None]) -> DetectionEvaluation | None:
    """What the detector finds on validation images, where some can be read and have objects."""
    val = work.splits.val

    def watch(done: int, total: int) -> None:
        stop()
        work.watch.stage("testing", done, total)

    seen = _looks(detector, val, watch, work.watch.say)
    return _evaluation(detector, val.classes, seen) if _has_objects(image for image, _ in seen) else None


def evaluate_detector(
    finder: Finder,
    part: Annotations,
    watch: Callable[[int, int], None] = lambda _done, _all: None,
    say: Callable[[str], None] = lambda _line: None,
) -> DetectionEvaluation:
    """Ask a detector about annotated images; those that cannot be read are named by `say` and left out."""
    return _evaluation(finder, part.classes, _looks(finder, part, watch, say))


def _looks(
    finder: Finder, part: Annotations, watch: Callable[[int, int], None], say: Callable[[str], None]
) -> list[tuple[Annotated, Look]]:
    found = []
    for index, image in enumerate(part.images):
        try:
            found.append((image, finder.look(read_item(image.item), image.item.name)))
        except ValueError as error:
            say(f"left out: {error}")
        watch(index + 1, len(part))
    return found


def _evaluation(finder: Finder, classes: tuple[str, ...], seen: Sequence[tuple[Annotated, Look]]) -> DetectionEvaluation:
    images, looks = [image for image, _ in seen], [look for _, look in seen]
    return DetectionEvaluation(
        finder.title,
        f"{finder.words}, at most {max((len(look.proposals) for look in looks), default=0):,} proposals",
        classes,
        tuple(images),
        tuple(look.found for look in looks),
        tuple(look.proposals for look in looks),
        Seconds(sum(look.propose_seconds for look in looks), sum(look.seconds for look in looks), 0.0),
    )


def _written(work: _Work, detector: Detector, evaluation: DetectionEvaluation | None) -> Detector:
    """entry.json for the network, then detector.json; the detector with its thresholds."""
    method, network = work.method, work.network
    thresholds: tuple[float, ...] = ()
    told: dict[str, object] = {}
    if evaluation is not None:
        known = [each.threshold for each in evaluation.per_class if each.threshold is not None]
        other = max(known, default=detector.score.least)  # of a class that was never found: so that it does not flood photos
        thresholds = tuple(other if each.threshold is None else each.threshold for each in evaluation.per_class)
        told = {
            "map_2007": round(evaluation.voc.map_2007, 5),
            "map_2010": round(evaluation.voc.map_2010, 5),
            "images": len(evaluation.images),
            "objects": evaluation.objects,
            "on": work.splits.origin,
        }
    runs.write_record(
        work.folder,
        network,
        recipe=f"{method.source}, seed {work.seed}",
        protocol="regions of a detector",
        accuracy=told,
        deviations=method.deviations,
    )
    record = DetectorEntry(
        method=method.source,
        regions=regions_record(method.regions),
        proposals=method.proposals,
        count=method.count,
        scores=method.scores,
        refines=method.ridge is not None,
        suppress={"iou": method.suppress.iou, "per_class": method.suppress.per_class},
        thresholds=thresholds,
        found=told,
        deviations=method.deviations,
    )
    write_detector_entry(work.folder, record)
    return replace(detector, thresholds=thresholds)
