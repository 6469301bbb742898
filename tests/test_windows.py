"""A window is what Pillow crops and scales from the upright photo, whatever the file; errors are those of read_image."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from fourfold import jpeg
from fourfold.ahead import in_order
from fourfold.images import MAX_PIXELS, read_image
from fourfold.windows import Interpolation, Window, read_window

PHOTO = Image.open(Path(__file__).parents[1] / "examples" / "cat.jpg").convert("RGB")  # 459x600
FILTERS: dict[Interpolation, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "cubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
# EXIF says on which side of the upright photo the file's first row and first column lie; written out here by hand.
STORED = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.transpose(1, 0, 2),  # left, top
    6: lambda a: a.transpose(1, 0, 2)[::-1],  # right, top
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
    8: lambda a: a.transpose(1, 0, 2)[:, ::-1],  # left, bottom
}
# top, left, height, width: the whole, each corner, inside, far wider than high, and one that is enlarged
BOXES = ((0, 0, 600, 459), (0, 0, 301, 202), (299, 257, 301, 202), (0, 150, 450, 309), (113, 71, 91, 233), (201, 99, 31, 47))


def encode(image: Image.Image | np.ndarray, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))
    picture.save(file, kind, **{"quality": 92, **options})
    return file.getvalue()


def oriented(image: np.ndarray, orientation: int, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(STORED[orientation](image), exif=exif, **options)


def seen(
    content: bytes | Tensor, box: tuple[float, ...], size: int, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    window = Window(box[0], box[1], box[2], box[3], interpolation)
    square = read_window(content, lambda _height, _width: window, size)
    assert square.shape == (3, size, size)
    assert square.dtype == torch.uint8
    assert square.is_contiguous()
    return to_array(square)


def to_array(square: Tensor) -> np.ndarray:
    return square.permute(1, 2, 0).numpy().astype(int)


def expected(content: bytes, box: tuple[int, ...], size: int, interpolation: Interpolation = "bilinear") -> np.ndarray:
    """Decoded in full, cropped, and scaled by Pillow."""
    image = Image.fromarray(read_image(content).permute(1, 2, 0).numpy())
    top, left, height, width = box
    part = image.crop((left, top, left + width, top + height))
    return np.asarray(part.resize((size, size), FILTERS[interpolation])).astype(int)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).mean())


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("box", BOXES)
def test_every_window_of_a_lossless_image_is_pillows(box: tuple[int, ...], interpolation: Interpolation) -> None:
    content = encode(PHOTO, "PNG")

    found, wanted = seen(content, box, 96, interpolation), expected(content, box, 96, interpolation)

    assert np.abs(found - wanted).max() <= {"nearest": 0, "bilinear": 1, "cubic": 4}[interpolation]  # Pillow rounds twice
    assert difference(found, wanted) < 0.3


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [20, 48, 90, 224])  # decoded at 1/8 to 1/1
def test_every_window_of_a_jpeg_is_within_two_grey_levels_of_pillows(
    size: int, interpolation: Interpolation, subsampling: str
) -> None:
    content = encode(PHOTO, subsampling=subsampling)

    for box in BOXES:
        assert difference(seen(content, box, size, interpolation), expected(content, box, size, interpolation)) < 2


@pytest.mark.parametrize("size", [30, 120])  # decoded at a lower scale, and in full
@pytest.mark.parametrize("orientation", STORED)
def test_windows_are_those_of_the_upright_photo(orientation: int, size: int) -> None:
    content = oriented(np.asarray(PHOTO), orientation, subsampling=0)
    sizes = []
    for box in BOXES:
        found = seen(content, box, size)
        assert difference(found, expected(content, box, size)) < 2

    read_window(content, lambda *given: sizes.append(given) or Window(0, 0, 9, 9), size)

    assert sizes == [(600, 459)]


@pytest.mark.parametrize("orientation", STORED)
def test_nearest_takes_the_same_pixels_of_a_turned_photo(orientation: int) -> None:
    content = oriented(np.asarray(PHOTO.convert("L").convert("RGB")), orientation)

    assert np.array_equal(
        seen(content, (10, 20, 300, 300), 150, "nearest"), expected(content, (10, 20, 300, 300), 150, "nearest")
    )


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411"])
@pytest.mark.parametrize("scale", jpeg.SCALES)
def test_rows_above_the_lowest_one_wanted_are_those_of_the_whole(scale: int, subsampling: str) -> None:
    content = simplejpeg.encode_jpeg(np.ascontiguousarray(PHOTO)[:203, :301], 90, "RGB", subsampling)
    header = jpeg.read_header(content)
    assert header is not None
    whole = jpeg.decode(content, header, 203, scale)
    assert whole is not None
    assert whole.shape == (-(-203 // scale), -(-301 // scale), 3)

    for bottom in range(1, 204, 7):
        part = jpeg.decode(content, header, bottom, scale)
        assert part is not None
        rows = -(-bottom // scale)
        assert np.array_equal(part[:rows], whole[:rows])


def test_rows_below_the_window_are_not_decoded() -> None:
    content = encode(PHOTO)
    header = jpeg.read_header(content)
    assert header is not None

    part = jpeg.decode(content, header, 100, 1)

    assert part is not None
    assert part.shape == (100, 459, 3)


def mean_by_hand(image: np.ndarray, low: float, high: float, size: int) -> np.ndarray:
    """Means of the rows that each output row covers, parts of rows counted as parts."""
    rows = []
    for i in range(size):
        top, bottom = low + (high - low) * i / size, low + (high - low) * (i + 1) / size
        parts = [max(0.0, min(bottom, y + 1) - max(top, y)) for y in range(len(image))]
        rows.append(np.tensordot(parts, image, 1) / sum(parts))
    return np.stack(rows)


@pytest.mark.parametrize("box", [(3, 5, 30, 24), (2.25, 4.5, 30.5, 23.75), (0, 0, 5.5, 4.25)])
def test_area_is_the_mean_of_what_a_pixel_covers(box: tuple[float, ...]) -> None:
    image = np.asarray(PHOTO)[100:140, 200:240]
    top, left, height, width = box
    rows = mean_by_hand(image.astype(float), top, top + height, 12)
    wanted = mean_by_hand(rows.transpose(1, 0, 2), left, left + width, 12).transpose(1, 0, 2)

    found = seen(torch.from_numpy(image.copy()).permute(2, 0, 1), box, 12, "area")

    assert np.abs(found - wanted).max() <= 0.51


def test_area_of_a_photo_decoded_at_a_lower_scale_is_the_mean_too() -> None:
    content = encode(PHOTO)
    wanted = read_image(content)[:, :448, :448].float().reshape(3, 28, 16, 28, 16).mean((2, 4))

    assert difference(seen(content, (0, 0, 448, 448), 28, "area"), wanted.permute(1, 2, 0).numpy()) < 2


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"restart_marker_blocks": 7}, {"keep_rgb": True}, {"optimize": True}]
)
def test_unusual_jpegs_look_as_read_image_sees_them(options: dict[str, Any]) -> None:
    content = encode(PHOTO, **options)

    for box, size in itertools.product(BOXES, (30, 120)):
        assert difference(seen(content, box, size), expected(content, box, size)) < 2


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_look_as_read_image_sees_them(mode: str) -> None:
    content = encode(PHOTO.convert(mode))

    for box, size in itertools.product(BOXES, (30, 120)):
        assert difference(seen(content, box, size), expected(content, box, size)) < 2


def test_bytes_after_the_end_of_a_jpeg_do_no_harm() -> None:
    content = encode(PHOTO)

    assert np.array_equal(seen(content + bytes(100), BOXES[3], 120), seen(content, BOXES[3], 120))


def test_a_comment_before_the_image_does_no_harm() -> None:
    content = encode(PHOTO)
    comment = b"\xff\xfe" + struct.pack(">H", 52) + b"\xff\xc0" * 25

    assert np.array_equal(seen(content[:2] + comment + content[2:], BOXES[3], 120), seen(content, BOXES[3], 120))


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (16, 9), (4, 200)])
def test_tiny_images_can_be_seen(size: tuple[int, int]) -> None:
    content = encode(PHOTO.crop((200, 200, 200 + size[0], 200 + size[1])), subsampling=0)
    box = (0, 0, size[1], size[0])

    for side in (1, 2, 3, 8, 33):
        assert difference(seen(content, box, side), expected(content, box, side)) < 3


def test_images_in_memory_are_seen_like_files() -> None:
    image = torch.from_numpy(np.array(PHOTO)).permute(2, 0, 1)

    for box in BOXES:
        assert np.array_equal(seen(image, box, 64), seen(encode(PHOTO, "PNG"), box, 64))


def test_what_sticks_out_of_the_image_is_left_away() -> None:
    content = encode(PHOTO)

    assert np.array_equal(seen(content, (-50, -10, 400, 700), 64), seen(content, (0, 0, 350, 459), 64))


def test_nothing_outside_the_window_is_mixed_into_its_border() -> None:
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    image[:, 16:48, 16:48] = 200

    assert (seen(image, (16, 16, 32, 32), 128) == 200).all()
    assert (seen(image, (16, 16, 32, 32), 7) == 200).all()


@pytest.mark.parametrize("box", [(600, 0, 10, 10), (0, -20, 10, 20), (5, 5, 0, 10), (5, 5, 10, -3)])
def test_a_window_without_pixels_is_an_error(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"has no pixel of an image of 459x600; give one that overlaps the image$"):
        seen(encode(PHOTO), box, 32)


def bomb() -> bytes:
    """A small file that says it is larger than is allowed."""
    content = bytearray(encode(PHOTO))
    at = content.index(b"\xff\xc0") + 5
    struct.pack_into(">HH", content, at, 10_000, MAX_PIXELS // 10_000 + 1)
    return bytes(content)


BAD = {
    "empty": b"",
    "text": b"hello, world" * 20,
    "cut off early": encode(PHOTO)[:20_000],
    "cut off late": encode(PHOTO)[:-300],
    "header only": encode(PHOTO)[:700],
    "start only": b"\xff\xd8",
    "cut off, with restarts": encode(PHOTO, restart_marker_rows=1)[:-300],
    "progressive, cut off": encode(PHOTO, progressive=True)[:20_000],
    "turned and cut off": oriented(np.asarray(PHOTO), 6)[:20_000],
    "PNG, cut off": encode(PHOTO, "PNG")[:20_000],
    "bomb": bomb(),
    "strip": encode(PHOTO.resize((510, 10))),
    "three rows": encode(PHOTO.resize((40, 3))),
}


@pytest.mark.parametrize("kind", BAD)
def test_errors_are_those_of_read_image(kind: str) -> None:
    with pytest.raises(ValueError, match="cat") as wanted:
        read_image(BAD[kind], name="cat.jpg")

    with pytest.raises(ValueError, match="cat") as found:
        read_window(BAD[kind], lambda _height, _width: Window(0, 0, 1, 1), 32, name="cat.jpg")

    assert str(found.value) == str(wanted.value)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_damage_inside_a_jpeg_looks_as_read_image_sees_it(seed: int) -> None:
    dice = np.random.default_rng(seed)
    content = bytearray(encode(PHOTO.resize((120, 160)), subsampling=0))
    for _ in range(dice.integers(1, 4)):
        content[dice.integers(2, len(content))] = dice.integers(256)

    def whole(read: Callable[[bytes], np.ndarray]) -> np.ndarray | str:
        try:
            return read(bytes(content))
        except ValueError as error:
            return str(error)

    wanted = whole(lambda content: expected(content, (0, 0, *read_image(content).shape[1:]), 64))
    found = whole(lambda content: to_array(read_window(content, lambda height, width: Window(0, 0, height, width), 64)))

    if isinstance(found, str) or isinstance(wanted, str):
        assert str(found) == str(wanted)
    else:
        assert difference(found, wanted) < 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([{}, {"restart_marker_rows": 1}, {"progressive": True}]))
def test_damage_never_shows_pixels_that_are_not_in_the_file(seed: int, options: dict[str, Any]) -> None:
    dice = np.random.default_rng(seed)
    content = bytearray(encode(PHOTO.resize((120, 160)), subsampling=0, **options))
    for _ in range(dice.integers(1, 4)):
        content[dice.integers(600, len(content))] = dice.integers(256)
    box = (0, 0, 80, 120)  # half of it, so that the rest is skipped
    try:
        wanted = expected(bytes(content), box, 64)
        found = seen(bytes(content), box, 64)
    except ValueError:
        return

    assert difference(found, wanted) < 2


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(sorted(STORED)), st.sampled_from(["bilinear", "area", "cubic", "nearest"]))
def test_the_mean_colour_says_where_the_window_lies(
    data: st.DataObject, orientation: int, interpolation: Interpolation
) -> None:
    height, width = data.draw(st.integers(30, 300)), data.draw(st.integers(30, 300))
    down, across = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    image = np.stack(
        [*np.meshgrid(down, across, indexing="ij"), np.full((height, width), 0.5)], 2
    )  # red: down; green: across
    content = oriented((image * 255).round().astype(np.uint8), orientation, subsampling=0, quality=97)
    top, left = data.draw(st.floats(0, height - 8)), data.draw(st.floats(0, width - 8))
    box = (top, left, data.draw(st.floats(6, height - top)), data.draw(st.floats(6, width - left)))

    found = seen(content, box, data.draw(st.integers(3, 40)), interpolation).mean((0, 1)) / 255

    slack = 0.015 + 0.6 / np.array([height, width])  # of the file's colours, and of pixels at the window's edges
    assert (np.abs(found[:2] - [(top + box[2] / 2) / height, (left + box[3] / 2) / width]) <= slack).all()
    assert found[2] == pytest.approx(0.5, abs=0.02)


def test_threads_read_the_same_windows_in_order() -> None:
    content = encode(PHOTO)
    boxes = [BOXES[i % len(BOXES)] for i in range(24)]

    found = list(in_order(lambda box: seen(content, box, 48), boxes, 8))

    assert all(np.array_equal(a, seen(content, box, 48)) for a, box in zip(found, boxes, strict=True))
