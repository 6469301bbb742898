"""Images: uint8 (3,H,W) RGB. Files and bytes in, sizes changed, and the normalisation that belongs to the weights.

The only place that decodes images, but for the shortcut that jpeg.py takes.
"""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional as F

from fourfold.shapes import expect

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2"})
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")  # no others: EPS would start Ghostscript
MAX_BYTES = 2**30  # of a file: the largest allowed image in 16-bit RGB has half of that
MAX_PIXELS = 89_478_485  # Pillow's own line between a large image and a decompression bomb
MEAN_IMAGE = "pixels.mean_image"  # its name among a network's weights
MIN_SIDE = 4  # pixels; below that there is nothing to see
MAX_ASPECT = 50  # a longer strip cannot be shown to a network without cutting most of it away

_opening = threading.Lock()  # warnings.catch_warnings changes the whole process, so images are opened one at a time


def read_image(source: Path | bytes, *, name: str | None = None) -> Tensor:
    """Decode an image file, or its bytes, to uint8 (3,H,W) RGB.

    EXIF rotation is obeyed; of an animation the first frame is taken; transparent parts become white; grey, palette,
    CMYK and 16-bit images are converted. Raises ValueError saying what is wrong: missing, empty, not an image, cut off,
    too large (over MAX_PIXELS), too small or too long a strip.
    """
    name = name or (str(source) if isinstance(source, Path) else "the image")
    content = _content(source, name)
    with _open(content, name) as image:
        check_size(image.width, image.height, name)
        if image.mode == "F":
            raise ValueError(f"{name} holds floating-point values; convert it to 8 or 16 bits")
        try:
            rgb = _to_rgb(_upright(image))
        except Exception as error:  # Pillow's decoders raise nearly every type there is
            raise _damaged(name, error) from error
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()


def check_image(image: Tensor | np.ndarray | Pillow.Image) -> Tensor:
    """An image in memory as a tensor (3,H,W): one of Pillow's, or uint8 RGB as a tensor (3,H,W) or an array (H,W,3).

    Raises ValueError for another type or shape, or a size that `read_image` refuses.
    """
    if isinstance(image, Pillow.Image):
        image = np.array(_to_rgb(_upright(image)))
    if not isinstance(image, Tensor) and image.ndim != 3:
        raise ValueError(f"an image in memory has shape {image.shape}; give an array (H,W,3) or a tensor (3,H,W)")
    if image.dtype not in (torch.uint8, np.uint8):
        raise ValueError(f"an image in memory holds {image.dtype}; give uint8 values of 0 to 255")
    tensor = image if isinstance(image, Tensor) else torch.from_numpy(np.array(image)).permute(2, 0, 1)
    expect(tensor, "3 H W", name="an image in memory")
    check_size(tensor.shape[2], tensor.shape[1], "an image in memory")
    return tensor


def read_orientation(content: bytes) -> int:
    """EXIF's orientation of an image, 1 to 8, that `read_image` obeys; 1 is upright. Raises ValueError as `read_image`."""
    with _open(_content(content, "the image"), "the image") as image:
        try:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception:  # EXIF that cannot be read says nothing about rotation
            return 1
    return orientation if orientation in range(1, 9) else 1


def _content(source: Path | bytes, name: str) -> io.BytesIO:
    """The bytes of the file, read at once so that a file that changes meanwhile cannot mix two images."""
    content = source if isinstance(source, bytes) else read_file(source, name)
    if not content:
        raise ValueError(f"{name} is empty (0 bytes); replace the file")
    if len(content) > MAX_BYTES:
        raise ValueError(f"{name} has more than {MAX_BYTES:,} bytes; give a smaller file")
    return io.BytesIO(content)


def read_file(path: Path, name: str | None = None) -> bytes:
    """The bytes of a file, at most one more than MAX_BYTES. Raises ValueError where there are none to be had.

    Pipes and devices are refused, because they could keep us waiting for ever.
    """
    name = name or str(path)
    try:
        kind = path.stat().st_mode
        if stat.S_ISREG(kind):
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ValueError(f"{name} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} cannot be read ({_reason(error)}); check the path and its permissions") from error
    if stat.S_ISDIR(kind):
        raise ValueError(f"{name} is a folder; give an image file")
    raise ValueError(f"{name} is a pipe or device; give an image file, or - for standard input")


def _open(content: io.BytesIO, name: str) -> Pillow.Image:
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the size is checked below, against the same limit
        try:
            return Pillow.open(content, formats=FORMATS)
        except UnidentifiedImageError:
            raise ValueError(f"{name} is not an image; JPEG, PNG, WebP, BMP, GIF and TIFF can be read") from None
        except Pillow.DecompressionBombError:
            raise ValueError(f"{name} has more than {MAX_PIXELS:,} pixels; make it smaller") from None
        except Exception as error:  # Pillow's decoders raise nearly every type there is
            raise _damaged(name, error) from error


