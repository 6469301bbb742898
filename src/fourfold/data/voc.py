"""PASCAL VOC: an XML file for each image, as the challenge, labelImg, CVAT and Roboflow write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from fourfold.data.annotated import BoxedParts, Mark, Sheet, annotate, parse_number
from fourfold.data.listing import PART_WORDS, WHOLE, Broken
from fourfold.images import SUFFIXES, read_file

LISTS = {"train": "train", "val": "val", "test": "test", "trainval": "train"}  # of ImageSets/Main, with their parts
EDGES = ("xmin", "ymin", "xmax", "ymax")
IMAGES = ("JPEGImages", "images")


def is_voc(folder: Path) -> bool:
    """Whether a folder, its Annotations/, or a train/, val/ or test/ in it has XML files."""
    return any(_has_xml(place) for place in (folder, folder / "Annotations", *_part_folders(folder).values()))


def read_voc(folder: Path) -> BoxedParts:
    """The parts that ImageSets/Main names, or folders train/, val/ and test/ of XML files, or all XML files as one.

    trainval.txt is the train part where there is no train.txt. An image lies in JPEGImages/, images/ or beside its XML
    file, and has the name of that. Boxes count pixels from 1 and hold both ends (VOC devkit, 1.3): 1 1 W H is the image,
    and its edges are 0 0 W H. Objects that are marked difficult are kept so. The classes are those that occur, sorted.
    Raises ValueError where no box can be used; see `annotate` for what is skipped.
    """
    home = folder / "Annotations" if _has_xml(folder / "Annotations") else folder
    lists = _lists(folder) if home != folder else {}
    inner = {} if _has_xml(home) else _part_folders(folder)
    if lists:
        parts = {part: _sheets(_listed(path, home), folder) for part, path in lists.items()}
    elif inner:
        parts = {part: _sheets(sorted(below.glob("*.xml")), below) for part, below in inner.items()}
    else:
        parts = {WHOLE: _sheets(sorted(home.glob("*.xml")), folder)}
    return annotate(parts, None, folder)


def _has_xml(folder: Path) -> bool:
    return next(folder.glob("*.xml"), None) is not None


def _part_folders(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for below in sorted(folder.glob("*/")):
        part = PART_WORDS.get(below.name.lower())
        if part and _has_xml(below) and found.setdefault(part, below) != below:
            raise ValueError(f"{folder} has both {found[part].name}/ and {below.name}/; leave one of them")
    return {part: found[part] for part in ("train", "val", "test") if part in found}


def _lists(folder: Path) -> dict[str, Path]:
    """The list of each part that has one; train.txt before trainval.txt, which holds val too."""
    found: dict[str, Path] = {}
    for stem, part in LISTS.items():
        path = folder / "ImageSets" / "Main" / f"{stem}.txt"
        if path.is_file():
            found.setdefault(part, path)
    return found


def _listed(path: Path, home: Path) -> list[Path]:
    """The XML files of the names in a list, whether there or not."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8; write one name on each line") from None
    return [home / f"{line.strip()}.xml" for line in lines if line.strip()]


def _sheets(files: list[Path], folder: Path) -> Iterator[Sheet | Broken]:
    for path in files:
        try:
            root = _parse(path)
        except ValueError as error:
            yield Broken(str(path), f"{error}; image skipped")
            continue
        marks: list[Mark] = []
        for number, element in enumerate(root.findall("object"), start=1):
            try:
                marks.append(_mark(number, element))
            except ValueError as error:
                yield Broken(str(path), f"object {number}: {error}; skipped")
        yield Sheet(str(path), _image(path, folder), _size(root), tuple(marks))


def _parse(path: Path) -> ElementTree.Element:
    """The <annotation> of a file. Raises ValueError for damage, and for a DTD: its entities may unfold without end."""
    content = read_file(path, "the file")
    if b"<!DOCTYPE" in content.replace(b"\0", b""):  # without its zeros, UTF-16 reads as ASCII; no other encoding hides it
        raise ValueError("it declares a DTD, which VOC does not need and which is not read; remove <!DOCTYPE ...>")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last two: an encoding that is not known
        raise ValueError(f"it is no whole XML ({error})") from None
    if root.tag != "annotation":
        raise ValueError(f"it holds <{root.tag}> and no <annotation>")
    return root


def _mark(number: int, element: ElementTree.Element) -> Mark:
    name = _text(element, "name")
    if not name:
        raise ValueError("it has no class name")
    missing = [edge for edge in EDGES if not _text(element, f"bndbox/{edge}")]
    if missing:
        raise ValueError(f"{name} has no bndbox/{missing[0]}")
    x1, y1, x2, y2 = (parse_number(_text(element, f"bndbox/{edge}")) for edge in EDGES)
    return Mark(number, name, (x1 - 1, y1 - 1, x2, y2), _text(element, "difficult").lower() in ("1", "true"))


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Height and width as the file says; None where it does not, or says 0, as some tools do."""
    try:
        height, width = (int(parse_number(_text(root, f"size/{side}"))) for side in ("height", "width"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None


def _image(path: Path, folder: Path) -> Path:
    """The image of an XML file; where there is none, the place where the challenge would have it.

    By the file's own name: what its <filename> says is often a name from before the images were renamed.
    """
    places = [folder / name for name in IMAGES] + [path.parent]
    for place in places:
        for suffix in (".jpg", *sorted(SUFFIXES - {".jpg"})):
            for name in (path.stem + suffix, path.stem + suffix.upper()):
                if (place / name).is_file():
                    return place / name
    return (places[0] if places[0].is_dir() else path.parent) / f"{path.stem}.jpg"
