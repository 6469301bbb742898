"""COCO's JSON: parts and images found where tools put them, classes by id, and each broken record named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fourfold.data.annotated import Annotations
from fourfold.data.coco import is_coco, read_coco
from fourfold.data.listing import WHOLE

WIDTH, HEIGHT = 40, 30
CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]


def image(key: Any, name: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "file_name": name, "width": WIDTH, "height": HEIGHT, **more}


def box(key: Any, category: Any, *bbox: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1000, "image_id": key, "category_id": category, "bbox": list(bbox), **more}


def put(path: Path, images: list, annotations: list, categories: Any = CATEGORIES, folder: Path | None = None) -> Path:
    """The JSON file, and its images below `folder`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}), encoding="utf-8")
    for record in images if folder else []:
        assert folder
        (folder / record["file_name"]).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / record["file_name"])
    return path


def names(part: Annotations) -> list[str]:
    return [Path(row.item.name).name for row in part.images]


def test_bbox_is_left_top_width_height_and_classes_are_by_id(tmp_path: Path) -> None:
    boxes = [box(5, 7, 1.5, 2, 10.25, 4), box(4, 3, 0, 0, WIDTH, HEIGHT, iscrowd=1), box(5, 3, 1, 1, 2, 2, iscrowd=0)]
    path = put(tmp_path / "some.json", [image(5, "b.png"), image(4, "a.png")], boxes, folder=tmp_path)

    found = read_coco(path)[WHOLE]

    assert found.classes == ("dog", "cat")
    assert names(found) == ["b.png", "a.png"]
    assert found.images[0].boxes.tolist() == [[1.5, 2, 11.75, 6], [1, 1, 3, 3]]
    assert found.images[0].labels.tolist() == [1, 0]
    assert found.images[1].boxes.tolist() == [[0, 0, WIDTH, HEIGHT]]
    assert found.images[1].is_difficult.tolist() == [True]
    assert found.images[0].is_difficult.tolist() == [False, False]
    assert found.faults == ()


@pytest.mark.parametrize("below", ["train2017", "images/train2017", "images", ".", "annotations", "JPEGImages"])
def test_images_are_found_where_tools_put_them(tmp_path: Path, below: str) -> None:
    path = tmp_path / "annotations" / "instances_train2017.json"
    put(path, [image(1, "sub/a.png")], [box(1, 3, 1, 1, 5, 5)], folder=tmp_path / below)

    assert names(read_coco(tmp_path)["train"]) == ["a.png"]
    assert names(read_coco(path)[WHOLE]) == ["a.png"]


def test_each_file_is_a_part_and_all_have_the_same_classes(tmp_path: Path) -> None:
    for part, categories in (("train", CATEGORIES), ("val", [{"id": 3, "name": "dog"}, {"id": 5, "name": "cow"}])):
        path = tmp_path / "annotations" / f"instances_{part}2017.json"
        put(path, [image(1, f"{part}.png")], [box(1, 3, 1, 1, 5, 5)], categories, tmp_path / f"{part}2017")
    put(tmp_path / "annotations" / "captions_train2017.json", [], [])

    found = read_coco(tmp_path)

    assert {part: names(images) for part, images in found.items()} == {"train": ["train.png"], "val": ["val.png"]}
    assert {images.classes for images in found.values()} == {("dog", "cow", "cat")}


