"""JPEG files decoded no further than is needed: no rows below the lowest one wanted, and no finer than wanted.

Whatever is unusual about a file is left to `images.read_image`, which alone says what is wrong with an image.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np
import simplejpeg

from fourfold.images import MAX_BYTES, check_size, read_orientation

SCALES = (8, 4, 2, 1)  # libjpeg-turbo leaves out whole frequencies at these, which is fast
PROGRESSIVE = 0xC2
FRAMES = frozenset({0xC0, 0xC1, PROGRESSIVE})  # the first two are baseline and extended Huffman coding
SKIPPED = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})  # tables, comments and applications' segments
APP1 = 0xE1  # holds EXIF or XMP, and so may turn the photo
END = b"\xff\xd9"
LEFT_OVER = re.compile("extraneous bytes before marker 0xd[0-79]$")  # libjpeg's words for skipped rows


@dataclass(frozen=True)
class Header:
    """What the first bytes of a JPEG file say."""

    height: int  # as stored: before the rotation that EXIF asks for
    width: int
    orientation: int  # EXIF's, 1 to 8
    height_at: int  # where in the file the height is written
    in_rows: bool  # not progressive, which stores the whole photo coarsely, then finer


def read_header(content: bytes) -> Header | None:
    """The header of a grey or colour JPEG of 8 bits and of a size that `read_image` accepts; None for all else."""
    if len(content) > MAX_BYTES or not content.startswith(b"\xff\xd8"):
        return None
    at, tagged = 2, False
    while at + 10 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in FRAMES:
            return _frame(content, at, tagged)
        if marker not in SKIPPED:
            return None
        tagged |= marker == APP1
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return None


def _frame(content: bytes, at: int, tagged: bool) -> Header | None:
    bits, height, width, components = struct.unpack_from(">BHHB", content, at + 4)
    if bits != 8 or components not in (1, 3):  # CMYK has 4
        return None
    try:
        check_size(width, height, "the image")
        orientation = read_orientation(content) if tagged else 1
    except ValueError:
        return None
    return Header(height, width, orientation, at + 5, content[at + 1] != PROGRESSIVE)


def decode(content: bytes, header: Header, bottom: int, scale: int) -> np.ndarray | None:
    """Rows 0 to `bottom`, at least, at 1/scale of the size: uint8 (h,w,3) RGB; None where they are damaged.

    A pixel covers scale x scale pixels of the file, counted from its upper left corner. `scale` is one of SCALES.
    """
    ends = header.in_rows and content.endswith(END)  # if not, it may be cut off, and only reading all of it tells
    height = min(header.height, bottom) if ends else header.height
    pixels = np.empty((-(-height // scale), -(-header.width // scale), 3), np.uint8)
    least = (0, 0) if scale == 1 else pixels.shape
    options = {"min_height": least[0], "min_width": least[1], "fastupsample": True, "buffer": pixels}
    try:
        simplejpeg.decode_jpeg(_shortened(content, header, height), "RGB", **options)
    except ValueError as error:  # it tells the first thing that was odd, after all pixels are there
        if height == header.height or not LEFT_OVER.search(str(error)):
            return None
    return pixels


def _shortened(content: bytes, header: Header, height: int) -> bytes | bytearray:
    """The file with a smaller height in its header: decoding stops there, and skips what is left of the data."""
    if height == header.height:
        return content
    shorter = bytearray(content)
    struct.pack_into(">H", shorter, header.height_at, height)
    return shorter
