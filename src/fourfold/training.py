"""From images and their classes to a run folder that `load` opens: prepare, fit, test, and write down what was learned."""

from __future__ import annotations

import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fourfold import runs
from fourfold.catalog import ENTRY, ModelEntry, Network
from fourfold.data.crops import Centre
from fourfold.data.examples import decode
from fourfold.data.listing import Broken, Listing
from fourfold.data.loader import Loader, Rows, Source
from fourfold.data.photos import Photos, survey
from fourfold.data.splits import Splits
from fourfold.files import write_text
from fourfold.images import Pixels
from fourfold.models.base import Classifier
from fourfold.parallel import ALONE, Group
from fourfold.train import checkpoint
from fourfold.train.journal import JOURNAL, Epoch
from fourfold.train.loop import BEST, Settings, Watchers, fit
from fourfold.train.recipe import Recipe
from fourfold.train.step import Trainer, batches, optimiser_for
from fourfold.train.task import Classify
from fourfold.train.tracking import open_trackers
from fourfold.weights import read_weights

AT_ONCE = 32  # photos that go through a network together: 16 to 20 GB for VGG-16 at 224x224, and ResNet's share of a GPU
WARM_UP, TRIAL = 2, 6  # mini-batches that are not timed, as memory is found and kernels chosen, and those that are


@dataclass(frozen=True, eq=False)
class Material:
    """Images to learn from and to check against, how pixels are normalised, and the files that could not be read."""

    train: Source
    val: Source
    listed: Listing
    pixels: Pixels
    broken: tuple[Broken, ...]


@dataclass(frozen=True)
class Trained:
    """Where a run is and how it did: accuracies in per cent on `images` validation images that came from `origin`.

    Files that could not be read are in `broken`; nothing was learned from them.
    """

    folder: Path
    model: str
    top1: float
    top5: float
    images: int
    origin: str
    broken: tuple[Broken, ...]


@dataclass(frozen=True)
class Watching:
    """Called while a run goes on.

    read, test: (images done, images in all). training: mini-batches and epochs. say: a line for people.
    """

    read: Callable[[int, int], None] = lambda _done, _all: None
    training: Watchers = Watchers()  # noqa: RUF009 (frozen)
    test: Callable[[int, int], None] = lambda _done, _all: None
    say: Callable[[str], None] = lambda _line: None


def prepare(
    splits: Splits, network: Classifier, recipe: Recipe, start: Pixels | None, workers: int, watching: Watching
) -> Material:
    """Read the images as the recipe wants them: whole and in memory, or as photos that are cut while training runs.

    start: how the weights want their pixels that training starts from; else the recipe measures the images.
    """
    size, train, val = network.input_size, splits.train, splits.val
    total = len(train) + len(val)
    first, second = (lambda done, _: watching.read(done, total)), (lambda done, _: watching.read(len(train) + done, total))
    if recipe.crop is None:
        images, broken = decode(train, size, first)
        checked, more = decode(val, size, second)
        return Material(images, checked, _without(val, more), start or recipe.pixels(images.images), (*broken, *more))
    view = Centre(size)
    kept, broken, sample = survey(train, view, size, first)
    checks, more, _ = survey(val, view, size, second)
    pixels = start or recipe.pixels(sample)
    return Material(Photos(kept, recipe.crop, workers), Photos(checks, view, workers), checks, pixels, (*broken, *more))


def images_within(
    minutes: float,
    network: Classifier,
    recipe: Recipe,
    material: Material,
    settings: Settings,
    group: Group = ALONE,
    trial: int = TRIAL,
) -> int:
    """How many images training sees in that time, found by timing `trial` mini-batches on a copy of the network.

    Each process times its own rows; what the processes then say to each other is left out of account.
    """
    if not 0 < minutes < math.inf:
        raise ValueError(f"{minutes:g} minutes is not a length of training; choose more than 0")
    copied = copy.deepcopy(network).to(group.device).to(memory_format=torch.channels_last).train()
    rows = Rows(group.rank, group.world, settings.at_once)
    loader = Loader(material.train, recipe.batch_size, recipe.augment, settings.seed, network.input_size, rows=rows)
    alone = Group(device=group.device)
    task = Classify(material.pixels, recipe, material.train, None, network.input_size)
    trainer = Trainer(task.module(copied), task, recipe, optimiser_for(copied, recipe), settings.seed, alone)
    passes = itertools.chain.from_iterable(batches(loader.epoch(epoch)) for epoch in itertools.count())
    began = time.monotonic()
    for step, parts in enumerate(itertools.islice(passes, WARM_UP + trial)):
        if step == WARM_UP:
            began = time.monotonic()
        trainer.step(parts, step, 0.0)
    return max(1, int(minutes * 60 * trial / (time.monotonic() - began))) * recipe.batch_size


def refuse_old(folder: Path) -> None:
    """Raises ValueError where the folder holds a run already."""
    if checkpoint.exists(folder) or (folder / ENTRY).exists():
        raise ValueError(f"{folder} holds a run already; add --resume to go on with it, or choose another folder")


