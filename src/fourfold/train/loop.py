"""The one training loop: mini-batch SGD with momentum under a recipe, resumable at every step."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.data.examples import Examples
from fourfold.data.loader import Loader, generator_for
from fourfold.files import write_text
from fourfold.images import Pixels
from fourfold.models.base import Classifier
from fourfold.train import checkpoint
from fourfold.train.interrupt import interruptions
from fourfold.train.recipe import Recipe

LOG = "log.jsonl"
AUXILIARY_WEIGHT = 0.3  # GoogLeNet 5
SAVE_EVERY = 120.0  # seconds between checkpoints


@dataclass(frozen=True)
class Moment:
    """One mini-batch of training, as `watch` sees it; errors are shares of 1."""

    step: int
    steps: int
    rate: float
    loss: float
    error: float


@dataclass(frozen=True)
class Epoch:
    """One line of log.jsonl. `train` is the running error under augmentation, `val` that on the validation images."""

    epoch: int
    step: int
    rate: float
    train_loss: float
    train_error: float
    val_error: float | None
    seconds: float


def fit(
    network: Classifier,
    pixels: Pixels,
    recipe: Recipe,
    train: Examples,
    val: Examples | None,
    folder: Path,
    *,
    seed: int,
    watch: Callable[[Moment], None] = lambda _moment: None,
    validate_every: int = 1,
) -> None:
    """Train `network` in place, keeping state.safetensors and log.jsonl in `folder`; goes on where that folder stopped.

    A checkpoint is written every two minutes, at the end, and when SIGINT or SIGTERM asks to stop; then the step at hand
    is finished and KeyboardInterrupt is raised. Raises ValueError when the folder holds another run, and when the loss
    stops being a number (the last checkpoint stays as it was).
    """
    if validate_every < 1:
        raise ValueError(f"validation every {validate_every} epochs cannot be; choose 1 or more")
    loader = Loader(train, recipe.batch_size, recipe.augment, seed)
    recipe.initialise(network, generator_for(seed))
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=0.0,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
    described = {key: value for key, value in recipe.description().items() if key != "images"}  # nothing here reads those
    identity = json.dumps([described, seed, len(train), train.classes, _digest(network)])
    point = _resume(folder, network, optimiser, identity)
    done, running = point.step, point.running

    def save() -> None:
        checkpoint.save(folder, network, optimiser, checkpoint.Point(done, identity, running))

    network.train()
    saved = time.monotonic()
    with interruptions() as is_interrupted:
        while done < recipe.steps:
            epoch, start = divmod(done, len(loader))
            began = time.monotonic()
            for images, labels in loader.epoch(epoch, start):
                moment = _step(network, pixels(images), labels, optimiser, recipe, done, seed)
                done, running = moment.step, running.plus(moment.loss, moment.error)
                watch(moment)
                if done in (recipe.steps, (epoch + 1) * len(loader)):  # before a checkpoint, which must not lose the line
                    is_validated = val is not None and ((epoch + 1) % validate_every == 0 or done == recipe.steps)
                    val_error = error_rate(network, pixels, val) if val is not None and is_validated else None
                    _log(folder, epoch, moment, running, val_error, time.monotonic() - began)
                    running = checkpoint.Running()
                if is_interrupted():
                    save()
                    raise KeyboardInterrupt
                if time.monotonic() - saved > SAVE_EVERY:
                    save()
                    saved = time.monotonic()
                if done == recipe.steps:
                    break
    save()


def error_rate(network: nn.Module, pixels: Pixels, examples: Examples, batch_size: int = 500) -> float:
    """Share of the examples whose highest score is not their label, on the images as they are."""
    was_training = network.training
    network.eval()
    wrong = 0
    with torch.inference_mode():
        for images, labels in zip(examples.images.split(batch_size), examples.labels.split(batch_size), strict=True):
            wrong += int((network(pixels(images)).argmax(1) != labels).sum())
    network.train(was_training)
    return wrong / len(examples)


def _step(
    network: Classifier,
    values: Tensor,
    labels: Tensor,
    optimiser: torch.optim.SGD,
    recipe: Recipe,
    done: int,
    seed: int,
) -> Moment:
    """One update. Dropout draws from torch's own generator, seeded anew each step so that a resumed run draws the same."""
    rate = recipe.rate(done, recipe.steps)
    for group in optimiser.param_groups:
        group["lr"] = rate
    torch.manual_seed(generator_for(seed, "dropout", done).initial_seed())
    main, *auxiliary = network.all_scores(values)
    loss = F.cross_entropy(main, labels)
    for scores in auxiliary:
        loss = loss + AUXILIARY_WEIGHT * F.cross_entropy(scores, labels)
    value = loss.item()
    if not math.isfinite(value):
        raise ValueError(f"the loss is {value} after {done} steps at a learning rate of {rate:g}; train with a lower rate")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    error = (main.detach().argmax(1) != labels).float().mean().item()
    return Moment(done + 1, recipe.steps, rate, value, error)


def _digest(network: nn.Module) -> str:
    """Of the layers and their settings: a stride or a pool may differ where every shape of the weights agrees."""
    return hashlib.sha256(str(network).encode("utf-8")).hexdigest()[:16]


def _resume(folder: Path, network: Classifier, optimiser: torch.optim.SGD, identity: str) -> checkpoint.Point:
    """Take up the run in the folder, if there is one: where it stands. Lines of the log that come after that are dropped."""
    point = checkpoint.load(folder, network, optimiser)
    if point is None:
        write_text(folder / LOG, "")
        return checkpoint.Point(0, identity)
    if point.identity != identity:
        raise ValueError(f"{folder} holds a run with another network, recipe, seed or data; choose another run folder")
    lines = (folder / LOG).read_text(encoding="utf-8").splitlines(keepends=True) if (folder / LOG).exists() else []
    whole = [line for line in lines if line.endswith("\n")]  # the last one may have been cut off by a full disk or a kill
    write_text(folder / LOG, "".join(line for line in whole if json.loads(line)["step"] <= point.step))
    return point


def _log(
    folder: Path, epoch: int, last: Moment, running: checkpoint.Running, val_error: float | None, seconds: float
) -> None:
    """Add the epoch to log.jsonl; after a resume `seconds` covers the steps since, and all else the whole epoch."""
    line = Epoch(
        epoch=epoch + 1,
        step=last.step,
        rate=last.rate,
        train_loss=round(running.loss / running.count, 5),
        train_error=round(running.error / running.count, 5),
        val_error=val_error,
        seconds=round(seconds, 1),
    )
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(line)) + "\n")
