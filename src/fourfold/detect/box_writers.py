"""Detections as files: COCO's results, YOLO's text and CSV; box_files.py reads them back.

Pixels are written to a thousandth, YOLO's fractions to a hundred-millionth, scores exactly. Every file is written
whole or not at all.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fourfold.boxes import rescale, to_centres
from fourfold.detect.box_files import COLUMNS, stem_of
from fourfold.detect.detections import Detections
from fourfold.files import write_text


def write_coco_results(
    path: Path, found: Mapping[str, Detections], classes: Sequence[str], ids: Sequence[int] | None = None
) -> None:
    """COCO's results, one line of JSON for each detection; found: by the images' file names.

    image_id: the file's name without folder and ending, as a number where it is one, which is COCO's own. category_id: that
    of `ids`, one for each class, as in the file of annotations; counted from 1 where None. An image without detections
    cannot be told from one that is missing. Raises ValueError where two images would have the same image_id.
    """
    _check_stems(found)
    numbers = ids if ids is not None else range(1, len(classes) + 1)
    lines = []
    for name, each in found.items():
        stem = stem_of(name)
        image = int(stem) if stem.isascii() and stem.isdecimal() else stem
        for (x1, y1, x2, y2), label, score in _rows(each):
            record = {"image_id": image, "file_name": name, "category_id": numbers[label], "category": classes[label]}
            record |= {"bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)], "score": _short(score)}
            lines.append(json.dumps(record, ensure_ascii=False))
    write_text(path, "[" + ",\n".join(lines) + "]\n")


def write_csv(path: Path, found: Mapping[str, Detections], classes: Sequence[str]) -> None:
    """CSV with the columns image, class, score, x1, y1, x2, y2; an image where nothing was found has a row of its own."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for name, each in found.items():
        for box, label, score in _rows(each):
            lines.writerow((name, classes[label], _short(score), *(round(edge, 3) for edge in box)))
        if not len(each):
            lines.writerow((name, *[""] * (len(COLUMNS) - 1)))
    write_text(path, text.getvalue())


def write_yolo(folder: Path, found: Mapping[str, Detections], sizes: Mapping[str, tuple[int, int]]) -> None:
    """YOLO's text: for each image <its name>.txt with lines of class, centre x, centre y, width, height, score.

    sizes: height and width of each image; boxes are in fractions of them. Raises ValueError where two images would have the
    same file.
    """
    _check_stems(found)
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in found.items():
        centres = to_centres(rescale(each.boxes.double(), sizes[name], (1, 1))).tolist()
        lines = [
            f"{label} {' '.join(f'{value:.8f}' for value in centre)} {_short(score)}\n"
            for centre, (_, label, score) in zip(centres, _rows(each), strict=True)
        ]
        write_text(folder / f"{stem_of(name)}.txt", "".join(lines))


def _rows(found: Detections) -> list[tuple[list[float], int, float]]:
    return list(zip(found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True))


def _short(score: float) -> float:
    return float(f"{score:.9g}")  # which no other float32 has


def _check_stems(found: Mapping[str, Detections]) -> None:
    names: dict[str, str] = {}
    for name in found:
        if (other := names.setdefault(stem_of(name), name)) != name:
            raise ValueError(f"images {other} and {name} are told apart by folder or ending alone; write them to two files")
