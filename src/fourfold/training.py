"""From a folder of images to a run folder that `load` opens: choose the data, fit a network, write what was learned.

A run folder holds weights.safetensors and entry.json (which `load` reads), recipe.json and log.jsonl (for people),
curves.png, and state.safetensors (to resume).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from fourfold import plots
from fourfold.catalog import ENTRY, MEAN_IMAGE, WEIGHTS
from fourfold.data.examples import Examples
from fourfold.data.folder import Broken, list_folder, load_examples
from fourfold.data.loader import generator_for
from fourfold.evaluate.metrics import top_k_hits
from fourfold.evaluate.protocol import single_view
from fourfold.files import write_text, write_whole
from fourfold.images import Pixels
from fourfold.models.base import Classifier
from fourfold.networks import build
from fourfold.train.checkpoint import STATE
from fourfold.train.loop import LOG, Moment, fit
from fourfold.train.recipe import Recipe
from fourfold.weights import save_weights

HELD_OUT = 0.1  # share of each class that is kept for validation when the data has no val/ or test/
RECIPE, CURVES = "recipe.json", "curves.png"


@dataclass(frozen=True, eq=False)
class Data:
    """Images to learn from and to check against, how the second were chosen, and the files that could not be read."""

    train: Examples
    val: Examples
    origin: str
    broken: tuple[Broken, ...]


@dataclass(frozen=True)
class Trained:
    """Where a run is and how it did: accuracies in per cent on `images` validation images that came from `origin`.

    Files that could not be read are in `broken`; nothing was learned from them.
    """

    folder: Path
    top1: float
    top5: float
    images: int
    origin: str
    broken: tuple[Broken, ...]


def load_data(folder: Path, size: int, *, seed: int, watch: Callable[[int, int], None] = lambda _done, _all: None) -> Data:
    """Read train/ and val/ (or test/) below a folder, or its class folders with a tenth of each held out.

    Raises ValueError where there is one class only, or where the two parts do not have the same classes.
    """
    if not (folder / "train").is_dir():
        examples, broken = load_examples(list_folder(folder), size, watch)
        train, val = _hold_out(examples, folder, seed)
        return Data(train, val, f"{HELD_OUT:.0%} of each class, held out", tuple(broken))
    below = next((folder / name for name in ("val", "test") if (folder / name).is_dir()), None)
    train, broken = load_examples(list_folder(folder / "train"), size, watch)
    if below is None:
        train, val = _hold_out(train, folder / "train", seed)
        return Data(train, val, f"{HELD_OUT:.0%} of each class of train/, held out", tuple(broken))
    _check_classes(train.classes)
    val, broken_too = load_examples(list_folder(below), size, watch)
    if val.classes != train.classes:
        differ = sorted(set(val.classes) ^ set(train.classes))
        raise ValueError(f"train/ and {below.name}/ differ in the classes {', '.join(differ)}; give both the same folders")
    return Data(train, val, f"{below.name}/", (*broken, *broken_too))


def train_run(
    name: str,
    options: dict[str, object],
    recipe: Recipe,
    data: Data,
    folder: Path,
    *,
    seed: int,
    resume: bool = False,
    watch: Callable[[Moment], None] = lambda _moment: None,
    validate_every: int = 1,
) -> Trained:
    """Train the network called `name` into a run folder. Raises ValueError where the folder is in use; see `fit`."""
    if ((folder / STATE).exists() or (folder / ENTRY).exists()) and not resume:
        raise ValueError(f"{folder} holds a run already; add --resume to go on with it, or choose another folder")
    if resume and not (folder / STATE).exists():
        raise ValueError(f"{folder} holds no run to resume; leave out --resume to start one")
    if "classes" in options:
        raise ValueError("the number of classes comes from the data; leave out the option classes")
    network = build(name, **{**options, "classes": len(data.train.classes)})
    pixels = recipe.pixels(data.train.images)
    with _writing(folder, "choose another folder with --run"):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.part"):  # by a process that was killed while it wrote
            left.unlink()
        if not resume or not (folder / RECIPE).exists():  # the recipe of a run stays, should `fit` refuse to resume it
            write_text(folder / RECIPE, json.dumps(recipe.description(), indent=2) + "\n")
    with _writing(folder, "make room, then go on with --resume"):
        fit(network, pixels, recipe, data.train, data.val, folder, seed=seed, watch=watch, validate_every=validate_every)
        top1, top5 = accuracies(network, pixels, data.val)
        done = Trained(folder, top1, top5, len(data.val), data.origin, data.broken)
        _write(done, name, options, recipe, network, pixels, data, seed)
    return done


def accuracies(network: nn.Module, pixels: Pixels, examples: Examples, batch_size: int = 256) -> tuple[float, float]:
    """Top-1 and top-5 accuracy in per cent on images that have the network's own size."""
    network.eval()
    hits = [0, 0]
    with torch.inference_mode():
        for images, labels in zip(examples.images.split(batch_size), examples.labels.split(batch_size), strict=True):
            scores = network(pixels(images))
            hits = [have + top_k_hits(scores, labels, k) for have, k in zip(hits, (1, 5), strict=True)]
    return 100 * hits[0] / len(examples), 100 * hits[1] / len(examples)


@contextmanager
def _writing(folder: Path, advice: str) -> Iterator[None]:
    """Report a file that cannot be written as a ValueError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot write to {folder} ({getattr(error, 'strerror', None) or error}); {advice}") from error


def _write(
    done: Trained,
    name: str,
    options: dict[str, object],
    recipe: Recipe,
    network: Classifier,
    pixels: Pixels,
    data: Data,
    seed: int,
) -> None:
    """The files that `load` reads, and the curve; entry.json last, so that a folder with one is whole."""
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    if pixels.mean_image is not None:
        state[MEAN_IMAGE] = pixels.mean_image
    save_weights(done.folder / WEIGHTS, state)
    lines = [json.loads(line) for line in (done.folder / LOG).read_text(encoding="utf-8").splitlines()]
    write_whole(done.folder / CURVES, lambda path: plots.training_curves(lines, path))
    record = {
        "name": done.folder.resolve().name,
        "network": name,
        "options": {**options, "classes": len(data.train.classes)},
        "classes": list(data.train.classes),
        "pixels": {"mean": list(pixels.mean), "std": list(pixels.std), "order": pixels.order},
        "licence": "yours",
        "recipe": f"{recipe.source}: {recipe.steps:,} mini-batches of {recipe.batch_size}, seed {seed}",
        "protocol": str(single_view(network.input_size)),
        "accuracy": {
            "top1": round(done.top1, 3),
            "top5": round(done.top5, 3),
            "images": done.images,
            "on": done.origin,
        },
        "deviations": [*network.deviations, *recipe.deviations],
        "megabytes": round((done.folder / WEIGHTS).stat().st_size / 1e6, 2),
    }
    write_text(done.folder / ENTRY, json.dumps(record, indent=2) + "\n")


def _hold_out(examples: Examples, folder: Path, seed: int) -> tuple[Examples, Examples]:
    _check_classes(examples.classes)
    train, val = examples.hold_out(HELD_OUT, generator_for(seed, "hold out"))
    if not len(val):
        raise ValueError(f"{folder} has one image of each class; training needs at least two")
    return train, val


def _check_classes(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise ValueError(f"there is one class only, {classes[0]!r}; give a folder for each of two classes or more")
