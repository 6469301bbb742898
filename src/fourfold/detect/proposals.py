"""Proposals put together from others, scaled, or read from a file; and all kinds by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fourfold.boxes import clip, no_boxes, rescale
from fourfold.compiled import compiled
from fourfold.detect.box_files import BoxFile, read_box_file
from fourfold.detect.colour_spaces import SPACES
from fourfold.detect.multibox import is_multibox, load_multibox
from fourfold.detect.propose import Propose
from fourfold.detect.selective_search import FAST, QUALITY
from fourfold.images import resize
from fourfold.networks import closest

Array = np.ndarray[Any, np.dtype[Any]]

WIDTH = 500  # pixels (R-CNN 4.2: as Selective Search is not scale invariant, ILSVRC's images are scaled to this width)


@dataclass(frozen=True)
class First(Propose):
    """The likeliest `count` boxes of another's."""

    propose: Propose
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"{self.count} proposals are none; give a count of 1 or more, such as 2000")

    def __call__(self, image: Tensor, name: str = "") -> Tensor:
        """See Propose."""
        return self.propose(image, name)[: self.count]


@dataclass(frozen=True)
class Thinned(Propose):
    """Another's boxes without those that overlap a likelier one, itself kept, by more than `overlap`, 0..1.

    Hierarchies over many colour spaces repeat each other nearly; so the first few thousand boxes hold more objects (ours,
    bench/proposals.json).
    """

    propose: Propose
    overlap: float

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 1:
            raise ValueError(f"boxes cannot overlap by {self.overlap}; give a number from 0 to 1, such as 0.8")

    def __call__(self, image: Tensor, name: str = "") -> Tensor:
        """See Propose."""
        boxes = self.propose(image, name)
        return boxes[torch.from_numpy(_thinned(boxes.double().numpy(), self.overlap))]


@dataclass(frozen=True)
class Union(Propose):
    """The boxes of all parts, each box once (GoogLeNet 8: Selective Search and MultiBox together).

    Each part's boxes are spread evenly over the whole, in their order: whatever prefix is taken, it holds about the same
    share of every part. Of boxes that several give, the earliest stays.
    """

    parts: tuple[Propose, ...]

    def __call__(self, image: Tensor, name: str = "") -> Tensor:
        """See Propose."""
        found = [part(image, name) for part in self.parts]
        boxes = torch.cat([no_boxes(), *found])
        places = torch.cat([torch.zeros(0), *((torch.arange(len(each)) + 0.5) / max(1, len(each)) for each in found)])
        return distinct(boxes[places.argsort(stable=True)])


@dataclass(frozen=True)
class Resized(Propose):
    """Another's boxes on the image scaled to `width` pixels, brought back to the image."""

    propose: Propose
    width: int = WIDTH

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"an image cannot be {self.width} pixels wide; give a width of 1 or more, such as {WIDTH}")

    def __call__(self, image: Tensor, name: str = "") -> Tensor:
        """See Propose."""
        return _on_scaled(self.propose, image, name, self.width / image.shape[2])


@dataclass(frozen=True)
class AtMost(Propose):
    """Another's boxes on the image reduced so that its longer side has no more than `longest` pixels, brought back.

    An image that is no larger is left alone.
    """

    propose: Propose
    longest: int

    def __post_init__(self) -> None:
        if self.longest < 1:
            raise ValueError(f"an image cannot have {self.longest} pixels; give a side of 1 or more, such as 1000")

    def __call__(self, image: Tensor, name: str = "") -> Tensor:
        """See Propose."""
        return _on_scaled(self.propose, image, name, min(1.0, self.longest / max(image.shape[1:])))


@dataclass(frozen=True)
class GivenBoxes(Propose):
    """The boxes that a file has for an image of that name, cut at its borders, those of the highest score first.

    Raises ValueError for an image of which the file says nothing.
    """

    file: BoxFile

    def __call__(self, image: Tensor, name: str = "") -> Tensor:
        """See Propose."""
        height, width = image.shape[1:]
        return clip(self.file.boxes(name, height, width), height, width)


def distinct(boxes: Tensor) -> Tensor:
    """Boxes (R,4) in their order, of equal ones the first alone."""
    _, first = np.unique(boxes.numpy(), axis=0, return_index=True)
    return boxes[torch.from_numpy(np.sort(first))]


@compiled
def _thinned(boxes: Array, most: float) -> Array:
    """bool (R,): as `suppress.keep`, for the thousands of boxes of an image."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    is_kept = np.zeros(len(boxes), np.bool_)
    kept = np.empty(len(boxes), np.int64)
    count = 0
    for row in range(len(boxes)):
        is_new = True
        for other in kept[:count]:
            width = min(boxes[row, 2], boxes[other, 2]) - max(boxes[row, 0], boxes[other, 0])
            height = min(boxes[row, 3], boxes[other, 3]) - max(boxes[row, 1], boxes[other, 1])
            if width > 0 and height > 0:
                shared = width * height
                if shared / (areas[row] + areas[other] - shared) > most:
                    is_new = False
                    break
        if is_new:
            is_kept[row] = True
            kept[count] = row
            count += 1
    return is_kept


def _on_scaled(propose: Propose, image: Tensor, name: str, share: float) -> Tensor:
    height, width = image.shape[1:]
    size = max(1, round(height * share)), max(1, round(width * share))
    boxes = propose(resize(image, *size), name)
    return boxes if size == (height, width) else clip(rescale(boxes, size, (height, width)), height, width)


LONGEST = 1000  # pixels; ours: at 2000 a search takes nine times as long, as the pairs of segments grow with their square
THINNED = 0.8  # overlap; ours, chosen on BCCD's training images (bench/proposals.py)
COLOURS = tuple(SPACES)  # all five

PROPOSERS: Mapping[str, Propose] = {
    "fast": AtMost(FAST, LONGEST),  # R-CNN 2.1, SPP-net 4.1
    "fast-500": Resized(FAST),  # R-CNN 4.2
    "fast-x2": AtMost(replace(FAST, size=2.0), LONGEST),  # GoogLeNet 8
    "quality": AtMost(QUALITY, LONGEST),  # Uijlings et al. 2013, 5.3
    "thinned": Thinned(AtMost(replace(FAST, colours=COLOURS), LONGEST), THINNED),  # ours: for small and touching objects
}


def proposer_named(text: str) -> Propose:
    """One of PROPOSERS by its name, a MultiBox by its folder, the boxes of a file or folder; A+B joins them by `Union`.

    Raises ValueError where it is none of these, or as `read_box_file` and `load_multibox` do.
    """
    parts = [part.strip() for part in text.split("+")]
    if len(parts) > 1 and not Path(text).exists():
        return Union(tuple(proposer_named(part) for part in parts))
    if text in PROPOSERS:
        return PROPOSERS[text]
    if is_multibox(text):
        return load_multibox(text)
    if text and Path(text).exists():
        return GivenBoxes(read_box_file(Path(text)))
    names = ", ".join(PROPOSERS)
    raise ValueError(
        f"no proposals {text!r}{closest(text, PROPOSERS)}; give {names}, the folder of a MultiBox, or a file of boxes "
        "(.json, .csv, YOLO)"
    )
