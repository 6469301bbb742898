"""From images to a table of features, in pieces on the disk, so that what was stopped goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fourfold.ahead import in_order
from fourfold.data.listing import Broken, Item, Listing, read_item
from fourfold.features.describe import Describer, check_same
from fourfold.features.files import Features, check_suffix, join, key_of, plain, read_features, write_features

AHEAD = 8  # images decoded ahead of their use, as in evaluations
MOST_IMAGES = 64  # of a batch
MOST_DECODED = 64_000_000  # pixels of a batch's images before they are scaled, 192 MB
SECONDS = 10.0  # of work that a piece holds: so much is done again at most (ours)

Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Row:
    """An image that shall have a row, and the name of its class where that is known."""

    item: Item
    truth: str | None = None


def rows_of(listing: Listing) -> list[Row]:
    """The items of a labelled listing."""
    return [Row(item, listing.classes[label]) for item, label in zip(listing.items, listing.labels, strict=True)]


def extract(
    describe: Describer, rows: Sequence[Row], *, model: str = "", watch: Watch = lambda _done, _all: None
) -> Features:
    """The features of images, in memory. An image that cannot be read is among the errors, and has no row.

    Of several rows for one image the first counts. Raises ValueError where some images have a class and others have none.
    """
    header = {**describe.record(), "model": model}
    wanted = _new(rows, set())
    return join([_empty(describe, header), *_watched(described_rows(describe, header, wanted), 0, len(wanted), watch)])


def described_rows(describe: Describer, header: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[Features]:
    """A table for each batch of rows, in order."""
    for batch in _batches(describe, rows):
        usable = [(row, image) for row, image in batch if isinstance(image, Tensor)]
        yield Features(
            tuple(plain(row.item.name) for row, _ in usable),
            tuple(row.truth for row, _ in usable if row.truth is not None),
            describe([image for _, image in usable]),
            header,
            tuple(Broken(plain(row.item.name), plain(error)) for row, error in batch if isinstance(error, str)),
        )


Described = Callable[[Describer, Mapping[str, Any], Sequence[Row]], Iterator[Features]]
"""What `described_rows` does, here or elsewhere."""


def extract_into(
    describe: Describer,
    rows: Sequence[Row],
    path: Path,
    *,
    model: str = "",
    described: Described = described_rows,
    watch: Watch = lambda _done, _all: None,
) -> Features:
    """`extract` into a file, by whose ending the format is told; returns all that the file then holds.

    Images that the file has already are passed over, and those that could not be read before are tried again. While this
    works, pieces lie in a folder beside the file; a run that was stopped goes on from them, to the same numbers. described:
    who does the work. Raises
    ValueError for another ending, and where another describer made the file or the pieces.
    """
    check_suffix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {**describe.record(), "model": model}
    before = [read_features(path)] if path.exists() else []
    folder = path.with_name(f"{path.name}.parts")
    pieces = [read_features(place) for place in sorted(folder.glob("*.safetensors"))]
    for table in (*before, *pieces):
        check_same(header, table.header, f"the features in {path}")
    done = {key_of(name) for table in (*before, *pieces) for name in table.names}
    done |= {key_of(broken.name) for piece in pieces for broken in piece.errors}
    wanted = _new(rows, done)
    _check_truth([*before, *pieces], wanted)
    total, fresh = len(_new(rows, set())), list[Features]()
    for piece in _timed(_watched(described(describe, header, wanted), total - len(wanted), total, watch)):
        folder.mkdir(exist_ok=True)
        write_features(folder / f"{len(pieces) + len(fresh):06d}.safetensors", piece)
        fresh.append(piece)
    return _finish(path, folder, [*before, _empty(describe, header)], [*pieces, *fresh])


def _finish(path: Path, folder: Path, before: Sequence[Features], pieces: Sequence[Features]) -> Features:
    """Write the file whole, then remove the pieces."""
    tried = {key_of(name) for piece in pieces for name in (*piece.names, *(broken.name for broken in piece.errors))}
    kept = [replace(t, errors=tuple(e for e in t.errors if key_of(e.name) not in tried)) for t in before]
    table = join([*kept, *pieces])
    if pieces or not path.exists():
        write_features(path, table)
    for place in folder.glob("*.safetensors"):
        place.unlink()
    if folder.is_dir():
        folder.rmdir()
    return table


def _new(rows: Iterable[Row], done: set[str]) -> list[Row]:
    """The rows of images that are not done, each once."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(key_of(plain(row.item.name)), row)
    return [row for key, row in first.items() if key not in done]


def _check_truth(tables: Sequence[Features], wanted: Sequence[Row]) -> None:
    """Before hours of work, and not after."""
    kinds = {bool(table.truth) for table in tables if len(table)} | {row.truth is not None for row in wanted}
    if len(kinds) > 1:
        raise ValueError("some of these images have a class and others have none; keep them in two files")


def _watched(tables: Iterable[Features], done: int, total: int, watch: Watch) -> Iterator[Features]:
    for table in tables:
        yield table
        done += len(table) + len(table.errors)
        watch(done, total)


def _batches(describe: Describer, rows: Sequence[Row]) -> Iterator[list[tuple[Row, Tensor | str]]]:
    """Rows with their images, or why there is none; where a batch ends follows from the images since the last one's end."""
    batch, pixels = list[tuple[Row, Tensor | str]](), 0
    for row, image in zip(rows, in_order(lambda row: _usable(describe, row.item), rows, AHEAD), strict=True):
        area = image[0].numel() if isinstance(image, Tensor) else 0
        if batch and (len(batch) == MOST_IMAGES or pixels + area > MOST_DECODED):
            yield batch
            batch, pixels = [], 0
        batch.append((row, image))
        pixels += area
    if batch:
        yield batch


def _usable(describe: Describer, item: Item) -> Tensor | str:
    """The image, or why it cannot be used."""
    try:
        image = read_item(item)
    except ValueError as error:
        return str(error)
    refusal = describe.refusal(image)
    return image if refusal is None else f"{item.name}: {refusal}"


def _timed(tables: Iterable[Features]) -> Iterator[Features]:
    """Tables joined until they hold the work of SECONDS."""
    waiting, began = list[Features](), time.monotonic()
    for table in tables:
        waiting.append(table)
        if time.monotonic() - began >= SECONDS:
            yield join(waiting)
            waiting, began = [], time.monotonic()
    if waiting:
        yield join(waiting)


def _empty(describe: Describer, header: Mapping[str, Any]) -> Features:
    return Features((), (), torch.zeros(0, describe.width), header)