def test_roboflow_has_a_file_in_the_folder_of_each_part(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        path = tmp_path / part / "_annotations.coco.json"
        put(path, [image(0, f"{part}.png")], [box(0, 3, 1, 1, 5, 5)], folder=tmp_path / part)

    assert is_coco(tmp_path)
    assert list(read_coco(tmp_path)) == ["train", "val", "test"]
    assert names(read_coco(tmp_path)["val"]) == ["valid.png"]
    assert not is_coco(tmp_path.parent)


def test_two_files_of_one_part_are_refused(tmp_path: Path) -> None:
    for name in ("train_a", "train_b"):
        put(tmp_path / "annotations" / f"{name}.json", [image(1, "a.png")], [], folder=tmp_path)

    with pytest.raises(ValueError, match="are both train; give the path of one"):
        read_coco(tmp_path)


def test_each_broken_annotation_is_named_and_the_others_stay(tmp_path: Path) -> None:
    broken = [
        (box(99, 3, 1, 1, 5, 5), "no image of id '99'"),
        (box([1], 3, 1, 1, 5, 5), "no image of id '[1]'"),
        (box(1, 4, 1, 1, 5, 5), "no category of id '4'"),
        (box(1, None, 1, 1, 5, 5), "no category of id 'None'"),
        (box(1, 3, 1, 1, 5), "dog has no bbox of four numbers"),
        ({"image_id": 1, "category_id": 3}, "dog has no bbox of four numbers"),
        (box(1, 3, 1, "x", 5, 5), "'x' is not a number"),
        (box(1, 3, 1, 1, float("nan"), 5), "'nan' is not a number"),
        (box(1, 3, 1, 1, None, 5), "'None' is not a number"),
        (box(1, 3, 1, 1, 0, 5), "(dog): box 1 1 1 6 has no area; skipped"),
        (box(1, 3, 5, 1, -4, 5), "(dog): box 5 1 1 6 has no area; skipped"),
        (box(1, 3, 50, 1, 4, 5), "(dog): box 50 1 54 6 has no area within the 40x30 image; skipped"),
        (box(1, 7, -5, 1, 9, 5), "(cat): box -5 1 4 6 reaches out of the 40x30 image; cut to it"),
    ]
    path = put(
        tmp_path / "a.json", [image(1, "a.png")], [box(1, 3, 1, 1, 2, 2), *(row for row, _ in broken)], folder=tmp_path
    )

    found = read_coco(path)[WHOLE]

    assert found.images[0].boxes.tolist() == [[1, 1, 3, 3], [0, 1, 4, 6]]
    assert {fault.name for fault in found.faults} == {str(path)}
    for number, (fault, (_, why)) in enumerate(zip(found.faults, broken, strict=True), start=2):
        assert fault.error.startswith(f"object {number}")
        assert why in fault.error


def test_broken_images_and_categories_are_named(tmp_path: Path) -> None:
    categories = [
        {"id": 1, "name": "猫"},
        {"id": 2, "name": " "},
        {"name": "x"},
        {"id": 3, "name": "猫"},
        {"id": 0, "name": 9},
    ]
    put(tmp_path / "a.json", [image(1, "a.png"), image("s", "b.png")], [], categories, folder=tmp_path)
    images = [image(1, "a.png"), image(1, "c.png"), image(2, "a.png"), {"id": 4}, image(5, "gone.png"), image("s", "b.png")]
    images += [image(6, "d.png", width=41)]
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "d.png")
    path = put(
        tmp_path / "a.json", images, [box(1, 3, 1, 1, 5, 5), box("s", 0, 1, 1, 5, 5), box(1, 2, 1, 1, 2, 2)], categories
    )

    found = read_coco(path)[WHOLE]

    assert found.classes == ("9", "猫")
    assert names(found) == ["a.png", "b.png"]
    assert [row.labels.tolist() for row in found.images] == [[1], [0]]
    words = [
        "category 2 has no name",
        "category 3 has no id",
        "category 4 is called '猫'",
        "image 2 (c.png) is listed twice",
    ]
    words += [
        "image 3 (a.png) is listed twice",
        "image 4 has no id or no file_name",
        "object 3: there is no category",
        "gone.png",
    ]
    for fault, word in zip(found.faults, [*words, "is for 41x30 pixels"], strict=True):
        assert word in fault.error


@pytest.mark.parametrize("text", ["", "[]", "{", '{"images": []}', '{"images": [1], "annotations": [], "categories": []}'])
def test_what_is_no_instances_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)

    with pytest.raises(ValueError, match="give COCO's instances"):
        read_coco(tmp_path / "a.json")


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)

    with pytest.raises(ValueError, match="cannot be read as JSON"):
        read_coco(tmp_path / "a.json")


def test_images_that_are_nowhere_are_refused_with_the_places_looked_at(tmp_path: Path) -> None:
    path = put(tmp_path / "annotations" / "instances_val.json", [image(1, "a.png")], [box(1, 3, 1, 1, 5, 5)])

    with pytest.raises(ValueError, match=r"no image of .*such as a.png, is in any of .*images/val"):
        read_coco(path)
    put(path, [], [])
    with pytest.raises(ValueError, match="lists no image"):
        read_coco(path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4, st.sampled_from([3, 7])), min_size=1, max_size=9))
def test_any_box_comes_back(tmp_path: Path, rows: list) -> None:
    drawn = [(x * 20, y * 15, 0.01 + w * 19, 0.01 + h * 14, key) for x, y, w, h, key in rows]
    path = put(tmp_path / "a.json", [image(1, "a.png")], [box(1, key, *b) for *b, key in drawn], folder=tmp_path)

    found = read_coco(path)[WHOLE].images[0]

    assert found.labels.tolist() == [{3: 0, 7: 1}[key] for *_, key in drawn]
    for got, (x, y, w, h, _) in zip(found.boxes.tolist(), drawn, strict=True):
        assert got == pytest.approx((x, y, x + w, y + h), abs=1e-4)
