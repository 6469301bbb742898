"""A path's layout is found, the same boxes come out of all of them, and images are divided as the source or a hash says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourfold.data.annotated import Annotations
from fourfold.data.boxed import boxed_test, find_boxed, find_boxed_parts
from fourfold.data.listing import WHOLE

CLASSES = ("10", "9", "a b", "ü")
Boxes = list[tuple[int, tuple[float, float, float, float]]]


@dataclass(frozen=True)
class Picture:
    """What the writers below put into a data set."""

    name: str
    width: int
    height: int
    boxes: Boxes


def draw(count: int, seed: int, whole: bool = False) -> list[Picture]:
    """Pictures of several sizes with 0 to 4 random boxes, all classes in the first."""
    random = np.random.default_rng(seed)
    pictures = []
    for index in range(count):
        width, height = (int(side) for side in random.integers(20, 90, 2))
        rows: Boxes = []
        for label in range(len(CLASSES)) if index == 0 else random.integers(0, len(CLASSES), random.integers(0, 5)):
            x, y = np.sort(random.uniform(0, width, 2)), np.sort(random.uniform(0, height, 2))
            edges = (float(x[0]), float(y[0]), float(x[1]) + 0.01, float(y[1]) + 0.01)
            x1, y1, x2, y2 = (min(edge, side) for edge, side in zip(edges, (width, height) * 2, strict=True))
            box = (x1 // 1, y1 // 1, x2 // 1 + 1, y2 // 1 + 1) if whole else (x1, y1, x2, y2)
            rows.append((int(label), (box[0], box[1], min(box[2], width), min(box[3], height))))
        pictures.append(Picture(f"p{index:03}", width, height, rows))
    return pictures


def write_images(folder: Path, pictures: list[Picture]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        Image.new("RGB", (picture.width, picture.height)).save(folder / f"{picture.name}.png")


def write_voc(root: Path, parts: dict[str, list[Picture]]) -> None:
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for part, pictures in parts.items():
        write_images(root / "JPEGImages", pictures)
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(picture.name for picture in pictures))
        for picture in pictures:
            text = f"<annotation><size><width>{picture.width}</width><height>{picture.height}</height></size>"
            for label, (x1, y1, x2, y2) in picture.boxes:
                text += f"<object><name>{CLASSES[label]}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
                text += f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            (root / "Annotations" / f"{picture.name}.xml").write_text(text + "</annotation>", encoding="utf-8")


def write_coco(root: Path, parts: dict[str, list[Picture]]) -> None:
    (root / "annotations").mkdir(parents=True)
    for part, pictures in parts.items():
        write_images(root / part, pictures)
        images = [
            {"id": number, "file_name": f"{picture.name}.png", "width": picture.width, "height": picture.height}
            for number, picture in enumerate(pictures)
        ]
        rows = [
            {"image_id": number, "category_id": 10 + label, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
            for number, picture in enumerate(pictures)
            for label, (x1, y1, x2, y2) in picture.boxes
        ]
        categories = [{"id": 10 + label, "name": name} for label, name in enumerate(CLASSES)]
        content = {"images": images, "annotations": rows, "categories": categories[::-1]}
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))


def write_yolo(root: Path, parts: dict[str, list[Picture]]) -> None:
    for part, pictures in parts.items():
        write_images(root / "images" / part, pictures)
        (root / "labels" / part).mkdir(parents=True)
        for picture in pictures:
            lines = [
                f"{label} {(x1 + x2) / 2 / picture.width:.9f} {(y1 + y2) / 2 / picture.height:.9f} "
                f"{(x2 - x1) / picture.width:.9f} {(y2 - y1) / picture.height:.9f}\n"
                for label, (x1, y1, x2, y2) in picture.boxes
            ]
            (root / "labels" / part / f"{picture.name}.txt").write_text("".join(lines))
    places = "".join(f"{part}: images/{part}\n" for part in parts)
    (root / "data.yaml").write_text(f"{places}names: {json.dumps(CLASSES)}\n", encoding="utf-8")


def write_csv(root: Path, parts: dict[str, list[Picture]]) -> None:
    """One file for all parts; an image without boxes has a line with nothing but its path."""
    lines = ["y1,x1,label,path,split,y2,x2"]
    for part, pictures in parts.items():
        write_images(root / part, pictures)
        for picture in pictures:
            place = f"{part}/{picture.name}.png,{part}"
            lines += [f"{y1},{x1},{CLASSES[label]},{place},{y2},{x2}" for label, (x1, y1, x2, y2) in picture.boxes]
            lines += [] if picture.boxes else [f",,,{place},,"]
    (root / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


WRITERS: dict[str, Callable[[Path, dict[str, list[Picture]]], None]] = {
    "voc": write_voc,
    "coco": write_coco,
    "yolo": write_yolo,
    "csv": write_csv,
}
layouts = pytest.mark.parametrize("layout", WRITERS)


def place_of(folder: Path, layout: str) -> Path:
    return folder / "boxes.csv" if layout == "csv" else folder


def stems(part: Annotations) -> list[str]:
    return [Path(image.item.name).stem for image in part.images]


def expect_equal(found: Annotations, pictures: list[Picture]) -> None:
    assert found.classes == CLASSES
    assert stems(found) == [picture.name for picture in pictures]
    for image, picture in zip(found.images, pictures, strict=True):
        assert (image.height, image.width) == (picture.height, picture.width)
        assert image.labels.tolist() == [label for label, _ in picture.boxes]
        for got, (_, box) in zip(image.boxes.tolist(), picture.boxes, strict=True):
            assert got == pytest.approx(box, abs=1e-4)
    assert found.faults == ()


@layouts
@pytest.mark.parametrize("whole", [False, True])
def test_the_same_boxes_come_out_of_every_layout(tmp_path: Path, layout: str, whole: bool) -> None:
    train, val, test = draw(6, 1, whole), draw(3, 2, whole), draw(4, 3, whole)
    val, test = (
        [Picture(f"{n}-{p.name}", p.width, p.height, p.boxes) for p in part] for n, part in (("v", val), ("t", test))
    )
    WRITERS[layout](tmp_path / "data", {"train": train, "val": val, "test": test})

    found = find_boxed(place_of(tmp_path / "data", layout), seed=0)

    expect_equal(found.train, train)
    expect_equal(found.val, val)
    assert found.test is not None
    expect_equal(found.test, test)
    assert found.origin == "val"


@layouts
def test_without_val_the_test_part_checks_and_the_origin_says_so(tmp_path: Path, layout: str) -> None:
    WRITERS[layout](tmp_path / "data", {"train": draw(3, 1), "test": draw(2, 2)})

    found = find_boxed(place_of(tmp_path / "data", layout), seed=0)

    assert found.test is None
    assert stems(found.val) == ["p000", "p001"]
    assert found.origin.startswith("test, as there is no val")


def test_a_tenth_is_held_out_and_the_same_one_in_every_layout(tmp_path: Path) -> None:
    pictures = draw(30, 1)
    for layout, write in WRITERS.items():
        write(tmp_path / layout, {"train": pictures})

    found = {layout: find_boxed(place_of(tmp_path / layout, layout), seed=3) for layout in WRITERS}
    other = find_boxed(tmp_path / "voc", seed=4)

    for splits in found.values():
        assert len(splits.val) == 3
        assert sorted(stems(splits.train) + stems(splits.val)) == [picture.name for picture in pictures]
        assert stems(splits.val) == stems(found["voc"].val) != stems(other.val)
        assert splits.train.classes == splits.val.classes == CLASSES
        assert splits.origin == "10% of train, held out"
        assert splits.test is None


def test_images_of_val_that_are_in_train_are_counted(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"train": draw(4, 1)})
    yaml = tmp_path / "data.yaml"
    yaml.write_text(yaml.read_text(encoding="utf-8") + "val: images/train\n", encoding="utf-8")

    assert find_boxed(yaml, seed=0).origin == "val, 4 of whose 4 images are in train too"


def test_one_image_trains_and_nothing_checks(tmp_path: Path) -> None:
    write_coco(tmp_path, {"train": draw(1, 1)})

    found = find_boxed(tmp_path / "annotations" / "instances_train.json", seed=0)

    assert (len(found.train), len(found.val)) == (1, 0)
    assert found.val.classes == CLASSES
    assert found.origin == "none, as there is one image only"


def test_a_test_part_without_boxes_is_left_out_and_another_refused(tmp_path: Path) -> None:
    bare = [Picture("q", 20, 20, [])]
    write_yolo(tmp_path / "a", {"train": draw(3, 1), "val": draw(3, 1), "test": bare})
    write_yolo(tmp_path / "b", {"train": draw(3, 1), "val": bare})

    assert find_boxed(tmp_path / "a", seed=0).test is None
    assert "test" in find_boxed_parts(tmp_path / "a")
    with pytest.raises(ValueError, match="no box that can be used in its val part"):
        find_boxed(tmp_path / "b", seed=0)


def test_boxes_that_are_all_held_out_are_refused(tmp_path: Path) -> None:
    pictures = [Picture(f"p{index}", 20, 20, [(0, (1, 1, 9, 9))]) for index in range(2)]
    write_yolo(tmp_path / "a", {"train": pictures})
    (held,) = stems(find_boxed(tmp_path / "a", seed=0).val)
    write_yolo(tmp_path / "b", {"train": [p if p.name == held else Picture(p.name, 20, 20, []) for p in pictures]})

    with pytest.raises(ValueError, match="all boxes are in 1 images that are held out"):
        find_boxed(tmp_path / "b", seed=0)


def test_parts_without_train_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, {"val": draw(2, 1), "test": draw(2, 1)})

    with pytest.raises(ValueError, match="has val and test images but none to train on"):
        find_boxed(tmp_path, seed=0)


def test_a_single_part_is_divided_whatever_it_is_called(tmp_path: Path) -> None:
    write_coco(tmp_path, {"val": draw(5, 1)})

    assert list(find_boxed_parts(tmp_path / "annotations" / "instances_val.json")) == [WHOLE]
    assert find_boxed(tmp_path, seed=0).origin == "10% of val, held out"


def test_a_path_that_is_no_layout_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "a.txt").touch()

    with pytest.raises(ValueError, match=r"no known layout of boxes; looked for Annotations/\*\.xml .*labels/ \(YOLO\)"):
        find_boxed_parts(tmp_path)
    with pytest.raises(
        ValueError, match=r"a\.txt is not known as boxes; give a COCO \.json, a YOLO \.yaml, a \.csv, or a folder"
    ):
        find_boxed_parts(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="no folder or file"):
        find_boxed_parts(tmp_path / "gone")


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [(("train", "val", "test"), "test"), (("train", "val"), "val"), (("train",), "train"), (("",), "")],
)
def test_the_part_to_measure_on_is_the_last_there_is_unless_it_is_named(
    tmp_path: Path, parts: tuple[str, ...], wanted: str
) -> None:
    lines = ["path,label,x1,y1,x2,y2" + (",split" if parts[0] else "")]
    for number, part in enumerate(parts):
        Image.new("RGB", (20, 30)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,cat,1,1,9,9" + (f",{part}" if part else ""))
    (tmp_path / "boxes.csv").write_text("\n".join(lines), encoding="utf-8")

    found, name = boxed_test(tmp_path / "boxes.csv")

    assert name == wanted
    assert [Path(image.item.name).name for image in found.images] == [f"{parts.index(wanted)}.png"]
    if parts[0]:
        assert boxed_test(tmp_path / "boxes.csv", "train")[1] == "train"
    with pytest.raises(ValueError, match="has no part 'other'; it has "):
        boxed_test(tmp_path / "boxes.csv", "other")
