"""A folder with one folder of images for each class, as it is or below train/, val/ and test/."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fourfold.ahead import in_order
from fourfold.data.examples import Examples
from fourfold.images import SUFFIXES, centre_view, read_image

MEMORY_LIMIT = 8 * 2**30  # bytes of decoded images that a run may hold
AHEAD = 64  # images decoded ahead of their use


@dataclass(frozen=True)
class Listing:
    """Image files and the index of the class of each; classes in alphabetical order."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class Broken:
    """A file that could not be used, and why, in one line."""

    path: Path
    error: str


def list_folder(folder: Path) -> Listing:
    """The images of a folder of class folders. Raises ValueError where it is missing, has no class or an empty one."""
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}; give a folder that holds one folder of images for each class")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise ValueError(f"{folder} has no folders in it; give a folder that holds one folder of images for each class")
    found = [(path, label) for label, name in enumerate(names) for path in list_images(folder / name)]
    for label, name in enumerate(names):
        if all(label != have for _, have in found):
            raise ValueError(f"class folder {folder / name} has no images; add some or remove the folder")
    return Listing(tuple(path for path, _ in found), tuple(label for _, label in found), tuple(names))


def list_images(folder: Path) -> list[Path]:
    """Every file below the folder that is named like an image, sorted; hidden files and folders are passed over."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def read_in_order(paths: Sequence[Path]) -> Iterator[Tensor | Broken]:
    """Decode files a few ahead, in the order given; a file that cannot be read comes as Broken."""
    return in_order(_read, paths, AHEAD)


def load_examples(
    listing: Listing, size: int, watch: Callable[[int, int], None] = lambda _done, _all: None
) -> tuple[Examples, list[Broken]]:
    """Decode a listing to the size x size pixels of the single view, and say which files were left out.

    Raises ValueError when the images would not fit MEMORY_LIMIT, or when a class keeps no image.
    """
    needed = len(listing) * 3 * size * size
    if needed > MEMORY_LIMIT:
        limit = MEMORY_LIMIT // (3 * size * size)
        raise ValueError(f"{len(listing):,} images of {size}x{size} do not fit into memory; train on at most {limit:,}")
    images = torch.empty(len(listing), 3, size, size, dtype=torch.uint8)
    kept, broken = [], []
    for index, image in enumerate(read_in_order(listing.paths)):
        if isinstance(image, Broken):
            broken.append(image)
        else:
            images[len(kept)] = centre_view(image, size)
            kept.append(index)
        watch(index + 1, len(listing))
    labels = torch.tensor([listing.labels[index] for index in kept], dtype=torch.int64)
    for label, name in enumerate(listing.classes):
        if not (labels == label).any():
            raise ValueError(f"no image of class {name!r} can be read; replace its files or remove the class")
    return Examples(images[: len(kept)], labels, listing.classes), broken


def _read(path: Path) -> Tensor | Broken:
    try:
        return read_image(path)
    except ValueError as error:
        return Broken(path, str(error))
