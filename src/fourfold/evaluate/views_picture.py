"""A protocol drawn over a photo: every view as a numbered box, and the crop that it cuts, so that one can check them by eye.

`panels` decides what is drawn where, without any pixels; mirrored twins are counted in the words and not drawn.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from fourfold.draw import INK, PAPER, to_pillow
from fourfold.evaluate.protocol import Average, Protocol
from fourfold.evaluate.views import View

MOST = 10  # boxes in a panel; more cannot be told apart
SIDE, NARROW = 440, 380  # pixels of a photo's longer side, and of a panel at least
SHORTEST, LONGEST = 60, 1800  # strips are drawn larger, until the shorter side has so many pixels or the longer so many
WIDEST = 3800  # pixels of the whole picture
GAP, LINE, STEP = 24, 22, 6  # pixels between panels, of a line of words, and between edges that would coincide
THUMB = 84  # pixels of a crop below the photo, at most
TAG = (20, 15)  # width and height of a number, in pixels
NOTE = "Edges that coincide are drawn beside each other."
PALE = 0.3  # of white over the photo, so that lines stand out
# Okabe and Ito's colours, which colour-blind readers can tell apart, and white, grey and black
COLOURS = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233),
    (213, 94, 0), (240, 228, 66), (255, 255, 255), (120, 120, 128), (0, 0, 0),
)  # fmt: skip

Edges = tuple[float, float, float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Box:
    """A place on the scaled image, its number in the picture, and how many views take it as it is and mirrored."""

    place: View
    number: int
    plain: int
    mirrored: int


@dataclass(frozen=True)
class Panel:
    """Boxes on one scaled image (height, width)."""

    scaled: tuple[int, int]
    boxes: tuple[Box, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the image itself is all that is seen."""
        return all((box.place.height, box.place.width) == self.scaled for box in self.boxes)

    @property
    def caption(self) -> str:
        """How many boxes at which scale, and what of them is mirrored or counted more than once."""
        height, width = self.scaled
        what = "1 box" if len(self.boxes) == 1 else f"{len(self.boxes)} boxes"
        words = ["the whole image" if self.is_whole else what]
        twins = {box.plain == box.mirrored for box in self.boxes}
        if any(box.mirrored for box in self.boxes):
            words.append(
                ("mirrored too" if len(self.boxes) == 1 else "each mirrored too") if twins == {True} else "some mirrored"
            )
        times = {max(box.plain, box.mirrored) for box in self.boxes}
        if times != {1}:
            count = sum(box.plain + box.mirrored for box in self.boxes)
            words.append(f"each {times.pop()} times" if len(times) == 1 else f"{count} views in all")
        return f"{min(self.scaled)} ({width}x{height}): {', '.join(words)}"


def panels(protocol: Protocol, height: int, width: int) -> tuple[Panel, ...]:
    """What is drawn of a protocol on an image of that size: a panel for each scale, several where there are many boxes.

    GoogLeNet's three squares get a panel each, and the rows of VGG's grid.
    """
    parts = protocol.parts if isinstance(protocol, Average) else (protocol,)
    found: list[Panel] = []
    for part in parts:
        for scaled, same in itertools.groupby(part.views(height, width), key=lambda view: view.scaled):
            found += _numbered(scaled, [boxes for group in _groups(list(same)) for boxes in _divided(_counted(group))])
    return tuple(found)


def _groups(views: Sequence[View]) -> Iterator[list[View]]:
    """Cut behind every view that is larger than others of its scale, such as the whole of a square behind crops of it."""
    least = min(view.height * view.width for view in views)
    group: list[View] = []
    places = [(view, after) for view, after in itertools.zip_longest(views, views[1:])]
    for view, after in places:
        group.append(view)
        is_last_twin = after is None or _place(after) != _place(view)
        if view.height * view.width > least and is_last_twin:
            yield group
            group = []
    if group:
        yield group


def _counted(views: Sequence[View]) -> list[Box]:
    """Each place once, in the order in which it came first."""
    plain = Counter(_place(view) for view in views if not view.is_mirrored)
    mirrored = Counter(_place(view) for view in views if view.is_mirrored)
    return [Box(place, 0, plain[place], mirrored[place]) for place in dict.fromkeys(map(_place, views))]


