"""Each unusual way to store an image is told from its header; plain RGB is not unusual."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fourfold.data.headers import oddities

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)


def saved(image: Pillow.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned(orientation: int) -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return exif


RGB = Pillow.fromarray(PIXELS)
ALPHA = RGB.copy()
ALPHA.putalpha(Pillow.fromarray(PIXELS[:, :, 0]))
DEEP = Pillow.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (saved(RGB, "JPEG"), ()),
        (saved(RGB, "PNG"), ()),
        (saved(RGB, "WEBP"), ()),
        (saved(RGB.convert("L"), "JPEG"), ("grey",)),
        (saved(RGB.convert("1"), "PNG"), ("grey",)),
        (saved(RGB.convert("CMYK"), "JPEG"), ("CMYK",)),
        (saved(RGB.convert("P"), "PNG"), ("palette",)),
        (saved(ALPHA, "PNG"), ("transparent",)),
        (saved(ALPHA, "WEBP"), ("transparent",)),
        (saved(RGB.convert("P"), "PNG", transparency=3), ("palette", "transparent")),
        (saved(DEEP, "PNG"), ("grey", "16 bit")),
        (saved(DEEP, "TIFF"), ("grey", "16 bit")),
        (saved(RGB, "PNG", save_all=True, append_images=[ALPHA.convert("RGB").rotate(180)]), ("animated",)),
        (saved(RGB, "JPEG", exif=turned(1)), ()),
        (saved(RGB, "JPEG", exif=turned(6)), ("turned by EXIF",)),
        (saved(RGB.convert("L"), "JPEG", exif=turned(3)), ("grey", "turned by EXIF")),
        (b"no image", ()),
        (saved(RGB, "PNG")[:20], ()),
    ],
)
def test_what_is_unusual_is_named(content: bytes, expected: tuple[str, ...]) -> None:
    assert oddities(content) == expected


def test_sixteen_bits_of_colour_are_told_although_they_are_read_as_eight() -> None:
    cv2 = pytest.importorskip("cv2")
    deep = cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1].tobytes()

    assert oddities(deep) == ("16 bit",)
