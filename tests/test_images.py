"""Every common kind of image becomes the uint8 (3,H,W) RGB that was meant, and is resized as torchvision resizes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from fourfold.images import centre_crop, read_image, resize, resize_shorter, scaled_size

FOUR = np.array([[250, 10, 20], [30, 240, 40], [50, 60, 230], [200, 190, 180]], dtype=np.uint8)
LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "PPM": {}, "GIF": {}, "WEBP": {"lossless": True}, "JPEG2000": {}}
PACKED_TIFF = ("tiff_lzw", "tiff_adobe_deflate", "packbits")


def four_colours(height: int = 6, width: int = 10) -> np.ndarray:
    """(H,W,3) of four colours without any symmetry; GIF's palette holds them all."""
    return FOUR[np.random.default_rng(3).integers(0, 4, (height, width))]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels_of(content: bytes) -> np.ndarray:
    """What `read_image` makes of it, as (H,W,3)."""
    tensor = read_image(content)
    assert tensor.dtype == torch.uint8
    assert tensor.is_contiguous()
    return tensor.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_keep_every_pixel(kind: str, tmp_path: Path) -> None:
    array = four_colours()
    path = tmp_path / "photo"
    path.write_bytes(encode(Image.fromarray(array), kind, **LOSSLESS[kind]))

    assert np.array_equal(read_image(path).permute(1, 2, 0).numpy(), array)


@pytest.mark.parametrize("compression", PACKED_TIFF)
def test_compressed_tiff_keeps_every_pixel(compression: str) -> None:
    content = encode(Image.fromarray(four_colours()), "TIFF", compression=compression)

    assert np.array_equal(pixels_of(content), four_colours())


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("JPEG", {"progressive": True}), ("WEBP", {})])
def test_lossy_formats_keep_colours_and_places(kind: str, options: dict[str, object]) -> None:
    array = np.repeat(np.repeat(four_colours(2, 3), 32, axis=0), 32, axis=1)

    read = pixels_of(encode(Image.fromarray(array), kind, **options)).astype(int)

    centres = np.s_[16::32, 16::32]  # flat areas; 10 levels for the quantisation of their colour
    assert read.shape == (64, 96, 3)
    assert np.abs(read[centres] - array[centres]).max() <= 10


# EXIF says on which side of the upright photo the file's first row and first column lie; written out here by hand.
STORED = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.transpose(1, 0, 2),  # left, top
    6: lambda a: a[:, ::-1].transpose(1, 0, 2),  # right, top
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: lambda a: a[::-1].transpose(1, 0, 2),  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_photos_are_turned_upright_by_their_exif(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](four_colours())))

    content = encode(stored, kind, exif=exif.tobytes() if kind != "TIFF" else exif, **LOSSLESS[kind])

    assert np.array_equal(pixels_of(content), four_colours())


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0junk", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own of the damaged EXIF
def test_damaged_exif_leaves_the_pixels_as_they_are(exif: bytes) -> None:
    plain = encode(Image.fromarray(four_colours(16, 24)), "JPEG")

    assert np.array_equal(pixels_of(encode(Image.fromarray(four_colours(16, 24)), "JPEG", exif=exif)), pixels_of(plain))


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (5, 9), dtype=np.uint8)

    assert np.array_equal(pixels_of(encode(Image.fromarray(grey), "PNG")), np.stack([grey] * 3, axis=2))


