"""A CSV file of boxes, one on each line: path,label,x1,y1,x2,y2, and split if wanted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fourfold.data.annotated import BoxedParts, Mark, Sheet, annotate, parse_number
from fourfold.data.listing import PART_WORDS, WHOLE, Broken

EDGES = ("x1", "y1", "x2", "y2")
COLUMNS = {"path": ("path", "file", "image", "filename"), "label": ("label", "class"), **{edge: (edge,) for edge in EDGES}}


@dataclass(frozen=True)
class _Record:
    """A line: its number among the lines below the header, from 1, and its cells by column."""

    number: int
    part: str
    cells: Mapping[str, str]


def read_boxes_csv(path: Path) -> BoxedParts:
    """The parts that the column split names, or all images as one; paths are relative to the file's folder.

    The header has path (or file, image, filename), label (or class), x1, y1, x2, y2 and, if wanted, split, in any order;
    commas, semicolons or tabs divide it, and other columns are left alone. Boxes are edges in pixels. Each line is an
    object, and one with nothing but its path an image without objects. The classes are those that occur, sorted. Raises
    ValueError, with the number of the line, where it is no such table or has some splits and not others, and where no box
    can be used; see `annotate` for what is skipped, as are lines without a class or with what is no number.
    """
    faults: list[Broken] = []
    sheets: dict[str, dict[str, list[Mark]]] = {}
    for record in _records(path):
        try:
            mark = _mark(record)
        except ValueError as error:
            faults.append(Broken(str(path), f"object {record.number}: {error}; skipped"))
            mark = None
        marks = sheets.setdefault(record.part, {}).setdefault(record.cells["path"], [])
        marks += [mark] if mark else []
    parts: dict[str, list[Sheet | Broken]] = {
        part: [Sheet(str(path), path.parent / name, None, tuple(marks)) for name, marks in images.items()]
        for part, images in sheets.items()
    }
    first = next(iter(parts), WHOLE)
    return annotate({**parts, first: [*faults, *parts.get(first, ())]}, None, path)


def _records(path: Path) -> Iterator[_Record]:
    text = _read(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    places: dict[str, int] = {}
    number = width = 0
    try:
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if not places:
                places, width = _places(path, cells), len(cells)
                continue
            if len(cells) != width:
                raise ValueError(f"{path} line {lines.line_num} has {len(cells)} columns; the header has {width}")
            number += 1
            row = {column: cells[place].strip() for column, place in places.items()}
            yield _Record(number, _part_of(row, f"{path} line {lines.line_num}"), row)
    except csv.Error as error:
        raise ValueError(f"{path} line {lines.line_num} is not CSV ({error}); mend its quotes") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path} ({error}); give a text file in UTF-8") from error


def _places(path: Path, header: list[str]) -> dict[str, int]:
    """Where each column is, split too if there is one."""
    names = [name.strip().lower() for name in header]
    found: dict[str, int] = {}
    for column, wanted in COLUMNS.items():
        known = [name for name in wanted if name in names]
        if not known:
            raise ValueError(f"{path} has no column {' or '.join(wanted)}; begin it with the line {','.join(COLUMNS)}")
        found[column] = names.index(known[0])
    return {**found, "split": names.index("split")} if "split" in names else found


def _part_of(row: Mapping[str, str], where: str) -> str:
    if not row["path"]:
        raise ValueError(f"{where} has no path; add it or remove the line")
    if "split" not in row:
        return WHOLE
    part = PART_WORDS.get(row["split"].lower())
    if part is None:
        raise ValueError(f"{where}: no split {row['split']!r}; splits are train, val and test")
    return part


def _mark(record: _Record) -> Mark | None:
    """The object of a line; None where it has neither class nor edges."""
    label, edges = record.cells["label"], [record.cells[edge] for edge in EDGES]
    if not any((label, *edges)):
        return None
    if not label:
        raise ValueError("it has no class name")
    x1, y1, x2, y2 = map(parse_number, edges)
    return Mark(record.number, label, (x1, y1, x2, y2))
