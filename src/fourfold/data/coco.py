"""COCO's instances: a JSON file for each part, as the challenge, CVAT, Label Studio and Roboflow write it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fourfold.data.annotated import BoxedParts, Mark, Sheet, annotate, parse_number
from fourfold.data.listing import PART_WORDS, WHOLE, Broken
from fourfold.images import read_file

ROBOFLOW = "_annotations.coco.json"
LOOKED_AT = 50  # images of which one must be in a folder for that to be the images' folder
Records = list[dict[str, Any]]


def is_coco(folder: Path) -> bool:
    """Whether a folder has JSON files where COCO or Roboflow put them."""
    return bool(_files(folder))


def read_coco(path: Path) -> BoxedParts:
    """The parts of a data set, or the one file that `path` is, as one whole.

    A folder has annotations/*.json, of which those named instances_* alone where there are any, or <part>/ with Roboflow's
    _annotations.coco.json; a file's part is a word of its name, or its folder's. Images lie beside the file, or in a folder
    above called like the part (train2017), or in images/; see `_image_folder`. bbox is x y w h; a crowd becomes a difficult
    object. The classes are all categories by id, whether they occur or not; two of one name are one class. Raises
    ValueError where a file is no COCO file, where its images cannot be found, or no box can be used; see `annotate`.
    """
    files = {WHOLE: path} if path.is_file() else _files(path)
    read = {part: _read(file) for part, file in files.items()}
    classes, faults = _classes({str(files[part]): content["categories"] for part, content in read.items()})
    parts = {part: [*faults[str(files[part])], *_sheets(files[part], content)] for part, content in read.items()}
    return annotate(parts, classes, path)


def _files(folder: Path) -> dict[str, Path]:
    """The JSON file of each part. Raises ValueError where two files are the same part."""
    found = sorted((folder / "annotations").glob("*.json"))
    found = [path for path in found if path.name.startswith("instances")] or found
    found = found or [path for place in ("", "*/") for path in sorted(folder.glob(place + ROBOFLOW))]
    parts: dict[str, Path] = {}
    for path in found:
        part = _part_of(path.parent.name if path.name == ROBOFLOW else path.stem)
        if part in parts:
            raise ValueError(f"{parts[part]} and {path} are both {part or 'one whole'}; give the path of one of them")
        parts[part] = path
    return {part: parts[part] for part in ("train", "val", "test", WHOLE) if part in parts}


def _part_of(name: str) -> str:
    """The part that a word of a name stands for: instances_train2017 is train."""
    return next((PART_WORDS[word] for word in re.findall("[a-z]+", name.lower()) if word in PART_WORDS), WHOLE)


def _read(path: Path) -> dict[str, Records]:
    """The three lists of a file. Raises ValueError where it has not all of them, or something other than objects in them."""
    try:
        content = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}); give COCO's instances") from None
    lists: dict[str, Records] = {}
    for key in ("images", "annotations", "categories"):
        found = content.get(key) if isinstance(content, dict) else None
        if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
            raise ValueError(f"{path} has no list {key!r} of objects; give COCO's instances")
        lists[key] = found
    return lists


def _classes(categories: Mapping[str, Records]) -> tuple[tuple[str, ...], dict[str, list[Broken]]]:
    """Names by their lowest id in any file; and by file, what is wrong with its categories."""
    ids: dict[str, int] = {}
    faults: dict[str, list[Broken]] = {}
    for file, records in categories.items():
        faults[file] = []
        here: dict[str, int] = {}
        for number, record in enumerate(records, start=1):
            name, key = _name(record), record.get("id")
            if not name or not isinstance(key, int):
                faults[file].append(Broken(file, f"category {number} has no {'id' if name else 'name'}; skipped"))
            elif here.setdefault(name, key) != key:
                faults[file].append(Broken(file, f"category {number} is called {name!r} as one before; both are one class"))
        for name, key in here.items():
            ids[name] = min(key, ids.get(name, key))
    return tuple(sorted(ids, key=lambda name: (ids[name], name))), faults


def _name(record: Mapping[str, Any]) -> str:
    name = record.get("name")
    return str(name).strip() if isinstance(name, str | int | float) else ""


def _sheets(path: Path, content: Mapping[str, Records]) -> Iterator[Sheet | Broken]:
    names = {record["id"]: _name(record) for record in content["categories"] if isinstance(record.get("id"), int)}
    images, faults = _images(path, content["images"])
    yield from faults
    marks: dict[int | str, list[Mark]] = {key: [] for key in images}
    for number, record in enumerate(content["annotations"], start=1):
        try:
            marks[_key(record.get("image_id"), images)].append(_mark(number, record, names))
        except ValueError as error:
            yield Broken(str(path), f"object {number}: {error}; skipped")
    folder = _image_folder(path, [record["file_name"] for record in images.values()])
    for key, record in images.items():
        yield Sheet(str(path), folder / record["file_name"], _size(record), tuple(marks[key]))


def _images(path: Path, records: Records) -> tuple[dict[int | str, dict[str, Any]], list[Broken]]:
    """The images by id, and those that have none, no name, or an id or a name that an image before has."""
    found: dict[int | str, dict[str, Any]] = {}
    names: set[str] = set()
    faults: list[Broken] = []
    for number, record in enumerate(records, start=1):
        key, name = record.get("id"), record.get("file_name")
        if not isinstance(key, int | str) or not isinstance(name, str) or not name:
            faults.append(Broken(str(path), f"image {number} has no id or no file_name; skipped"))
        elif key in found or name in names:
            faults.append(
                Broken(str(path), f"image {number} ({name}) is listed twice; skipped, one before has its id or name")
            )
        else:
            found[key] = record
            names.add(name)
    return found, faults


def _key(image_id: object, images: Mapping[int | str, object]) -> int | str:
    if isinstance(image_id, int | str) and image_id in images:
        return image_id
    raise ValueError(f"there is no image of id {str(image_id)[:40]!r}")


def _mark(number: int, record: Mapping[str, Any], names: Mapping[int, str]) -> Mark:
    key, box = record.get("category_id"), record.get("bbox")
    name = names.get(key) if isinstance(key, int) else None
    if not name:
        raise ValueError(f"there is no category of id {str(key)[:40]!r}")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"{name} has no bbox of four numbers")
    x, y, width, height = (parse_number(value) for value in box)
    return Mark(number, name, (x, y, x + width, y + height), bool(record.get("iscrowd")))


def _size(record: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = record.get("height"), record.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0 else None


def _image_folder(path: Path, names: Sequence[str]) -> Path:
    """The folder that file names are relative to: the first in which one of the first images is."""
    home = path.absolute().parent
    above = home.parent if home.name == "annotations" else path.parent
    part = path.stem.removeprefix("instances_")
    folders = [path.parent, above, *(above / name for name in (part, f"images/{part}", "images", "JPEGImages"))]
    for folder in folders:
        if any((folder / name).is_file() for name in names[:LOOKED_AT]):
            return folder
    if not names:
        raise ValueError(f"{path} lists no image that can be used")
    looked = ", ".join(str(folder) for folder in folders)
    raise ValueError(f"no image of {path}, such as {names[0]}, is in any of {looked}; put the images into one of them")
