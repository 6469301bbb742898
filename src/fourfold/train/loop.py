"""The one training loop: mini-batch SGD with momentum under a recipe, resumable at every step."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from fourfold.catalog import WEIGHTS
from fourfold.data.dice import generator_for
from fourfold.data.loader import Loader, Rows, Source
from fourfold.images import Pixels
from fourfold.models.base import Classifier
from fourfold.parallel import ALONE, Group
from fourfold.train import checkpoint, journal
from fourfold.train.average import Average
from fourfold.train.checkpoint import Point, Running
from fourfold.train.interrupt import interruptions
from fourfold.train.journal import Epoch
from fourfold.train.recipe import Course, Recipe
from fourfold.train.schedule import Progress
from fourfold.train.step import Trainer, batches, optimiser_for
from fourfold.train.task import Classify, Feed, Task
from fourfold.weights import save_weights

BEST, LAST = WEIGHTS, "last.safetensors"
SAVE_EVERY = 120.0  # seconds between checkpoints


@dataclass(frozen=True)
class Moment:
    """One mini-batch of training, as `watch` sees it; errors are shares of 1, `best` the lowest on validation so far."""

    step: int
    steps: int
    rate: float
    loss: float
    error: float
    best: float | None = None


@dataclass(frozen=True)
class Settings:
    """How a run is made, beside its recipe.

    keeps_best: whether weights.safetensors are those of the best validation (else the last: one must not choose by a test).
    at_once: images that go through the network together; gradients are summed up to the recipe's batch.
    class_weights: one for each class, or empty.
    """

    seed: int
    validate_every: int = 1
    keeps_best: bool = True
    at_once: int | None = None
    class_weights: tuple[float, ...] = ()
    save_every: float = SAVE_EVERY

    def identity(self) -> list[object]:
        """What must be the same to go on, beside the seed. The number of processes need not: it changes rounding alone."""
        return [self.validate_every, self.keeps_best, self.at_once, self.class_weights]

    def __post_init__(self) -> None:
        if self.validate_every < 1:
            raise ValueError(f"validation every {self.validate_every} epochs cannot be; choose 1 or more")
        if self.at_once is not None and self.at_once < 1:
            raise ValueError(f"{self.at_once} images at once cannot be; choose 1 or more")


@dataclass(frozen=True)
class Watchers:
    """Called by rank 0: `step` after each mini-batch, `epoch` after each pass."""

    step: Callable[[Moment], None] = lambda _moment: None
    epoch: Callable[[Epoch], None] = lambda _epoch: None


@dataclass
class _Run:
    """A run while it is going: where it stands changes, all else stays."""

    network: nn.Module
    trainer: Trainer
    feed: Feed
    folder: Path
    settings: Settings
    point: Point
    average: Average | None
    watchers: Watchers
    saved: float = field(default_factory=time.monotonic)


def fit(
    network: Classifier,
    pixels: Pixels,
    recipe: Recipe,
    train: Source,
    val: Source | None,
    folder: Path,
    *,
    settings: Settings,
    watchers: Watchers = Watchers(),
    group: Group = ALONE,
    initialise: bool = True,
) -> Point:
    """Train `network` on whole images, as `learn` does; `initialise` draws new weights, else those it has are fine-tuned."""
    rows = Rows(group.rank, group.world, settings.at_once)
    feed = Loader(train, recipe.batch_size, recipe.augment, settings.seed, network.input_size, recipe.sizes, rows)
    if initialise:
        recipe.initialise(network, generator_for(settings.seed))
    task = Classify(pixels, recipe, train, val, network.input_size, settings.class_weights)
    return learn(network, task, recipe, feed, folder, settings=settings, watchers=watchers, group=group)


def learn(
    network: nn.Module,
    task: Task,
    course: Course,
    feed: Feed,
    folder: Path,
    *,
    settings: Settings,
    watchers: Watchers = Watchers(),
    group: Group = ALONE,
) -> Point:
    """Train `network` in place under `folder`; goes on where that folder stopped, bit for bit. Where it stands at the end.

    The folder keeps state.safetensors (written every two minutes, at the end, and on SIGINT or SIGTERM, after which
    KeyboardInterrupt is raised), metrics.csv, and the best and the last weights; the network ends with the last.
    Raises ValueError when the folder holds another run, and when the loss stops being a number (the last state stays as it
    was).
    """
    network.to(group.device).to(memory_format=torch.channels_last)
    optimiser = optimiser_for(network, course)
    average = Average(network, course.average) if course.average else None
    told = [settings.seed, *task.identity(), _digest(network), settings.identity()]
    point = _resume(folder, network, optimiser, average, json.dumps([course.description(), *told]), group)
    trainer = Trainer(group.wrap(task.module(network)), task, course, optimiser, settings.seed, group)
    run = _Run(network, trainer, feed, folder, settings, point, average, watchers)
    network.train()
    with interruptions() as is_interrupted:
        while not is_over(course, run.point):
            _epoch(run, is_interrupted)
        _save(run)
        if group.totals(float(is_interrupted()))[0]:  # during the last step
            raise KeyboardInterrupt
    if average is not None:
        network.load_state_dict(average.state)
    if group.is_first:
        _write_weights(run, LAST)
        if not settings.keeps_best or not run.point.val_errors:
            _write_weights(run, BEST)
    return run.point


def is_over(course: Course, point: Point) -> bool:
    """Whether all steps are done, or validation has not improved for as long as the recipe has patience."""
    errors = point.val_errors
    since_best = len(errors) - 1 - errors.index(min(errors)) if errors else 0
    return point.step >= course.steps or (course.patience is not None and since_best >= course.patience)


def _epoch(run: _Run, is_interrupted: Callable[[], bool]) -> None:
    """Go through the rest of one pass over the images."""
    steps, began = run.trainer.course.steps, time.monotonic()
    epoch, start = divmod(run.point.step, len(run.feed))
    share = epoch * len(run.feed) / steps
    for parts in batches(run.feed.epoch(epoch, start, share)):
        stops = _step(run, parts, is_interrupted())
        is_end = run.point.step in (steps, (epoch + 1) * len(run.feed))
        if is_end:
            _end_epoch(run, epoch, time.monotonic() - began)
        if stops:
            _save(run)
            raise KeyboardInterrupt
        if time.monotonic() - run.saved > run.settings.save_every:
            _save(run)
        if is_end:
            return


def _step(run: _Run, parts: list, wants_stop: bool) -> bool:
    course, point = run.trainer.course, run.point
    rate = course.rate(Progress(point.step, course.steps, point.train_errors, point.val_errors))
    loss, error, stops = run.trainer.step(parts, point.step, rate, wants_stop)
    run.point = replace(point, step=point.step + 1, running=point.running.plus(loss, error), rate=rate)
    if run.average is not None:
        run.average.add(run.network, run.point.step)
    if run.trainer.group.is_first:
        best = min(point.val_errors, default=None)
        run.watchers.step(Moment(run.point.step, course.steps, rate, loss, error, best))
    return stops


def _end_epoch(run: _Run, epoch: int, seconds: float) -> None:
    """Validate where it is time to, note the epoch, and keep the weights if they are the best so far.

    After a resume `seconds` covers the steps since, and all else the whole epoch.
    """
    point, group = run.point, run.trainer.group
    running = point.running
    train_loss, train_error = running.loss / running.count, running.error / running.count
    is_due = (epoch + 1) % run.settings.validate_every == 0 or point.step == run.trainer.course.steps
    val_loss, val_error = (run.trainer.task.check(_tested(run), group) if is_due else None) or (None, None)
    if group.is_first and run.settings.keeps_best and _is_best(val_error, point.val_errors):
        _write_weights(run, BEST)
    line = Epoch(epoch + 1, point.step, point.rate, train_loss, train_error, val_loss, val_error, round(seconds, 1))
    if group.is_first:
        journal.append(run.folder, line)
        run.watchers.epoch(line)
    run.point = replace(
        point,
        running=Running(),
        train_errors=(*point.train_errors, train_error),
        val_errors=point.val_errors if val_error is None else (*point.val_errors, val_error),
    )


def _is_best(error: float | None, before: tuple[float, ...]) -> bool:
    return error is not None and error < min(before, default=2.0)


def _tested(run: _Run) -> nn.Module:
    """The network with the weights that are tested and kept: their mean where there is one."""
    tested = run.network
    if run.average is not None:
        tested = copy.deepcopy(run.network)
        tested.load_state_dict(run.average.state)
    run.trainer.group.align(tested)
    return tested


def _state(run: _Run) -> dict[str, Tensor]:
    state = run.network.state_dict() if run.average is None else run.average.state
    state = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    return {**state, **run.trainer.task.tensors()}


def _write_weights(run: _Run, name: str) -> None:
    save_weights(run.folder / name, _state(run))


def _save(run: _Run) -> None:
    if run.trainer.group.is_first:
        mean = {} if run.average is None else run.average.state
        checkpoint.save(run.folder, run.point, checkpoint.collect(run.network, run.trainer.optimiser, mean))
    run.saved = time.monotonic()


def _digest(network: nn.Module) -> str:
    """Of the layers and their settings: a stride or a pool may differ where every shape of the weights agrees."""
    return hashlib.sha256(str(network).encode("utf-8")).hexdigest()[:16]


def _resume(
    folder: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Average | None,
    identity: str,
    group: Group,
) -> Point:
    """Take up the run in the folder, if there is one: where it stands. Lines of the journal after that are dropped."""
    state = group.by_first(lambda: checkpoint.load(folder))
    if state is None:
        if group.is_first:
            (folder / journal.JOURNAL).unlink(missing_ok=True)
        return Point(0, identity)
    if state.point.identity != identity:
        raise ValueError(f"{folder} holds a run with another network, recipe, seed or data; choose another run folder")
    checkpoint.restore(state, network, optimiser, folder)
    if average is not None:
        average.load(state.part("average"))
    if group.is_first:
        journal.cut(folder, state.point.step)
    return state.point
