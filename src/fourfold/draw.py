"""Pictures of answers: a photo with its classes under it, a heatmap laid over a photo, and a sheet of many answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from fourfold.shapes import expect

INK, PAPER, BAR = (24, 24, 27), (255, 255, 255), (147, 197, 253)
GREEN, RED = (22, 128, 61), (220, 38, 38)
TILE, ACROSS, SHOWN = 224, 6, 12  # pixels of a photo on a sheet, photos side by side, right and wrong ones shown
GAP, LINE = 14, 20  # pixels between photos, and of a line of words
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


@dataclass(frozen=True, eq=False)
class Tile:
    """A photo uint8 (3,H,W) on a sheet, what is written below it, line by line, and whether it is ticked or crossed."""

    image: Tensor
    lines: tuple[str, ...]
    is_right: bool


def val_examples(
    images: Tensor | Sequence[Tensor] | Mapping[int, Tensor],
    truth: Tensor,
    guesses: Tensor,
    probabilities: Tensor,
    classes: Sequence[str],
) -> Pillow.Image:
    """A sheet of answers on N validation images: right ones from all classes above, the surest of the wrong ones below.

    images: uint8 (3,H,W), looked up by position for those alone that `chosen` names; truth, guesses: int64 (N,) indices into
    `classes`; probabilities: (N,) of the guesses, 0..1. Raises ValueError where these disagree.
    """
    right, wrong = chosen(truth, guesses, probabilities)
    number = int((truth == guesses).sum())
    missed = f"{len(truth) - number:,}, the surest first" if number < len(truth) else "none"
    tiles = [
        Tile(images[index], _caption(int(truth[index]), int(guesses[index]), float(probabilities[index]), classes), is_right)
        for indices, is_right in ((right, True), (wrong, False))
        for index in indices
    ]
    return contact_sheet(
        [
            (f"Right: {number:,} of {len(truth):,}", [tile for tile in tiles if tile.is_right]),
            (f"Wrong: {missed}", [tile for tile in tiles if not tile.is_right]),
        ]
    )


def chosen(truth: Tensor, guesses: Tensor, probabilities: Tensor) -> tuple[list[int], list[int]]:
    """Positions of the images that `val_examples` shows: SHOWN right ones, spread evenly over the classes, and wrong ones.

    The wrong ones are those of the highest probability, ties in order of position. Raises ValueError where lengths disagree.
    """
    expect(guesses, str(len(truth)), name="the vector of guesses")
    expect(probabilities, str(len(truth)), name="the vector of probabilities")
    is_right = truth == guesses
    right = is_right.nonzero().flatten()
    right = right[truth[right].argsort(stable=True)]
    count = min(SHOWN, len(right))
    spread = right[[(2 * place + 1) * len(right) // (2 * count) for place in range(count)]] if count else right
    wrong = (~is_right).nonzero().flatten()
    wrong = wrong[probabilities[wrong].argsort(descending=True, stable=True)][:SHOWN]
    return spread.tolist(), wrong.tolist()


def _caption(truth: int, guess: int, probability: float, classes: Sequence[str]) -> tuple[str, ...]:
    """The name and the per cents; of a wrong answer "true -> guessed 87 %", in two lines so that long names have room."""
    percent = f"{100 * probability:.0f} %"
    if truth == guess:
        return (f"{classes[truth]}\t{percent}",)
    return f"{classes[truth]}", f"-> {classes[guess]}\t{percent}"


def contact_sheet(sections: Sequence[tuple[str, Sequence[Tile]]]) -> Pillow.Image:
    """Tiles in rows of ACROSS under the heading of their section.

    Photos of at most TILE / 2 pixels are enlarged by a whole number, pixel by pixel; ones above TILE are reduced. What comes
    behind a tab in a line is kept whole at the right end, and the rest is shortened.
    """
    photos = [[_tile(tile.image) for tile in tiles] for _, tiles in sections]
    width = max([photo.width for row in photos for photo in row], default=TILE)
    width = max(width, TILE // 2)  # so that strips leave room for words
    parts = [_section(heading, tiles, row, width) for (heading, tiles), row in zip(sections, photos, strict=True)]
    canvas = Pillow.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), PAPER)
    top = 0
    for part in parts:
        canvas.paste(part, (0, top))
        top += part.height
    return canvas


def _section(heading: str, tiles: Sequence[Tile], photos: Sequence[Pillow.Image], width: int) -> Pillow.Image:
    height = max([photo.height for photo in photos], default=0)
    step = (width + GAP, height + LINE * max([len(tile.lines) for tile in tiles], default=0) + GAP + 6)
    rows = -(-len(tiles) // ACROSS)
    size = (max(GAP + min(ACROSS, len(tiles)) * step[0], 320), 3 * GAP + step[1] * rows)
    canvas = Pillow.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((GAP - 3, GAP - 2), heading, INK, ImageFont.load_default(17), anchor="lm")
    for place, (tile, photo) in enumerate(zip(tiles, photos, strict=True)):
        left, top = GAP + place % ACROSS * step[0], 2 * GAP + place // ACROSS * step[1]
        _paste(canvas, tile, photo, (left, top, left + width, top + height))
    return canvas


def _tile(image: Tensor) -> Pillow.Image:
    photo = to_pillow(image)
    longest = max(photo.size)
    if longest > TILE:
        size = (max(1, round(photo.width * TILE / longest)), max(1, round(photo.height * TILE / longest)))
        return photo.resize(size, Pillow.Resampling.BICUBIC)
    times = TILE // longest
    return photo.resize((photo.width * times, photo.height * times), Pillow.Resampling.NEAREST)


def _paste(canvas: Pillow.Image, tile: Tile, photo: Pillow.Image, box: tuple[int, int, int, int]) -> None:
    """The photo in its frame at the foot of the box, in the middle, and the sign and the lines below."""
    left, _, right, bottom = box
    colour = GREEN if tile.is_right else RED
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    at = ((left + right - photo.width) // 2, bottom - photo.height)
    pen.rectangle((at[0] - 3, at[1] - 3, at[0] + photo.width + 2, at[1] + photo.height + 2), fill=colour)
    canvas.paste(photo, at)
    _sign(pen, (left, bottom + 8), 12, tile.is_right)
    for number, text in enumerate(tile.lines):
        middle = bottom + 5 + LINE * number + LINE // 2
        words, _, end = text.partition("\t")
        room = right - left - 17 - (pen.textlength(end, font) + 6 if end else 0)
        pen.text((left + 17, middle), _shorten(pen, words, font, room), INK, font, anchor="lm")
        pen.text((right, middle), end, colour, font, anchor="rm")


def _sign(pen: ImageDraw.ImageDraw, corner: tuple[int, int], size: int, is_right: bool) -> None:
    """A green tick or a red cross, drawn rather than written: a font may lack them, and colour alone is not for everyone."""
    left, top = corner
    points = [(0.0, 0.55), (0.38, 0.95), (1.0, 0.1)] if is_right else [(0.05, 0.05), (0.95, 0.95)]
    lines = [points] if is_right else [points, [(0.05, 0.95), (0.95, 0.05)]]
    for each in lines:
        pen.line([(left + x * size, top + y * size) for x, y in each], fill=GREEN if is_right else RED, width=3)


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
    text = " ".join(text.split())  # a folder's name may hold the end of a line
    if pen.textlength(text, font=font) <= room:
        return text
    while text and pen.textlength(f"{text}…", font=font) > room:
        text = text[:-1]
    return f"{text}…"