def begin(folder: Path, arguments: Mapping[str, object]) -> None:
    """Make the run folder, with args.json. Raises ValueError where it holds a run already, or cannot be written."""
    refuse_old(folder)
    with runs.writing(folder, "choose another folder with --run"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JOURNAL).unlink(missing_ok=True)  # of a run that was killed before it had a state
        write_text(folder / runs.ARGS, json.dumps(arguments, indent=2) + "\n")


def begun(folder: Path) -> dict[str, object]:
    """The arguments of a run to go on with. Raises ValueError where there is none."""
    try:
        arguments = json.loads((folder / runs.ARGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no run to resume; leave out --resume to start one") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / runs.ARGS} cannot be read ({error}); restore it, or start another run") from error
    if not isinstance(arguments, dict):
        raise ValueError(f"{folder / runs.ARGS} is not a run's arguments; restore it, or start another run")
    with runs.writing(folder, "choose another folder with --run"):
        for left in folder.glob(".*.part"):  # by a process that was killed while it wrote
            left.unlink()
    return arguments


def refuse_other(folder: Path, given: object, kept: object, names: Iterable[str]) -> None:
    """Raises ValueError where what is given again for a run, where anything is, says other than what the run has kept."""
    for name in names:
        said, have = getattr(given, name), getattr(kept, name)
        if said not in (None, {}) and said != have:
            what = name.replace("_", " ")
            raise ValueError(f"the run in {folder} has {what} {have!r}, not {said!r}; leave it out to go on")


def whole_path(name: str | None) -> str | None:
    """A name that is a path as a whole path, so that a run can be resumed from any folder; others as they are."""
    return str(Path(name).absolute()) if name is not None and Path(name).exists() else name


def train_run(
    network: Classifier,
    entry: ModelEntry,
    recipe: Recipe,
    splits: Splits,
    material: Material,
    folder: Path,
    *,
    settings: Settings,
    start: str | None = None,
    trackers: Sequence[str] = (),
    watching: Watching = Watching(),
    group: Group = ALONE,
) -> Trained | None:
    """Train into a run folder that `begin` has made; see `fit`. Processes other than the first only help with that."""
    described = {**recipe.description(), "seed": settings.seed, "network": entry.network}
    done = None
    with runs.writing(folder, "make room, then go on with --resume"):
        opened = None
        if group.is_first:
            write_text(folder / runs.RECIPE, json.dumps(recipe.description(), indent=2) + "\n")
            opened = open_trackers(folder, trackers, run_name=folder.resolve().name, settings=described, say=watching.say)

        def at_epoch(epoch: Epoch) -> None:
            if opened is not None:
                opened.epoch(epoch)
            watching.training.epoch(epoch)

        try:
            fit(
                network,
                material.pixels,
                recipe,
                material.train,
                material.val,
                folder,
                settings=settings,
                watchers=replace(watching.training, epoch=at_epoch),
                group=group,
                initialise=start is None,
            )
            if group.is_first:
                done = _finish(network, entry, recipe, splits, material, folder, settings, start, watching)
        finally:
            if opened is not None:
                opened.pictures(runs.pictures(folder))
                opened.close()
    return done


def _finish(
    network: Classifier,
    entry: ModelEntry,
    recipe: Recipe,
    splits: Splits,
    material: Material,
    folder: Path,
    settings: Settings,
    start: str | None,
    watching: Watching,
) -> Trained:
    """Test the weights that are kept, and write what `load` reads and what people look at."""
    state = read_weights(folder / BEST)
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    network.to("cpu").eval()
    kept = Network(network, material.pixels, material.train.classes, entry)
    tested = runs.answers(kept, material.listed, watching.test)
    runs.write_pictures(folder, kept, material.listed, tested)
    came = f", starting from {start}" if start else ""
    runs.write_entry(
        folder, kept, recipe, tested, seed=settings.seed, origin=splits.origin, start=came, is_best=settings.keeps_best
    )
    name = entry.network
    return Trained(folder, name, tested.top1, tested.top5, tested.images, splits.origin, material.broken)


def start_from(network: Classifier, weights: Network) -> list[str]:
    """Copy every tensor that has the same name and shape; the names of those that have not, which stay as they are.

    Raises ValueError where nothing but such remain: those are another network's weights.
    """
    ours, theirs = network.state_dict(), weights.classifier.state_dict()
    fitting = [name for name, value in ours.items() if name in theirs and theirs[name].shape == value.shape]
    left = [name for name in ours if name not in fitting]
    if not any(name.startswith("trunk.") and name.endswith("weight") for name in fitting):
        held = f"{weights.entry.name} holds {weights.entry.network}"
        raise ValueError(f"{held}, which has no layer in common with the network asked for; start from other weights")
    for name in fitting:
        ours[name].copy_(theirs[name])
    return left


def class_weights(labels: Sequence[int], classes: int) -> tuple[float, ...]:
    """The rarer a class, the more each of its images counts: all classes count alike, and an image counts one on average."""
    counts = torch.tensor(labels).bincount(minlength=classes).double()
    return tuple((len(labels) / (classes * counts)).tolist())


def _without(listing: Listing, broken: Sequence[Broken]) -> Listing:
    names = {item.name for item in broken}
    return listing.take([index for index, item in enumerate(listing.items) if item.name not in names])
