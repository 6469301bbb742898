"""What is wrong with a data set: files that cannot be read, odd ones, copies, leaks between parts, classes out of balance.

Nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from torch import Tensor

from fourfold.ahead import in_order
from fourfold.data.duplicates import FLAT, Print, exact_pairs, fingerprint, near_pairs
from fourfold.data.headers import oddities
from fourfold.data.listing import AHEAD, WHOLE, Broken, Item, to_image
from fourfold.data.splits import find_parts

TINY = 32  # pixels of the shorter side below which most networks see little: CIFAR's images are the smallest in use
STRIP = 4  # times the shorter side; a square crop of a longer image shows less than a quarter of it
UNEVEN = 10  # largest class over smallest, beyond which training leans to the large ones
ORDER = ("train", "val", "test", WHOLE)


@dataclass(frozen=True)
class Place:
    """An image in its data set: its part ("train", "val", "test", or "" where there are none) and the name of its class."""

    item: Item
    part: str
    label: str


@dataclass(frozen=True)
class Twins:
    """Two images with the same pixels, or nearly; the one in train is the first.

    `alike` is the correlation of their small copies, of at most 1; see `duplicates`.
    """

    first: Place
    second: Place
    is_exact: bool
    alike: float

    @property
    def is_leak(self) -> bool:
        """Whether they lie in two parts, so that what is tested was learned."""
        return self.first.part != self.second.part

    @property
    def is_contradiction(self) -> bool:
        """Whether they are given two classes."""
        return self.first.label != self.second.label


@dataclass(frozen=True)
class Finding:
    """One thing that may be wrong, how many images it concerns, and some of their names."""

    what: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataReport:
    """What `check_data` found. `counts` is part -> class -> images; `odd` is each oddity -> the images that have it.

    `sizes` are the smallest, median and largest width, then height, in pixels; none where no image can be read.
    """

    path: str
    counts: dict[str, dict[str, int]]
    sizes: tuple[tuple[int, int, int], tuple[int, int, int]] | None
    broken: tuple[Broken, ...]
    odd: dict[str, tuple[Place, ...]]
    twins: tuple[Twins, ...]
    notes: tuple[str, ...]

    def findings(self) -> list[Finding]:
        """Everything that may be wrong, the worst first."""
        found = [Finding("cannot be read", len(self.broken), tuple(broken.error for broken in self.broken))]
        for where, belongs in (
            ("in two parts", lambda twins: twins.is_leak),
            ("in two classes", lambda twins: twins.is_contradiction),
            ("in one part and class", lambda twins: not twins.is_leak and not twins.is_contradiction),
        ):
            for word, is_exact in (("the same image", True), ("nearly the same image", False)):
                chosen = [twins for twins in self.twins if twins.is_exact == is_exact and belongs(twins)]
                names = tuple(f"{twins.first.item.name} = {twins.second.item.name}" for twins in chosen)
                found.append(Finding(f"{word} {where}", len({twins.second.item.name for twins in chosen}), names))
        found += [Finding(word, len(odd), tuple(place.item.name for place in odd)) for word, odd in self.odd.items()]
        return [*(finding for finding in found if finding.count), *(Finding(note, 0) for note in self.notes)]


@dataclass(frozen=True, eq=False)
class _Look:
    """What is kept of an image once it has been seen."""

    height: int
    width: int
    odd: tuple[str, ...]
    print: Print


def check_data(path: str | Path, watch: Callable[[int, int], None] = lambda _done, _all: None) -> DataReport:
    """Read every image of a data set (see `find_data` for what a path may be) and say what may be wrong with it.

    `watch` sees how many images have been read. Raises ValueError where the data cannot be found or listed at all.
    """
    parts, _ = find_parts(path)
    order = sorted(parts, key=ORDER.index)
    places = [
        Place(item, part, parts[part].classes[label])
        for part in order
        for item, label in zip(parts[part].items, parts[part].labels, strict=True)
    ]
    found: list[tuple[_Look, Place]] = []
    broken: list[Broken] = []
    for number, look in enumerate(in_order(_look, (place.item for place in places), AHEAD)):
        if isinstance(look, Broken):
            broken.append(look)
        else:
            found.append((look, places[number]))
        watch(number + 1, len(places))
    tally = Counter((place.part, place.label) for place in places)
    counts = {part: {name: tally[part, name] for name in parts[part].classes} for part in order}
    looks, seen = [look for look, _ in found], [place for _, place in found]
    twins = _twins([look.print for look in looks], seen)
    return DataReport(str(path), counts, _sizes(looks), tuple(broken), _odd(looks, seen), twins, tuple(_notes(counts)))


def _look(item: Item) -> _Look | Broken:
    try:
        content = item.content()
        is_pixels = isinstance(content, Tensor)
        image = to_image(content, item.name)
    except ValueError as error:
        return Broken(item.name, str(error))
    height, width = image.shape[1:]
    print_ = fingerprint(image)
    odd = {
        "smaller than 32 pixels": min(height, width) < TINY,
        "strips, over 4 times as long as wide": max(height, width) > STRIP * min(height, width),
        "of one colour": print_.small.std() < FLAT,
    }
    words = () if is_pixels else oddities(content)
    return _Look(height, width, (*(word for word, is_so in odd.items() if is_so), *words), print_)


def _sizes(looks: list[_Look]) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:
    if not looks:
        return None
    sides = ([look.width for look in looks], [look.height for look in looks])
    width, height = ((min(side), round(median(side)), max(side)) for side in sides)
    return width, height


def _odd(looks: list[_Look], places: list[Place]) -> dict[str, tuple[Place, ...]]:
    found: dict[str, list[Place]] = {}
    for look, place in zip(looks, places, strict=True):
        for word in look.odd:
            found.setdefault(word, []).append(place)
    return {word: tuple(where) for word, where in sorted(found.items(), key=lambda pair: -len(pair[1]))}


def _twins(prints: list[Print], places: list[Place]) -> tuple[Twins, ...]:
    """Exact ones first; among each, those in two parts, then those of two classes, then the most alike."""
    exact = [Twins(places[one], places[other], True, 1.0) for one, other in exact_pairs([one.digest for one in prints])]
    near = [Twins(places[one], places[other], False, alike) for one, other, alike in near_pairs(prints)]
    order = sorted(
        [*exact, *near], key=lambda two: (not two.is_exact, not two.is_leak, not two.is_contradiction, -two.alike)
    )
    return tuple(order)


def _notes(counts: dict[str, dict[str, int]]) -> list[str]:
    notes = []
    learned = counts.get("train") or next(iter(counts.values()))
    least, most = min(learned, key=learned.__getitem__), max(learned, key=learned.__getitem__)
    if len(learned) < 2:
        notes.append(f"there is one class only, {least}")
    if learned[most] > UNEVEN * learned[least]:
        notes.append(f"classes are out of balance: {learned[most]:,} of {most}, {learned[least]:,} of {least}")
    for part, classes in counts.items():
        differ = sorted(name for name in {*learned, *classes} if bool(learned.get(name)) != bool(classes.get(name)))
        if differ:
            notes.append(f"train and {part} differ in classes: {', '.join(differ[:5])}{' ...' if differ[5:] else ''}")
    if {"train", "test"} <= counts.keys() and "val" not in counts:
        notes.append("there are no validation images; training would look at the test images")
    return notes
