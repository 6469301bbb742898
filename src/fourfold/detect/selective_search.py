"""Selective Search (Uijlings et al. 2013): boxes that may hold an object, from many hierarchies of segments.

R-CNN 2.1 and SPP-net 4.1 use its fast mode; GoogLeNet 8 doubles the size of the first segments, which halves the boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fourfold.detect.colour_spaces import SPACES
from fourfold.detect.grouping import Array, Similarity, group
from fourfold.detect.propose import Propose
from fourfold.detect.region_features import measure, texture_bins
from fourfold.detect.segmentation import segment, sort_edges

ALL, NO_COLOUR = Similarity(), Similarity(colour=False)
SIZE, FILL = Similarity(False, False, True, False), Similarity(False, False, False, True)


@dataclass(frozen=True)
class SelectiveSearch(Propose):
    """A hierarchy for each colour space, each k and each similarity; boxes in an order that puts the likely ones first.

    size: times k and the least segment (GoogLeNet 8 takes 2). smallest: pixels of a box's shorter side at least; the
    authors' code has 20, which costs 11 points of recall on COCO128 (bench/proposals.json). seed: of the order, which is the
    rank in a hierarchy times a random number (3.3 and the authors' code).
    """

    colours: tuple[str, ...] = ("HSV", "Lab")
    thresholds: tuple[int, ...] = (50, 100)
    similarities: tuple[Similarity, ...] = (ALL, NO_COLOUR)
    size: float = 1.0
    smallest: int = 1
    seed: int = 0

    def __call__(self, image: Tensor, name: str = "") -> Tensor:  # noqa: ARG002
        """Boxes (R,4) of an image uint8 (3,H,W), each once; see Propose. The name plays no part."""
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:
            hierarchies = [each for found in pool.map(partial(self._of_colour, pixels), self.colours) for each in found]
        return torch.from_numpy(_ranked(hierarchies, self.smallest, self.seed))

    def _of_colour(self, image: Array, colour: str) -> list[Array]:
        seen = SPACES[colour](image)
        edges, textures = sort_edges(seen), texture_bins(seen)
        found = []
        for k in self.thresholds:
            labels, count = segment(edges, k * self.size, round(k * self.size))
            regions = measure(labels, count, seen, textures)
            found += [group(regions, similarity) for similarity in self.similarities]
        return found


FAST = SelectiveSearch()
QUALITY = SelectiveSearch(
    colours=("HSV", "Lab", "rgI", "H", "I"),
    thresholds=(50, 100, 150, 300),
    similarities=(ALL, NO_COLOUR, FILL, SIZE),
)


def _ranked(hierarchies: Sequence[Array], smallest: int, seed: int) -> Array:
    """All boxes once: those from high up in a hierarchy, which are large, tend to come first."""
    random = np.random.default_rng(seed)
    boxes = np.concatenate(hierarchies)
    ranks = np.concatenate([np.arange(len(each), 0, -1) for each in hierarchies]) * random.random(len(boxes))
    boxes = boxes[ranks.argsort(kind="stable")]
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(1) >= smallest]
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)].astype(np.float32)
