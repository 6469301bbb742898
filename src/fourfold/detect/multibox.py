"""MultiBox: boxes that a network proposes from one look at an image (Erhan et al. 2014; GoogLeNet 8 adds 200 of them).

From the paper (from memory): the image is warped to a square; the network gives a fixed number of boxes without a class,
each with a confidence; a box is told by how it departs from its prior, and priors come from k-means over training boxes.
Ours: the paper's priors are whole boxes, predicted by a fc layer from the whole map. Photos with dozens of small objects
would need thousands of those, so here k-means gives sizes alone, every cell of a map has a prior of each size, and one
convolution predicts them all alike. How the network is taught is in multibox_training.py.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fourfold.boxes import area, clip, from_centres
from fourfold.catalog import WEIGHTS
from fourfold.detect.box_code import decode
from fourfold.detect.propose import Propose
from fourfold.files import holds, write_text
from fourfold.images import MEAN_IMAGE, Pixels, pixels_from, resize
from fourfold.models.base import sequential
from fourfold.networks import build
from fourfold.weights import read_weights

ENTRY = "multibox.json"
SPREAD = 0.2  # in sides of the prior, a step of 1 in the network's output (ours): so that location learns beside confidence
OUTPUTS = 5  # of each prior: a confidence before the sigmoid, and the code of a box


@dataclass(frozen=True)
class Layout:
    """What MultiBox adds to a trunk.

    side: of the square in pixels to which an image is warped. sizes: widths and heights of the priors, 0..1 of the image's.
    units: channels of the convolution that is added. stride: its step in cells of the trunk's map.
    """

    side: int
    sizes: tuple[tuple[float, float], ...]
    units: int
    stride: int


class MultiBoxNet(nn.Module):
    """Pixels (N,3,S,S) -> (N,R,5): of each prior the confidence before the sigmoid, and the code of its box over SPREAD.

    `priors` (R,4) are edges, 0..1 of the image; those of a cell lie together, and cells are in the order of reading.
    """

    priors: Tensor

    def __init__(self, trunk: nn.Sequential, layout: Layout) -> None:
        super().__init__()
        self.trunk, self.layout = copy.deepcopy(trunk).requires_grad_(True), layout
        side = layout.side
        with torch.no_grad():
            channels = self.trunk.eval()(torch.zeros(1, 3, side, side)).shape[1]
        self.head = sequential(
            {
                "conv": nn.Conv2d(channels, layout.units, 3, stride=layout.stride, padding=1),
                "relu": nn.ReLU(),
                "boxes": nn.Conv2d(layout.units, OUTPUTS * len(layout.sizes), 1),
            }
        )
        with torch.no_grad():
            height, width = self.head(self.trunk(torch.zeros(1, 3, side, side))).shape[-2:]
        self.register_buffer("priors", priors(layout.sizes, height, width), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.head(self.trunk(pixels))
        return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, OUTPUTS)


def priors(sizes: tuple[tuple[float, float], ...], height: int, width: int) -> Tensor:
    """float32 (height * width * sizes, 4), edges 0..1: a box of each size in the middle of each cell of a map.

    They may stick out of the image, as objects do that are cut by its border (ours).
    """
    down, across = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    middles = torch.stack((across, down), 2).reshape(-1, 1, 2).expand(-1, len(sizes), -1)
    return from_centres(torch.cat((middles, torch.tensor(sizes).expand(len(middles), -1, -1)), 2).reshape(-1, 4))


@dataclass(frozen=True)
class MultiBox(Propose):
    """All boxes of a network, the surest first, cut at the image's borders; those that lie outside it are left out.

    digest: of its weights and its layout, for two networks propose different boxes.
    """

    digest: str
    network: MultiBoxNet = field(repr=False, compare=False)
    pixels: Pixels = field(repr=False, compare=False)

    @torch.inference_mode()
    def __call__(self, image: Tensor, name: str = "") -> Tensor:  # noqa: ARG002 (a Propose's)
        """See Propose."""
        side = self.network.layout.side
        found = self.network(self.pixels(resize(image, side, side)[None]))[0]
        return surest(found, self.network.priors, image.shape[1], image.shape[2]).clone()


def surest(outputs: Tensor, own: Tensor, height: int, width: int) -> Tensor:
    """Boxes float32 (R,4) in pixels of an image, from outputs (R,5) for the priors `own` (R,4); the surest first."""
    order = outputs[:, 0].argsort(descending=True, stable=True)
    boxes = decode(own, outputs[:, 1:] * SPREAD)[order] * outputs.new_tensor((width, height, width, height))
    boxes = clip(boxes, height, width)
    return boxes[area(boxes) > 0]


@dataclass(frozen=True)
class MultiBoxEntry:
    """What multibox.json says. found: results on validation images. deviations: from the paper."""

    network: str
    options: Mapping[str, Any]
    pixels: Mapping[str, Any]
    layout: Mapping[str, Any]
    recipe: Mapping[str, Any]
    found: Mapping[str, Any]
    deviations: tuple[str, ...] = ()


def is_multibox(source: str | Path) -> bool:
    """Whether a folder holds a MultiBox."""
    return holds(source, ENTRY)


def write_multibox_entry(folder: Path, entry: MultiBoxEntry) -> None:
    """Write multibox.json, which makes the folder a MultiBox; so it is written last."""
    write_text(folder / ENTRY, json.dumps(asdict(entry), indent=2) + "\n")


def load_multibox(source: str | Path) -> MultiBox:
    """The MultiBox in a folder that `train_multibox` made. Raises ValueError where there is none, or a file is damaged."""
    folder = Path(source)
    if not is_multibox(folder):
        raise ValueError(f"{folder} holds no MultiBox, for it has no {ENTRY}; give a folder that train_multibox made")
    try:
        entry = MultiBoxEntry(**json.loads((folder / ENTRY).read_text(encoding="utf-8")))
        sizes = tuple((float(width), float(height)) for width, height in entry.layout["sizes"])
        layout = Layout(int(entry.layout["side"]), sizes, int(entry.layout["units"]), int(entry.layout["stride"]))
        network = MultiBoxNet(build(entry.network, **entry.options).trunk, layout)
        pixels = pixels_from(entry.pixels)
    except (OSError, KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder / ENTRY} is damaged ({error}); restore it or train again") from error
    state = read_weights(folder / WEIGHTS)
    pixels = replace(pixels, mean_image=state.pop(MEAN_IMAGE, None))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder / WEIGHTS} does not fit {ENTRY} ({reason}); restore it or train again") from error
    ready = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return MultiBox(digest_of(ready, pixels), ready, pixels)


def digest_of(network: MultiBoxNet, pixels: Pixels) -> str:
    """Sixteen hexadecimal digits that tell networks with other weights, layouts or pixels apart."""
    told = (network.layout, pixels.mean, pixels.std, pixels.order, str(network))
    digest = hashlib.sha256(repr(told).encode("utf-8"))
    for name, value in sorted({**network.state_dict(), **pixels.tensors()}.items()):
        digest.update(name.encode("utf-8") + value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
