"""CIFAR-10 and CIFAR-100 as their publisher packs them: the binary and the Python version, as an archive or unpacked.

The Python version is pickled. It is read by an unpickler that knows NumPy arrays and nothing else, so that a file made
to run code is refused.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fourfold.data.listing import Parts, parts_of
from fourfold.images import read_file

SIDE, PIXELS = 32, 3 * 32 * 32
TEN = tuple(f"data_batch_{number}" for number in range(1, 6))


@dataclass(frozen=True)
class Layout:
    """One of the four packings: the files of each part, the file of class names, and where the label stands."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    label: str  # the key in a pickle; of a binary file, how many bytes precede an image ("1", "2"): the last is the label


LAYOUTS = (
    Layout(tuple(f"{name}.bin" for name in TEN), ("test_batch.bin",), "batches.meta.txt", "1"),
    Layout(("train.bin",), ("test.bin",), "fine_label_names.txt", "2"),
    Layout(TEN, ("test_batch",), "batches.meta", "labels"),
    Layout(("train",), ("test",), "meta", "fine_labels"),
)
NAME_KEYS = {"labels": "label_names", "fine_labels": "fine_label_names"}
KNOWN = frozenset(name for layout in LAYOUTS for name in (*layout.train, *layout.test, layout.names))


@dataclass(frozen=True, eq=False)
class Row:
    """One image of a batch file."""

    name: str
    pixels: Tensor

    def content(self) -> Tensor:
        """uint8 (3,32,32) RGB."""
        return self.pixels


def is_cifar(path: Path) -> bool:
    """Whether a folder holds CIFAR's files, or a file is named as CIFAR's archives are."""
    if path.is_dir():
        return any((path / layout.names).is_file() and (path / layout.train[0]).is_file() for layout in LAYOUTS)
    return path.name.startswith("cifar-10") and path.name.endswith((".tar.gz", ".tgz"))


def list_cifar(path: Path) -> Parts:
    """The train and test images of CIFAR-10 or CIFAR-100 (fine labels); all of them are held in memory, 180 MB.

    Raises ValueError for a file that is missing, cut off, or not what CIFAR publishes.
    """
    files = _folder_files(path) if path.is_dir() else _archive_files(path)
    layout = next((one for one in LAYOUTS if {*one.train, *one.test, one.names} <= files.keys()), None)
    if layout is None:
        raise ValueError(f"{path} lacks some of CIFAR's files; download and unpack it again")
    names = _class_names(layout, files[layout.names], path)
    rows = [
        (part, Row(f"{file}#{number}", image), names[label])
        for part, parts in (("train", layout.train), ("test", layout.test))
        for file in parts
        for number, (image, label) in enumerate(_batch(layout, files[file], f"{path}: {file}", len(names)))
    ]
    return parts_of(rows, names)


def _folder_files(folder: Path) -> dict[str, bytes]:
    return {file.name: read_file(file) for file in folder.iterdir() if file.name in KNOWN}


def _archive_files(archive: Path) -> dict[str, bytes]:
    """The archive's files, all read at once: going back in a gzip file means to decompress it from its start."""
    try:
        with tarfile.open(archive) as tar:
            members = ((member.name, tar.extractfile(member)) for member in tar if Path(member.name).name in KNOWN)
            return {Path(name).name: content.read() for name, content in members if content}
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{archive} is damaged or cut off ({error}); download it again") from error


def _class_names(layout: Layout, content: bytes, path: Path) -> list[str]:
    if layout.names.endswith(".txt"):
        return content.decode("utf-8").split()
    names = _field(_unpickle(content, f"{path}: {layout.names}"), NAME_KEYS[layout.label])
    if not isinstance(names, list):
        raise ValueError(f"{path}: {layout.names} holds no class names; download it again")
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]


def _batch(layout: Layout, content: bytes, name: str, classes: int) -> list[tuple[Tensor, int]]:
    """The images, uint8 (3,32,32), and labels of one file."""
    if layout.label in NAME_KEYS:
        record = _unpickle(content, name)
        data = _field(record, "data")
        pixels, labels = data.array() if isinstance(data, _Array) else None, _field(record, layout.label)
    else:
        before = int(layout.label)
        if not content or len(content) % (PIXELS + before):
            raise ValueError(f"{name} has {len(content):,} bytes, which are not whole images; download it again")
        table = np.frombuffer(bytearray(content), dtype=np.uint8).reshape(-1, PIXELS + before)
        pixels, labels = table[:, before:], table[:, before - 1].tolist()
    is_table = pixels is not None and pixels.shape[1] == PIXELS
    if pixels is None or not is_table or not isinstance(labels, list) or len(labels) != len(pixels):
        raise ValueError(f"{name} holds no rows of {PIXELS:,} bytes with a label each; download it again")
    if not all(isinstance(label, int) and 0 <= label < classes for label in labels):
        raise ValueError(f"{name} holds labels beyond the {classes} classes; download it again")
    images = torch.from_numpy(pixels).reshape(-1, 3, SIDE, SIDE)
    return list(zip(images, labels, strict=True))


def _field(record: object, key: str) -> Any:
    """The value under a key, which Python 2 wrote as bytes."""
    return record.get(key.encode(), record.get(key)) if isinstance(record, dict) else None


def _unpickle(content: bytes, name: str) -> object:
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise ValueError(f"{name} cannot be read ({error}); download it again from CIFAR's page") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ValueError(f"{name} is damaged or cut off ({type(error).__name__}); download it again") from error


@dataclass
class _Array:
    """What a pickle says of a NumPy array: nothing of it is believed before `array` has looked."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> np.ndarray | None:
        """The array (rows, columns) of bytes, or None where it is not one."""
        match self.state:
            case (_, (int(rows), int(columns)), _Dtype(name=("u1" | b"u1")), is_fortran, bytes(raw)):
                order = "F" if is_fortran else "C"
                is_whole = len(raw) == rows * columns
                return np.frombuffer(bytearray(raw), np.uint8).reshape((rows, columns), order=order) if is_whole else None
        return None


@dataclass
class _Dtype:
    """What a pickle says of an array's type."""

    name: str | bytes

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, which bytes do not have."""


class _ArraysOnly(pickle.Unpickler):
    """Builds what pickles spell without any name (dicts, lists, texts, numbers), and notes what is said of arrays."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Stand-ins for the names that arrays are made of, under NumPy 1's or NumPy 2's modules; no other name."""
        stand_ins = {
            "numpy.ndarray": _Array,
            "numpy.dtype": lambda name, *_: _Dtype(name),
            "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
            "numpy._core.multiarray._reconstruct": lambda *_: _Array(),
            "_codecs.encode": lambda text, _: text.encode("latin1"),  # how Python 3 writes bytes for Python 2
        }
        if f"{module_name}.{global_name}" not in stand_ins:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, which CIFAR's files never do")
        return stand_ins[f"{module_name}.{global_name}"]