def check_size(width: int, height: int, name: str) -> None:
    """Raises ValueError for a size that `read_image` refuses."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"{name} has {width}x{height} pixels; at most {MAX_PIXELS:,} are allowed: make it smaller")
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"{name} has {width}x{height} pixels; each side must have at least {MIN_SIDE}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(f"{name} has {width}x{height} pixels; one side may be at most {MAX_ASPECT} times the other")


def _upright(image: Pillow.Image) -> Pillow.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF that cannot be read says nothing about rotation
        return image


def _to_rgb(image: Pillow.Image) -> Pillow.Image:
    if image.mode.startswith("I"):  # 16-bit grey, or 32-bit integers that hold it
        return Pillow.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        canvas = Pillow.new("RGBA", image.size, "white")
        return Pillow.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _damaged(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} is damaged or cut off ({_reason(error)}); replace the file")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).strip().split("\n")[0] or type(error).__name__


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """uint8 (3,H,W) -> uint8 (3,height,width), bilinear, antialiased where it shrinks."""
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]


def resize_shorter(image: Tensor, size: int) -> Tensor:
    """Scale so that the shorter side has `size` pixels; see `scaled_size`."""
    return resize(image, *scaled_size(image.shape[-2], image.shape[-1], size))


def scaled_size(height: int, width: int, shorter: int) -> tuple[int, int]:
    """Height and width of an image once its shorter side is `shorter`; the longer is rounded down, as torchvision does."""
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def view_scale(size: int) -> int:
    """The shorter side of an image whose size x size centre is the single view: 256 for 224, small images whole.

    ResNet tests ImageNet's curves (Figure 4) and CIFAR-10 (4.2) so.
    """
    return size if size < 128 else max(256, size)


def centre_view(image: Tensor, size: int) -> Tensor:
    """uint8 (3,H,W) -> uint8 (3,size,size): the single view."""
    return centre_crop(resize_shorter(image, view_scale(size)), size)


def centre_crop(image: Tensor, size: int) -> Tensor:
    """The size x size pixels in the middle. Raises ValueError if a side of the image is smaller."""
    height, width = image.shape[-2:]
    if min(height, width) < size:
        raise ValueError(f"an image of {width}x{height} has no {size}x{size} crop; scale it to at least {size} first")
    top, left = round((height - size) / 2), round((width - size) / 2)
    return image[..., top : top + size, left : left + size]


@dataclass(frozen=True, eq=False)
class Pixels:
    """How weights want their pixels: (value - mean) / std on the 0..255 scale, in the given channel order.

    `mean_image` is a per-pixel mean (3,H,W) as AlexNet, SPP-net and ResNet subtract it; it is warped to the size of the
    image, and `mean` is left out of account where it is given.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    order: Literal["RGB", "BGR"] = "RGB"
    mean_image: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N,3,H,W) RGB -> float32 (N,3,H,W), laid out with channels last, which is what CPUs convolve fastest."""
        values = images.to(torch.float32, memory_format=torch.channels_last, copy=True)
        if self.order == "BGR":
            values = values.flip(1)
        mean = self._mean(values.shape[-2], values.shape[-1]).to(values.device)
        std = torch.tensor(self.std, device=values.device).view(3, 1, 1)
        return values.sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)

    def record(self) -> dict[str, object]:
        """What of this is kept as JSON; `pixels_from` reads it back."""
        return {"mean": list(self.mean), "std": list(self.std), "order": self.order}

    def tensors(self) -> dict[str, Tensor]:
        """What of this is kept among the weights."""
        return {} if self.mean_image is None else {MEAN_IMAGE: self.mean_image}

    def _mean(self, height: int, width: int) -> Tensor:
        if self.mean_image is None:
            return torch.tensor(self.mean).view(3, 1, 1)
        if self.mean_image.shape[-2:] == (height, width):
            return self.mean_image
        return F.interpolate(self.mean_image[None], (height, width), mode="bilinear", antialias=True)[0]


def pixels_from(record: Mapping) -> Pixels:
    """The inverse of `Pixels.record`. Raises KeyError, TypeError or ValueError for what it never gives."""
    mean, std = (tuple(map(float, record[key])) for key in ("mean", "std"))
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0 or record["order"] not in ("RGB", "BGR"):
        raise ValueError("pixels need a mean and a std above 0 for each of three channels, and the order RGB or BGR")
    return Pixels(mean, std, record["order"])


def channel_pixels(images: Tensor) -> Pixels:
    """Mean and standard deviation of each channel over uint8 (N,3,H,W)."""
    parts = [part.double() for part in images.split(4096)]
    count = images.shape[0] * images.shape[2] * images.shape[3]
    mean = torch.stack([part.sum((0, 2, 3)) for part in parts]).sum(0) / count
    square = torch.stack([(part - mean.view(3, 1, 1)).square().sum((0, 2, 3)) for part in parts]).sum(0) / count
    std = square.sqrt().clamp(min=1.0)  # an image set of one colour must not divide by zero
    return Pixels(mean=tuple(round(value, 3) for value in mean.tolist()), std=tuple(round(v, 3) for v in std.tolist()))


def mean_colour_pixels(images: Tensor) -> Pixels:
    """The mean of each channel over uint8 (N,3,H,W), subtracted without scaling (VGG 2.1: "the mean RGB value")."""
    return Pixels(mean=channel_pixels(images).mean)


def mean_image_pixels(images: Tensor) -> Pixels:
    """The mean of every pixel over uint8 (N,3,H,W), subtracted without scaling (ResNet 4.2: "per-pixel mean subtracted")."""
    total = torch.stack([part.double().sum(0) for part in images.split(4096)]).sum(0)
    return Pixels(mean_image=(total / len(images)).float())
