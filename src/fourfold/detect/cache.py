"""Tensors kept on disk under a key that says what they were computed from, so that slow work is done once.

A file that is damaged is a miss and is computed and written again. A full disk stores nothing and stops nobody: the cache is
a convenience. Several processes may share a folder: files are renamed into it whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fourfold.detect.box_files import stem_of
from fourfold.detect.propose import Propose
from fourfold.files import write_whole

SUFFIX = ".safetensors"
NOT_KEPT = (errno.ENOSPC, errno.EDQUOT, errno.ENOENT)  # the disk or its share is full; or the file or the folder went away
SLACK = 100  # the folder is listed anew whenever a hundredth of the limit was written
REVISION = 1  # of the proposals; raise it when a change makes any proposer give other boxes


class TensorCache:
    """Dictionaries of tensors in a folder, one file each; those used longest ago go when it holds more than `limit` bytes.

    Raises ValueError where the folder cannot be made, or the limit is below 1.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a cache of {limit} bytes holds nothing; give a limit of 1 or more, or use no cache")
        self.folder, self.limit = folder, limit
        self._unseen = limit  # bytes written since the folder was listed; at first nothing is known of it
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"{folder} cannot be made a folder ({error.strerror}); give another place for the cache"
            ) from None

    def get(self, key: str) -> dict[str, Tensor] | None:
        """What was put under the key, or None where nothing was, or it went since, or its file is damaged."""
        path = self._path(key)
        try:
            with safe_open(path, "pt") as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                if (file.metadata() or {}).get("crc") != _checksum(found):
                    return None
        except (OSError, SafetensorError, RuntimeError):  # torch says RuntimeError of a file removed while it is opened
            return None
        with suppress(OSError):  # a folder that may only be read, or another process removed it
            os.utime(path)  # used now
        return found

    def put(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors under the key; nothing is kept where they exceed the limit by themselves or the disk is full.

        Raises ValueError where the folder cannot be written to for another reason.
        """
        plain = {name: value.contiguous() for name, value in tensors.items()}
        content = save(plain, {"crc": _checksum(plain)})
        if len(content) > self.limit:
            return
        try:
            self._make_room(len(content))
            write_whole(self._path(key), lambda temporary: temporary.write_bytes(content))
        except OSError as error:
            if error.errno not in NOT_KEPT:
                raise ValueError(f"{self.folder} cannot be written to ({error.strerror}); give another cache") from None

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def _make_room(self, wanted: int) -> None:
        """Remove files until `wanted` bytes fit. Other processes' writes are seen when the folder is listed anew."""
        self._unseen += wanted
        if self._unseen <= self.limit // SLACK:
            return
        self._unseen = 0
        files = sorted(_files(self.folder))
        excess = sum(size for _, size, _ in files) + wanted + self.limit // SLACK - self.limit
        for _, size, path in files:
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """When it was used last, size and path of each; also what a process that was killed left half written."""
    found = []
    for path in folder.iterdir():
        try:
            about = path.stat()
        except FileNotFoundError:  # another process removed it
            continue
        if SUFFIX in path.name:
            found.append((about.st_mtime, about.st_size, path))
    return found


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """Of names, types, shapes and values: safetensors checks that they fit together, not whether a byte has changed."""
    total = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        total = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), total)
        total = zlib.crc32(_bytes(tensor), total)
    return f"{total:08x}"


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def key_of(*parts: Tensor | str) -> str:
    """SHA-256 in hexadecimal of texts and tensors, with their types and shapes: what a value was computed from."""
    total = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else _bytes(part)
        head = f"text {len(content)}" if isinstance(part, str) else f"{part.dtype} {tuple(part.shape)}"
        total.update(head.encode() + b"\n")
        total.update(content)
    return total.hexdigest()


def cached_proposals(propose: Propose, cache: TensorCache) -> Propose:
    """The same proposals, each image's looked up in the cache first.

    The key is made from the pixels, the image file's name without its folder, and the proposer's `repr`.
    """
    return _Cached(propose, cache)


@dataclass(frozen=True)
class _Cached(Propose):
    propose: Propose
    cache: TensorCache

    def __call__(self, image: Tensor, name: str = "") -> Tensor:
        """See Propose."""
        key = key_of(f"proposals {REVISION}", repr(self.propose), stem_of(name), image)
        kept = self.cache.get(key)
        if kept is not None:
            return kept["boxes"]
        boxes = self.propose(image, name)
        self.cache.put(key, {"boxes": boxes})
        return boxes

    def __repr__(self) -> str:
        """That of what is cached: where its boxes are kept does not change them."""
        return repr(self.propose)
