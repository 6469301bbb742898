"""Pictures of boxes on photos: what was found with class and score, proposals, the truth beside it, and sheets of photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from fourfold.boxes import area, check_boxes
from fourfold.data.annotated import Annotated
from fourfold.detect.detections import Detections
from fourfold.draw import INK, PAPER, to_pillow

# Okabe and Ito's colours, which colour-blind readers can tell apart, without their black, which edges have
COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
SMALLEST = 480  # pixels of the longer side: smaller photos are enlarged by a whole number, so that captions find room
LINES, LETTERS = 240, 44  # the longer side has so many widths of a line, and heights of a letter
FEWEST, THINNEST = 13, 2  # pixels of a letter and of a line at least
MARGIN = 3  # pixels around words
HIDDEN = 0.3  # of words; covered by more they cannot be read
GAP, HEADING = 12, 16  # pixels between photos of a sheet, and of the letters above them
TILE = 480  # pixels of a photo's longer side on a sheet
BRIGHT = 130  # brightness from which black letters are read better than white ones

Colour = tuple[int, int, int]
Edges = tuple[float, float, float, float]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class _Mark:
    """A box in pixels of the picture, and what is written at it, if anything."""

    edges: Edges
    colour: Colour
    words: str = ""


def boxes_picture(image: Tensor, found: Detections, classes: Sequence[str]) -> Pillow.Image:
    """What was found on a photo uint8 (3,H,W): a box in the colour of its class, "RBC 0.93" at it, the best on top.

    The picture has the photo's size; a photo smaller than SMALLEST is enlarged by a whole number. Of more classes than
    COLOURS several share one. Raises ValueError where a label is none of the classes.
    """
    rows = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    words = [f"{_class_of(label, classes)} {score:.2f}" for label, score in rows]
    return marked_picture(image, found.boxes, found.labels.tolist(), words)


def truth_picture(image: Tensor, truth: Annotated, classes: Sequence[str]) -> Pillow.Image:
    """The annotated objects of a photo uint8 (3,H,W) in the same way, with "difficult" where they are; large ones below."""
    order = area(truth.boxes).argsort(stable=True)
    labels, is_difficult = truth.labels[order].tolist(), truth.is_difficult[order].tolist()
    rows = zip(labels, is_difficult, strict=True)
    words = [_class_of(label, classes) + (" (difficult)" if is_so else "") for label, is_so in rows]
    return marked_picture(image, truth.boxes[order], labels, words)


def marked_picture(image: Tensor, boxes: Tensor, labels: Sequence[int], words: Sequence[str]) -> Pillow.Image:
    """A photo uint8 (3,H,W) with boxes (R,4), best first, each in the colour of its label with its words at it.

    Frames are drawn from the last to the first, then the words, so that no frame crosses one.
    """
    photo = to_pillow(image)
    times = max(1, SMALLEST // max(photo.size))
    photo = photo if times == 1 else photo.resize((photo.width * times, photo.height * times), Pillow.Resampling.BICUBIC)
    marks = [
        _Mark((x1, y1, x2, y2), COLOURS[label % len(COLOURS)], text)
        for (x1, y1, x2, y2), label, text in zip((boxes * times).tolist(), labels, words, strict=True)
    ]
    longest = max(photo.size)
    pen, font = ImageDraw.Draw(photo), ImageFont.load_default(max(FEWEST, longest // LETTERS))
    for mark in reversed(marks):
        _draw_frame(pen, mark, photo.size, max(THINNEST, round(longest / LINES)))
    for place, mark, text in reversed(_tags(marks, photo.size, font)):
        _draw_tag(pen, place, mark.colour, text, font)
    return photo


def proposals_picture(image: Tensor, boxes: Tensor) -> Pillow.Image:
    """Boxes (R,4) without words on a photo uint8 (3,H,W), such as proposals, in turning colours; the first on top."""
    check_boxes(boxes, "the boxes to draw")
    return marked_picture(image, boxes, range(len(boxes)), [""] * len(boxes))


def side_by_side(image: Tensor, truth: Annotated, found: Detections, classes: Sequence[str]) -> Pillow.Image:
    """The truth on the left, what was found on the right, their numbers above."""
    pictures = [truth_picture(image, truth, classes), boxes_picture(image, found, classes)]
    return boxes_sheet(pictures, [f"annotated: {len(truth):,}", f"found: {len(found):,}"], across=2)


def boxes_sheet(pictures: Sequence[Pillow.Image], headings: Sequence[str], across: int = 3) -> Pillow.Image:
    """Pictures in rows of `across`, their longer sides scaled to TILE, each below its heading.

    Raises ValueError where there is not one heading for each picture, or no picture.
    """
    if len(pictures) != len(headings) or not pictures:
        raise ValueError(f"there are {len(headings)} headings for {len(pictures)} pictures; give one for each")
    tiles = [_scaled(picture, TILE / max(picture.size)) for picture in pictures]
    rows = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    wide, font = max(tile.width for tile in tiles), ImageFont.load_default(HEADING)
    highs = [max(tile.height for tile in row) + 2 * HEADING + GAP for row in rows]
    canvas = Pillow.new("RGB", (GAP + len(rows[0]) * (wide + GAP), GAP + sum(highs)), PAPER)
    pen = ImageDraw.Draw(canvas)
    for number, (tile, heading) in enumerate(zip(tiles, headings, strict=True)):
        left, top = GAP + number % across * (wide + GAP), GAP + sum(highs[: number // across])
        pen.text((left, top + HEADING), _shortened(heading, font, wide), INK, font, anchor="lm")
        canvas.paste(tile, (left, top + 2 * HEADING))
    return canvas


def _class_of(label: int, classes: Sequence[str]) -> str:
    if label >= len(classes):
        raise ValueError(f"a label is {label} of {len(classes)} classes; give the classes that the detector has")
    return classes[label]


def _tags(marks: Sequence[_Mark], size: tuple[int, int], font: Font) -> list[tuple[Edges, _Mark, str]]:
    """Where which words are written; not those that would be covered by more than HIDDEN by those of better boxes."""
    tags: list[tuple[Edges, _Mark, str]] = []
    for mark in marks:
        if not mark.words:
            continue
        text = _shortened(mark.words, font, size[0] - 2 * MARGIN)
        wide, high = round(font.getlength(text)) + 2 * MARGIN, round(font.getbbox("Ag")[3]) + MARGIN
        taken = [place for place, _, _ in tags]
        place = _tag_place(mark, (wide, high), size, taken, marks)
        if sum(_shared(place, other) for other in taken) <= HIDDEN * wide * high:
            tags.append((place, mark, text))
    return tags


def _draw_frame(pen: ImageDraw.ImageDraw, mark: _Mark, size: tuple[int, int], width: int) -> None:
    """Lines of the colour between two dark ones, which stand out on any photo, from the box's edges inwards."""
    left, top = (max(0, round(edge)) for edge in mark.edges[:2])
    right, bottom = (min(side, round(edge)) - 1 for edge, side in zip(mark.edges[2:], size, strict=True))
    for inner in range(width + 2):
        if right - left >= 2 * inner and bottom - top >= 2 * inner:
            colour = mark.colour if 0 < inner <= width else INK
            pen.rectangle((left + inner, top + inner, right - inner, bottom - inner), outline=colour)


