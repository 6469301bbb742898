"""Manifests: a CSV or JSONL file that names images, their classes and, if wanted, their parts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourfold.data.listing import PART_WORDS, WHOLE, File, Parts, parts_of

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
COLUMNS = {"path": ("path", "file", "image", "filename"), "label": ("label", "class"), "split": ("split",)}
LOOKED_AT = 50  # images that must not all be missing


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    label: str
    part: str


def list_manifest(manifest: Path) -> Parts:
    """The images a manifest names, in its order; paths are relative to the manifest's folder.

    CSV has a header with the columns path (or file, image, filename), label (or class) and, if wanted, split; commas,
    semicolons or tabs divide it. JSONL has an object with those keys on each line. An image named twice alike counts
    once. Raises ValueError, with the number of the line, for what is missing, unknown or contradictory.
    """
    text = _read(manifest)
    records = _json_records if manifest.suffix.lower() in (".jsonl", ".ndjson") else _csv_records
    rows = list(_distinct([_row(manifest, line, record) for line, record in records(manifest, text)], manifest))
    if not rows:
        raise ValueError(f"{manifest} names no images; write one on each line")
    if not any((manifest.parent / row.path).exists() for row in rows[:LOOKED_AT]):
        raise ValueError(
            f"{manifest} line {rows[0].line}: no image {manifest.parent / rows[0].path}; "
            "write paths relative to the manifest's folder"
        )
    return parts_of((row.part, File(manifest.parent / row.path), row.label) for row in rows)


def _read(manifest: Path) -> str:
    try:
        return manifest.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {manifest} ({error}); give a text file in UTF-8") from error


def _csv_records(manifest: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    first = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                _check_header(manifest, header)
            elif len(cells) != len(header):
                raise ValueError(f"{manifest} line {reader.line_num} has {len(cells)} columns; the header has {len(header)}")
            else:
                yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{manifest} line {reader.line_num} is not CSV ({error}); mend its quotes") from error


def _check_header(manifest: Path, header: list[str]) -> None:
    lower = [name.lower() for name in header]
    for column in ("path", "label"):
        if not set(COLUMNS[column]) & set(lower):
            wanted = " or ".join(COLUMNS[column])
            raise ValueError(f"{manifest} has no column {wanted}; its first line is {','.join(header)[:80]!r}")


def _json_records(manifest: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{manifest} line {number} is not JSON ({error}); write one object on each line") from error
        if not isinstance(record, dict):
            raise ValueError(f"{manifest} line {number} is no JSON object; write path and label with their keys")
        yield number, record


def _row(manifest: Path, line: int, record: dict[str, Any]) -> _Row:
    values = {key.lower(): value for key, value in record.items()}
    path, label, split = (_value(values, names) for names in COLUMNS.values())
    for column, text in (("path", path), ("label", label)):
        if not text:
            raise ValueError(f"{manifest} line {line} has no {column}; add it or remove the line")
    part = PART_WORDS.get(split.lower(), None) if split else WHOLE
    if part is None:
        raise ValueError(f"{manifest} line {line}: no split {split!r}; splits are train, val and test")
    return _Row(line, path, label, part)


def _value(values: dict[str, Any], names: tuple[str, ...]) -> str:
    found = next((values[name] for name in names if values.get(name) is not None), "")
    return str(found).strip() if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _distinct(rows: list[_Row], manifest: Path) -> Iterator[_Row]:
    """The rows without repetitions. Raises ValueError where an image has two classes or two parts, or a row no part."""
    first: dict[str, _Row] = {}
    divided = next((row for row in rows if row.part != WHOLE), None)
    for row in rows:
        if divided and row.part == WHOLE:
            raise ValueError(f"{manifest} line {row.line} has no split, but line {divided.line} has; give all or none one")
        before = first.setdefault(row.path, row)
        for what, here, there in (("class", row.label, before.label), ("split", row.part, before.part)):
            if here != there:
                raise ValueError(
                    f"{manifest} line {row.line} gives {row.path} the {what} {here!r}, "
                    f"but line {before.line} gives it {there!r}; keep one of them"
                )
        if before is row:
            yield row
