"""YOLO: a text file of normalised boxes for each image, as Ultralytics, labelImg, CVAT and Roboflow write it.

The only user of PyYAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourfold.data.annotated import BoxedParts, Mark, Sheet, annotate, parse_number
from fourfold.data.folder import list_images
from fourfold.data.listing import PART_WORDS, WHOLE, Broken, sort_classes

YAML = (".yaml", ".yml")
CLASS_LISTS = ("classes.txt", "labels/classes.txt", "obj.names")  # a name on each line, where there is no YAML file
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class _Config:
    """What a YAML file, or the folders themselves, say of a data set."""

    home: Path  # the folder that is given, or that of the YAML file
    parts: dict[str, list[Path]]  # folders of images, images, or text files that list them
    names: dict[int, str]
    has_points: bool = False  # boxes are followed by keypoints


def is_yolo(folder: Path) -> bool:
    """Whether a folder has a YAML file with names, or images/ beside labels/."""
    return bool(_yamls(folder)) or all((folder / name).is_dir() for name in ("images", "labels"))


def read_yolo(path: Path) -> BoxedParts:
    """The parts of a data set: a YAML file with `names` and the places of train, val and test, or the folder that has one.

    Places are relative to the file's `path`, and that to the file's folder; for what else is tried see `_places`. Without
    a YAML file, images/<part> beside labels/<part>, or images/ beside labels/ as one whole, with the names of classes.txt,
    or else the indices that occur as names. The labels of images/a.jpg are labels/a.txt; an empty or missing file is an
    image without boxes. A line is `class cx cy w h`, from 0 to 1 of the upright image's width and height (Ultralytics obeys
    EXIF too); of a polygon, `class x1 y1 x2 y2 x3 y3 ...`, the box around it is taken. The classes are all names, by index.
    Raises ValueError where the file or a place of train or val is not as said, or no box can be used; see `annotate`.
    """
    config = _read_yaml(path) if path.is_file() else _find_config(path)
    rows = {part: [row for place in places for row in _rows(place, config)] for part, places in config.parts.items()}
    names, faults = _names(config, rows)
    parts = {part: list(_sheets(found, names, config.has_points)) for part, found in rows.items()}
    first = next(iter(parts))
    return annotate({**parts, first: [*faults, *parts[first]]}, tuple(dict.fromkeys(names.values())), path)


def _yamls(folder: Path) -> list[Path]:
    return [path for suffix in YAML for path in sorted(folder.glob("*" + suffix)) if "names" in _load(path)]


def _find_config(folder: Path) -> _Config:
    found = _yamls(folder)
    if len(found) > 1:
        raise ValueError(f"{folder} has {' and '.join(path.name for path in found)}; give the path of one of them")
    if found:
        return _read_yaml(found[0])
    inner = sorted((folder / "images").glob("*/"))
    parts = {part: [below for below in inner if _part_of(below.name) == part] for part in PARTS}
    parts = {part: below for part, below in parts.items() if below} or {WHOLE: [folder / "images"]}
    return _Config(folder, parts, _listed_names(folder))


def _part_of(name: str) -> str:
    """The part that a folder's name stands for: train2017 is train."""
    return PART_WORDS.get(re.sub(r"[\d_-]*$", "", name.lower()), WHOLE)


def _listed_names(folder: Path) -> dict[int, str]:
    path = next((folder / name for name in CLASS_LISTS if (folder / name).is_file()), None)
    return dict(enumerate(line.strip() for line in _lines(path))) if path else {}


def _load(path: Path) -> dict[str, Any]:
    """The content of a YAML file, all values as text: `no` and 1.0 are good names of classes. {} where it is no mapping.

    BaseLoader makes nothing but text, lists and mappings, which is less than safe_load makes.
    """
    try:
        import yaml
    except ImportError:
        raise ValueError("reading YAML needs PyYAML; pip install 'fourfold[detect]'") from None
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, OSError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as YAML ({' '.join(str(error).split())}); mend it") from None
    return content if isinstance(content, dict) else {}


def _read_yaml(path: Path) -> _Config:
    content = _load(path)
    names = content.get("names")
    if not isinstance(names, list | dict) or not names:
        raise ValueError(f"{path} has no names; list the names of the classes under names:")
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    try:
        by_index = {int(index): name.strip() for index, name in pairs}
    except (ValueError, AttributeError):
        raise ValueError(f"{path} has names that are not an index and a text each; write 0: cat, 1: dog") from None
    parts = {part: _places(path, content, part, is_needed=part != "test") for part in PARTS if content.get(part)}
    parts = {part: places for part, places in parts.items() if places}
    if not parts:
        raise ValueError(f"{path} names no images; write the folder of images after train: and val:")
    return _Config(path.parent, parts, dict(sorted(by_index.items())), "kpt_shape" in content)


