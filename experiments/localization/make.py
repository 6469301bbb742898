"""Images of one object each, made: python experiments/localization/make.py CIFAR COCO OUT [TRAIN TEST]

CIFAR: CIFAR-10 as train/<class>/*.png and test/<class>/*.png. COCO: photos with boxes, in any layout that fourfold reads.
Each image is a window of a COCO photo on which a CIFAR image is pasted, enlarged and stretched: it covers 10 to 70 % of the
area (drawn evenly), and its ratio of width to height is that of a COCO box of its class, drawn at random (deer have those of
horses, sheep and cows, frogs those of all animals). A quarter of the photos is kept for test images, which show CIFAR's test
images. Writes OUT/train/<class>/*.jpg, OUT/test/<class>/*.jpg and OUT/boxes.csv, which is the truth.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from fourfold.data.boxed import find_boxed_parts
from fourfold.data.listing import File

SHORT = 128  # pixels of the shorter side of an image
SHARES = 0.1, 0.7  # of the image's area that the object covers
ASPECTS = 0.4, 2.5  # bounds of width / height
ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
LIKE = {  # CIFAR's classes, and the classes of COCO that have their shape
    "airplane": ("airplane",), "automobile": ("car",), "bird": ("bird",), "cat": ("cat",), "deer": ("horse", "sheep", "cow"),
    "dog": ("dog",), "frog": ANIMALS, "horse": ("horse",), "ship": ("boat",), "truck": ("truck",),
}  # fmt: skip


def main() -> None:
    """Make both parts."""
    cifar, coco, out = map(Path, sys.argv[1:4])
    counts = [int(each) for each in sys.argv[4:6]] or [20_000, 2_000]
    photos, aspects = backgrounds(coco)
    parts = {"train": photos[len(photos) // 4 :], "test": photos[: len(photos) // 4]}
    rows = []
    for (part, places), count in zip(parts.items(), counts, strict=True):
        rows += list(made(part, count, cifar, places, aspects, out))
    with (out / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "x1", "y1", "x2", "y2", "split"), *rows])


def backgrounds(coco: Path) -> tuple[list[Path], dict[str, list[float]]]:
    """The photos in a drawn order, and the ratios of width to height of the boxes that lie whole within them."""
    aspects: dict[str, list[float]] = {}
    photos = []
    for part in find_boxed_parts(coco).values():
        for image in part.images:
            assert isinstance(image.item, File)
            photos.append(Path(image.item.path))
            for (left, top, right, bottom), label in zip(image.boxes.tolist(), image.labels.tolist(), strict=True):
                if left > 1 and top > 1 and right < image.width - 1 and bottom < image.height - 1:
                    aspects.setdefault(part.classes[label], []).append((right - left) / (bottom - top))
    random.Random(0).shuffle(photos)
    return photos, aspects


def made(
    part: str, count: int, cifar: Path, photos: list[Path], aspects: dict[str, list[float]], out: Path
) -> Iterator[tuple[object, ...]]:
    """The rows of boxes.csv of one part, whose images are written."""
    dice = random.Random(part)
    held = {path: Image.open(path).convert("RGB") for path in photos}
    for name, like in LIKE.items():
        (out / part / name).mkdir(parents=True, exist_ok=True)
        own = [aspect for each in like for aspect in aspects.get(each, [])] or [1.0]
        files = sorted((cifar / part / name).glob("*.png"))
        for number, file in enumerate(dice.sample(files, count // len(LIKE))):
            image = window(held[dice.choice(photos)], dice)
            box = place(image.size, dice.choice(own), dice)
            with Image.open(file) as thing:
                left, top, right, bottom = box
                image.paste(thing.convert("RGB").resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
            path = f"{part}/{name}/{number:05d}.jpg"
            image.save(out / path, quality=90)
            yield (path, name, *box, part)


def window(photo: Image.Image, dice: random.Random) -> Image.Image:
    """A window of a photo, 4 by 3 or 3 by 4, half as large as the largest or larger, scaled."""
    wide, high = dice.choice(((4, 3), (3, 4)))
    most = min(photo.width / wide, photo.height / high)
    unit = most * dice.uniform(0.5, 1.0)
    left, top = dice.uniform(0, photo.width - wide * unit), dice.uniform(0, photo.height - high * unit)
    size = tuple(round(SHORT * side / min(wide, high)) for side in (wide, high))
    return photo.resize((size[0], size[1]), Image.Resampling.BICUBIC, (left, top, left + wide * unit, top + high * unit))


def place(size: tuple[int, int], aspect: float, dice: random.Random) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the object; one that does not fit is narrowed to the image."""
    area = size[0] * size[1] * dice.uniform(*SHARES)
    aspect = min(max(aspect, ASPECTS[0]), ASPECTS[1])
    width, height = min(size[0], round((area * aspect) ** 0.5)), min(size[1], round((area / aspect) ** 0.5))
    left, top = dice.randint(0, size[0] - width), dice.randint(0, size[1] - height)
    return left, top, left + width, top + height


if __name__ == "__main__":
    main()
