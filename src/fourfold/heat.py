"""Where in a photo a class is seen: the map of scores that the network gives when it is applied densely (VGG 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image as Pillow
from torch import Tensor

from fourfold import draw
from fourfold.catalog import Network
from fourfold.images import resize_shorter

ENLARGE = 2.5  # the photo's shorter side against the network's input size; the map then has some ten cells a side
LONGEST = 8.0  # its longer side at most, likewise, so that the maps of a panorama fit into memory


@dataclass(frozen=True, eq=False)
class Heat:
    """The posterior of one class at each place (h,w), 0..1; cell (0,0) is centred (top, left) pixels into `image`.

    `probability` is the mean over the map; `image` is the photo that was asked about, uint8 (3,H,W).
    """

    label: str
    probability: float
    map: Tensor
    image: Tensor
    top: int
    left: int

    def plot(self) -> Pillow.Image:
        """The map laid over the photo, its largest value at full strength, with the class below."""
        strength = self.map / self.map.max().clamp(min=1e-6)
        shown = draw.heatmap_over(self.image, strength, self.top, self.left)
        note = "mean over the map; brightest where the class is seen"
        return draw.captioned(shown, [(self.label, self.probability)], note)


def class_heat(network: Network, image: Tensor, label: str | None = None) -> Heat:
    """The map of a class, of the class with the highest posterior averaged over the map if no label is given.

    image: uint8 (3,H,W). Raises ValueError for a label that the network does not have.
    """
    if label is not None and label not in network.labels:
        raise ValueError(f"{network.entry.name} has no class {label!r}; its classes are {', '.join(network.labels[:12])}")
    aspect = max(image.shape[-2:]) / min(image.shape[-2:])
    scaled = resize_shorter(image, round(max(1, min(ENLARGE, LONGEST / aspect)) * network.classifier.input_size))
    with torch.inference_mode():
        posteriors = network.classifier.dense(network.pixels(scaled[None])).softmax(1)[0]
    means = posteriors.mean((1, 2))
    index = int(means.argmax()) if label is None else network.labels.index(label)
    field, side = network.classifier.field, network.classifier.head.side
    first = field.centre + field.stride * (side - 1) / 2  # of the first window of side x side cells, in scaled pixels
    top, left = (
        min(round(first * size / small), (size - 1) // 2)
        for size, small in zip(image.shape[-2:], scaled.shape[-2:], strict=True)
    )
    return Heat(network.labels[index], float(means[index]), posteriors[index], image, top, left)
