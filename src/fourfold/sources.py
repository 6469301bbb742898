"""What a user may point at: files, folders, patterns, standard input, or images in memory; found, and read in order."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from torch import Tensor

from fourfold.ahead import in_order
from fourfold.data.folder import list_images
from fourfold.images import MAX_BYTES, check_image, read_image

Source = str | Path | bytes | Tensor | np.ndarray | Pillow.Image


@dataclass(frozen=True)
class Failure:
    """An input that could not be answered, and why, in one line."""

    source: str
    error: str


def find(sources: Iterable[Source]) -> list[Source | Failure]:
    """Replace folders and glob patterns by the images they stand for; what stands for none becomes a Failure."""
    return [item for source in sources for item in _find(source)]


def read(source: Source | Failure) -> tuple[str, Tensor | Failure]:
    """The name of a source, and its image as uint8 (3,H,W), or why there is none."""
    if isinstance(source, Failure):
        return source.source, source
    name = str(source) if isinstance(source, str | Path) else f"<{type(source).__name__}>"
    try:
        if isinstance(source, str | Path):
            return name, _standard_input() if name == "-" else read_image(Path(source), name=name)
        return name, read_image(source) if isinstance(source, bytes) else check_image(source)
    except ValueError as error:
        return name, Failure(name, str(error))


def read_each(sources: Sequence[Source | Failure], ahead: int) -> Iterator[tuple[str, Tensor | Failure]]:
    """`read` each of the sources, in order, decoding up to `ahead` of them before they are asked for."""
    return in_order(read, sources, ahead)


def _find(source: Source) -> Sequence[Source | Failure]:
    if not isinstance(source, str | Path) or str(source) == "-":
        return [source]
    if source == "":
        return [Failure("", "an input has an empty name; give a file, a folder or a pattern")]
    path = Path(source)
    try:
        if path.is_dir():
            return list_images(path) or [Failure(str(source), f"no images in folder {source}")]
        if glob.has_magic(str(source)) and not path.exists():
            matches = sorted(glob.glob(str(source), recursive=True))  # noqa: PTH207 (pathlib takes no absolute pattern)
            files = [Path(match) for match in matches if Path(match).is_file()]
            return files or [Failure(str(source), f"nothing matches the pattern {source}")]
    except OSError as error:  # such as a name longer than the system allows
        return [Failure(str(source), f"{source} cannot be read ({error.strerror}); check the path")]
    return [path]


def _standard_input() -> Tensor:
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin else b""  # None where the shell has closed it
    except OSError as error:
        raise ValueError(f"standard input cannot be read ({error.strerror}); redirect an image file to it") from error
    return read_image(content, name="standard input")
