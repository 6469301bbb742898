"""Files of boxes as other programs write them are read, and what is wrong with one is said with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fourfold.detect.box_files import read_box_file, stem_of


def saved(folder: Path, content: object, name: str = "boxes.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_cocos_results_are_found_by_number_or_by_name(tmp_path: Path) -> None:
    records = [
        {"image_id": 42, "category_id": 18, "bbox": [258.5, 41, 348, 243], "score": 0.25},
        {"image_id": 42, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.75},
        {"image_id": 9, "file_name": "photos\\cat.JPG", "category": "cat", "bbox": [0, 0, 5, 5], "score": 1},
    ]

    file = read_box_file(saved(tmp_path, records))

    assert file.boxes("val/000000000042.jpg", 480, 640).tolist() == [[1, 2, 4, 6], [258.5, 41, 606.5, 284]]
    found = file.detections("000000000042.jpg", 480, 640, ["car", "dog"], ids=[3, 18])
    assert (found.labels.tolist(), found.scores.tolist()) == ([0, 1], [0.75, 0.25])
    assert file.detections("cat.png", 480, 640, ["dog", "cat"]).labels.tolist() == [1]
    assert len(file.detections("000000000009.jpg", 480, 640, ["dog"])) == 0  # the file's name comes before its number


def test_numbers_of_classes_count_from_one_in_coco_and_from_zero_in_yolo(tmp_path: Path) -> None:
    coco = read_box_file(saved(tmp_path, [{"image_id": "a", "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]))
    (tmp_path / "labels").mkdir()
    saved(tmp_path / "labels", "1 .5 .5 1 1 .9\n", "a.txt")
    yolo = read_box_file(tmp_path / "labels")

    assert coco.detections("a.jpg", 9, 9, ["x", "y"]).labels.tolist() == [0]
    assert yolo.detections("a.jpg", 9, 9, ["x", "y"]).labels.tolist() == [1]


def test_boxes_without_scores_stay_in_order_and_equal_scores_too(tmp_path: Path) -> None:
    bare = [{"file_name": "a.jpg", "bbox": [left, 0, 1, 1]} for left in (5, 3, 9)]
    equal = [{"file_name": "b.jpg", "bbox": [left, 0, 1, 1], "score": 0.5} for left in (5, 3, 9)]

    file = read_box_file(saved(tmp_path, [*bare, *equal]))

    assert file.boxes("a.jpg", 9, 9)[:, 0].tolist() == [5, 3, 9]
    assert file.boxes("b.jpg", 9, 9)[:, 0].tolist() == [5, 3, 9]


def test_csv_may_lack_class_and_score_have_more_columns_and_a_mark_of_its_encoding(tmp_path: Path) -> None:
    path = saved(tmp_path, '\ufeffx1,y1,x2,y2,image,note\n1,2,3.5,4,"a,b.jpg",hello\n,,,,c.jpg,\n', "boxes.csv")

    file = read_box_file(path)

    assert file.boxes("a,b.jpg", 9, 9).tolist() == [[1, 2, 3.5, 4]]
    assert file.boxes("c.jpg", 9, 9).shape == (0, 4)


def test_yolos_fractions_become_pixels_of_the_image_at_hand(tmp_path: Path) -> None:
    saved(tmp_path, "0 0.5 0.25 0.5 0.5\n\n3 0.1 0.1 0.2 0.2 0.9\n", "a.txt")

    boxes = read_box_file(tmp_path).boxes("a.jpg", 40, 100)

    assert boxes.round(decimals=4).tolist() == [[0, 0, 20, 8], [25, 0, 75, 20]]


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.jpg", "a"), ("x/y.z/a.b.PNG", "a.b"), ("c:\\x\\a.jpeg", "a"), ("v1.2", "v1.2"), ("a", "a"), ("", "")],
)
def test_an_image_is_known_by_its_name_without_folder_and_ending(name: str, stem: str) -> None:
    assert stem_of(name) == stem


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.json", "[{]", "cannot be read as JSON"),
        ("a.json", {"images": []}, "is no list of results; give COCO's results, not its annotations"),
        ("a.json", [{"image_id": 1, "bbox": [0, 0, 1, 1]}, 7], "result 2: it is no object"),
        ("a.json", [{"bbox": [0, 0, 1, 1]}], "result 1: it has no file_name and no image_id"),
        ("a.json", [{"image_id": 1}], "result 1: its bbox is None; write x, y, width, height"),
        ("a.json", [{"image_id": 1, "bbox": [0, 0, 1]}], "its bbox is [0, 0, 1]; write"),
        ("a.json", [{"image_id": 1, "bbox": [0, 0, 1, "x"]}], "result 1: 'x' is not a number"),
        ("a.json", '[{"image_id": 1, "bbox": [0, 0, 1, NaN]}]', "'nan' is not a number"),
        ("a.json", [{"image_id": 1, "bbox": [0, 0, -1, 1]}], "its box 0 0 -1 1 has edges in the wrong order"),
        ("a.json", [{"image_id": 1, "bbox": [0, 0, 1, -2]}], "its box 0 0 1 -2 has edges in the wrong order"),
        ("a.json", [{"image_id": 1, "bbox": [0, 0, 1, 1], "score": "high"}], "'high' is not a number"),
        ("a.json", [{"image_id": 1, "bbox": [0, 0, 1, 1], "category_id": [1]}], "its category is [1]; write"),
        ("a.csv", "image,x1,y1,x2\n", "has no column 'y2'; begin it with the line image,class,score,x1,y1,x2,y2"),
        ("a.csv", "", "has no column 'image'"),
        ("a.csv", "image,x1,y1,x2,y2\na,1,2,3,4\nb,1,2,3\n", "line 3: it has not as many values as there are columns"),
        ("a.csv", "image,x1,y1,x2,y2\na,1,2,3,4,5\n", "line 2: it has not as many values"),
        ("a.csv", "image,x1,y1,x2,y2\na,1,2,3,\n", "line 2: '' is not a number"),
        ("a.csv", "image,x1,y1,x2,y2\na,1,2,0,4\n", "line 2: its box 1 2 0 4 has edges in the wrong order"),
        ("a.csv", 'image,x1,y1,x2,y2\n"a,1,2,3,4\n', "after line 1: unexpected end of data"),
        ("a.txt", "0 .5 .5 1\n", "is no known file of boxes; give COCO's results as .json, a .csv, or a folder"),
    ],
)
def test_a_fault_is_named_with_its_file_and_place(name: str, content: object, fault: str, tmp_path: Path) -> None:
    path = saved(tmp_path, content, name)

    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}.*{re.escape(fault)}"):
        read_box_file(path)


@pytest.mark.parametrize("line", ["0 .5 .5 1", "cat .5 .5 1 1", "-1 .5 .5 1 1", "0 .5 .5 1 1 .9 2", "0 .5 .5 1 x"])
def test_a_wrong_line_of_yolos_is_named(line: str, tmp_path: Path) -> None:
    saved(tmp_path, f"0 .5 .5 1 1\n{line}\n", "a.txt")

    with pytest.raises(ValueError, match=r"a\.txt: line 2: (it is not a class's number|'x' is not a number)"):
        read_box_file(tmp_path)


def test_missing_files_empty_folders_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_box_file(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"has no \.txt file; give a folder of YOLO's text files"):
        read_box_file(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"image,\xff\xfe")
    with pytest.raises(ValueError, match="is not text in UTF-8"):
        read_box_file(tmp_path / "a.csv")


def test_images_that_only_a_folder_tells_apart_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, [{"file_name": f"{folder}/1.jpg", "bbox": [0, 0, 1, 1]} for folder in ("a", "b")])

    with pytest.raises(
        ValueError, match=r"has images a/1.jpg and b/1.jpg, told apart by folder or ending alone; rename one"
    ):
        read_box_file(path)


def test_detections_want_known_classes_and_scores(tmp_path: Path) -> None:
    records = [{"file_name": "a.jpg", "bbox": [0, 0, 1, 1], "category": "cow"}]
    file = read_box_file(saved(tmp_path, records))

    with pytest.raises(ValueError, match=r"has class 'cow' for a.jpg, which is none of cat, dog$"):
        file.detections("a.jpg", 9, 9, ["cat", "dog"])
    with pytest.raises(ValueError, match=r"has a box without a score for a.jpg"):
        file.detections("a.jpg", 9, 9, ["cow"])