def _places(path: Path, content: Mapping[str, Any], part: str, *, is_needed: bool) -> list[Path]:
    """Where the images of a part are. Raises ValueError for a place that is not there, unless the part is not needed.

    Ultralytics' `path` is relative to a folder of all data sets, often the one above; Roboflow's file says ../train/images
    of what lies beside it; and an absolute path may be of another machine.
    """
    given = content[part] if isinstance(content[part], list) else [content[part]]
    found: list[Path] = []
    for text in map(str, given):
        below = Path(str(content.get("path") or ""), text)
        home, above = path.parent, path.absolute().parent.parent
        tried = [home / below, home / text.removeprefix("../"), above / below]
        place = next((place for place in tried if place.exists()), None)
        if place is None and is_needed:
            looked = " or ".join(dict.fromkeys(str(place) for place in tried))
            raise ValueError(f"{path} has {part}: {text}, but there is no {looked}; mend path: or {part}:")
        found += [place] if place else []
    return found


@dataclass(frozen=True)
class _Row:
    """An image and the lines of its label file."""

    image: Path
    label: Path
    lines: tuple[str, ...]


def _rows(place: Path, config: _Config) -> Iterator[_Row | Broken]:
    """The images of a place with their lines; for a folder, then the label files that have no image."""
    used: set[Path] = set()
    images = list_images(place) if place.is_dir() else _listed_images(place)
    for image in images:
        label = _label_file(image, config.home)
        used.add(label)
        try:
            yield _Row(image, label, tuple(_lines(label)) if label.is_file() else ())
        except ValueError as error:
            yield Broken(str(label), f"{error}; image skipped")
    if place.is_dir() and "images" in place.parts:
        for folder in sorted({label.parent for label in used}):
            spare = [path for path in sorted(folder.glob("*.txt")) if path not in used and path.name != "classes.txt"]
            yield from (Broken(str(path), f"there is no image {path.stem}.* in {place}; skipped") for path in spare)


def _listed_images(path: Path) -> list[Path]:
    return [path.parent / line.strip() for line in _lines(path) if line.strip()]


def _label_file(image: Path, home: Path) -> Path:
    """Where the labels of an image are, or should be: the last images/ in its path made labels/, also below `home`."""
    parts = list(image.with_suffix(".txt").parts)
    if "images" not in parts[:-1]:
        return image.with_suffix(".txt")
    at = len(parts) - 1 - parts[::-1].index("images")
    swapped, below = Path(*parts[:at], "labels", *parts[at + 1 :]), home.joinpath("labels", *parts[at + 1 :])
    return below if below.is_file() and not swapped.is_file() else swapped


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8") from None


def _names(config: _Config, rows: Mapping[str, Sequence[_Row | Broken]]) -> tuple[dict[int, str], list[Broken]]:
    """Names by index, without empty ones, which are faults; where none are given, the indices that occur."""
    if config.names:
        faults = [
            Broken(str(config.home), f"class {index} has no name; skipped") for index, n in config.names.items() if not n
        ]
        return {index: name for index, name in config.names.items() if name}, faults
    lines = [line for found in rows.values() for row in found if isinstance(row, _Row) for line in row.lines]
    heads = sort_classes(line.split()[0] for line in lines if re.match(r"\s*\d+\s", line, re.ASCII))
    return {int(head): head for head in heads}, []


def _sheets(rows: Sequence[_Row | Broken], names: Mapping[int, str], has_points: bool) -> Iterator[Sheet | Broken]:
    for row in rows:
        if isinstance(row, Broken):
            yield row
            continue
        marks: list[Mark] = []
        for number, line in enumerate(row.lines, start=1):
            try:
                marks += [_mark(number, line, names, has_points)] if line.strip() else []
            except ValueError as error:
                yield Broken(str(row.label), f"object {number}: {error}; skipped")
        yield Sheet(str(row.label), row.image, None, tuple(marks), in_fractions=True)


def _mark(number: int, line: str, names: Mapping[int, str], has_points: bool) -> Mark:
    head, *values = line.split()
    index = parse_number(head)
    name = names.get(int(index)) if index.is_integer() else None
    if not name:
        raise ValueError(f"there is no class {head[:40]!r}")
    return Mark(number, name, _edges([parse_number(value) for value in values], has_points))


def _edges(values: Sequence[float], has_points: bool) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a box or around a polygon, all from 0 to 1."""
    if len(values) == 4 or (has_points and len(values) > 4):
        x, y, w, h = values[:4]
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values)} values after the class; a box has 4, a polygon 6 or more of x y in turn")
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
