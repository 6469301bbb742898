"""What a training run leaves in its folder for people and for `load`.

weights.safetensors and entry.json (which `load` reads), last.safetensors, recipe.json, args.json, metrics.csv, curves.png,
confusion.png, val_examples.jpg, tensorboard/, and state.safetensors (to resume).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from fourfold import draw, plots
from fourfold.catalog import ENTRY, WEIGHTS, Network
from fourfold.data.listing import Broken, Listing, read_in_order
from fourfold.evaluate import metrics
from fourfold.evaluate.crops import single_view
from fourfold.evaluate.runner import predictions
from fourfold.files import write_text, write_whole
from fourfold.images import centre_view
from fourfold.train import journal
from fourfold.train.recipe import Recipe

ARGS, RECIPE, CURVES, CONFUSION, EXAMPLES = "args.json", "recipe.json", "curves.png", "confusion.png", "val_examples.jpg"


@dataclass(frozen=True, eq=False)
class Tested:
    """Answers on validation images under the single view: the class guessed for each, its probability, and the sums.

    top1, top5: per cent. truth, guesses: int64 (N,); probabilities: float32 (N,).
    """

    top1: float
    top5: float
    truth: Tensor
    guesses: Tensor
    probabilities: Tensor

    @property
    def images(self) -> int:
        """How many there were."""
        return len(self.truth)

    def confusion(self, classes: int) -> Tensor:
        """Counts int64 (K,K): rows are true classes, columns guesses."""
        return metrics.confusion(self.truth, self.guesses, classes)


def answers(network: Network, val: Listing, watch: Callable[[int, int], None]) -> Tested:
    """Ask the network about every validation image. Raises ValueError where one cannot be read any more."""
    hits, parts = [0, 0], []
    broken: list[Broken] = []
    protocol = single_view(network.classifier.input_size)
    for _, labels, posteriors in predictions(network, protocol, val, val.labels, broken):
        hits = [have + metrics.top_k_hits(posteriors, labels, k) for have, k in zip(hits, (1, 5), strict=True)]
        probabilities, guesses = posteriors.max(1)
        parts.append((labels, guesses, probabilities))
        watch(sum(len(part[0]) for part in parts), len(val))
    if broken:
        raise ValueError(f"{broken[0].error}; it could be read when training began: restore it, then --resume")
    truth, guesses, probabilities = (torch.cat(column) for column in zip(*parts, strict=True))
    return Tested(100 * hits[0] / len(truth), 100 * hits[1] / len(truth), truth, guesses, probabilities)


def write_pictures(folder: Path, network: Network, val: Listing, tested: Tested) -> None:
    """curves.png, confusion.png and val_examples.jpg."""
    right, wrong = draw.chosen(tested.truth, tested.guesses, tested.probabilities)
    shown = sorted({*right, *wrong})
    read = zip(shown, read_in_order([val.items[index] for index in shown]), strict=True)
    images = {
        index: centre_view(image, network.classifier.input_size) for index, image in read if not isinstance(image, Broken)
    }
    sheet = draw.val_examples(images, tested.truth, tested.guesses, tested.probabilities, network.labels)
    confusion = tested.confusion(len(network.labels))
    write_whole(folder / CURVES, lambda path: plots.training_curves(journal.read(folder), path))
    write_whole(folder / CONFUSION, lambda path: plots.confusion(confusion, network.labels, path))
    write_whole(folder / EXAMPLES, lambda path: sheet.save(path, format="JPEG", quality=90))


def pictures(folder: Path) -> dict[str, Path]:
    """The pictures that are there, by name."""
    paths = {"curves": folder / CURVES, "confusion": folder / CONFUSION, "val_examples": folder / EXAMPLES}
    return {name: path for name, path in paths.items() if path.is_file()}


def write_entry(
    folder: Path, network: Network, recipe: Recipe, tested: Tested, *, seed: int, origin: str, start: str, is_best: bool
) -> None:
    """entry.json, which makes the folder one that `load` opens: written last.

    Where the weights are the best on the images that also measure them, the entry says of how many validations.
    """
    validations = sum(line.val_error is not None for line in journal.read(folder))
    chosen = f"; the best of {validations} validations on these images" if is_best and validations > 1 else ""
    write_record(
        folder,
        network,
        recipe=f"{recipe.source}: {recipe.steps:,} mini-batches of {recipe.batch_size}, seed {seed}{start}",
        protocol=str(single_view(network.classifier.input_size)),
        accuracy={
            "top1": round(tested.top1, 3),
            "top5": round(tested.top5, 3),
            "images": tested.images,
            "on": origin + chosen,
        },
        deviations=recipe.deviations,
    )


def write_record(
    folder: Path,
    network: Network,
    *,
    recipe: str,
    protocol: str,
    accuracy: Mapping[str, object],
    deviations: Sequence[str],
) -> None:
    """entry.json for a network whose weights are in the folder; deviations: those of what made them, not the network's."""
    record = {
        "name": folder.resolve().name,
        "network": network.entry.network,
        "options": dict(network.entry.options),
        "classes": list(network.labels),
        "pixels": network.pixels.record(),
        "licence": "yours",
        "recipe": recipe,
        "protocol": protocol,
        "accuracy": accuracy,
        "deviations": [*network.classifier.deviations, *deviations],
        "megabytes": round((folder / WEIGHTS).stat().st_size / 1e6, 2),
    }
    write_text(folder / ENTRY, json.dumps(record, indent=2) + "\n")


@contextmanager
def writing(folder: Path, advice: str) -> Iterator[None]:
    """Report a file that cannot be written as a ValueError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot write to {folder} ({getattr(error, 'strerror', None) or error}); {advice}") from error
