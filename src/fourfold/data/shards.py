"""WebDataset shards: tar files of samples, `KEY.jpg` with `KEY.cls`, `KEY.json` or `KEY.txt` beside it.

Each tar is indexed once, and every image is read from its own place in it, so that any order, and a run that is
resumed, sees the same images as with files. Compressed tars have no such places and are refused.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fourfold.data.listing import PART_WORDS, WHOLE, Parts, parts_of
from fourfold.images import SUFFIXES

NAME_FILES = ("classes.txt", "classnames.txt")
LABELS = ("cls", "json", "txt")  # in order of preference
LABEL_KEYS = ("label", "cls", "class")


@dataclass(frozen=True)
class Member:
    """One image inside a tar file: `size` bytes from `offset`."""

    shard: Path
    key: str
    suffix: str
    offset: int
    size: int

    @property
    def name(self) -> str:
        """The shard and the name inside it."""
        return f"{self.shard}/{self.key}.{self.suffix}"

    def content(self) -> bytes:
        """See Item."""
        return _read(self.shard, self.offset, self.size)


def is_shards(path: Path) -> bool:
    """Whether a path is a tar file, a pattern of some, or a folder that holds some (in itself or in train/, val/, test/)."""
    return path.suffix == ".tar" or ("{" in str(path) and not path.exists()) or bool(_tars_below(path))


def list_shards(path: Path) -> Parts:
    """The samples of all shards in order. Their parts come from the names of shards or folders (train, val, test).

    Classes are named by classes.txt or classnames.txt beside the shards, one a line, else by the labels themselves.
    Raises ValueError for a shard that is missing, damaged or compressed, and for samples without a readable label.
    """
    shards = _shards(path)
    root = path if path.is_dir() else Path(os.path.commonpath([shard.parent for shard in shards]))
    parts = _shard_parts(shards, root)
    names = _class_names(root)
    rows = [
        (part, member, _class_name(label, names, member))
        for shard, part in zip(shards, parts, strict=True)
        for member, label in _samples(shard)
    ]
    if not rows:
        raise ValueError(f"{path} holds no images; samples are KEY.jpg (or .png, .webp) with KEY.cls beside them")
    return parts_of(rows, names or None)


def _tars_below(folder: Path) -> list[Path]:
    """Tar files in a folder, or in its folders that are named like parts."""
    if not folder.is_dir():
        return []
    folders = [folder, *(below for below in folder.iterdir() if below.is_dir() and below.name.lower() in PART_WORDS)]
    return sorted(file for place in folders for file in place.glob("*.tar") if not file.name.startswith("."))


def _shards(path: Path) -> list[Path]:
    if path.is_dir():
        return _tars_below(path)
    shards = [path] if path.exists() else [Path(text) for text in expand_braces(str(path))]
    missing = next((shard for shard in shards if not shard.is_file()), None)
    if missing:
        raise ValueError(f"no shard {missing}; check the path, and the numbers in a pattern such as shards-{{000..009}}.tar")
    return shards


def expand_braces(pattern: str) -> list[str]:
    """What a shell makes of {000..009} and {a,b}, in its order; numbers keep the zeros in front."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    choices = [_choices(piece) if number % 2 else [piece] for number, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _choices(inside: str) -> list[str]:
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if not numbers:
        return inside.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    return [str(number).zfill(len(numbers[1])) for number in range(first, last + 1)]


def _shard_parts(shards: list[Path], root: Path) -> list[str]:
    """The part of each shard, by the words of its name and of its folder below the root."""
    words = [re.split(r"[^a-z]+", shard.relative_to(root).as_posix().lower()) for shard in shards]
    parts = [next((PART_WORDS[word] for word in each if word in PART_WORDS), WHOLE) for each in words]
    if len(set(parts)) > 1 and WHOLE in parts:
        odd = shards[parts.index(WHOLE)]
        raise ValueError(f"{odd} names no part, but other shards do; put train, val or test into its name or folder")
    return parts


def _samples(shard: Path) -> Iterator[tuple[Member, str]]:
    """Images of a shard with the text of their label, in the order of the images."""
    images: list[Member] = []
    labels: dict[str, dict[str, tuple[int, int]]] = {}
    for name, offset, size in _index(shard):
        folder, slash, base = name.rpartition("/")
        stem, _, suffix = base.partition(".")
        key = f"{folder}{slash}{stem}"
        if f".{suffix.lower()}" in SUFFIXES:
            images.append(Member(shard, key, suffix, offset, size))
        elif suffix.lower() in LABELS:
            labels.setdefault(key, {})[suffix.lower()] = (offset, size)
    seen: set[str] = set()
    for image in images:
        if image.key in seen:
            raise ValueError(f"{shard} holds two images of sample {image.key!r}; give each its own key")
        seen.add(image.key)
        yield image, _label(image, labels.get(image.key, {}))


def _index(shard: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each file in a tar."""
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if member.isreg():
                    yield member.name.removeprefix("./"), member.offset_data, member.size
                tar.members = []  # pyright: ignore[reportAttributeAccessIssue]  # it keeps all it has seen
            if _read(shard, tar.offset, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile lets this pass
                raise tarfile.ReadError("its closing block is missing")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"shard {shard} is damaged, cut off or compressed ({error}); give a whole, plain tar") from error


def _label(image: Member, places: dict[str, tuple[int, int]]) -> str:
    suffix = next((suffix for suffix in LABELS if suffix in places), None)
    if suffix is None:
        raise ValueError(f"{image.name} has no label; put {image.key}.cls, .json or .txt into the shard")
    try:
        text = _read(image.shard, *places[suffix]).decode("utf-8").strip()
        if suffix == "json":
            record = json.loads(text)
            text = str(next(record[key] for key in LABEL_KEYS if key in record))
    except (ValueError, TypeError, StopIteration):
        wanted = 'a "label" or "cls" in JSON' if suffix == "json" else "text in UTF-8"
        raise ValueError(f"{image.shard}/{image.key}.{suffix} holds no label; write {wanted}") from None
    if not text:
        raise ValueError(f"{image.shard}/{image.key}.{suffix} is empty; write the class into it")
    return text


def _class_names(root: Path) -> list[str]:
    file = next((root / name for name in NAME_FILES if (root / name).is_file()), None)
    return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()] if file else []


def _class_name(label: str, names: list[str], image: Member) -> str:
    if not names or label in names:
        return label
    if label.isdecimal() and int(label) < len(names):
        return names[int(label)]
    raise ValueError(f"{image.name} has the label {label!r}, but {len(names)} classes are named beside the shards")


def _read(shard: Path, offset: int, size: int) -> bytes:
    try:
        with shard.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise ValueError(f"shard {shard} cannot be read ({error.strerror}); check the path and the disk") from error
