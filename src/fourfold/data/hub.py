"""Data sets of the Hugging Face hub, and local folders in its formats, through their `datasets` library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourfold.data.listing import PART_WORDS, WHOLE, Item, Parts, parts_of
from fourfold.images import read_file

SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves
IMAGES = ("image", "img")  # columns, in order of preference
LABELS = ("label", "labels", "fine_label", "class", "category", "target")


@dataclass(frozen=True, eq=False)
class Cell:
    """The image in one row of a table."""

    name: str
    table: Any  # of `datasets`, with the image column alone, not decoded
    row: int

    def content(self) -> bytes:
        """See Item."""
        ((_, cell),) = self.table[self.row].items()
        if cell is None:
            raise ValueError(f"{self.name} has no image; remove the row")
        return cell["bytes"] if cell["bytes"] is not None else read_file(Path(cell["path"]))


def is_hub(folder: Path) -> bool:
    """Whether a folder was written by save_to_disk, or holds parquet files."""
    return any((folder / name).is_file() for name in SAVED) or next(folder.rglob("*.parquet"), None) is not None


def list_hub(name: str) -> Parts:
    """The train, validation and test splits of a data set: a folder, or a name on the hub, which is downloaded.

    Images stay in their files' bytes until they are read. A test split without labels is left out. Raises ValueError
    where the library is missing, the data set cannot be had, or it has no image or label column.
    """
    rows: list[tuple[str, Item, str]] = []
    order: list[str] = []
    for split, table in _load(name).items():
        part = WHOLE if split == WHOLE else PART_WORDS.get(split.lower())
        if part is None:
            continue  # such as ImageNet-O's "extra": a split that is none of the three
        images, labels, names = _columns(table, f"{name} {split}".strip())
        if part == "test" and all(label in (-1, None) for label in labels):
            continue
        order = order or names
        rows += [
            (part, Cell(f"{name}/{split}#{row}", images, row), _class_name(label, names, f"{name}/{split} row {row}"))
            for row, label in enumerate(labels)
        ]
    if not rows:
        raise ValueError(f"{name} has no split named train, validation or test with labelled images; choose another")
    return parts_of(rows, order or None)


def _load(name: str) -> Mapping[str, Any]:
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(f"reading {name} needs the library datasets; install it: pip install 'fourfold[hfds]'") from None
    folder = Path(name)
    try:
        is_saved = any((folder / file).is_file() for file in SAVED)
        found = datasets.load_from_disk(name) if is_saved else datasets.load_dataset(name)
    except Exception as error:  # the library raises nearly every type there is
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(f"cannot load the data set {name} ({reason}); check the name and the network") from error
    return {str(split): table for split, table in found.items()} if isinstance(found, Mapping) else {WHOLE: found}


def _columns(table: Any, name: str) -> tuple[Any, list[Any], list[str]]:
    """The table of undecoded images, the labels, and the names of the classes where the table has them."""
    from datasets import ClassLabel, Image, Value  # pyright: ignore[reportMissingImports]

    features = table.features
    images = [column for column, feature in features.items() if isinstance(feature, Image)]
    image = _prefer(images, IMAGES)
    if image is None:
        raise ValueError(f"{name} has no single image column; its columns are {', '.join(features)}")
    classes = [column for column, feature in features.items() if isinstance(feature, ClassLabel)]
    values = [column for column, feature in features.items() if isinstance(feature, Value) and column in LABELS]
    label = _prefer(classes, LABELS) or _prefer(values, LABELS)
    if label is None:
        raise ValueError(f"{name} has no single label column; its columns are {', '.join(features)}")
    names = list(features[label].names) if label in classes else []
    return table.select_columns([image]).cast_column(image, Image(decode=False)), table[label][:], names


def _prefer(columns: list[str], order: tuple[str, ...]) -> str | None:
    """The first column by preference, or the only one."""
    return next((column for column in order if column in columns), columns[0] if len(columns) == 1 else None)


def _class_name(label: Any, names: list[str], place: str) -> str:
    if label is None or label == "" or (names and not 0 <= label < len(names)):
        raise ValueError(f"{place} has no label ({label!r}); choose a split that is labelled")
    return names[label] if names else str(label)
