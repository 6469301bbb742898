"""Images with boxes before they are decoded, and what was wrong with their boxes.

The readers of the layouts (voc.py, coco.py, yolo.py) say what their files hold, as sheets; here the sheets are checked, the
same for all layouts, and become `Annotations`.
"""

from __future__ import annotations

import math
import stat
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import ExifTags
from PIL import Image as Pillow
from torch import Tensor

from fourfold.data.listing import Broken, File, Item, sort_classes
from fourfold.images import FORMATS, check_size, read_file, read_orientation

SLACK = 1.0  # pixels that a box may reach outside and is not called broken: rounding, and VOC files that count from 0
TURNED_PNG = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")  # chunks that may tell how a PNG is turned


@dataclass(frozen=True, eq=False)
class Annotated:
    """One image of a detection data set, not decoded, with its objects in the order of the file.

    height, width: pixels of the upright image, as `read_image` gives it. boxes: float32 (R,4), edges x1 y1 x2 y2 in pixels,
    within the image, of positive area; (0,4) where there are none. labels: int64 (R,), indices into `Annotations.classes`.
    is_difficult: bool (R,), objects that VOC's average precision does not count; COCO's crowds too.
    """

    item: Item
    height: int
    width: int
    boxes: Tensor
    labels: Tensor
    is_difficult: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Annotations:
    """A detection data set, or a part of one.

    faults: each image and each object that was skipped, and each box that was cut: the file, the number of the object in it
    from 1, and why. An image stays when all of its objects are skipped.
    """

    images: tuple[Annotated, ...]
    classes: tuple[str, ...]
    faults: tuple[Broken, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_boxes(self) -> int:
        """How many boxes there are, the difficult ones too."""
        return sum(len(image) for image in self.images)

    def relabelled(self, classes: tuple[str, ...]) -> Annotations:
        """The same with labels of other classes, found by name: -1 of a class that is not among them."""
        places = torch.tensor([classes.index(name) if name in classes else -1 for name in self.classes], dtype=torch.int64)
        images = tuple(replace(image, labels=places[image.labels]) for image in self.images)
        return replace(self, images=images, classes=classes)


BoxedParts = dict[str, Annotations]
"""A detection data set as its source divides it: "train", "val" and "test" as far as they are there, or WHOLE alone.

All parts have the same classes.
"""


@dataclass(frozen=True)
class Mark:
    """One object as its file gives it, its box in edges and not checked."""

    number: int  # in its file, from 1
    name: str  # of its class
    box: tuple[float, float, float, float]  # x1 y1 x2 y2
    is_difficult: bool = False


@dataclass(frozen=True)
class Sheet:
    """What a file says of one image."""

    source: str  # that file's name
    image: Path  # where the image should be
    size: tuple[int, int] | None  # height and width, where the file says them
    marks: tuple[Mark, ...]
    in_fractions: bool = False  # boxes are from 0 to 1 of the image's width and height, not in pixels


@dataclass(frozen=True, eq=False)
class _Checked:
    image: Path
    size: tuple[int, int]
    boxes: Tensor
    marks: tuple[Mark, ...]


def annotate(parts: Mapping[str, Iterable[Sheet | Broken]], classes: Sequence[str] | None, place: Path) -> BoxedParts:
    """Check what files say of the images of each part, and put it in tensors; faults stay in the order of the files.

    classes: in their order; None takes the names that usable boxes of all parts have, sorted. A second sheet for an image is
    skipped, as are images that are missing, cannot be opened or are not of the size that their file says, and boxes of no
    area, outside the image or with a value that is no number; boxes partly outside are cut. Raises ValueError where no
    image of `place` has a box that can be used.
    """
    checked = {part: list(_check_sheets(sheets)) for part, sheets in parts.items()}
    names = {mark.name for rows in checked.values() for row in rows if isinstance(row, _Checked) for mark in row.marks}
    if not names:
        faults = [row for rows in checked.values() for row in rows if isinstance(row, Broken)]
        raise ValueError(f"{place} has no box that can be used; {_first(faults)}")
    order = tuple(classes) if classes is not None else sort_classes(names)
    return {part: _part(rows, order) for part, rows in checked.items()}


def read_size(path: Path) -> tuple[int, int]:
    """Height and width that `read_image` would give, from the file's header; EXIF's rotation is obeyed.

    Raises ValueError for a file that is missing, is no image by its header, or is of a size that `read_image` refuses.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is no file")  # a pipe could keep us waiting for ever
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which check_size refuses
            with Pillow.open(path, formats=FORMATS) as image:
                height, width = (image.width, image.height) if _is_turned(image, path) else (image.height, image.width)
    except FileNotFoundError:
        raise ValueError(f"there is no image {path}") from None
    except Exception as error:  # Pillow's openers raise nearly every type there is
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"{path} cannot be opened as an image ({reason}); replace the file") from None
    check_size(width, height, str(path))
    return height, width


def parse_number(value: object) -> float:
    """A number in text or JSON as float. Raises ValueError for what is no finite number."""
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        if math.isfinite(number):
            return number
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{str(value)[:40]!r} is not a number")


def _is_turned(image: Pillow.Image, path: Path) -> bool:
    """Whether EXIF has height and width change places, and Pillow has not done so in `size` (as it has for TIFF)."""
    if image.format == "TIFF":
        return False
    if image.format == "PNG":  # whose EXIF may lie after the pixels: Pillow would decode them to get there
        content = read_file(path)
        return any(chunk in content for chunk in TURNED_PNG) and read_orientation(content) >= 5
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
    except Exception:  # EXIF that cannot be read says nothing about rotation
        return False


def _check_sheets(sheets: Iterable[Sheet | Broken]) -> Iterator[_Checked | Broken]:
    seen: dict[Path, str] = {}
    for sheet in sheets:
        if isinstance(sheet, Broken):
            yield sheet
        elif sheet.image in seen:
            yield Broken(sheet.source, f"image {sheet.image} is listed twice; skipped, {seen[sheet.image]} had it before")
        else:
            seen[sheet.image] = sheet.source
            yield from _check_sheet(sheet)


def _check_sheet(sheet: Sheet) -> Iterator[_Checked | Broken]:
    """Faults of an image, then the image, if it can be used."""
    try:
        height, width = read_size(sheet.image)
    except ValueError as error:
        yield Broken(sheet.source, f"{error}; image skipped")
        return
    if sheet.size not in (None, (height, width)):
        said = f"{sheet.size[1]}x{sheet.size[0]}" if sheet.size else ""
        yield Broken(sheet.source, f"is for {said} pixels, but {sheet.image} has {width}x{height} upright; image skipped")
        return
    scale = (width, height, width, height) if sheet.in_fractions else (1, 1, 1, 1)
    edges = torch.tensor([mark.box for mark in sheet.marks], dtype=torch.float64).reshape(-1, 4) * torch.tensor(scale)
    boxes, is_kept, whys = _cut(edges, height, width)
    for index, why in whys.items():
        mark, box = sheet.marks[index], " ".join(f"{edge:.6g}" for edge in edges[index].tolist())
        yield Broken(sheet.source, f"object {mark.number} ({mark.name}): box {box} {why}")
    kept = tuple(mark for mark, is_so in zip(sheet.marks, is_kept.tolist(), strict=True) if is_so)
    yield _Checked(sheet.image, (height, width), boxes[is_kept], kept)


def _cut(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, dict[int, str]]:
    """Of float64 (R,4): the same within the image, float32; bool (R,), which to keep; by index what was wrong with them."""
    far = torch.tensor([width, height, width, height], dtype=torch.float64)
    inside = boxes.clamp(min=torch.zeros(4, dtype=torch.float64), max=far).float()
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(1)
    is_kept = has_area & (inside[:, 2:] > inside[:, :2]).all(1)  # in float32, where a hair's breadth may be nothing
    sticks_out = torch.maximum(-boxes, boxes - far).amax(1) > SLACK
    whys = dict.fromkeys(_where(~is_kept), f"has no area within the {width}x{height} image; skipped")
    whys |= dict.fromkeys(_where(~has_area), "has no area; skipped")
    whys |= dict.fromkeys(_where(is_kept & sticks_out), f"reaches out of the {width}x{height} image; cut to it")
    return inside, is_kept, dict(sorted(whys.items()))


def _where(mask: Tensor) -> list[int]:
    return mask.nonzero().flatten().tolist()


def _part(rows: Sequence[_Checked | Broken], classes: tuple[str, ...]) -> Annotations:
    index_of = {name: index for index, name in enumerate(classes)}
    images = tuple(_annotated(row, index_of) for row in rows if isinstance(row, _Checked))
    return Annotations(images, classes, tuple(row for row in rows if isinstance(row, Broken)))


def _annotated(row: _Checked, index_of: Mapping[str, int]) -> Annotated:
    labels = torch.tensor([index_of[mark.name] for mark in row.marks], dtype=torch.int64)
    is_difficult = torch.tensor([mark.is_difficult for mark in row.marks], dtype=torch.bool)
    return Annotated(File(row.image), *row.size, row.boxes, labels, is_difficult)


def _first(faults: Sequence[Broken]) -> str:
    """In words, what went wrong first."""
    if not faults:
        return "its images have none"
    return f"the first of {len(faults)} faults: {faults[0].name}: {faults[0].error}"