def test_one_bit_becomes_black_and_white() -> None:
    bits = np.random.default_rng(0).random((5, 9)) > 0.5

    expected = np.stack([bits * 255] * 3, axis=2)
    assert np.array_equal(pixels_of(encode(Image.fromarray(bits), "PNG")), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_upper_eight_bits(kind: str) -> None:
    values = np.array([[0, 255, 256, 511], [32767, 32768, 65280, 65535]] * 2, dtype=np.uint16)

    read = pixels_of(encode(Image.fromarray(values), kind))

    assert read[:2, :, 1].tolist() == [[0, 0, 1, 1], [127, 128, 255, 255]]
    assert np.array_equal(read[..., 0], read[..., 2])


def test_palette_images_take_their_colours() -> None:
    image = Image.fromarray(four_colours()).quantize(4)
    assert image.mode == "P"

    assert np.array_equal(pixels_of(encode(image, "PNG")), four_colours())


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_become_white_and_half_of_it_half_white(mode: Literal["RGBA", "LA"]) -> None:
    image = Image.new("RGBA", (6, 4), (100, 100, 100, 255)).convert(mode)
    colour = (100, 100, 100) if mode == "RGBA" else (100,)
    image.putpixel((1, 2), (*colour, 0))
    image.putpixel((4, 3), (*colour, 51))  # a fifth: 0.2 * 100 + 0.8 * 255 = 224

    read = pixels_of(encode(image, "PNG"))

    assert read[2, 1].tolist() == [255, 255, 255]
    assert read[3, 4].tolist() == pytest.approx([224] * 3, abs=1)  # rounding of eight-bit products
    assert read[0, 0].tolist() == [100, 100, 100]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_becomes_white(kind: str) -> None:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([9, 9, 9, 200, 30, 40, 7, 8, 9])
    image.putpixel((5, 2), 2)

    read = pixels_of(encode(image, kind, transparency=2))

    assert read[2, 5].tolist() == [255, 255, 255]
    assert read[0, 0].tolist() == [200, 30, 40]


def test_the_transparent_colour_of_an_rgb_png_becomes_white() -> None:
    image = Image.new("RGB", (6, 4), (1, 2, 3))
    image.putpixel((5, 2), (4, 5, 6))

    read = pixels_of(encode(image, "PNG", transparency=(4, 5, 6)))

    assert (read[2, 5].tolist(), read[0, 0].tolist()) == ([255, 255, 255], [1, 2, 3])


@pytest.mark.parametrize(
    ("ink", "colour"), [((0, 255, 255, 0), (255, 0, 0)), ((255, 0, 255, 0), (0, 255, 0)), ((0, 0, 0, 255), (0, 0, 0))]
)
def test_cmyk_jpeg_has_the_colours_of_its_inks(ink: tuple[int, ...], colour: tuple[int, ...]) -> None:
    read = pixels_of(encode(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95))

    assert read[8, 8].tolist() == pytest.approx(colour, abs=5)  # JPEG's quantisation


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 6), tuple(map(int, colour))) for colour in FOUR[:3]]

    read = pixels_of(encode(frames[0], kind, save_all=True, append_images=frames[1:], **LOSSLESS[kind]))

    assert np.array_equal(read, np.broadcast_to(FOUR[0], (6, 8, 3)))


sides = st.integers(4, 90)  # pixels; read_image takes no less than 4


@settings(deadline=None, max_examples=60)
@given(sides, sides, st.integers(4, 120), st.integers(0, 99))
def test_the_shorter_side_is_scaled_as_torchvision_scales_it(height: int, width: int, size: int, seed: int) -> None:
    image = noise(3, height, width, seed=seed)

    assert torch.equal(resize_shorter(image, size), reference.resize(image, [size], antialias=True))


@settings(deadline=None, max_examples=60)
@given(sides, sides, sides, sides)
def test_resizing_equals_torchvision(height: int, width: int, new_height: int, new_width: int) -> None:
    image = noise(3, height, width)

    expected = reference.resize(image, [new_height, new_width], antialias=True)
    assert torch.equal(resize(image, new_height, new_width), expected)


@settings(deadline=None)
@given(sides, sides, sides)
def test_the_centre_crop_is_torchvisions(height: int, width: int, size: int) -> None:
    assume(size <= min(height, width))
    image = noise(3, height, width)

    assert torch.equal(centre_crop(image, size), reference.center_crop(image, [size, size]))


def test_no_crop_is_larger_than_its_image() -> None:
    with pytest.raises(ValueError, match="20x30 has no 24x24 crop; scale it to at least 24 first"):
        centre_crop(noise(3, 30, 20), 24)


@pytest.mark.parametrize(
    ("height", "width", "shorter", "size"),
    [
        (375, 500, 256, (256, 341)),  # 341.33
        (500, 375, 256, (341, 256)),
        (375, 500, 360, (360, 480)),
        (240, 240, 224, (224, 224)),
        (9, 12, 32, (32, 42)),  # 42.67
        (4, 200, 224, (224, 11200)),
    ],
)
def test_the_scaled_size_is_the_one_worked_out_by_hand(height: int, width: int, shorter: int, size: tuple[int, int]) -> None:
    assert scaled_size(height, width, shorter) == size


@settings(deadline=None)
@given(st.integers(4, 3000), st.integers(4, 3000), st.integers(4, 700))
def test_the_longer_side_is_rounded_down(height: int, width: int, shorter: int) -> None:
    scaled = scaled_size(height, width, shorter)

    assert min(scaled) == shorter
    longer = shorter * max(height, width) // min(height, width)
    assert scaled == ((shorter, longer) if height <= width else (longer, shorter))
