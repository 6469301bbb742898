"""What users do, as functions: load, classify, explain, evaluate, train. The command line only parses and prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fourfold import catalog, heat
from fourfold.answering import Answer, Guess, answer_each  # noqa: F401 (the package gives them out with the verbs)
from fourfold.catalog import DEFAULT, Network
from fourfold.data import check
from fourfold.data.listing import read_in_order
from fourfold.data.splits import find_test
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.protocol import Protocol
from fourfold.evaluate.summary import Evaluation
from fourfold.evaluate.views_picture import views_picture
from fourfold.evaluation_files import Job, evaluate_all
from fourfold.explain import Explanation
from fourfold.explain import explain as explain_network
from fourfold.heat import Heat
from fourfold.images import SUFFIXES
from fourfold.jobs import Arguments, run_training
from fourfold.networks import ALIASES, NETWORKS, build
from fourfold.papers.protocols import ALL, PROTOCOLS, names_for, protocol_named
from fourfold.parallel import joined
from fourfold.sources import Failure, Source, find, read
from fourfold.training import Trained, Watching

if TYPE_CHECKING:
    from PIL import Image as Pillow

SINGLE = "single"  # the protocol that is meant where none is named
MAX_SIZE = 100_000  # pixels of side that `explain` counts for


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

    def classify(
        self, sources: Source | Iterable[Source], *, top: int = 5, protocol: str | Protocol = SINGLE
    ) -> list[Answer | Failure]:
        """See `classify`."""
        return classify(sources, self, top=top, protocol=protocol)

    def evaluate(self, data: str | Path, *, protocol: str | Protocol = SINGLE) -> Evaluation:
        """See `evaluate`."""
        found = evaluate(self, data, protocol=protocol)
        assert found is not None, "one process has the result"
        return found

    def explain(self) -> Explanation:
        """See `explain`."""
        return explain(self)


Models = str | Path | Model | Sequence[str | Path | Model]


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
    model: Models = DEFAULT,
    *,
    top: int = 5,
    protocol: str | Protocol = SINGLE,
    scales: Sequence[int] | None = None,
) -> list[Answer | Failure]:
    """Name what is in images: one Answer or Failure for each, in order.

    sources: files, folders (every image below them), glob patterns, "-" for an image on standard input, bytes, Pillow
    images, uint8 tensors (3,H,W) or arrays (H,W,3) in RGB. model, protocol, scales: see `predictor`. Raises ValueError for
    an unknown model or protocol, or a `top` below 1.
    """
    many = [sources] if isinstance(sources, Source) else list(sources)
    return list(classify_each(find(many), model, top=top, protocol=protocol, scales=scales))


def classify_each(
    sources: Sequence[Source | Failure],
    model: Models = DEFAULT,
    *,
    top: int = 5,
    protocol: str | Protocol = SINGLE,
    scales: Sequence[int] | None = None,
) -> Iterator[Answer | Failure]:
    """`classify` one by one, in bounded memory, for inputs that `find` has found."""
    yield from answer_each(predictor(model, protocol, scales), sources, top)


def predictor(model: Models, protocol: str | Protocol = SINGLE, scales: Sequence[int] | None = None) -> Predictor:
    """One model or several, asked under a protocol; posteriors of several are averaged (GoogLeNet 7).

    model: a name, a run folder, a loaded model, or a list of them with the same classes. protocol: a name of
    `protocol_names`, names joined by +, or a value. scales: shorter sides in pixels in place of the paper's, for a protocol
    given by name. Raises ValueError for what does not exist or does not fit together.
    """
    networks = [_model(each).network for each in _many(model)]
    if not isinstance(protocol, str):
        return Predictor(tuple(Member(network, protocol) for network in networks))
    return Predictor(tuple(Member(each, protocol_named(protocol, each.classifier.input_size, scales)) for each in networks))


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
    model: Models,
    data: str | Path,
    *,
    protocol: str | Protocol = SINGLE,
    scales: Sequence[int] | None = None,
    split: str | None = None,
    out: str | Path | None = None,
    ray: str | None = None,
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> Evaluation | None:
    """What a model, or several together, make of labelled images: accuracy, and much else in the Evaluation.

    data: what `find_test` takes: class folders, or test/ or val/ with those, a list, CIFAR archives, shards; `split` names
    another part. model, protocol, scales: see `predictor`. out: a folder for answers.csv, from which an evaluation that was
    stopped goes on, and report.html; under torchrun its processes share the images through it, and all but the first get
    None. ray: with `out`, the address of a Ray cluster to work on, or "local". Raises ValueError for data, names or numbers
    that will not do, and where no image can be read.
    """
    found = evaluate_each(
        model,
        data,
        [protocol],
        scales=scales,
        split=split,
        out=out,
        ray=ray,
        watch=lambda _name, done, total: watch(done, total),
    )
    return found[0][1] if found else None


def evaluate_each(
    model: Models,
    data: str | Path,
    protocols: str | Sequence[str | Protocol] = ALL,
    *,
    scales: Sequence[int] | None = None,
    split: str | None = None,
    out: str | Path | None = None,
    ray: str | None = None,
    watch: Callable[[str, int, int], None] = lambda _name, _done, _all: None,
) -> list[tuple[str, Evaluation]]:
    """`evaluate` under several protocols, to compare accuracy and cost (VGG Table 5, GoogLeNet Table 3): (name, Evaluation).

    protocols: names, or "all" for those that every one of the models can be asked by. out: as in `evaluate`; for several
    protocols a folder with a comparison, and a folder for each in it. watch sees the protocol's name too.
    """
    many = [_model(each) for each in _many(model)]
    names = protocols if not isinstance(protocols, str) else protocol_names(many) if protocols == ALL else [protocols]
    asked = [(str(name), predictor(many, name, scales)) for name in names]
    listing, part = find_test(data, asked[0][1].labels, split)
    place = None if out is None else Path(out)
    with joined("cpu") as group:
        job = Job(listing, f"{data} ({part})", group, ray)
        return evaluate_all(asked, job, place, watch)


def protocol_names(model: Models | None = None) -> list[str]:
    """The test protocols of the papers by name; with a model, or several, those by which all of them can be asked."""
    if model is None:
        return list(PROTOCOLS)
    taken = [set(names_for(_model(each).network)) for each in _many(model)]
    return [name for name in PROTOCOLS if all(name in names for names in taken)]


def show_views(
    model: str | Path | Model,
    source: Source,
    protocol: str | Protocol = SINGLE,
    *,
    scales: Sequence[int] | None = None,
    split: str | None = None,
) -> Pillow.Image:
    """A picture of what a model sees of an image, or of the first image of a data set, under a protocol.

    Raises ValueError where there is no image that can be read.
    """
    asked = predictor(model, protocol, scales)
    if isinstance(source, str | Path) and Path(source).suffix.lower() not in SUFFIXES:
        listing, _ = find_test(source, asked.labels, split)
        image = next((each for each in read_in_order(listing.items) if isinstance(each, Tensor)), None)
        if image is None:
            raise ValueError(f"none of the {len(listing)} images of {source} can be read; give another data set")
    else:
        image = _one_image(source)
    return views_picture(image, asked.members[0].protocol)


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
    return heat.class_heat(_model(model).network, _one_image(source), label)


def _one_image(source: Source) -> Tensor:
    _, image = read(source if not isinstance(source, str) else Path(source))
    if isinstance(image, Failure):
        raise ValueError(image.error)
    return image


def _many(model: Models) -> list[str | Path | Model]:
    return [model] if isinstance(model, str | Path | Model) else list(model)


def _model(model: str | Path | Model) -> Model:
    return model if isinstance(model, Model) else load(model)
