"""What users do, as functions: load, classify, explain, evaluate, train. The command line only parses and prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fourfold import catalog, draw, heat
from fourfold.catalog import DEFAULT, Network
from fourfold.data import check
from fourfold.data.folder import list_folder
from fourfold.evaluate import runner
from fourfold.evaluate.protocol import Protocol, single_view
from fourfold.explain import Explanation
from fourfold.explain import explain as explain_network
from fourfold.heat import Heat
from fourfold.jobs import Arguments, run_training
from fourfold.networks import ALIASES, NETWORKS, build
from fourfold.parallel import joined
from fourfold.sources import Failure, Source, find, read, read_each
from fourfold.training import Trained, Watching

if TYPE_CHECKING:
    from PIL import Image as Pillow

BATCH = 32
MAX_SIZE = 100_000  # pixels of side that `explain` counts for


@dataclass(frozen=True)
class Guess:
    """One class and its probability in 0..1."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of one image: the likeliest classes first."""

    source: str
    top: tuple[Guess, ...]
    model: str
    protocol: str
    image: Tensor

    def plot(self) -> Pillow.Image:
        """The image with its classes and their probabilities drawn below it."""
        rows = [(guess.label, guess.probability) for guess in self.top]
        return draw.captioned(self.image, rows, f"{self.model}, {self.protocol}")


@dataclass(frozen=True)
class Listed:
    """A network that can be built by name."""

    name: str
    aliases: tuple[str, ...]
    input_size: int
    parameters: int


@dataclass(frozen=True, eq=False)
class Model:
    """A network with the verbs on it; `load` makes it."""

    network: Network

    @property
    def labels(self) -> tuple[str, ...]:
        return self.network.labels

    def classify(self, sources: Source | Iterable[Source], *, top: int = 5) -> list[Answer | Failure]:
        """See `classify`."""
        return classify(sources, self, top=top)

    def evaluate(self, data: str | Path) -> runner.Evaluation:
        """See `evaluate`."""
        return evaluate(self, data)

    def explain(self) -> Explanation:
        """See `explain`."""
        return explain(self)


def load(source: str | Path, watch: Callable[[int, int], None] = lambda _done, _all: None) -> Model:
    """A model by name, from a run folder, or from a Hugging Face repository; see `catalog.load`."""
    return Model(catalog.load(source, watch))


