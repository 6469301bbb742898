"""YOLO's layout: YAML or folders alone, images and labels found, fractions of the upright image, and each fault named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fourfold.data.annotated import Annotations
from fourfold.data.listing import WHOLE
from fourfold.data.yolo import is_yolo, read_yolo

WIDTH, HEIGHT = 40, 20
ONE = "0 0.5 0.5 0.25 0.5\n"
ONE_BOX = [15.0, 5.0, 25.0, 15.0]


def put(image: Path, label: Path | None, text: str = ONE) -> None:
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(image)
    if label:
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(text, encoding="utf-8")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def names(part: Annotations) -> list[str]:
    return [Path(row.item.name).name for row in part.images]


def read_lines(root: Path, text: str, names: str = "[a, b]") -> Annotations:
    put(root / "images" / "a.png", root / "labels" / "a.txt", text)
    return read_yolo(write(root / "data.yaml", f"train: images\nnames: {names}\n"))["train"]


def test_boxes_are_centre_and_size_in_fractions_of_width_and_height(tmp_path: Path) -> None:
    found = read_lines(tmp_path, ONE + "\n1 .5 .5 1 1\n1.0 0.25 0.5 0.1 0.2")

    assert found.images[0].boxes.tolist() == [ONE_BOX, [0, 0, WIDTH, HEIGHT], pytest.approx([8, 8, 12, 12], abs=1e-5)]
    assert found.images[0].labels.tolist() == [0, 1, 1]
    assert found.images[0].is_difficult.tolist() == [False] * 3
    assert (found.images[0].height, found.images[0].width) == (HEIGHT, WIDTH)
    assert found.classes == ("a", "b")
    assert found.faults == ()


def test_of_a_polygon_the_box_around_it_is_taken(tmp_path: Path) -> None:
    found = read_lines(tmp_path, "0 0.5 0.1 0.75 0.5 0.25 0.9\n0 .1 .2 .3 .2 .3 .4 .1 .4")

    assert found.images[0].boxes.tolist() == [pytest.approx(row) for row in ([10, 2, 30, 18], [4, 4, 12, 8])]


def test_keypoints_after_a_box_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.png", tmp_path / "labels" / "a.txt", ONE.strip() + " 0.9 0.9 2 0.8 0.8 2")
    path = write(tmp_path / "data.yaml", "train: images\nkpt_shape: [2, 3]\nnames: [a]\n")

    assert read_yolo(path)["train"].images[0].boxes.tolist() == [ONE_BOX]


def test_fractions_are_of_the_photo_as_exif_turns_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    put(tmp_path / "images" / "b.png", None)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "a.jpg", exif=exif)
    write(tmp_path / "labels" / "a.txt", ONE)

    found = read_yolo(write(tmp_path / "data.yaml", "train: images\nnames: [a]\n"))["train"].images[0]

    assert (found.height, found.width) == (WIDTH, HEIGHT)
    assert found.boxes.tolist() == [[7.5, 10, 12.5, 30]]


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("[no, on, 1.0, ~, 2020-01-01]", ("no", "on", "1.0", "~", "2020-01-01")),  # a loader that guesses makes no False
        ("{0: cat dog, 1: '猫', 2: c}", ("cat dog", "猫", "c")),
        ("{7: c, 0: a, 2: b}", ("a", "b", "c")),
    ],
)
def test_names_are_text_in_the_order_of_their_indices(tmp_path: Path, text: str, classes: tuple[str, ...]) -> None:
    assert read_lines(tmp_path, ONE, text).classes == classes


def test_labels_follow_the_index_where_indices_have_gaps(tmp_path: Path) -> None:
    found = read_lines(tmp_path, "7 .5 .5 .1 .1\n0 .5 .5 .1 .1\n1 .5 .5 .1 .1", "{7: c, 0: a, 2: b}")

    assert found.images[0].labels.tolist() == [2, 0]
    assert [fault.error for fault in found.faults] == ["object 3: there is no class '1'; skipped"]


def test_a_class_without_a_name_is_a_fault_and_its_objects_too(tmp_path: Path) -> None:
    found = read_lines(tmp_path, "2 .5 .5 .1 .1\n1 .5 .5 .1 .1", "[a, '', b]")

    assert found.classes == ("a", "b")
    assert found.images[0].labels.tolist() == [1]
    assert ["class 1 has no name" in fault.error for fault in found.faults] == [True, False]


@pytest.mark.parametrize(
    ("yaml", "home"),
    [
        ("path: .\ntrain: images/train\nval: images/val", "data.yaml"),
        ("train: ../images/train\nval: ../images/val", "data.yaml"),  # Roboflow's
        ("path: set\ntrain: images/train\nval: images/val", "data.yaml"),  # below a folder of data sets
        ("path: set\ntrain: images/train\nval: images/val", "../set.yaml"),
        ("path: /content/set\ntrain: images/train\nval: [images/val]", "data.yaml"),  # of another machine
    ],
)
def test_places_are_found_as_tools_write_them(tmp_path: Path, yaml: str, home: str) -> None:
    root = tmp_path / "set"
    for part in ("train", "val"):
        put(root / "images" / part / f"{part}.png", root / "labels" / part / f"{part}.txt")

    found = read_yolo(write(root / home, f"{yaml}\ntest: images/test\nnames: [a]\n"))

    assert {part: names(rows) for part, rows in found.items()} == {"train": ["train.png"], "val": ["val.png"]}


def test_labels_may_lie_beside_the_yaml_file_and_not_the_images(tmp_path: Path) -> None:
    put(tmp_path / "images" / "t" / "a.png", tmp_path / "boxes" / "labels" / "t" / "a.txt")

    found = read_yolo(write(tmp_path / "boxes" / "config.yaml", "path: .\ntrain: images/t\nnames: [a]"))

    assert found["train"].images[0].boxes.tolist() == [ONE_BOX]


def test_images_may_be_listed_in_a_text_file_with_labels_beside_them(tmp_path: Path) -> None:
    for stem in ("b", "a", "c"):
        put(tmp_path / "d" / f"{stem}.png", tmp_path / "d" / f"{stem}.txt")
    write(tmp_path / "train.txt", "d/b.png\n\n./d/a.png\nd/b.png\nd/gone.png\n")

    found = read_yolo(write(tmp_path / "data.yaml", "train: train.txt\nnames: [a]"))["train"]

    assert names(found) == ["b.png", "a.png"]
    assert found.num_boxes == 2
    assert ["listed twice" in fault.error for fault in found.faults] == [True, False]
    assert "no image" in found.faults[1].error


def test_folders_alone_are_enough(tmp_path: Path) -> None:
    for part in ("train2017", "val2017"):
        put(tmp_path / "images" / part / "a.png", tmp_path / "labels" / part / "a.txt", "12 .5 .5 .1 .1\n3 .5 .5 .1 .1")

    assert is_yolo(tmp_path)
    found = read_yolo(tmp_path)
    assert list(found) == ["train", "val"]
    assert found["train"].classes == ("3", "12")
    write(tmp_path / "classes.txt", "\n".join("abcdefghijklm"))
    found = read_yolo(tmp_path)
    assert found["val"].classes == tuple("abcdefghijklm")
    assert found["val"].images[0].labels.tolist() == [12, 3]


def test_images_beside_labels_are_one_whole(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.png", tmp_path / "labels" / "a.txt")

    assert names(read_yolo(tmp_path)[WHOLE]) == ["a.png"]


def test_an_empty_or_missing_label_file_is_an_image_without_boxes(tmp_path: Path) -> None:
    put(tmp_path / "images" / "b.png", tmp_path / "labels" / "b.txt", "")
    put(tmp_path / "images" / "c.png", None)

    found = read_lines(tmp_path, ONE)

    assert [(name, len(row)) for name, row in zip(names(found), found.images, strict=True)] == [
        ("a.png", 1),
        ("b.png", 0),
        ("c.png", 0),
    ]
    assert found.faults == ()


def test_each_broken_line_is_named_and_the_others_stay(tmp_path: Path) -> None:
    broken = [
        ("2 .5 .5 .1 .1", "no class '2'"),
        ("-1 .5 .5 .1 .1", "no class '-1'"),
        ("0.5 .5 .5 .1 .1", "no class '0.5'"),
        ("a .5 .5 .1 .1", "'a' is not a number"),
        ("0 .5 x .1 .1", "'x' is not a number"),
        ("0 nan .5 .1 .1", "'nan' is not a number"),
        ("0", "0 values after the class"),
        ("0 .5 .5 .1", "3 values after the class"),
        ("0 .5 .5 .1 .1 .9", "5 values after the class"),
        ("0 .5 .5 0 .1", "(a): box 20 9 20 11 has no area; skipped"),
        ("0 .5 .5 -.1 .1", "(a): box 22 9 18 11 has no area; skipped"),
        ("0 200 100 50 50", "(a): box 7000 1500 9000 2500 has no area within the 40x20 image; skipped"),
        ("1 .0 .5 .5 .1", "(b): box -10 9 10 11 reaches out of the 40x20 image; cut to it"),
    ]

    found = read_lines(tmp_path, "\n".join([ONE, *(line for line, _ in broken)]))

    assert found.images[0].boxes.tolist() == [ONE_BOX, pytest.approx([0, 9, 10, 11])]
    faults = {int(fault.error.split()[1].strip(":")): fault.error for fault in found.faults}
    assert len(faults) == len(found.faults) == len(broken)
    for number, (_, why) in enumerate(broken, start=3):  # ONE ends with a line break, so line 2 is empty
        assert why in faults[number]


def test_label_files_without_image_or_in_no_utf8_and_damaged_images_are_named(tmp_path: Path) -> None:
    write(tmp_path / "labels" / "spare.txt", ONE)
    write(tmp_path / "labels" / "classes.txt", "a")
    put(tmp_path / "images" / "b.png", tmp_path / "labels" / "b.txt")
    (tmp_path / "labels" / "b.txt").write_bytes(b"\xff\xfe")
    put(tmp_path / "images" / "c.png", tmp_path / "labels" / "c.txt")
    (tmp_path / "images" / "c.png").write_text("no image")

    found = read_lines(tmp_path, ONE)

    assert names(found) == ["a.png"]
    assert [Path(fault.name).name for fault in found.faults] == ["b.txt", "c.txt", "spare.txt"]
    for fault, word in zip(found.faults, ("is not text", "cannot be opened", "no image spare.*"), strict=True):
        assert word in fault.error


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("train: images", "has no names"),
        ("- a", "has no names"),
        ("train: [", "cannot be read as YAML"),
        ("train: images\nnames: {a: b}", "not an index and a text"),
        ("train: images\nnames: [[a]]", "not an index and a text"),
        ("names: [a]", "names no images"),
        ("train: gone\nnames: [a]", "but there is no"),
        ("train: images\nval: gone\nnames: [a]", "has val: gone, but there is no"),
        ("train: images\nnames: &a [*a]", "cannot be read as YAML"),
    ],
)
def test_a_yaml_file_that_is_not_as_it_should_be_is_refused(tmp_path: Path, text: str, word: str) -> None:
    put(tmp_path / "images" / "a.png", tmp_path / "labels" / "a.txt")

    with pytest.raises(ValueError, match=word):
        read_yolo(write(tmp_path / "data.yaml", text))


def test_tags_in_yaml_make_nothing(tmp_path: Path) -> None:
    text = f"train: images\nnames: [a]\nx: !!python/object/apply:os.mkdir ['{tmp_path}/b']"
    put(tmp_path / "images" / "a.png", tmp_path / "labels" / "a.txt")

    read_yolo(write(tmp_path / "data.yaml", text))

    assert not (tmp_path / "b").exists()


def test_two_yaml_files_with_names_are_refused_and_others_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.png", tmp_path / "labels" / "a.txt")
    write(tmp_path / "data.yaml", "train: images\nnames: [a]")
    write(tmp_path / "compose.yml", "services: {}")
    assert list(read_yolo(tmp_path)) == ["train"]

    write(tmp_path / "more.yaml", "train: images\nnames: [a]")
    with pytest.raises(ValueError, match=r"data\.yaml and more\.yaml; give the path of one"):
        read_yolo(tmp_path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=9))
def test_any_box_comes_back(tmp_path: Path, rows: list) -> None:
    drawn = [(x / 2, y / 2, x / 2 + 0.001 + w * 0.49, y / 2 + 0.001 + h * 0.49) for x, y, w, h in rows]
    text = "\n".join(f"1 {(x + v) / 2:.17g} {(y + w) / 2:.17g} {v - x:.17g} {w - y:.17g}" for x, y, v, w in drawn)

    found = read_lines(tmp_path, text)

    for got, (x1, y1, x2, y2) in zip(found.images[0].boxes.tolist(), drawn, strict=True):
        assert got == pytest.approx((x1 * WIDTH, y1 * HEIGHT, x2 * WIDTH, y2 * HEIGHT), abs=1e-4)
