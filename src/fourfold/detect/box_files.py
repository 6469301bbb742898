"""Files of boxes, found or proposed, by this program or another, read: COCO's results, CSV and YOLO's text.

An image is known by its file's name without folder and ending, as YOLO knows it; where COCO has a number alone, by that.
Annotated data sets are read in `data`; files are written in box_writers.py.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from torch import Tensor

from fourfold.boxes import no_boxes, rescale
from fourfold.data.annotated import parse_number
from fourfold.detect.detections import Detections
from fourfold.images import SUFFIXES, read_file

COLUMNS = ("image", "class", "score", "x1", "y1", "x2", "y2")  # of a CSV file, in any order; class and score may be missing


@dataclass(frozen=True)
class _Row:
    """One box of a file, edges in pixels or in fractions of the image; or none, where the file says that there is none."""

    image: str | int
    edges: tuple[float, float, float, float] | None
    category: str | int | None = None
    score: float | None = None


@dataclass(frozen=True, eq=False)
class BoxFile:
    """What a file says of each image, in the order of the file.

    digest: SHA-256 of the content; it stands for all of it in `repr`. first: the number of the first class where the file
    has numbers, 1 in COCO's and 0 in YOLO's.
    """

    path: Path = field(repr=False)
    digest: str
    rows: Mapping[str | int, Sequence[_Row]] = field(repr=False)
    first: int = field(default=1, repr=False)
    in_fractions: bool = field(default=False, repr=False)

    def boxes(self, name: str, height: int, width: int) -> Tensor:
        """Boxes float32 (R,4) of the image of that name and size, best first where they have scores; not cut.

        Raises ValueError where the file says nothing of the image.
        """
        if (key := self._key(name)) not in self.rows:
            few = ", ".join(str(each) for each in list(self.rows)[:3])
            raise ValueError(f"{self.path} says nothing of image {name!r}; it has {len(self.rows):,} images, such as {few}")
        rows = self.rows[key]
        ranked = sorted(rows, key=lambda row: -row.score if row.score is not None else 0.0)
        return self._edges(ranked, height, width)

    def detections(
        self, name: str, height: int, width: int, classes: Sequence[str], ids: Sequence[int] | None = None
    ) -> Detections:
        """The same with labels, indices into `classes`, and scores; nothing where the file says nothing of the image.

        ids: the number of each class in the file, where it has no names; None counts as the format does. Raises ValueError
        where a box has no score, or a class that is none of `classes`.
        """
        rows = self.rows.get(self._key(name), ())
        numbers = ids if ids is not None else range(self.first, self.first + len(classes))
        index_of: dict[str | int | None, int] = {each: index for index, each in enumerate(numbers)}
        index_of |= {each: index for index, each in enumerate(classes)}
        for row in rows:
            if row.category not in index_of:
                known = ", ".join(classes[:8]) + (", ..." if len(classes) > 8 else "")
                raise ValueError(f"{self.path} has class {row.category!r} for {name}, which is none of {known}")
            if row.score is None:
                raise ValueError(f"{self.path} has a box without a score for {name}; give a score for each")
        labels = torch.tensor([index_of[row.category] for row in rows], dtype=torch.int64)
        scores = torch.tensor([row.score for row in rows], dtype=torch.float32)
        return Detections(self._edges(rows, height, width), labels, scores)

    def _key(self, name: str) -> str | int:
        stem = stem_of(name)
        return stem if stem in self.rows or not (stem.isascii() and stem.isdecimal()) else int(stem)

    def _edges(self, rows: Sequence[_Row], height: int, width: int) -> Tensor:
        if not rows:
            return no_boxes()
        boxes = torch.tensor([row.edges for row in rows], dtype=torch.float64)
        return (rescale(boxes, (1, 1), (height, width)) if self.in_fractions else boxes).float()


def stem_of(name: str) -> str:
    """An image file's name without folder and ending; what only looks like an ending stays."""
    path = PureWindowsPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def read_box_file(path: Path) -> BoxFile:
    """Read COCO's results (.json), CSV (.csv), or a folder of YOLO's text files, one for each image.

    COCO: a list of {"file_name" or "image_id", "bbox": [x, y, w, h]} with "category" or "category_id" and "score" where they
    are known. CSV: COLUMNS; a row with an image alone says that it has no box. YOLO: lines of class, centre x, centre y,
    width, height and the score where it is known, in fractions of the image.
    Raises ValueError naming the file and the record that is wrong, and where two images have the same name but for folder
    and ending.
    """
    if path.is_dir():
        texts = {file: _text(file) for file in sorted(path.glob("*.txt"))}
        if not texts:
            raise ValueError(f"{path} has no .txt file; give a folder of YOLO's text files, a .json or a .csv")
        rows: dict[str | int, list[_Row]] = {file.stem: list(_yolo_rows(file, text)) for file, text in texts.items()}
        return BoxFile(path, _digest({file.stem: text for file, text in texts.items()}), rows, first=0, in_fractions=True)
    readers = {".json": _coco_rows, ".csv": _csv_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"{path} is no known file of boxes; give COCO's results as .json, a .csv, or a folder of YOLO's .txt"
        )
    text = _text(path)
    return BoxFile(path, _digest({"": text}), _by_image(path, reader(path, text)))


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8; save it so") from None


