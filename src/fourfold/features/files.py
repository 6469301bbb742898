"""Tables of features in files: .parquet, .npz and .safetensors hold the same and say which network made them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fourfold.data.listing import Broken, sort_classes
from fourfold.features.describe import check_same
from fourfold.files import write_whole

SUFFIXES = (".parquet", ".npz", ".safetensors")
META = b"fourfold"  # where a parquet file keeps the header and the errors
DAMAGED = (OSError, KeyError, TypeError, AttributeError, ValueError, EOFError, SafetensorError)
"""What readers raise for files that are none, or were cut; UnicodeDecodeError, JSON's and pyarrow's are ValueErrors."""


@dataclass(frozen=True, eq=False)
class Features:
    """The vectors of N images.

    names: of the images; none occurs twice. truth: the class of each by name, or () where classes are not known. matrix:
    float32 (N,D). header: the `record` of the describer, and under "model" where its network was loaded from. errors: images
    that have no row, and why. Raises ValueError where lengths disagree.
    """

    names: tuple[str, ...]
    truth: tuple[str, ...]
    matrix: Tensor
    header: Mapping[str, Any]
    errors: tuple[Broken, ...] = field(default=())

    def __post_init__(self) -> None:
        fits = self.matrix.ndim == 2 and self.matrix.dtype == torch.float32 and len(self.matrix) == len(self.names)
        if not fits or len(self.truth) not in (0, len(self.names)):
            raise ValueError(
                f"{len(self.names)} names and {len(self.truth)} classes for {self.matrix.dtype} features of shape "
                f"{tuple(self.matrix.shape)}; each name needs a row of float32, and all of them or none a class"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that occur, in order."""
        return sort_classes(self.truth)

    @property
    def labels(self) -> Tensor:
        """int64 (N,), indices into `classes`; (0,) where classes are not known."""
        index_of = {name: index for index, name in enumerate(self.classes)}
        return torch.tensor([index_of[name] for name in self.truth], dtype=torch.int64)


def key_of(name: str) -> str:
    """What tells an image from others: its path from the root, however it was written."""
    return os.path.abspath(name)  # noqa: PTH100 (resolve() would ask the disk about every image)


def plain(text: str) -> str:
    """Text that every file can hold: bytes of a file's name that are no UTF-8 are written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def join(tables: Sequence[Features]) -> Features:
    """The rows and errors of tables, one after the other; at least one table.

    Raises ValueError where another describer made them, and where some know classes and others do not.
    """
    filled = [table for table in tables if len(table)] or [tables[0]]
    for table in tables:
        check_same(tables[0].header, table.header, "these features")
    if len({bool(table.truth) for table in filled}) > 1:
        raise ValueError("some of these images have a class and others have none; keep them in two files")
    return Features(
        tuple(name for table in filled for name in table.names),
        tuple(name for table in filled for name in table.truth),
        torch.cat([table.matrix for table in filled]),
        tables[0].header,
        tuple(error for table in tables for error in table.errors),
    )


def check_suffix(path: Path) -> None:
    """Raises ValueError for a name that does not end as one of the three formats, or whose library is missing."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} is not the name of a file of features; end it with {', '.join(SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        _arrow()


def write_features(path: Path, table: Features) -> None:
    """Write a table, whole or not at all, in the format of the name's ending. Raises ValueError for another one."""
    check_suffix(path)
    write = {".parquet": _write_parquet, ".npz": _write_npz, ".safetensors": _write_safetensors}[path.suffix.lower()]
    write_whole(path, lambda temporary: write(temporary, table))


def read_features(path: Path) -> Features:
    """The inverse of `write_features`. Raises ValueError for a file that is missing, damaged, or none of features."""
    check_suffix(path)
    if not path.is_file():
        raise ValueError(f"no file {path}; `fourfold features` makes one")
    read = {".parquet": _read_parquet, ".npz": _read_npz, ".safetensors": _read_safetensors}[path.suffix.lower()]
    try:
        return read(path)
    except DAMAGED as error:
        raise ValueError(f"{path} is damaged or holds no features ({_first_line(error)}); make it again") from error


def _write_npz(path: Path, table: Features) -> None:
    with path.open("wb") as file:  # numpy would add its own ending to a name
        np.savez(
            file,
            features=table.matrix.numpy(),
            names=np.array(table.names, dtype=np.str_),
            truth=np.array(table.truth, dtype=np.str_),
            about=np.array(_about(table)),
        )


def _read_npz(path: Path) -> Features:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            names, truth, matrix = file["names"].tolist(), file["truth"].tolist(), torch.from_numpy(file["features"])
            about = json.loads(str(file["about"]))
    except Exception as error:  # numpy and zipfile raise nearly every type there is
        raise ValueError(_first_line(error)) from error
    return _features(names, truth, matrix, about)


def _write_safetensors(path: Path, table: Features) -> None:
    words = json.dumps({"names": table.names, "truth": table.truth})  # among the tensors, as headers end at 100 MB
    text = torch.frombuffer(bytearray(words.encode()), dtype=torch.uint8)
    save_file({"features": table.matrix.contiguous(), "text": text}, path, {META.decode(): _about(table)})


def _read_safetensors(path: Path) -> Features:
    from safetensors import safe_open

    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()[META.decode()])
    words = json.loads(tensors["text"].numpy().tobytes())
    return _features(words["names"], words["truth"], tensors["features"], about)


def _write_parquet(path: Path, table: Features) -> None:
    arrow, parquet = _arrow()
    values = arrow.array(table.matrix.numpy().reshape(-1), type=arrow.float32())
    columns = {
        "image": arrow.array(table.names, type=arrow.string()),
        "class": arrow.array(table.truth or [None] * len(table), type=arrow.string()),
        "features": arrow.FixedSizeListArray.from_arrays(values, table.matrix.shape[1]),
    }
    parquet.write_table(arrow.table(columns).replace_schema_metadata({META: _about(table).encode()}), path)


def _read_parquet(path: Path) -> Features:
    _, parquet = _arrow()
    found = parquet.read_table(path)
    about = json.loads(found.schema.metadata[META])
    chunks = [chunk.flatten().to_numpy() for chunk in found["features"].chunks]
    values = np.concatenate([np.zeros(0, np.float32), *chunks]).reshape(len(found), int(about["header"]["width"]))
    truth = found["class"].to_pylist()
    return _features(found["image"].to_pylist(), [] if None in truth else truth, torch.from_numpy(values), about)


def _about(table: Features) -> str:
    return json.dumps({"header": dict(table.header), "errors": [[each.name, each.error] for each in table.errors]})


def _features(names: list[str], truth: list[str], matrix: Tensor, about: Mapping[str, Any]) -> Features:
    errors = tuple(Broken(name, error) for name, error in about["errors"])
    return Features(tuple(names), tuple(truth), matrix, about["header"], errors)


def _arrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        import pyarrow.parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("parquet files need the library pyarrow; install it: pip install 'fourfold[features]'") from None
    return pyarrow, pyarrow.parquet


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