def _tag_place(
    mark: _Mark, tag: tuple[int, int], size: tuple[int, int], taken: Sequence[Edges], marks: Sequence[_Mark]
) -> Edges:
    """At a corner of the box, within the picture, where it covers least of other words and of boxes.

    Of equal places one outside the box comes first. A box counts by its share that is covered: small ones are not to vanish.
    """
    (wide, high), (left, top, right, bottom) = tag, mark.edges
    lefts, tops = (left, right - wide), (top - high, bottom, top, bottom - high)
    corners = [(max(0, min(round(x), size[0] - wide)), max(0, min(round(y), size[1] - high))) for y in tops for x in lefts]

    def hidden(place: Edges) -> float:
        of_words = sum(_shared(place, other) for other in taken) / (wide * high)
        return 3 * of_words + sum(_shared(place, other.edges) / (_area(other.edges) or 1) for other in marks)

    return min(((x, y, x + wide, y + high) for x, y in corners), key=hidden)


def _area(edges: Edges) -> float:
    return (edges[2] - edges[0]) * (edges[3] - edges[1])


def _shared(one: Edges, other: Edges) -> float:
    """Square pixels that two captions share."""
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _draw_tag(pen: ImageDraw.ImageDraw, place: Edges, colour: Colour, text: str, font: Font) -> None:
    left, top, right, bottom = place
    pen.rectangle((left, top, right - 1, bottom - 1), fill=colour, outline=INK)
    ink = INK if 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2] > BRIGHT else PAPER
    pen.text((left + MARGIN, (top + bottom) / 2), text, ink, font, anchor="lm")


def _scaled(picture: Pillow.Image, share: float) -> Pillow.Image:
    size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
    return picture if size == picture.size else picture.resize(size, Pillow.Resampling.LANCZOS)


def _shortened(text: str, font: Font, room: float) -> str:
    text = " ".join(text.split())  # a class's name may hold the end of a line
    if font.getlength(text) <= room:
        return text
    words, _, end = text.rpartition(" ")  # the score is kept
    while words and font.getlength(f"{words}… {end}") > room:
        words = words[:-1]
    return f"{words}… {end}"
