"""Boxes in CSV: columns by name, parts, images without objects, and faults that are named by their line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fourfold.data.annotated import Annotations, BoxedParts
from fourfold.data.boxed import find_boxed_parts
from fourfold.data.boxes_csv import read_boxes_csv
from fourfold.data.listing import WHOLE

WIDTH, HEIGHT = 40, 30


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b c.png", "in/d.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name)
    return tmp_path / "boxes.csv"


def read(table: Path, *lines: str) -> BoxedParts:
    table.write_text("\n".join(lines), encoding="utf-8")
    return read_boxes_csv(table)


def names(part: Annotations) -> list[str]:
    return [Path(image.item.name).name for image in part.images]


def test_lines_are_objects_and_images_stay_in_order(table: Path) -> None:
    found = read(
        table,
        "path,label,x1,y1,x2,y2",
        " b c.png , 10,1,2,20.5,30",
        "a.png,9,0,0,40,30",
        "b c.png,9,5,6,7,8",
        "",
        "in/d.png,,,,,",
    )[WHOLE]

    assert names(found) == ["b c.png", "a.png", "d.png"]
    assert found.classes == ("9", "10")
    assert [image.boxes.tolist() for image in found.images] == [[[1, 2, 20.5, 30], [5, 6, 7, 8]], [[0, 0, 40, 30]], []]
    assert [image.labels.tolist() for image in found.images] == [[1, 0], [0], []]
    assert found.faults == ()
    assert find_boxed_parts(table)[WHOLE].images[0].boxes.tolist() == [[1, 2, 20.5, 30], [5, 6, 7, 8]]


def test_columns_are_found_by_name_in_any_order_and_others_are_left_alone(table: Path) -> None:
    found = read(table, "Y2;X1;note;Class;X2;Image;Y1", '9;1;"a;b";cat;8;a.png;2')[WHOLE]

    assert found.images[0].boxes.tolist() == [[1, 2, 8, 9]]
    assert found.classes == ("cat",)


def test_a_column_of_splits_divides_the_images(table: Path) -> None:
    found = read(
        table, "path,label,x1,y1,x2,y2,split", "a.png,x,0,0,9,9,valid", "b c.png,y,0,0,9,9,Train", "in/d.png,x,0,0,8,9,train"
    )

    assert {part: names(images) for part, images in found.items()} == {"val": ["a.png"], "train": ["b c.png", "d.png"]}
    assert {images.classes for images in found.values()} == {("x", "y")}


def test_objects_that_cannot_be_used_are_named_and_the_rest_stays(table: Path) -> None:
    found = read(
        table,
        "path,label,x1,y1,x2,y2",
        "a.png,x,0,0,nine,9",
        "a.png,,0,0,9,9",
        "a.png,x,,,9,9",
        "a.png,x,1,1,9,9",
        "a.png,x,5,5,5,9",
        "gone.png,x,0,0,9,9",
        "b c.png,x,0,0,99,9",
    )[WHOLE]

    assert names(found) == ["a.png", "b c.png"]
    assert found.images[0].boxes.tolist() == [[1, 1, 9, 9]]
    assert found.images[1].boxes.tolist() == [[0, 0, 40, 9]]
    said = [fault.error for fault in found.faults]
    assert all(fault.name == str(table) for fault in found.faults)
    assert said[:3] == [
        "object 1: 'nine' is not a number; skipped",
        "object 2: it has no class name; skipped",
        "object 3: '' is not a number; skipped",
    ]
    assert said[3] == "object 5 (x): box 5 5 5 9 has no area; skipped"
    assert "there is no image" in said[4]
    assert said[5].startswith("object 7 (x): box 0 0 99 9 reaches out")


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (("path,label,x1,y1,x2", "a.png,x,0,0,9"), "has no column y2; begin it with the line path,label,x1,y1,x2,y2"),
        (("label,x1,y1,x2,y2", "x,0,0,9,9"), "has no column path or file or image or filename"),
        (("path,label,x1,y1,x2,y2", "a.png,x,0,0,9"), "line 2 has 5 columns; the header has 6"),
        (("path,label,x1,y1,x2,y2,split", "a.png,x,0,0,9,9,odd"), "line 2: no split 'odd'; splits are train, val and test"),
        (("path,label,x1,y1,x2,y2", "", ",x,0,0,9,9"), "line 3 has no path"),
        (("path,label,x1,y1,x2,y2", 'a.png,"x,0,0,9,9'), "is not CSV"),
        (("path,label,x1,y1,x2,y2", "a.png,,,,,"), "has no box that can be used"),
        (("path,label,x1,y1,x2,y2",), "has no box that can be used"),
        (("",), "has no box that can be used"),
    ],
)
def test_what_is_no_table_of_boxes_is_refused(table: Path, lines: tuple[str, ...], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read(table, *lines)


def test_a_file_that_is_no_text_is_refused(table: Path) -> None:
    table.write_bytes(b"path,label\xff\n")
    with pytest.raises(ValueError, match="give a text file in UTF-8"):
        read_boxes_csv(table)
