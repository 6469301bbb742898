"""Whatever is given, the command line answers with one clear line and exit code 2, never with a traceback."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fourfold.images import read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
Fail = Callable[..., str]


def encode(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    """A PNG that claims a size, whatever its data are."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff_with(tag: int) -> bytes:
    """A TIFF whose value or offset of a tag is absurd."""
    content = bytearray(encode("TIFF"))
    (start,) = struct.unpack("<I", content[4:8])
    entries = range(start + 2, start + 2 + 12 * struct.unpack("<H", content[start : start + 2])[0], 12)
    (place,) = (entry for entry in entries if struct.unpack("<H", content[entry : entry + 2])[0] == tag)
    content[place + 8 : place + 12] = b"\xff\xff\xff\x7f"
    return bytes(content)


JPEG, PNG = encode("JPEG"), encode("PNG")
STUFFED = zlib.compress(bytes(30_000_000))  # 30 kB that unpack to 30 MB of metadata
FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jpg", b"", "is empty (0 bytes)"),
    "text named jpg": ("a.jpg", b"hello there " * 9, "is not an image"),
    "jpeg cut after its magic": ("a.jpg", JPEG[:2], "is not an image"),
    "jpeg cut in its tables": ("a.jpg", JPEG[:200], "damaged or cut off"),
    "jpeg cut in the middle": ("a.jpg", JPEG[: len(JPEG) // 2], "damaged or cut off"),
    "jpeg cut before its end": ("a.jpg", JPEG[:-90], "damaged or cut off"),
    "png cut after its magic": ("a.png", PNG[:8], "is not an image"),
    "png cut in its header": ("a.png", PNG[:20], "damaged or cut off"),
    "png cut in the middle": ("a.png", PNG[: len(PNG) // 2], "damaged or cut off"),
    "webp cut": ("a.webp", encode("WEBP")[:400], "a.webp is"),
    "gif cut": ("a.gif", encode("GIF")[:900], "damaged or cut off"),
    "garbage behind a jpeg magic": ("a.jpg", b"\xff\xd8\xff\xe0" + PIXELS.tobytes(), "damaged or cut off"),
    "one pixel": ("a.png", encode("PNG", Image.new("RGB", (1, 1))), "1x1 pixels; each side must have at least 4"),
    "a thread": ("a.png", encode("PNG", Image.new("L", (20_000, 2))), "20000x2 pixels"),
    "a strip": ("a.png", encode("PNG", Image.new("L", (4000, 5))), "may be at most 50 times the other"),
    "claims ten thousand million pixels": ("a.png", png(100_000, 100_000), "more than 89,478,485 pixels"),
    "ninety million pixels": ("a.png", encode("PNG", Image.new("1", (9500, 9500))), "9500x9500 pixels; at most 89,478,485"),
    "no pixels": ("a.png", png(0, 0), "is not an image"),
    "text bomb": ("a.png", png(90, 90, chunk(b"zTXt", b"k\0\0" + STUFFED)), "a.png is damaged"),
    "profile bomb": ("a.png", png(90, 90, chunk(b"iCCP", b"k\0\0" + STUFFED)), "a.png is damaged"),
    "gif without frames": ("a.gif", b"GIF89a" + struct.pack("<HH", 40, 40) + b"\0\0\0;", "is not an image"),
    "tiff with its directory nowhere": ("a.tif", b"II*\0\xff\xff\xff\x7f", "is not an image"),
    "tiff with its pixels nowhere": ("a.tif", tiff_with(273), "damaged or cut off"),
    "tiff of absurd width": ("a.tif", tiff_with(256), "more than 89,478,485 pixels"),
    "tiff of 65535 samples": ("a.tif", tiff_with(277), "is not an image"),
    "floating-point tiff": ("a.tif", encode("TIFF", Image.fromarray(np.eye(9, dtype=np.float32))), "floating-point values"),
    "ppm of words": ("a.ppm", b"P6 forty thirty 255 " + bytes(3600), "damaged or cut off"),
    "svg": ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "is not an image"),
    "pdf": ("a.pdf", b"%PDF-1.4\n%\xe2\xe3\n", "is not an image"),
    "postscript, which is a program": ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
    "heic": ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "is not an image"),
}


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, error_of: Fail, tmp_path: Path) -> Fail:
    """Run a command in an empty folder and return its one line of error."""
    monkeypatch.chdir(tmp_path)
    Path("good.png").write_bytes(PNG)
    return error_of


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_named_with_what_is_wrong(fail: Fail, case: str) -> None:
    name, content, words = FILES[case]
    Path(name).write_bytes(content)

    message = fail("classify", name)

    assert name in message
    assert words in message


