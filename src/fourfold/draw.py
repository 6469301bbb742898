"""Pictures of answers: a photo with its classes under it, and a heatmap laid over a photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

INK, PAPER, BAR = (24, 24, 27), (255, 255, 255), (147, 197, 253)
SHORTEST, LONGEST = 360, 960  # pixels: photos are scaled into this range so that captions stay readable
# viridis at nine places, which is monotone in brightness and safe for colour-blind readers
COLOURS = np.array(
    [
        (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
        (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
    ]
)  # fmt: skip


def captioned(image: Tensor, rows: Sequence[tuple[str, float]], note: str = "") -> Pillow.Image:
    """The photo with a bar for each (label, probability) below it, and a line that says where the answer is from."""
    photo = _fit(to_pillow(image))
    size = max(14, photo.width // 32)
    font = ImageFont.load_default(size)
    line = round(size * 1.7)
    canvas = Pillow.new("RGB", (photo.width, photo.height + line * (len(rows) + bool(note)) + size), PAPER)
    canvas.paste(photo)
    pen = ImageDraw.Draw(canvas)
    top = photo.height + size // 2
    number = round(pen.textlength("100.0 %", font=font))
    for label, probability in rows:
        room = photo.width - 3 * size - number
        pen.rectangle((size, top + 2, size + max(1, round(room * probability)), top + line - 3), fill=BAR)
        pen.text((round(size * 1.3), top + line // 2), _shorten(pen, label, font, room - size), INK, font, anchor="lm")
        pen.text((photo.width - size, top + line // 2), f"{100 * probability:.1f} %", INK, font, anchor="rm")
        top += line
    if note:
        small = ImageFont.load_default(size * 0.8)
        pen.text((size, top + line // 2), _shorten(pen, note, small, photo.width - 2 * size), INK, small, anchor="lm")
    return canvas


def heatmap_over(image: Tensor, heat: Tensor, top: int, left: int) -> Tensor:
    """Lay heat (h,w) in 0..1 over the photo (3,H,W), reaching from (top, left) to the same distance from the other edges."""
    height, width = image.shape[-2:]
    inner = (max(1, height - 2 * top), max(1, width - 2 * left))
    smooth = F.interpolate(heat[None, None].float(), inner, mode="bilinear", align_corners=True)[0, 0]
    full = F.pad(smooth[None, None], (left, width - inner[1] - left, top, height - inner[0] - top), mode="replicate")[0, 0]
    colour = colour_of(full).float()
    strength = 0.25 + 0.5 * full  # weak places show the photo, strong ones the colour
    return (image.float() * (1 - strength) + colour * strength).round().clamp(0, 255).to(torch.uint8)


def colour_of(values: Tensor) -> Tensor:
    """Values (H,W) in 0..1 -> uint8 (3,H,W)."""
    place = values.clamp(0, 1).numpy() * (len(COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(COLOURS)), COLOURS[:, channel]) for channel in range(3)]
    return torch.from_numpy(np.stack(channels).round().astype(np.uint8))


def to_pillow(image: Tensor) -> Pillow.Image:
    """uint8 (3,H,W) -> a Pillow image."""
    return Pillow.fromarray(image.permute(1, 2, 0).numpy())


def _fit(photo: Pillow.Image) -> Pillow.Image:
    scale = min(max(1.0, SHORTEST / photo.width), LONGEST / max(photo.size))
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    return photo if scale == 1 else photo.resize(size, Pillow.Resampling.BICUBIC)


def _shorten(pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    if pen.textlength(text, font=font) <= room:
        return text
    while text and pen.textlength(f"{text}…", font=font) > room:
        text = text[:-1]
    return f"{text}…"
