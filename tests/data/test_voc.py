"""PASCAL VOC's layout and its relatives: parts, boxes that count pixels from 1, and XML that is damaged or hostile."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fourfold.data.annotated import Annotations
from fourfold.data.listing import WHOLE
from fourfold.data.voc import is_voc, read_voc

WIDTH, HEIGHT = 40, 30


def thing(name: str, x1: object, y1: object, x2: object, y2: object, more: str = "") -> str:
    box = f"<xmax>{x2}</xmax><xmin>{x1}</xmin><ymin>{y1}</ymin><ymax>{y2}</ymax>"  # VOC's order differs from file to file
    return f"<object><name>{escape(name)}</name>{more}<bndbox>{box}</bndbox></object>"


def sheet(*things: str, size: str = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>") -> str:
    return f"<annotation><filename>other.jpg</filename>{size}{''.join(things)}</annotation>"


def put(root: Path, stem: str, xml: str | bytes, folders: tuple[str, str] = ("Annotations", "JPEGImages")) -> None:
    for name in folders:
        (root / name).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / folders[1] / f"{stem}.jpg")
    path = root / folders[0] / f"{stem}.xml"
    path.write_bytes(xml) if isinstance(xml, bytes) else path.write_text(xml, encoding="utf-8")


def write_list(root: Path, name: str, *stems: str) -> None:
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")


def stems(part: Annotations) -> list[str]:
    return [Path(image.item.name).stem for image in part.images]


def test_the_whole_image_is_1_1_w_h_and_a_pixel_has_equal_ends(tmp_path: Path) -> None:
    put(tmp_path, "a", sheet(thing("b", 1, 1, WIDTH, HEIGHT), thing("a", 5, 7, 5, 7), thing("a", 2.5, 3, 10.25, 12)))

    found = read_voc(tmp_path)[WHOLE]

    assert found.images[0].boxes.tolist() == [[0, 0, WIDTH, HEIGHT], [4, 6, 5, 7], [1.5, 2, 10.25, 12]]
    assert found.images[0].labels.tolist() == [1, 0, 0]
    assert (found.images[0].height, found.images[0].width) == (HEIGHT, WIDTH)
    assert found.classes == ("a", "b")
    assert found.faults == ()


def test_a_tool_that_counts_from_0_is_not_at_fault(tmp_path: Path) -> None:
    put(tmp_path, "a", sheet(thing("b", 0, 0, 10, 10)))

    found = read_voc(tmp_path)[WHOLE]

    assert found.images[0].boxes.tolist() == [[0, 0, 10, 10]]
    assert found.faults == ()


def test_lists_divide_the_images_and_classes_are_those_of_all_parts(tmp_path: Path) -> None:
    for stem, name in (("x 1", "10"), ("é", "9"), ("c", "11"), ("d", "9"), ("unlisted", "1")):
        put(tmp_path, stem, sheet(thing(name, 1, 1, 9, 9)))
    write_list(tmp_path, "train", "x 1", "é")
    write_list(tmp_path, "val", "c")
    write_list(tmp_path, "trainval", "x 1", "é", "c")
    write_list(tmp_path, "test", "d")
    write_list(tmp_path, "9_train", "nothing  1")

    found = read_voc(tmp_path)

    assert {part: stems(images) for part, images in found.items()} == {"train": ["x 1", "é"], "val": ["c"], "test": ["d"]}
    assert {images.classes for images in found.values()} == {("9", "10", "11")}  # as numbers; of the unlisted image none
    assert found["train"].images[1].labels.tolist() == [0]


def test_trainval_trains_where_there_is_no_train(tmp_path: Path) -> None:
    for stem in "ab":
        put(tmp_path, stem, sheet(thing("x", 1, 1, 9, 9)))
    write_list(tmp_path, "trainval", "a")
    write_list(tmp_path, "test", "b")

    assert {part: stems(images) for part, images in read_voc(tmp_path).items()} == {"train": ["a"], "test": ["b"]}


def test_xml_beside_images_is_one_whole_and_in_folders_the_parts(tmp_path: Path) -> None:
    put(tmp_path / "flat", "a", sheet(thing("x", 1, 1, 9, 9)), (".", "."))
    put(tmp_path / "flat", "b", sheet(), (".", "."))
    for part in ("train", "valid", "other"):
        put(tmp_path / "parts", part[0], sheet(thing("x", 1, 1, 9, 9)), (part, part))

    assert stems(read_voc(tmp_path / "flat")[WHOLE]) == ["a", "b"]
    assert {part: stems(images) for part, images in read_voc(tmp_path / "parts").items()} == {"train": ["t"], "val": ["v"]}
    assert all(is_voc(tmp_path / name) for name in ("flat", "parts"))
    assert not is_voc(tmp_path)
    put(tmp_path / "parts", "w", sheet(), ("val", "val"))
    with pytest.raises(ValueError, match="has both val/ and valid/"):
        read_voc(tmp_path / "parts")


@pytest.mark.parametrize("size", ["", "<size/>", "<size><width>0</width><height>0</height></size>"])
def test_the_size_may_be_missing(tmp_path: Path, size: str) -> None:
    put(tmp_path, "a", sheet(thing("x", 1, 1, 9, 9), size=size))

    assert read_voc(tmp_path)[WHOLE].images[0].width == WIDTH
    assert not read_voc(tmp_path)[WHOLE].faults


def test_difficult_objects_are_kept_and_marked(tmp_path: Path) -> None:
    more = ("", "<difficult>0</difficult>", "<difficult> 1 </difficult>", "<difficult/>")
    put(tmp_path, "a", sheet(*(thing("x", 1, 1, 9, 9, text) for text in more)))

    assert read_voc(tmp_path)[WHOLE].images[0].is_difficult.tolist() == [False, False, True, False]


def test_each_broken_object_is_named_and_the_others_stay(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    broken = [
        (thing("  ", 1, 1, 9, 9), "it has no class name"),
        (thing("x", "one", 1, 9, 9), "'one' is not a number"),
        (thing("x", 1, 1, "nan", 9), "'nan' is not a number"),
        ("<object><name>x</name></object>", "x has no bndbox/xmin"),
        (f"<object><name>x</name>{part}</object>", "x has no bndbox/xmin"),
        (thing("x", 1, 1, 9, ""), "x has no bndbox/ymax"),
        (thing("y", 9, 1, 2, 9), "(y): box 8 0 2 9 has no area; skipped"),
        (thing("y", 41, 1, 50, 9), "(y): box 40 0 50 9 has no area within the 40x30 image; skipped"),
        (thing("y", 31, 1, 50, 9), "(y): box 30 0 50 9 reaches out of the 40x30 image; cut to it"),
    ]
    put(tmp_path, "a", sheet(*(text for text, _ in broken), thing("x", 1, 1, 9, 9)))

    found = read_voc(tmp_path)[WHOLE]

    assert {fault.name for fault in found.faults} == {str(tmp_path / "Annotations" / "a.xml")}
    for number, (fault, (_, why)) in enumerate(zip(found.faults, broken, strict=True), start=1):
        assert fault.error.startswith(f"object {number}")
        assert why in fault.error
    assert found.images[0].boxes.tolist() == [[30, 0, 40, 9], [0, 0, 9, 9]]
    assert found.images[0].labels.tolist() == [1, 0]


def test_a_class_without_a_usable_box_is_none(tmp_path: Path) -> None:
    put(tmp_path, "a", sheet(thing("lost", 9, 1, 2, 9), thing("x", 1, 1, 9, 9)))

    assert read_voc(tmp_path)[WHOLE].classes == ("x",)


def test_damaged_files_are_named_and_skipped(tmp_path: Path) -> None:
    put(tmp_path, "good", sheet(thing("x", 1, 1, 9, 9)))
    put(tmp_path, "cut", sheet(thing("x", 1, 1, 9, 9))[:-20])
    put(tmp_path, "empty", "")
    put(tmp_path, "html", "<html/>")
    put(tmp_path, "code", b"<?xml version='1.0' encoding='klingon'?><annotation/>")
    put(tmp_path, "bytes", b"<annotation>\xff\xfe\x00</annotation>")
    put(tmp_path, "blind", sheet(thing("x", 1, 1, 9, 9)))
    (tmp_path / "JPEGImages" / "blind.jpg").unlink()
    write_list(tmp_path, "train", "good", "cut", "empty", "html", "code", "bytes", "gone", "blind", "good")

    found = read_voc(tmp_path)["train"]

    assert stems(found) == ["good"]
    named = [(Path(fault.name).stem, fault.error) for fault in found.faults]
    assert [name for name, _ in named] == ["cut", "empty", "html", "code", "bytes", "gone", "blind", "good"]
    words = ["no whole XML"] * 2 + ["holds <html>"] + ["no whole XML"] * 2 + ["does not exist", "no image", "listed twice"]
    for (_, error), word in zip(named, words, strict=True):
        assert word in error


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_an_entity_bomb_is_refused_in_whatever_encoding(tmp_path: Path, encoding: str) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY l0 "ha">{laughs}]>' + sheet(thing("x", 1, 1, 9, 9))
    put(tmp_path, "a", sheet(thing("x", 1, 1, 9, 9)))
    put(tmp_path, "b", bomb.replace("other.jpg", "&l9;").encode(encoding))

    found = read_voc(tmp_path)[WHOLE]

    assert stems(found) == ["a"]
    assert [Path(fault.name).name for fault in found.faults] == ["b.xml"]
    assert "declares a DTD" in found.faults[0].error


def test_xml_in_utf_16_is_read(tmp_path: Path) -> None:
    put(tmp_path, "a", ('<?xml version="1.0" encoding="utf-16"?>' + sheet(thing("猫 & 犬", 1, 1, 9, 9))).encode("utf-16"))

    assert read_voc(tmp_path)[WHOLE].classes == ("猫 & 犬",)


def test_images_of_other_kinds_and_places_are_found_by_the_name_of_the_file(tmp_path: Path) -> None:
    put(tmp_path, "a.b", sheet(thing("x", 1, 1, 9, 9)), ("Annotations", "images"))
    (tmp_path / "images" / "a.b.jpg").rename(tmp_path / "images" / "a.b.JPEG")

    assert read_voc(tmp_path)[WHOLE].images[0].item.name == str(tmp_path / "images" / "a.b.JPEG")


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1).map(str.strip)
BOXES = st.tuples(st.integers(1, WIDTH), st.integers(1, HEIGHT), st.integers(1, WIDTH), st.integers(1, HEIGHT))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NAMES.filter(bool), BOXES, st.booleans()), min_size=1, max_size=9))
def test_any_names_and_whole_pixels_come_back(tmp_path: Path, objects: list) -> None:
    objects = [(n, (min(x, v), min(y, w), max(x, v), max(y, w)), d) for n, (x, y, v, w), d in objects]
    put(tmp_path, "a", sheet(*(thing(n, *box[:4], more=f"<difficult>{int(d)}</difficult>") for n, box, d in objects)))

    found = read_voc(tmp_path)[WHOLE]

    (image,) = found.images
    assert [found.classes[label] for label in image.labels] == [name for name, _, _ in objects]
    assert image.boxes.tolist() == [[x1 - 1, y1 - 1, x2, y2] for _, (x1, y1, x2, y2), _ in objects]
    assert image.is_difficult.tolist() == [d for _, _, d in objects]