def _digest(texts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _by_image(path: Path, rows: Iterable[_Row]) -> dict[str | int, list[_Row]]:
    found: dict[str | int, list[_Row]] = {}
    names: dict[str | int, str | int] = {}
    for row in rows:
        key = stem_of(row.image) if isinstance(row.image, str) else row.image
        if names.setdefault(key, row.image) != row.image:
            raise ValueError(
                f"{path} has images {names[key]} and {row.image}, told apart by folder or ending alone; rename one"
            )
        here = found.setdefault(key, [])
        if row.edges is not None:
            here.append(row)
    return found


def _coco_rows(path: Path, text: str) -> Iterator[_Row]:
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}); give COCO's results") from None
    if not isinstance(records, list):
        raise ValueError(f"{path} is no list of results; give COCO's results, not its annotations")
    for number, record in enumerate(records, start=1):
        try:
            yield _coco_row(record)
        except ValueError as error:
            raise ValueError(f"{path}: result {number}: {error}") from None


def _coco_row(record: Any) -> _Row:
    if not isinstance(record, dict):
        raise ValueError("it is no object; write file_name, bbox, category and score")
    image = record.get("file_name", record.get("image_id"))
    if not isinstance(image, str | int):
        raise ValueError("it has no file_name and no image_id; write one of them")
    box, category, score = record.get("bbox"), record.get("category", record.get("category_id")), record.get("score")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"its bbox is {str(box)[:60]}; write x, y, width, height")
    if not isinstance(category, str | int | None):
        raise ValueError(f"its category is {str(category)[:60]}; write a name or a number")
    x, y, width, height = map(parse_number, box)
    return _Row(image, _edges(x, y, x + width, y + height), category, None if score is None else parse_number(score))


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    missing = [name for name in COLUMNS if name not in (lines.fieldnames or ()) and name not in ("class", "score")]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; begin it with the line {','.join(COLUMNS)}")
    try:
        for line in lines:
            yield _csv_row(line)
    except ValueError as error:
        raise ValueError(f"{path}: line {lines.line_num}: {error}") from None
    except csv.Error as error:
        raise ValueError(f"{path}: after line {lines.line_num}: {error}") from None


def _csv_row(line: Mapping[str | Any, Any]) -> _Row:
    if None in line or None in line.values():
        raise ValueError("it has not as many values as there are columns")
    edges, category, score = [line[name] for name in COLUMNS[3:]], line.get("class") or None, line.get("score") or None
    if not any((*edges, category, score)):
        return _Row(line["image"], None)
    x1, y1, x2, y2 = map(parse_number, edges)
    return _Row(line["image"], _edges(x1, y1, x2, y2), category, None if score is None else parse_number(score))


def _yolo_rows(path: Path, text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield _yolo_row(path.stem, line.split())
        except ValueError as error:
            raise ValueError(f"{path}: line {number}: {error}") from None


def _yolo_row(image: str, words: Sequence[str]) -> _Row:
    if len(words) not in (5, 6) or not (words[0].isascii() and words[0].isdecimal()):
        raise ValueError("it is not a class's number, centre x, centre y, width, height and, if known, the score")
    x, y, width, height = (parse_number(word) for word in words[1:5])
    edges = _edges(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return _Row(image, edges, int(words[0]), parse_number(words[5]) if len(words) == 6 else None)


def _edges(x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
    if x1 > x2 or y1 > y2:
        raise ValueError(f"its box {x1:g} {y1:g} {x2:g} {y2:g} has edges in the wrong order")
    return x1, y1, x2, y2