@pytest.mark.parametrize(
    ("given_name", "words"),
    [
        ("gone.jpg", "gone.jpg does not exist"),
        ("gone/photo.jpg", "gone/photo.jpg does not exist"),
        ("good.png/photo.jpg", "good.png/photo.jpg cannot be read (Not a directory)"),
        ("*.nope", "nothing matches the pattern *.nope"),
        ("folder", "no images in folder folder"),
        ("folder.jpg", "no images in folder folder.jpg"),
        ("", "empty name"),
        ("nul\0.jpg", r"nul\x00.jpg cannot be read"),
        ("nul\0*.jpg", r"nul\x00*.jpg"),
        ("new\nline.jpg", r"new\nline.jpg does not exist"),
        ("two\u2028lines.jpg", r"two\u2028lines.jpg does not exist"),
        ("red\x1b(31m.jpg", r"red\x1b(31m.jpg does not exist"),
        ("bytes\udc80.jpg", r"bytes\udc80.jpg does not exist"),
        ("größe 猫.jpg", "größe 猫.jpg does not exist"),
        ("x" * 300, "xxx cannot be read (File name too long)"),
        ("x/" * 3000, "cannot be read (File name too long)"),
        ("/dev/null", "/dev/null is a pipe or device"),
        ("/dev/zero", "/dev/zero is a pipe or device"),
    ],
)
def test_a_path_to_no_image_is_named(fail: Fail, given_name: str, words: str) -> None:
    for folder in ("folder", "folder.jpg"):
        Path(folder).mkdir()

    assert words in fail("classify", given_name)


def test_a_pipe_is_refused_and_not_waited_for(fail: Fail) -> None:
    os.mkfifo("pipe.jpg")
    rescue = threading.Timer(30, lambda: os.close(os.open("pipe.jpg", os.O_RDWR)))  # ends a read that waits
    rescue.start()

    assert "pipe.jpg is a pipe or device" in fail("classify", "pipe.jpg")
    assert rescue.is_alive()
    rescue.cancel()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read everything")
def test_a_file_without_permission_is_named(fail: Fail) -> None:
    Path("good.png").chmod(0)

    assert "good.png cannot be read (Permission denied)" in fail("classify", "good.png")


@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"junk", "is not an image"), (JPEG[:700], "cut off")])
def test_bad_standard_input_is_named(fail: Fail, content: bytes, words: str) -> None:
    message = fail("classify", "-", stdin=content)

    assert message.startswith("fourfold: standard input ")
    assert words in message


def read_or_refuse(content: bytes) -> str:
    try:
        return f"the photo has {read_image(content, name='the photo').shape[0]} channels"
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "AVIF", "JPEG2000"])  # libtiff chats on stderr
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore:::PIL")
def test_any_damage_is_answered_or_refused_in_one_line(kind: str, data: st.DataObject) -> None:
    content = bytearray(encode(kind))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, min(len(content) - 1, 300)))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]

    outcome = read_or_refuse(bytes(content))

    assert outcome.startswith("the photo ")
    assert "\n" not in outcome


@pytest.mark.parametrize("arguments", [("classify", "gone.jpg"), ("explain", "vgg17"), ("evaluate", "gone")])
def test_the_installed_program_does_the_same(arguments: tuple[str, ...]) -> None:
    program = Path(sys.executable).with_name("fourfold")

    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=120)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fourfold: ")
    assert done.stderr.count("\n") == 1
    assert arguments[1] in done.stderr
