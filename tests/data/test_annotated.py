"""What files say of images is checked alike for all layouts: sizes from headers, boxes cut or skipped, each fault named."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fourfold.data.annotated import Annotated, Annotations, Mark, Sheet, annotate, parse_number, read_size
from fourfold.data.listing import WHOLE, Broken, File
from fourfold.images import read_image

WIDTH, HEIGHT = 40, 30
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "a.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    return path


def of_boxes(photo: Path, *boxes: tuple[float, float, float, float]) -> Annotations:
    """The boxes, with one more that is right, so that there is always one."""
    marks = tuple(Mark(n, "a", box) for n, box in enumerate([*boxes, (0.0, 0.0, 1.0, 1.0)], start=1))
    return annotate({WHOLE: [Sheet("x.txt", photo, None, marks)]}, None, photo.parent)[WHOLE]


@pytest.mark.parametrize(
    ("box", "kept", "why"),
    [
        ((1, 2, 3.5, 4.25), (1, 2, 3.5, 4.25), None),
        ((0, 0, WIDTH, HEIGHT), (0, 0, WIDTH, HEIGHT), None),
        ((-1, -1, WIDTH + 1, HEIGHT + 1), (0, 0, WIDTH, HEIGHT), None),  # rounding
        ((-5, 2, 3, 4), (0, 2, 3, 4), "box -5 2 3 4 reaches out of the 40x30 image; cut to it"),
        ((5, 2, 7, 31.5), (5, 2, 7, 30), "box 5 2 7 31.5 reaches out of the 40x30 image; cut to it"),
        ((1, 2, 1e300, math.inf), (1, 2, 40, 30), "box 1 2 1e+300 inf reaches out of the 40x30 image; cut to it"),
        ((50, 2, 60, 4), None, "box 50 2 60 4 has no area within the 40x30 image; skipped"),
        ((-9, 2, 0, 4), None, "box -9 2 0 4 has no area within the 40x30 image; skipped"),
        ((30, 2, 30 + 1e-9, 4), None, "box 30 2 30 4 has no area within the 40x30 image; skipped"),  # nothing in float32
        ((5, 2, 5, 4), None, "box 5 2 5 4 has no area; skipped"),
        ((5, 4, 9, 2), None, "box 5 4 9 2 has no area; skipped"),
    ],
)
def test_a_box_is_kept_cut_or_skipped(
    photo: Path, box: tuple[float, float, float, float], kept: tuple[float, ...] | None, why: str | None
) -> None:
    found = of_boxes(photo, box)

    assert found.images[0].boxes.tolist() == [list(row) for row in (kept, (0, 0, 1, 1)) if row is not None]
    assert found.faults == (() if why is None else (Broken("x.txt", f"object 1 (a): {why}"),))


@given(st.lists(st.tuples(*[st.floats(-100, 200, width=32)] * 4), max_size=20))
def test_what_is_kept_lies_within_the_image_and_everything_else_is_named(photo: Path, boxes: list) -> None:
    found = of_boxes(photo, *boxes)

    kept = found.images[0].boxes
    expected = []
    for x1, y1, x2, y2 in [*boxes, (0.0, 0.0, 1.0, 1.0)]:
        cut = (max(x1, 0.0), max(y1, 0.0), min(x2, float(WIDTH)), min(y2, float(HEIGHT)))
        if cut[0] < cut[2] and cut[1] < cut[3]:
            expected.append(list(cut))
    assert kept.tolist() == expected
    assert len(found.faults) >= len(boxes) + 1 - len(kept)


def test_an_image_without_objects_has_empty_tensors_of_the_right_kinds(photo: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.png"
    Image.new("RGB", (8, 9)).save(other)
    one = Sheet("x", photo, None, (Mark(1, "dog", (1, 1, 2, 2), is_difficult=True), Mark(2, "cat", (1, 1, 2, 2))))
    found = annotate({WHOLE: [Sheet("y", other, (9, 8), ()), one]}, None, tmp_path)[WHOLE]

    empty, full = found.images
    assert (empty.boxes.shape, empty.boxes.dtype) == ((0, 4), torch.float32)
    assert (empty.labels.shape, empty.labels.dtype) == ((0,), torch.int64)
    assert (empty.is_difficult.shape, empty.is_difficult.dtype) == ((0,), torch.bool)
    assert (empty.height, empty.width, len(empty)) == (9, 8, 0)
    assert found.classes == ("cat", "dog")
    assert full.labels.tolist() == [1, 0]
    assert full.is_difficult.tolist() == [True, False]
    assert full.item.name == str(photo)
    assert found.num_boxes == 2


def test_fractions_are_of_width_and_height(photo: Path) -> None:
    sheet = Sheet("x", photo, None, (Mark(1, "a", (0.25, 0.5, 0.75, 1.0)),), in_fractions=True)

    assert annotate({WHOLE: [sheet]}, None, photo.parent)[WHOLE].images[0].boxes.tolist() == [[10, 15, 30, 30]]


def test_ten_thousand_boxes_and_numbers_for_names(photo: Path) -> None:
    marks = tuple(Mark(n, str(n % 11), (1, 1, 2 + n % 7, 3)) for n in range(10_000))
    found = annotate({WHOLE: [Sheet("x", photo, None, marks)]}, None, photo.parent)[WHOLE]

    assert found.num_boxes == 10_000
    assert found.classes == tuple(map(str, range(11)))  # 10 after 9
    assert found.images[0].labels[:12].tolist() == [*range(11), 0]


def test_images_that_cannot_be_used_are_named_and_skipped(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:20])
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    Image.new("RGB", (2, 9)).save(tmp_path / "small.png")
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    marks = (Mark(1, "a", (0, 0, 1, 1)),)
    names = ("gone.jpg", "empty.jpg", "text.jpg", "cut.png", "folder.jpg", "pipe.jpg", "small.png", "large.png")
    sheets = [Sheet(f"{name}.xml", tmp_path / name, None, marks) for name in names]
    sheets += [Sheet("good", photo, (HEIGHT, WIDTH), marks), Sheet("again", photo, None, marks)]
    (tmp_path / "b.png").write_bytes(photo.read_bytes())
    sheets += [Sheet("turned", tmp_path / "b.png", (WIDTH, HEIGHT), marks)]

    found = annotate({WHOLE: sheets}, None, tmp_path)[WHOLE]

    assert [image.item.name for image in found.images] == [str(photo)]
    assert [fault.name for fault in found.faults] == [*(f"{name}.xml" for name in names), "again", "turned"]
    words = ("there is no image", *["cannot be opened as an image"] * 5, "at least 4", "at most 89,478,485", "listed twice")
    for fault, word in zip(found.faults, (*words, "is for 30x40 pixels"), strict=True):
        assert word in fault.error
        assert "\n" not in fault.error


def test_a_set_without_a_usable_box_says_what_went_wrong_first(photo: Path, tmp_path: Path) -> None:
    sheets = [Sheet("x", photo, None, (Mark(1, "a", (50, 0, 60, 1)),)), Sheet("y", tmp_path / "gone.png", None, ())]
    with pytest.raises(ValueError, match=r"no box that can be used; the first of 2 faults: x: object 1 \(a\): box 50"):
        annotate({WHOLE: sheets}, None, tmp_path)
    with pytest.raises(ValueError, match="its images have none"):
        annotate({WHOLE: [Sheet("x", photo, None, ())]}, ("a",), tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif", "bmp", "gif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_in_the_header_is_that_of_the_upright_image(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.new("RGB", (WIDTH, HEIGHT))
    image.save(path, exif=exif) if suffix not in ("bmp", "gif") else image.save(path)

    assert read_size(path) == tuple(read_image(path).shape[1:])
    if orientation > 4 and suffix not in ("bmp", "gif"):
        assert read_size(path) == (WIDTH, HEIGHT)


def test_a_png_may_say_after_its_pixels_how_it_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(buffer, "png", exif=exif)
    content = buffer.getvalue()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4])
    last = content.index(b"IEND") - 4
    path = tmp_path / "a.png"
    assert start < content.index(b"IDAT")
    path.write_bytes(content[:start] + content[end:last] + content[start:end] + content[last:])

    assert read_size(path) == (WIDTH, HEIGHT)
    assert tuple(read_image(path).shape[1:]) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(("value", "number"), [("1", 1.0), (" -2.5e1 ", -25.0), (3, 3.0), (0.5, 0.5)])
def test_numbers_are_read_from_text_and_json(value: object, number: float) -> None:
    assert parse_number(value) == number


@pytest.mark.parametrize("value", ["", "one", "nan", "inf", "1e999", math.nan, -math.inf, 10**400, None, True, [1], "1,5"])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse_number(value)


def test_labels_of_other_classes_are_found_by_name() -> None:
    images = tuple(
        Annotated(
            File(Path(f"{index}.png")),
            9,
            9,
            torch.rand(len(labels), 4),
            torch.tensor(labels, dtype=torch.int64),
            torch.zeros(len(labels)).bool(),
        )
        for index, labels in enumerate(([0, 2, 1], [], [2]))
    )
    found = Annotations(images, ("cat", "dog", "eel"), ()).relabelled(("eel", "cow", "cat"))
    assert found.classes == ("eel", "cow", "cat")
    assert [image.labels.tolist() for image in found.images] == [[2, 0, -1], [], [0]]
    assert all(image.labels.dtype == torch.int64 for image in found.images)
    assert all(one.boxes is two.boxes for one, two in zip(found.images, images, strict=True))
