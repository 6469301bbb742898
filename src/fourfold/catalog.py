"""Weights by name, and `load`, which gives a network with its weights, pixels and labels.

Not here: networks by name (networks.py), and reading weights files (weights.py).
"""

from __future__ import annotations

import json
import math
import os
import tomllib
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

import torch
from torch import Tensor

from fourfold.files import holds, write_whole
from fourfold.images import MEAN_IMAGE, Pixels, pixels_from
from fourfold.models.base import Classifier
from fourfold.networks import ALIASES, NETWORKS, build, closest
from fourfold.weights import load_into, read_weights, sha256

PIXELS: Mapping[str, Pixels] = {
    "imagenet": Pixels(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    "cifar10": Pixels(mean=(125.307, 122.95, 113.865), std=(62.993, 62.089, 66.705)),
    "half": Pixels(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
}
CHUNK = 2**20  # bytes of a download between two looks at its progress
HERE = Path(__file__).parent
BUNDLED = HERE / "bundled"
DEFAULT = "resnet20-cifar10"
ENTRY, WEIGHTS = "entry.json", "weights.safetensors"


@dataclass(frozen=True)
class ModelEntry:
    """What is known of a set of weights; the same record is in weights.toml and in a run's entry.json."""

    name: str
    network: str
    options: Mapping[str, object] = field(default_factory=dict)
    licence: str = "not stated"
    recipe: str = "not stated"
    protocol: str = "not stated"
    accuracy: Mapping[str, object] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    megabytes: float = 0.0
    url: str = ""


@dataclass(frozen=True, eq=False)
class Network:
    """A classifier with the pixels, labels and history that belong to its weights; `load` makes it."""

    classifier: Classifier
    pixels: Pixels
    labels: tuple[str, ...]
    entry: ModelEntry

    def features(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The outputs of named layers for images of one size: see `Classifier.features`.

        images: RGB values of 0 to 255, (N,3,H,W), or (3,H,W) for one; uint8, or float for a gradient with respect to them.
        """
        return self.classifier.features(self.pixels(images if images.ndim == 4 else images[None]), layers)


def load(source: str | Path, watch: Callable[[int, int], None] = lambda _done, _all: None) -> Network:
    """Weights by name, from a run folder, or from a Hugging Face repository "owner/name", ready to classify.

    Names are those that `fourfold models` lists; `watch` sees the bytes of a download. Raises ValueError when
    nothing of that name exists, when a download fails its check, or when a folder is not a run.
    """
    name, folder = str(source), Path(source)
    if not name:
        raise ValueError("the model's name is empty; `fourfold models` lists names")
    try:
        is_bundled, is_run, exists = (BUNDLED / name / ENTRY).is_file(), (folder / ENTRY).is_file(), folder.exists()
    except OSError as error:
        raise ValueError(f"{name} cannot be opened ({error.strerror}); give a name that `fourfold models` lists") from error
    if is_bundled:
        return _load_run(BUNDLED / name)
    if name in (published := _published()):
        return _load_published(name, published[name], watch)
    if is_run:
        return _load_run(folder)
    if exists:
        raise ValueError(f"{folder} is not a run folder: it has no {ENTRY}; give a folder that `fourfold train` made")
    if name in NETWORKS or name in ALIASES:
        raise ValueError(f"{name} is a network without weights; load {DEFAULT} or another of `fourfold models`, or train it")
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _load_run(_from_hub(name))
    raise ValueError(f"no model {name!r}{closest(name, weight_names())}; `fourfold models` lists all")


def load_file(
    weights: Path, network: str, labels: tuple[str, ...], pixels: Pixels, options: Mapping[str, object] | None = None
) -> Network:
    """Somebody else's weights file in one of our networks. Raises ValueError where they do not fit each other."""
    options = {"classes": len(labels), **(options or {})}
    classifier = build(network, **options)
    load_into(classifier, read_weights(weights), name=str(weights))
    entry = ModelEntry(name=weights.name, network=network, options=options, deviations=classifier.deviations)
    return Network(_ready(classifier), pixels, labels, entry)


def weight_names() -> list[str]:
    """Every name that `load` knows without a path: bundled weights first, then those it downloads."""
    return [*_bundled(), *_published()]


def entries() -> list[ModelEntry]:
    """The records of all weights that have a name, bundled and published; nothing is downloaded."""
    published = (_published_entry(name, table) for name, table in _published().items())
    return [*map(_bundled_entry, _bundled()), *published]


def entry_of(name: str) -> ModelEntry | None:
    """The record of the weights that have this name, without making those of others; None where there are none."""
    if name in _bundled():
        return _bundled_entry(name)
    table = _published().get(name)
    return None if table is None else _published_entry(name, table)


def is_model(name: str) -> bool:
    """Whether `load` would take this for weights that have a name, or for a run folder."""
    return name in weight_names() or holds(name, ENTRY)


def is_here(name: str) -> bool:
    """Whether these weights can be had without a download."""
    table = _published().get(name)
    return name in _bundled() or (table is not None and _cached(table["url"]).is_file())


def cache_folder() -> Path:
    """Where downloads are kept: $FOURFOLD_CACHE, or fourfold/ in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fourfold"
    return Path(os.environ.get("FOURFOLD_CACHE", default))


def parse_pixels(text: str) -> Pixels:
    """A name in PIXELS, or "mean=R,G,B,std=R,G,B" on the 0..255 scale. Raises ValueError for anything else."""
    if text in PIXELS:
        return PIXELS[text]
    problem = f'pixels {text!r} not understood; give {", ".join(PIXELS)}, or "mean=123.7,116.3,103.5,std=58.4,57.1,57.4"'
    values: dict[str, list[float]] = {}
    key = ""
    for part in text.split(","):
        if "=" in part:
            key, _, part = part.partition("=")  # noqa: PLW2901
        try:
            values.setdefault(key.strip(), []).append(float(part))
        except ValueError:
            raise ValueError(problem) from None
    std = values.pop("std", [1.0] * 3)
    mean = values.pop("mean", [])
    if values or len(mean) != 3 or len(std) != 3 or min(std) <= 0 or not all(map(math.isfinite, mean + std)):
        raise ValueError(problem)
    return Pixels(mean=tuple(mean), std=tuple(std))


def _load_run(folder: Path) -> Network:
    """A folder with weights.safetensors and entry.json."""
    try:
        record = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        entry, labels = _entry(record), tuple(record["classes"])
        pixels = pixels_from(record["pixels"])
        classifier = build(entry.network, **entry.options)
        if entry.options.get("classes", len(labels)) != len(labels):
            raise ValueError(f"{len(labels)} names for {entry.options['classes']} classes")
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{folder / ENTRY} is damaged ({error}); restore it or train again") from error
    state = read_weights(folder / WEIGHTS)
    mean_image = state.pop(MEAN_IMAGE, None)
    if mean_image is not None:
        pixels = Pixels(std=pixels.std, order=pixels.order, mean_image=mean_image)
    load_into(classifier, state, name=str(folder / WEIGHTS))
    return Network(_ready(classifier), pixels, labels, entry)


def _load_published(name: str, table: Mapping, watch: Callable[[int, int], None]) -> Network:
    classifier = build(table["network"], **table["options"])
    load_into(classifier, read_weights(_download(table["url"], table["sha256"], watch)), name=name)
    labels = tuple((HERE / "labels" / f"{table['labels']}.txt").read_text(encoding="utf-8").splitlines())
    return Network(_ready(classifier), PIXELS[table["pixels"]], labels, _published_entry(name, table))


def _bundled() -> list[str]:
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{ENTRY}"))


def _bundled_entry(name: str) -> ModelEntry:
    return _entry(json.loads((BUNDLED / name / ENTRY).read_text(encoding="utf-8")))


def _published() -> dict[str, dict]:
    return tomllib.loads((HERE / "weights.toml").read_text(encoding="utf-8"))


def _published_entry(name: str, table: Mapping) -> ModelEntry:
    with torch.device("meta"):
        deviations = build(table["network"], **table["options"]).deviations
    return ModelEntry(
        name=name,
        network=table["network"],
        options=table["options"],
        licence=table["licence"],
        recipe=table["recipe"],
        protocol=table["protocol"],
        accuracy={**table["published"], "by": "the publisher, not measured here"},
        deviations=deviations,
        megabytes=table["megabytes"],
        url=table["url"],
    )


def _entry(record: Mapping) -> ModelEntry:
    keys = ("name", "network", "options", "licence", "recipe", "protocol", "accuracy", "megabytes")
    known = {key: record[key] for key in keys if key in record}
    return ModelEntry(**known, deviations=tuple(record.get("deviations", ())))


def _cached(url: str) -> Path:
    return cache_folder() / url.rsplit("/", 1)[1]


def _download(url: str, digest: str, watch: Callable[[int, int], None]) -> Path:
    """The file at `url` from the cache, downloaded first if need be; its SHA-256 must begin with `digest`."""
    path = _cached(url)
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"cannot write to {path.parent} ({error.strerror})"
        raise ValueError(f"{reason}; set FOURFOLD_CACHE to a folder that can be written") from error

    def fetch(temporary: Path) -> None:
        try:
            with urllib.request.urlopen(url, timeout=30) as response, temporary.open("wb") as file:
                total, done = int(response.headers.get("Content-Length") or 0), 0
                while part := response.read(CHUNK):
                    done += file.write(part)
                    watch(done, max(total, done))
        except (URLError, OSError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # it is the server's answer, and holds the connection
            reason = " ".join(str(error).split())  # a server that speaks no HTTP is quoted with its line ends
            raise ValueError(f"cannot download {url} ({reason}); check the network, or put the file at {path}") from error
        if not sha256(temporary).startswith(digest):
            raise ValueError(f"{url} arrived damaged: its SHA-256 does not begin with {digest}; try again")

    write_whole(path, fetch)
    return path


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise ValueError(f"{name} looks like a Hugging Face model; for those, pip install 'fourfold[hub]'") from None
    try:
        return Path(snapshot_download(name, allow_patterns=[ENTRY, WEIGHTS]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ValueError(f"no folder, model or Hugging Face repository {name!r} could be opened") from error


def _ready(classifier: Classifier) -> Classifier:
    return classifier.eval().requires_grad_(False).to(memory_format=torch.channels_last)
