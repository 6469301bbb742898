"""Where in a photo a class is seen: the map of scores that the network gives when it is applied densely (VGG 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold import draw
from fourfold.catalog import Network
from fourfold.images import resize_shorter

ENLARGE = 2.5  # the photo's shorter side against the network's input size; the map then has some ten cells a side


@dataclass(frozen=True, eq=False)
class Heat:
    """The posterior of one class at each place (h,w), 0..1; cell (0,0) is centred (top, left) pixels into `image`."""

    label: str
    probability: float
    map: Tensor
    image: Tensor
    top: int
    left: int

    def plot(self) -> Tensor:
        """uint8 (3,H,W): the map laid over the photo, its largest value at full strength."""
        return draw.heatmap_over(self.image, self.map / self.map.max().clamp(min=1e-6), self.top, self.left)


def class_heat(network: Network, image: Tensor, label: str | None = None) -> Heat:
    """The map of a class, of the class with the highest posterior averaged over the map if no label is given.

    image: uint8 (3,H,W). Raises ValueError for a label that the network does not have.
    """
    if label is not None and label not in network.labels:
        raise ValueError(f"{network.entry.name} has no class {label!r}; its classes are {', '.join(network.labels[:12])}")
    scaled = resize_shorter(image, round(ENLARGE * network.classifier.input_size))
    with torch.inference_mode():
        posteriors = network.classifier.dense(network.pixels(scaled[None])).softmax(1)[0]
    means = posteriors.mean((1, 2))
    index = int(means.argmax()) if label is None else network.labels.index(label)
    field, side = network.classifier.field, network.classifier.head.side
    first = field.centre + field.stride * (side - 1) / 2  # of the first window of side x side cells
    reach = [min(round(first), (size - 1) // 2) for size in scaled.shape[-2:]]
    return Heat(network.labels[index], float(means[index]), posteriors[index], scaled, reach[0], reach[1])
