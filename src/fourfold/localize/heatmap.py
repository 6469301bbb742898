"""Where an object is, by a classifier that never saw a box: class activation maps (Zhou et al. 2016) and Grad-CAM.

Grad-CAM: Selvaraju et al. 2017. It is the same map, but for a factor, where the scores are fc layer upon a global mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.boxes import no_boxes, rescale
from fourfold.catalog import Network
from fourfold.compiled import compiled
from fourfold.evaluate.protocol import check_scales, scaled_sizes
from fourfold.images import resize
from fourfold.localize.locate import Locate
from fourfold.models.base import FlattenHead, MeanHead

SHARE = 0.2  # of the largest value, above which a cell belongs to the object (Zhou et al. 2016, 3.2)


def class_activation(network: Network, image: Tensor, label: int) -> Tensor:
    """The map (h,w) of a class: the maps before the global mean, weighted as the fc layer weighs their means (Zhou 2016, 2).

    image: uint8 (3,H,W), looked at as it is. Raises ValueError for a network that has not one fc layer on a global mean.
    """
    head = network.classifier.head
    layers = [layer for layer in head.fc if isinstance(layer, nn.Linear)]
    if not isinstance(head, MeanHead) or len(layers) != 1:
        raise ValueError(f"{network.entry.name} is no global mean with one fc layer; ask for its map by gradients")
    with torch.inference_mode():
        maps = network.classifier.trunk(network.pixels(image[None]))[0]
        return torch.einsum("c,chw->hw", layers[0].weight[label], maps).clone()


def gradient_activation(network: Network, image: Tensor, labels: Sequence[int]) -> Tensor:
    """The maps (n,h,w) of n classes by Grad-CAM: maps weighted by the mean gradients of a class's score, none below 0.

    image: uint8 (3,H,W), looked at as it is. The score is that of the whole image, or, of a network whose fc layers read
    maps of one size, the mean over all windows. Raises ValueError where the image is smaller than the network's window.
    """
    head = network.classifier.head
    with torch.no_grad():
        maps = network.classifier.trunk(network.pixels(image[None]))
    maps.requires_grad_(True)
    scores = head.dense(maps).mean((2, 3))[0] if isinstance(head, FlattenHead) else head(maps)[0]
    found = maps.new_zeros(len(labels), *maps.shape[2:])
    for row, label in enumerate(labels):
        (slopes,) = torch.autograd.grad(scores[label], maps, retain_graph=True)
        found[row] = (slopes.mean((2, 3), keepdim=True) * maps.detach()).sum(1)[0].clamp(min=0)
    return found


def box_of(heat: Tensor, height: int, width: int, share: float = SHARE) -> Tensor:
    """The tightest box float32 (4,) about the largest connected part of a map (h,w) that is above a share of its maximum.

    The map is stretched over the image of height x width pixels, bilinearly; pixels that touch by a corner are connected,
    and of equally large parts the upper one is taken. The whole image where the map is nowhere above 0. Raises ValueError
    for a share that is not within 0 and 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"a share of {share} of the maximum cannot be; give a number from 0 up to 1, such as {SHARE}")
    large = F.interpolate(heat[None, None].float(), (height, width), mode="bilinear", align_corners=False)[0, 0]
    most = float(large.max())
    if not most > 0:
        return torch.tensor([0.0, 0.0, width, height])
    return torch.tensor(_largest_part((large > share * most).numpy(force=True)), dtype=torch.float32)


@dataclass(frozen=True, eq=False)
class ByHeat(Locate):
    """The box about the hottest part of a class's map, of images scaled to a shorter side; no box was learned from.

    Raises ValueError for a scale below the network's input size.
    """

    network: Network
    scale: int
    share: float = SHARE

    def __post_init__(self) -> None:
        check_scales((self.scale,), self.network.classifier.input_size)

    @property
    def labels(self) -> tuple[str, ...]:
        """See Locate."""
        return self.network.labels

    def __call__(self, image: Tensor, labels: Sequence[int]) -> Tensor:
        """See Locate."""
        height, width = image.shape[1:]
        (size,) = scaled_sizes(height, width, (self.scale,))
        boxes = [box_of(heat, *size, self.share) for heat in self.maps(image, labels)]
        return rescale(torch.stack(boxes) if boxes else no_boxes(), size, (height, width))

    def maps(self, image: Tensor, labels: Sequence[int]) -> Tensor:
        """The maps (n,h,w) of classes that boxes are made from, each of them stretching over the whole image."""
        (size,) = scaled_sizes(image.shape[1], image.shape[2], (self.scale,))
        return gradient_activation(self.network, resize(image, *size), labels)

    def __str__(self) -> str:
        return f"class map of shorter side {self.scale}, above {self.share:.0%} of its maximum; no boxes learned from"


@compiled
def _largest_part(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part with most pixels, in edges."""
    height, width = mask.shape
    is_new = mask.copy()
    stack = np.empty((mask.size, 2), np.int64)
    most, found = 0, (0, 0, 0, 0)
    for row in range(height):
        for column in range(width):
            if not is_new[row, column]:
                continue
            is_new[row, column] = False
            stack[0, 0], stack[0, 1] = row, column
            waiting, count = 1, 0
            left, top, right, bottom = column, row, column, row
            while waiting:
                waiting -= 1
                y, x = stack[waiting, 0], stack[waiting, 1]
                count += 1
                left, top, right, bottom = min(left, x), min(top, y), max(right, x), max(bottom, y)
                for below in range(max(y - 1, 0), min(y + 2, height)):
                    for beside in range(max(x - 1, 0), min(x + 2, width)):
                        if is_new[below, beside]:
                            is_new[below, beside] = False
                            stack[waiting, 0], stack[waiting, 1] = below, beside
                            waiting += 1
            if count > most:
                most, found = count, (left, top, right + 1, bottom + 1)
    return found