def _divided(boxes: list[Box]) -> list[list[Box]]:
    """Boxes in parts of at most MOST, all of one length if this can be: 25 are 5 times 5."""
    count = len(boxes)
    length = max(part for part in range(1, MOST + 1) if count % part == 0)
    if length < MOST // 2 < count:
        length = -(-count // -(-count // MOST))
    return [boxes[start : start + length] for start in range(0, count, length)]


def _numbered(scaled: tuple[int, int], parts: Sequence[Sequence[Box]]) -> list[Panel]:
    numbers = itertools.count(1)
    return [Panel(scaled, tuple(replace(box, number=next(numbers)) for box in boxes)) for boxes in parts]


def _place(view: View) -> View:
    return replace(view, is_mirrored=False)


def views_picture(image: Tensor, protocol: Protocol) -> Pillow.Image:
    """Every view of a protocol on a photo uint8 (3,H,W), less than 4000 pixels wide.

    Edges that coincide are drawn beside each other, a little further in. Where all views are whole images, these have sizes
    in proportion to their scales. Raises ValueError where the protocol cannot take an image of that size.
    """
    height, width = image.shape[-2:]
    shown = panels(protocol, height, width)
    photo = to_pillow(image)
    largest = max(min(panel.scaled) for panel in shown)
    are_whole = all(panel.is_whole for panel in shown)
    drawn = [_panel(photo, panel, min(panel.scaled) / largest if are_whole else 1.0) for panel in shown]
    heading = f"{len(protocol.views(height, width))} views of an image of {width}x{height}"
    words = f"{protocol}. {NOTE}" if max(len(panel.boxes) for panel in shown) > 1 else str(protocol)
    return _sheet(heading, words, drawn, _columns(shown, max(picture.width for picture in drawn)))


def _columns(shown: Sequence[Panel], wide: int) -> int:
    """Panels side by side: those of one scale, if every scale has as many."""
    each = {len(list(same)) for _, same in itertools.groupby(shown, key=lambda panel: panel.scaled)}
    wanted = each.pop() if len(each) == 1 and each != {1} else len(shown) if len(shown) <= 5 else 3
    return max(1, min(wanted, (WIDEST - GAP) // (wide + GAP)))


def _panel(photo: Pillow.Image, panel: Panel, share: float) -> Pillow.Image:
    """The caption, the photo with its boxes, and the crops below."""
    scale = max(SIDE / max(photo.size), min(SHORTEST / min(photo.size), LONGEST / max(photo.size))) * share
    size = (max(8, round(photo.width * scale)), max(8, round(photo.height * scale)))
    small = photo.resize(size, Pillow.Resampling.BICUBIC)
    base = Pillow.blend(small, Pillow.new("RGB", size, PAPER), PALE)
    _draw_boxes(base, panel.boxes)
    crops = None if panel.is_whole else _crops(photo, panel.boxes, max(size[0], NARROW))
    wide = max(size[0], round(ImageFont.load_default(14).getlength(panel.caption)) + 2, crops.width if crops else 0)
    canvas = Pillow.new("RGB", (wide, LINE + size[1] + (crops.height + 6 if crops else 0)), PAPER)
    ImageDraw.Draw(canvas).text((0, LINE // 2 - 1), panel.caption, INK, ImageFont.load_default(14), anchor="lm")
    canvas.paste(base, (0, LINE))
    if crops:
        canvas.paste(crops, (0, LINE + size[1] + 6))
    return canvas


def _crops(photo: Pillow.Image, boxes: Sequence[Box], width: int) -> Pillow.Image:
    """What the views cut, in one row, or in two where there are many."""
    across = len(boxes) if len(boxes) <= 6 else -(-len(boxes) // 2)
    step = min(THUMB, (width + 4) // across)
    canvas = Pillow.new("RGB", (step * across - 4, step * -(-len(boxes) // across) - 4), PAPER)
    for number, (box, colour) in enumerate(_coloured(boxes)):
        canvas.paste(_crop(photo, box, colour, step - 4), (number % across * step, number // across * step))
    return canvas


def _draw_boxes(photo: Pillow.Image, boxes: Sequence[Box]) -> None:
    pen = ImageDraw.Draw(photo)
    places = [box.place.box(photo.height, photo.width) for box in boxes]
    drawn = [_inset(place, level * STEP) for place, level in zip(places, _levels(places), strict=True)]
    for edges, (_, colour) in zip(drawn, _coloured(boxes), strict=True):
        _draw_frame(pen, edges, colour)
    taken: list[Edges] = []
    for edges, (box, colour) in zip(drawn, _coloured(boxes), strict=True):
        taken.append(_tag_place(edges, taken))
        _draw_tag(pen, taken[-1][:2], box, colour)


def _coloured(boxes: Sequence[Box]) -> list[tuple[Box, Colour]]:
    return list(zip(boxes, itertools.cycle(COLOURS), strict=False))


def _draw_frame(pen: ImageDraw.ImageDraw, edges: Edges, colour: Colour) -> None:
    """Three pixels of the colour between two dark ones, inside the edges."""
    left, top, right, bottom = (round(edge) for edge in edges)
    for inner, ink in enumerate((INK, colour, colour, colour, INK)):
        if right - left > 2 * inner and bottom - top > 2 * inner:
            pen.rectangle((left + inner, top + inner, right - 1 - inner, bottom - 1 - inner), outline=ink)


def _levels(places: Sequence[Edges]) -> list[int]:
    """For each box how many steps it is moved in: the fewest with which none of its edges lies on a larger one's."""
    levels: dict[int, int] = {}
    for number in sorted(range(len(places)), key=lambda each: -_area(places[each])):
        used = {level for other, level in levels.items() if _touch(places[number], places[other])}
        levels[number] = next(level for level in itertools.count() if level not in used)
    return [levels[number] for number in range(len(places))]


def _area(place: Edges) -> int:
    """In whole pixels, so that boxes of one size are equal."""
    return round(place[2] - place[0]) * round(place[3] - place[1])


def _touch(one: Edges, other: Edges) -> bool:
    """Whether two boxes have an edge on nearly the same line, side by side."""
    across = min(one[2], other[2]) > max(one[0], other[0]) and _near(one[1::2], other[1::2])
    down = min(one[3], other[3]) > max(one[1], other[1]) and _near(one[::2], other[::2])
    return across or down


def _near(one: Sequence[float], other: Sequence[float]) -> bool:
    return any(abs(mine - theirs) < STEP for mine, theirs in zip(one, other, strict=True))


def _inset(place: Edges, pixels: float) -> Edges:
    """Moved in on all sides, but not beyond a third of the box."""
    left, top, right, bottom = place
    down, across = min(pixels, (bottom - top) / 3), min(pixels, (right - left) / 3)
    return left + across, top + down, right - across, bottom - down


def _tag_place(edges: Edges, taken: Sequence[Edges]) -> Edges:
    """In a corner of the box, or along its edges, where no other number is yet; else in the first corner."""
    left, top, right, bottom = edges
    across, down = max(left, right - TAG[0]), max(top, bottom - TAG[1])
    middle, centre = (top + down) / 2, (left + across) / 2
    corners = [(left, top), (across, top), (left, down), (across, down)]
    tries = [
        (x, y, x + TAG[0], y + TAG[1])
        for x, y in (*corners, (centre, top), (left, middle), (across, middle), (centre, down))
    ]
    return next((each for each in tries if not any(_overlap(each, other) for other in taken)), tries[0])


def _overlap(one: Edges, other: Edges) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _draw_tag(pen: ImageDraw.ImageDraw, corner: Sequence[float], box: Box, colour: Colour) -> None:
    left, top = (round(edge) for edge in corner)
    pen.rectangle((left, top, left + TAG[0], top + TAG[1]), fill=colour, outline=INK)
    is_dark = 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2] < 130
    middle = (left + TAG[0] / 2 + 0.5, top + TAG[1] / 2 + 0.5)
    pen.text(middle, str(box.number), PAPER if is_dark else INK, ImageFont.load_default(12), anchor="mm")


def _crop(photo: Pillow.Image, box: Box, colour: Colour, most: int) -> Pillow.Image:
    """What the view cuts from the photo, `most` pixels on its longer side, in a frame and with its number."""
    place = box.place
    scale = most / max(place.height, place.width)
    size = (max(TAG[0] + 2, round(place.width * scale)), max(TAG[1] + 2, round(place.height * scale)))
    small = photo.resize(size, Pillow.Resampling.BICUBIC, box=place.box(photo.height, photo.width))
    pen = ImageDraw.Draw(small)
    pen.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=colour, width=3)
    _draw_tag(pen, (0, 0), box, colour)
    return small


def _sheet(heading: str, words: str, pictures: Sequence[Pillow.Image], columns: int) -> Pillow.Image:
    """The heading and the protocol's words above the panels in rows."""
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    widths = [max(row[place].width for row in rows if place < len(row)) for place in range(min(columns, len(pictures)))]
    width = max(sum(widths) + GAP * (len(widths) + 1), SIDE + 2 * GAP)
    lines = _wrapped(words, ImageFont.load_default(14), width - 2 * GAP)
    top = GAP + 28 + LINE * len(lines) + GAP // 2
    canvas = Pillow.new("RGB", (width, top + sum(max(each.height for each in row) + GAP for row in rows)), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((GAP, GAP + 8), heading, INK, ImageFont.load_default(20), anchor="lm")
    for number, line in enumerate(lines):
        pen.text((GAP, GAP + 34 + LINE * number), line, INK, ImageFont.load_default(14), anchor="lm")
    for row in rows:
        left = GAP
        for picture, wide in zip(row, widths, strict=False):
            canvas.paste(picture, (left, top))
            left += wide + GAP
        top += max(each.height for each in row) + GAP
    return canvas


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
