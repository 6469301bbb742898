"""What users do with networks as feature extractors, as functions: features, probe, search, similar_pairs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fourfold import catalog
from fourfold.catalog import DEFAULT, Network
from fourfold.cluster import extract_on_ray
from fourfold.data.folder import list_images
from fourfold.data.listing import Broken, File
from fourfold.data.splits import find_data, find_parts
from fourfold.features.describe import MEAN, describer, describer_from
from fourfold.features.extract import Row, extract, extract_into, rows_of
from fourfold.features.files import Features, read_features
from fourfold.features.probe import SVM, Probe, ProbeScores, evaluate_probe, fit_probe, write_probe
from fourfold.features.search import Index, Neighbours, build_index, near_duplicates, nearest, read_index, write_index
from fourfold.images import SUFFIXES
from fourfold.sources import Failure, Source, find, read_each
from fourfold.verbs import Model

Watch = Callable[[int, int], None]
AHEAD = 8  # queries decoded ahead
COUNT = 11  # neighbours: with the query two rows of a contact sheet
LEAST = 0.995  # cosine of near duplicates (ours): of 499,500 pairs of CIFAR-10, 12 are so alike to the bundled network


@dataclass(frozen=True, eq=False)
class Probed:
    """A probe, how it does on images it has not seen, of how many it has learned, and what could not be read."""

    probe: Probe
    scores: ProbeScores
    trained_images: int
    tested_on: str
    broken: tuple[Broken, ...]
    seconds: float


@dataclass(frozen=True)
class Neighbour:
    """An image like another: its name, its class ("" where that is not known), and the cosine of their features."""

    name: str
    truth: str
    similarity: float


@dataclass(frozen=True, eq=False)
class Alike:
    """The images of a table that are most like a query, the likest first."""

    source: str
    image: Tensor
    neighbours: tuple[Neighbour, ...]


def features(
    data: str | Path | Iterable[str | Path],
    out: str | Path | None = None,
    model: str | Path | Model = DEFAULT,
    *,
    layer: str | None = None,
    scales: Sequence[int] | None = None,
    pooling: str | Sequence[int] = MEAN,
    aggregate: str = MEAN,
    normalise: bool = True,
    mirrored: bool = True,
    split: str | None = None,
    ray: str | None = None,
    watch: Watch = lambda _done, _all: None,
) -> Features:
    """Describe images by a layer of a network: a table with a row of float32 for each.

    data: a labelled data set as `find_data` takes it, all of its parts or the one that `split` names; or images without
    classes: files, patterns, or folders that hold images themselves. out: a .parquet, .npz or .safetensors file, to which
    images are added that it has not; what was stopped goes on. layer, scales, pooling, aggregate, normalise, mirrored: see
    `describer`. ray: with `out`, the address of a Ray cluster to work on, or "local". Images that cannot be read are among
    the table's errors. Raises ValueError for what there is not, and for a file that another network or layer made.
    """
    describe = describer(
        _network(model), layer, scales=scales, pooling=pooling, aggregate=aggregate, normalise=normalise, mirrored=mirrored
    )
    if out is None:
        if ray is not None:
            raise ValueError("what a cluster makes goes into a file; give one with out (--out)")
        return extract(describe, _rows(data, split), model=_origin(model), watch=watch)
    into = extract_into if ray is None else partial(extract_on_ray, address=ray)
    return into(describe, _rows(data, split), Path(out), model=_origin(model), watch=watch)


def probe(
    data: str | Path,
    model: str | Path | Model = DEFAULT,
    *,
    layer: str | None = None,
    scales: Sequence[int] | None = None,
    pooling: str | Sequence[int] = MEAN,
    aggregate: str = MEAN,
    mirrored: bool = True,
    kind: str = SVM,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Watch = lambda _done, _all: None,
) -> Probed:
    """Learn to tell a data set's classes by a linear classifier on a network's features, and measure it on other images.

    data: what `find_data` takes; it is measured on test/, or else val/, or else a tenth of each class that is held out.
    kind: "svm" or "logistic". out: a folder for the probe. Raises ValueError as `features` and `fit_probe` do.
    """
    began = time.perf_counter()
    describe = describer(
        _network(model), layer, scales=scales, pooling=pooling, aggregate=aggregate, normalise=True, mirrored=mirrored
    )
    splits = find_data(data, seed=seed)
    test, name = (splits.val, splits.origin) if splits.test is None else (splits.test, "test/")
    total = len(splits.train) + len(test)
    seen = extract(describe, rows_of(splits.train), model=_origin(model), watch=lambda done, _: watch(done, total))
    unseen = extract(describe, rows_of(test), watch=lambda done, _: watch(len(splits.train) + done, total))
    fitted = fit_probe(seen.matrix, seen.labels, seen.classes, seen.header, seed=seed, kind=kind)
    if out is not None:
        write_probe(Path(out), fitted)
    scores = evaluate_probe(fitted, unseen.matrix, _labels_among(seen.classes, unseen))
    seconds = time.perf_counter() - began
    return Probed(fitted, scores, len(seen), name, (*seen.errors, *unseen.errors), seconds)


def search(
    queries: Source | Iterable[Source],
    table: str | Path | Features,
    *,
    count: int = COUNT,
    model: str | Path | Model | None = None,
    index: bool = False,
) -> list[Alike | Failure]:
    """The images of a table of features that are most like each query, one Alike or Failure for each.

    queries: as for `classify`. table: a file that `features` made. model: the network that made it, where it lies elsewhere
    now. index: look through an index beside the file, which is made where there is none or the file is newer: faster, and
    now and then not exact. Raises ValueError for another network, and for an empty table.
    """
    found = read_features(Path(table)) if isinstance(table, str | Path) else table
    if not len(found):
        raise ValueError("there are no images in this table to search in; add some with `fourfold features`")
    if index and isinstance(table, Features):
        raise ValueError("an index is kept beside a file; give the table's file to search with one")
    graph = _index(Path(table), found) if index and isinstance(table, str | Path) else None
    describe = describer_from(_network(found.header["model"] if model is None else model), found.header)
    many = [queries] if isinstance(queries, Source) else list(queries)
    answers: list[Alike | Failure] = []
    for name, image in read_each(find(many), AHEAD):
        refusal = None if isinstance(image, Failure) else describe.refusal(image)
        if isinstance(image, Failure) or refusal is not None:
            answers.append(image if isinstance(image, Failure) else Failure(name, f"{name}: {refusal}"))
            continue
        vector = describe([image])
        near = nearest(vector, found.matrix, count) if graph is None else graph.nearest(vector, count)
        answers.append(Alike(name, image, _neighbours(near, found)))
    return answers


def similar_pairs(table: str | Path | Features, least: float = LEAST) -> list[tuple[str, str, float]]:
    """Pairs of images that are nearly the same to the network: (name, name, cosine), the likest first.

    Raises ValueError for a `least` outside 0..1.
    """
    found = read_features(Path(table)) if isinstance(table, str | Path) else table
    return [(found.names[i], found.names[j], value) for i, j, value in near_duplicates(found.matrix, least)]


def _rows(data: str | Path | Iterable[str | Path], split: str | None) -> list[Row]:
    many = [data] if isinstance(data, str | Path) else list(data)
    if len(many) == 1 and not _is_of_files(many[0]):
        parts, _ = find_parts(many[0])
        if split is not None and split not in parts:
            raise ValueError(f"{many[0]} has no part {split!r}; it has {', '.join(name or 'no parts' for name in parts)}")
        return [row for name, part in parts.items() if split in (None, name) for row in rows_of(part)]
    if split is not None:
        raise ValueError(f"images without classes have no part {split!r}; leave the part out")
    found = find(many)
    for each in found:
        if isinstance(each, Failure):
            raise ValueError(each.error)
        if str(each) == "-":
            raise ValueError("an image on standard input has no name for a table; give a file")
    return [Row(File(each)) for each in found if isinstance(each, Path)]


def _is_of_files(data: str | Path) -> bool:
    """Whether this means images without classes: an image, a pattern of images, or a folder that holds images itself."""
    path = Path(data)
    if path.is_dir():
        return any(image.parent == path for image in list_images(path))
    return path.suffix.lower() in SUFFIXES or path.name in ("*", "-")


def _labels_among(classes: tuple[str, ...], table: Features) -> Tensor:
    """int64 (N,), indices of the table's classes among others, which hold them all."""
    index_of = {name: index for index, name in enumerate(classes)}
    return torch.tensor([index_of[name] for name in table.truth], dtype=torch.int64)


def _neighbours(near: Neighbours, table: Features) -> tuple[Neighbour, ...]:
    """Of the first query."""
    pairs = zip(near.rows[0].tolist(), near.similarities[0].tolist(), strict=True)
    return tuple(Neighbour(table.names[row], table.truth[row] if table.truth else "", value) for row, value in pairs)


def _index(path: Path, table: Features) -> Index:
    """The index beside a file, made anew where the file has changed since."""
    place = path.with_name(f"{path.name}.index")
    if place.is_file() and place.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        index = read_index(place)
        if (index.count, index.width) == tuple(table.matrix.shape):
            return index
    index = build_index(table.matrix)
    write_index(place, index)
    return index


def _network(model: str | Path | Model) -> Network:
    return model.network if isinstance(model, Model) else catalog.load(model)


def _origin(model: str | Path | Model) -> str:
    """From where the network can be loaded again."""
    return model.network.entry.name if isinstance(model, Model) else str(model)
