"""Cut BCCD's cells out along their boxes into class folders: python experiments/recipes/cells.py BCCD CELLS

BCCD: the folder with Annotations/, ImageSets/Main/ and JPEGImages/. Of each class the first 200 boxes of train.txt go to
train/, the first 80 of val.txt to val/; boxes with a side below 8 pixels are passed over.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

WANTED, SMALLEST = {"train": 200, "val": 80}, 8


def main() -> None:
    """Write the crops as JPEG, quality 92."""
    bccd, cells = map(Path, sys.argv[1:])
    counts: Counter[tuple[str, str]] = Counter()
    for split, wanted in WANTED.items():
        for name in (bccd / f"ImageSets/Main/{split}.txt").read_text(encoding="utf-8").split():
            photo = Image.open(bccd / f"JPEGImages/{name}.jpg").convert("RGB")
            for index, thing in enumerate(ElementTree.parse(bccd / f"Annotations/{name}.xml").iter("object")):
                kind = thing.findtext("name") or ""
                edges = (thing.findtext(f"bndbox/{edge}") or "0" for edge in ("xmin", "ymin", "xmax", "ymax"))
                left, top, right, bottom = map(int, edges)
                if min(right - left, bottom - top) < SMALLEST or counts[split, kind] >= wanted:
                    continue
                counts[split, kind] += 1
                folder = cells / split / kind
                folder.mkdir(parents=True, exist_ok=True)
                photo.crop((left, top, right, bottom)).save(folder / f"{name}_{index}.jpg", quality=92)
    print(dict(counts))


if __name__ == "__main__":
    main()