def load_file(weights: str | Path, network: str, classes: str | Path, pixels: str) -> Model:
    """Somebody else's weights as a model: the network's name, a file with one class name a line, and a name of PIXELS.

    Raises ValueError where a file is missing, or where they do not fit each other.
    """
    try:
        names = tuple(line.strip() for line in Path(classes).read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read class names from {classes} ({error}); give a text file, one name a line") from error
    if not names:
        raise ValueError(f"{classes} holds no class names; write one a line")
    return Model(catalog.load_file(Path(weights), network, names, catalog.parse_pixels(pixels)))


def classify(
    sources: Source | Iterable[Source],
    model: str | Path | Model = DEFAULT,
    *,
    top: int = 5,
    protocol: Protocol | None = None,
) -> list[Answer | Failure]:
    """Name what is in images: one Answer or Failure for each, in order.

    sources: files, folders (every image below them), glob patterns, "-" for an image on standard input, bytes, Pillow
    images, uint8 tensors (3,H,W) or arrays (H,W,3) in RGB. Raises ValueError for an unknown model or a `top` below 1.
    """
    many = [sources] if isinstance(sources, Source) else list(sources)
    return list(classify_each(find(many), model, top=top, protocol=protocol))


def classify_each(
    sources: Sequence[Source | Failure],
    model: str | Path | Model = DEFAULT,
    *,
    top: int = 5,
    protocol: Protocol | None = None,
) -> Iterator[Answer | Failure]:
    """`classify` one by one, in bounded memory, for inputs that `find` has found."""
    if top < 1:
        raise ValueError(f"top is {top}; ask for at least 1 class")
    network = _model(model).network
    protocol = protocol or single_view(network.classifier.input_size)
    for batch in _batched(read_each(sources, BATCH), BATCH):
        images = [image for _, image in batch if isinstance(image, Tensor)]
        posteriors = iter(protocol(network, images) if images else ())
        for source, image in batch:
            if isinstance(image, Failure):
                yield image
            else:
                yield Answer(source, _top(next(posteriors), network, top), network.entry.name, str(protocol), image)


def models() -> tuple[list[Listed], list[catalog.ModelEntry]]:
    """Every network that can be built, and every set of weights that has a name; nothing is downloaded."""
    listed = []
    with torch.device("meta"):
        for name in NETWORKS:
            network = build(name)
            aliases = tuple(alias for alias, target in ALIASES.items() if target == name)
            main = [*network.trunk.parameters(), *network.head.parameters()]
            listed.append(Listed(name, aliases, network.input_size, sum(p.numel() for p in main)))
    return listed, catalog.entries()


def explain(model: str | Path | Model, size: int | None = None, options: dict[str, object] | None = None) -> Explanation:
    """Layers, receptive field, parameters and multiply-adds of a network, or of the network behind some weights.

    Raises ValueError for an unknown name or option, and for a size that the network cannot take.
    """
    if size is not None and not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size is {size}; give the side of an image, 1 to {MAX_SIZE:,} pixels")
    if isinstance(model, str) and (model in NETWORKS or model in ALIASES):
        return explain_network(model, lambda: build(model, **(options or {})), size)
    entry = (catalog.entry_of(model) if isinstance(model, str) else None) or _model(model).network.entry
    return explain_network(entry.name, lambda: build(entry.network, **{**entry.options, **(options or {})}), size)


def evaluate(
    model: str | Path | Model,
    data: str | Path,
    *,
    protocol: Protocol | None = None,
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> runner.Evaluation:
    """Accuracy on a folder of class folders, or on the test/ or val/ folder below it. See `runner.evaluate`."""
    network = _model(model).network
    folder = Path(data)
    known = {label.lower() for label in network.labels}
    for split in ("test", "val"):
        if (folder / split).is_dir() and split not in known:
            folder = folder / split
            break
    return runner.evaluate(network, protocol or single_view(network.classifier.input_size), list_folder(folder), watch)


def train(
    data: str | Path | None = None,
    model: str | None = None,
    *,
    run: str | Path,
    recipe: str | None = None,
    start: str | None = None,
    options: Mapping[str, object] | None = None,
    epochs: float | None = None,
    images: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    rate: float | None = None,
    at_once: int | None = None,
    balance: bool | None = None,
    seed: int | None = None,
    validate_every: int | None = None,
    patience: int | None = None,
    trackers: Sequence[str] | None = None,
    workers: int = 2,
    device: str | None = None,
    resume: bool = False,
    watching: Watching = Watching(),  # noqa: B008 (frozen)
) -> Trained | None:
    """Train a network on labelled images into the folder `run`, which `load` opens afterwards.

    data: what `find_data` takes: class folders, a CSV or JSONL list, CIFAR archives, shards. What is not given is chosen
    from the data, and `watching.say` is told why; epochs, images seen or minutes stretch the recipe's schedule. `start`
    names weights to begin with. `resume` goes on with the run in `run`, whose arguments it has kept. Under torchrun every
    process calls this, and all but the first get None.
    Raises ValueError for data, names or numbers that will not do; KeyboardInterrupt once Ctrl-C has been answered, with
    everything saved for `resume`.
    """
    given = Arguments(
        data=None if data is None else str(data),
        model=model,
        recipe=recipe,
        start=start,
        options=dict(options or {}),
        epochs=epochs,
        images=images,
        minutes=minutes,
        batch_size=batch_size,
        rate=rate,
        at_once=at_once,
        balance=balance,
        seed=seed,
        validate_every=validate_every,
        patience=patience,
        trackers=None if trackers is None else tuple(trackers),
    )
    return train_as(given, run, workers=workers, device=device, resume=resume, watching=watching)


def train_as(
    arguments: Arguments,
    run: str | Path,
    *,
    workers: int = 2,
    device: str | None = None,
    resume: bool = False,
    watching: Watching = Watching(),  # noqa: B008 (frozen)
) -> Trained | None:
    """`train` with its arguments as one value."""
    with joined(device) as group:
        watching = watching if group.is_first else Watching()
        return run_training(arguments, Path(run), workers=workers, resume=resume, watching=watching, group=group)


def check_data(data: str | Path, *, watch: Callable[[int, int], None] = lambda _done, _all: None) -> check.DataReport:
    """Broken and odd images of a data set, copies, leaks, classes out of balance; see `check.check_data`."""
    return check.check_data(data, watch)


def class_heat(model: str | Path | Model, source: Source, label: str | None = None) -> Heat:
    """Where in an image a class is seen, by default the likeliest. Raises ValueError for an image that cannot be read."""
    _, image = read(source if not isinstance(source, str) else Path(source))
    if isinstance(image, Failure):
        raise ValueError(image.error)
    return heat.class_heat(_model(model).network, image, label)


def _model(model: str | Path | Model) -> Model:
    return model if isinstance(model, Model) else load(model)


def _top(posterior: Tensor, network: Network, top: int) -> tuple[Guess, ...]:
    values, indices = posterior.sort(descending=True, stable=True)
    return tuple(
        Guess(network.labels[int(index)], int(index), float(value))
        for value, index in zip(values[:top], indices[:top], strict=True)
    )


def _batched(items: Iterator[tuple[str, Tensor | Failure]], size: int) -> Iterator[list[tuple[str, Tensor | Failure]]]:
    while batch := list(islice(items, size)):
        yield batch
