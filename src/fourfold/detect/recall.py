"""How well proposals cover the objects of a data set: recall and average best overlap against their number.

Average best overlap (ABO) and its mean over classes (MABO) are those of Uijlings et al. 2013, 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.boxes import iou
from fourfold.data.annotated import Annotated


@dataclass(frozen=True, eq=False)
class Coverage:
    """The best overlap of every object with the first proposals of its image, for several numbers of them.

    counts: how many proposals are looked at, at most; M of them. overlaps: float64 (S,M), 0..1, of the S objects of all
    images, those marked as difficult left out. labels: int64 (S,), their classes. proposals: float64 (M,), how many an image
    has of those counts, in the mean: fewer where its list ends before.
    Raises ValueError where there is no object.
    """

    counts: tuple[int, ...]
    overlaps: Tensor
    labels: Tensor
    proposals: Tensor

    def __post_init__(self) -> None:
        if not len(self.labels):
            raise ValueError("no image has an object to be covered; give at least one that is not marked as difficult")

    def recall(self, overlap: float) -> Tensor:
        """Share 0..1 of the objects that a proposal overlaps by `overlap` (above 0) or more, float64 (M,)."""
        return (self.overlaps >= overlap).double().mean(0)

    def abo(self, label: int) -> Tensor:
        """Average best overlap 0..1 of the objects of one class, float64 (M,); 0 where it has none."""
        own = self.overlaps[self.labels == label]
        return own.sum(0) / max(1, len(own))

    def mabo(self) -> Tensor:
        """Mean of `abo` over the classes that have objects, float64 (M,)."""
        return torch.stack([self.abo(int(label)) for label in self.labels.unique()]).mean(0)


def coverage(proposals: Sequence[Tensor], images: Sequence[Annotated], counts: Sequence[int]) -> Coverage:
    """How the first proposals cover the objects; proposals: boxes (R,4) of each image, best first, in the order of `images`.

    Raises ValueError where the numbers of images differ, a count is negative, or there is no object.
    """
    if len(proposals) != len(images):
        raise ValueError(f"there are proposals for {len(proposals)} images, and {len(images)} images; give one set for each")
    if any(count < 0 for count in counts):
        raise ValueError(f"counts of proposals are {list(counts)}; give none below 0")
    overlaps, labels = [torch.zeros(0, len(counts), dtype=torch.float64)], [torch.zeros(0, dtype=torch.int64)]
    for boxes, image in zip(proposals, images, strict=True):
        objects = image.boxes[~image.is_difficult]
        overlaps.append(best_overlaps(boxes, objects, counts))
        labels.append(image.labels[~image.is_difficult])
    taken = [[float(min(count, len(boxes))) for count in counts] for boxes in proposals]
    mean = torch.tensor(taken, dtype=torch.float64).sum(0) / max(1, len(images))
    return Coverage(tuple(counts), torch.cat(overlaps), torch.cat(labels), mean)


def best_overlaps(proposals: Tensor, objects: Tensor, counts: Sequence[int]) -> Tensor:
    """float64 (S,M): the highest overlap of each of objects (S,4) with the first of proposals (R,4), 0 with none."""
    overlaps = iou(objects.double(), proposals.double())
    best = torch.cat((overlaps.new_zeros(len(objects), 1), overlaps), 1).cummax(1).values
    return best[:, [min(count, len(proposals)) for count in counts]]
