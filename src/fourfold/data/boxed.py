"""Which layout of boxes a path holds, and its images divided into those to learn from and those to check against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fourfold.data import boxes_csv, coco, voc, yolo
from fourfold.data.annotated import Annotations, BoxedParts
from fourfold.data.listing import WHOLE, Listing
from fourfold.data.splits import HELD_OUT, hold_out


@dataclass(frozen=True)
class BoxedSplits:
    """Annotated images to learn from, to check against and to test on, and in words where the second came from.

    Where the source has test images and no validation images, `val` holds the test images and `test` is None. `val` is
    empty where there is one image only.
    """

    train: Annotations
    val: Annotations
    test: Annotations | None
    origin: str


def find_boxed(path: str | Path, *, seed: int) -> BoxedSplits:
    """The images of a detection data set for training; `path` as for `find_boxed_parts`.

    Where there are neither validation nor test images, a tenth is held out by a hash of (seed, file name), the same ones
    in whichever layout the data set is. Faults found in a part that is divided stay with train. A test part without any
    box is left out. Raises ValueError where the data cannot be found or read, or train or val has no box.
    """
    parts = find_boxed_parts(path)
    if "test" in parts and not parts["test"].num_boxes:
        del parts["test"]
    for name, part in parts.items():
        if not part.num_boxes:
            raise ValueError(f"{path} has no box that can be used in its {name} part; add boxes or remove the part")
    if len(parts) == 1:
        ((name, whole),) = parts.items()
        return _divide(whole, seed, f" of {name}" if name else "")
    if "train" not in parts:
        raise ValueError(f"{path} has {' and '.join(parts)} images but none to train on; name a part train")
    train = parts["train"]
    if "val" in parts:
        return BoxedSplits(train, parts["val"], parts.get("test"), "val" + _overlap(train, parts["val"]))
    return BoxedSplits(train, parts["test"], None, "test, as there is no val" + _overlap(train, parts["test"]))


def find_boxed_parts(path: str | Path) -> BoxedParts:
    """The parts that a source has, of the same classes: "train", "val" and "test", or WHOLE alone.

    path: a folder in the layout of PASCAL VOC, COCO or YOLO, in this order where it has several; a JSON file of COCO's, a
    YAML file of YOLO's, or a CSV file of boxes. Raises ValueError where it is none of them, saying what was looked for.
    """
    place = Path(path)
    if not place.exists():
        raise ValueError(
            f"no folder or file {path}; give a folder of annotated images, a COCO .json, a YOLO .yaml or a .csv"
        )
    if place.is_file():
        if place.suffix.lower() == ".json":
            return coco.read_coco(place)
        if place.suffix.lower() in yolo.YAML:
            return yolo.read_yolo(place)
        if place.suffix.lower() == ".csv":
            return boxes_csv.read_boxes_csv(place)
        raise ValueError(f"{path} is not known as boxes; give a COCO .json, a YOLO .yaml, a .csv, or a folder")
    for is_layout, read in ((voc.is_voc, voc.read_voc), (coco.is_coco, coco.read_coco), (yolo.is_yolo, yolo.read_yolo)):
        if is_layout(place):
            return read(place)
    raise ValueError(
        f"{path} is no known layout of boxes; looked for Annotations/*.xml or *.xml (VOC), annotations/*.json or "
        f"<part>/{coco.ROBOFLOW} (COCO), and a .yaml with names or images/ beside labels/ (YOLO)"
    )


def boxed_test(data: str | Path, split: str | None = None) -> tuple[Annotations, str]:
    """The images of a detection data set to measure on, and the name of their part: test, else val, else all, else train.

    split: the part to take instead. Raises ValueError where the data cannot be read, or have no such part.
    """
    parts = find_boxed_parts(data)
    if split is not None and split not in parts:
        raise ValueError(f"{data} has no part {split!r}; it has {', '.join(name or 'no parts' for name in parts)}")
    name = split or next((each for each in ("test", "val", WHOLE) if each in parts), "train")
    return parts[name], name


def _divide(train: Annotations, seed: int, of: str) -> BoxedSplits:
    """A tenth of the images held out. Raises ValueError where all boxes are in that tenth."""
    rest, held = hold_out(
        Listing(tuple(image.item for image in train.images), (0,) * len(train), (WHOLE,)),
        seed,
        lambda item: Path(item.name).name,
    )
    names = {item.name for item in held.items}
    val = tuple(image for image in train.images if image.item.name in names)
    kept = Annotations(tuple(i for i in train.images if i.item.name not in names), train.classes, train.faults)
    if not kept.num_boxes:
        raise ValueError(f"all boxes are in {len(held)} images that are held out; annotate more of the {len(rest)} others")
    origin = f"{HELD_OUT:.0%}{of}, held out" if val else "none, as there is one image only"
    return BoxedSplits(kept, Annotations(val, train.classes, ()), None, origin)


def _overlap(train: Annotations, val: Annotations) -> str:
    """In words, how many images of val are in train too."""
    names = {image.item.name for image in train.images}
    shared = sum(image.item.name in names for image in val.images)
    return f", {shared} of whose {len(val)} images are in train too" if shared else ""
