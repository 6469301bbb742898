"""A localizer in a folder: localizer.json beside classifier/, as `catalog.load` opens it, and boxes.safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fourfold import catalog
from fourfold.catalog import ENTRY, Network
from fourfold.files import holds, write_text
from fourfold.localize.regressor import BoxNetwork, with_boxes
from fourfold.weights import load_into, read_weights

LOCALIZER, CLASSIFIER, BOXES = "localizer.json", "classifier", "boxes.safetensors"


@dataclass(frozen=True)
class LocalizerEntry:
    """What localizer.json says: what the tensors of a localizer are, and what is known of it.

    per_class: a box for each class (PCR), or one for all (SCR). scale: the shorter side, in pixels, of the images that it
    learned from. start: the name of the weights that it began with. found: its errors on validation images, in per cent,
    by protocol. deviations: from the paper.
    """

    method: str
    per_class: bool
    scale: int
    start: str
    found: Mapping[str, Any]
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Opened:
    """A localizer's two networks: the classifier, and the one that gives boxes; name: the folder's."""

    name: str
    classifier: Network
    boxes: BoxNetwork


def is_localizer(source: str | Path) -> bool:
    """Whether a folder holds a localizer."""
    return holds(source, LOCALIZER)


def write_localizer_entry(folder: Path, entry: LocalizerEntry) -> None:
    """Write localizer.json, which makes the folder a localizer; so it is written last."""
    write_text(folder / LOCALIZER, json.dumps(asdict(entry), indent=2) + "\n")


def read_localizer_entry(folder: Path) -> LocalizerEntry:
    """Raises ValueError where the folder holds no localizer, or its file is damaged."""
    path = folder / LOCALIZER
    if not path.is_file():
        hint = " It holds a classifier: `fourfold localize` takes that by its class maps." if holds(folder, ENTRY) else ""
        raise ValueError(f"{folder} holds no localizer, for it has no {LOCALIZER}; train one with train-localizer.{hint}")
    try:
        entry = LocalizerEntry(**json.loads(path.read_text(encoding="utf-8")))
        if not (isinstance(entry.per_class, bool) and isinstance(entry.scale, int)):
            raise ValueError(f"boxes per class are {entry.per_class!r}, at scale {entry.scale!r}")
        return entry
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it or train again") from error


def open_localizer(source: str | Path) -> Opened:
    """The localizer in a folder. Raises ValueError where there is none, or one of its files is damaged."""
    folder = Path(source)
    entry = read_localizer_entry(folder)
    classifier = catalog.load(folder / CLASSIFIER)
    size = classifier.classifier.input_size
    if entry.scale < size:
        raise ValueError(f"{folder / LOCALIZER} is damaged (scale {entry.scale} for windows of {size}); restore it")
    made = with_boxes(classifier.classifier, len(classifier.labels) if entry.per_class else 1, classifier.entry.network)
    load_into(made, read_weights(folder / BOXES), name=str(folder / BOXES))
    boxes = BoxNetwork(made, classifier.pixels, classifier.labels, entry.per_class, entry.scale, classifier.entry)
    return Opened(folder.resolve().name, classifier, boxes)
