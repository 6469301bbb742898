"""SPP-net (1406.4729): the four trunks of Table 1, each with its own last pool or with a spatial pyramid.

The paper pads "to give the map sizes listed" and lists neither pads nor rounding. Ours give its maps at 224 (13 cells; 18
for Overfeat) and, for ZF-5, 10 cells at 180: ZF-5 has the pads of the authors' released detection network.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from fourfold.models.alexnet import alexnet_lrn
from fourfold.models.base import Classifier, FlattenHead, Head, PyramidHead, fully_connected, sequential, widen

PYRAMID_50 = (6, 3, 2, 1)  # SPP-net 3.1.2: 50 bins
PYRAMID_30 = (4, 3, 2, 1)  # SPP-net 3.1.2: 30 bins, fewer than the 36 without a pyramid
FC_WIDTH = 4096
SMALL_FC_WIDTH = 512  # ours, for small images


def zf5(classes: int = 1000, *, input_size: int = 224, levels: Sequence[int] = (), width: float = 1.0) -> Classifier:
    """ZF-5 for 224x224 images, or for 64x64 or 32x32 with a lighter stem. Raises ValueError for another size."""
    if input_size not in (224, 64, 32):
        raise ValueError(f"no ZF-5 for images of {input_size}; choose 224, 64 or 32")
    c1, c2, c3, c5 = (widen(channels, width) for channels in (96, 256, 384, 256))
    stems = {
        224: (nn.Conv2d(3, c1, 7, stride=2, padding=1), nn.Conv2d(c1, c2, 5, stride=2), 13),
        64: (nn.Conv2d(3, c1, 7, stride=2, padding=3), nn.Conv2d(c1, c2, 5, padding=2), 8),
        32: (nn.Conv2d(3, c1, 5, padding=2), nn.Conv2d(c1, c2, 5, padding=2), 8),
    }
    conv1, conv2, side = stems[input_size]
    layers: dict[str, nn.Module] = {
        "conv1": conv1,
        "relu1": nn.ReLU(inplace=True),
        "lrn1": alexnet_lrn(),
        "pool1": nn.MaxPool2d(3, stride=2, ceil_mode=True),
        "conv2": conv2,
        "relu2": nn.ReLU(inplace=True),
        "lrn2": alexnet_lrn(),
        "pool2": nn.MaxPool2d(3, stride=2, ceil_mode=True),
        **_convolutions(3, (c2, c3, c3, c5)),
    }
    units = widen(FC_WIDTH if input_size == 224 else SMALL_FC_WIDTH, width)
    said = []
    if input_size != 224:
        said.append(
            f"for {input_size}x{input_size} images: conv1 is {conv1.kernel_size[0]}x{conv1.kernel_size[0]} of stride "
            f"{conv1.stride[0]}, conv2 has stride 1, fc6 and fc7 have {units} units"
        )
    return _network(layers, c5, (3, 2), side, input_size, units, classes, levels, width, said)


def convnet5(classes: int = 1000, *, levels: Sequence[int] = (), width: float = 1.0) -> Classifier:
    """Convnet*-5: AlexNet with its pools moved to after conv2 and conv3, and (a Reading) without groups."""
    c1, c2, c3, c5 = (widen(channels, width) for channels in (96, 256, 384, 256))
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, c1, 11, stride=4, padding=2),
        "relu1": nn.ReLU(inplace=True),
        "lrn1": alexnet_lrn(),
        "conv2": nn.Conv2d(c1, c2, 5, padding=2),
        "relu2": nn.ReLU(inplace=True),
        "lrn2": alexnet_lrn(),
        "pool2": nn.MaxPool2d(3, stride=2),
        "conv3": nn.Conv2d(c2, c3, 3, padding=1),
        "relu3": nn.ReLU(inplace=True),
        "pool3": nn.MaxPool2d(3, stride=2),
        **_convolutions(4, (c3, c3, c5)),
    }
    return _network(layers, c5, (3, 2), 13, 224, widen(FC_WIDTH, width), classes, levels, width, [])


def overfeat(convolutions: int, classes: int = 1000, *, levels: Sequence[int] = (), width: float = 1.0) -> Classifier:
    """Overfeat-5 or Overfeat-7 for 224x224 images. Raises ValueError for another number of convolutions."""
    if convolutions not in (5, 7):
        raise ValueError(f"no Overfeat-{convolutions} in SPP-net Table 1; choose 5 or 7")
    c1, c2, c3 = (widen(channels, width) for channels in (96, 256, 512))
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, c1, 7, stride=2, padding=1),
        "relu1": nn.ReLU(inplace=True),
        "pool1": nn.MaxPool2d(3, stride=3),
        "lrn1": alexnet_lrn(),
        "conv2": nn.Conv2d(c1, c2, 5, padding=2),
        "relu2": nn.ReLU(inplace=True),
        "pool2": nn.MaxPool2d(2, stride=2),
        **_convolutions(3, (c2, *[c3] * (convolutions - 2))),
    }
    return _network(layers, c3, (3, 3), 18, 224, widen(FC_WIDTH, width), classes, levels, width, [])


def _convolutions(first: int, channels: Sequence[int]) -> dict[str, nn.Module]:
    """3x3 convolutions with ReLU, numbered from `first`."""
    layers: dict[str, nn.Module] = {}
    for number, (inputs, outputs) in enumerate(pairwise(channels), start=first):
        layers[f"conv{number}"] = nn.Conv2d(inputs, outputs, 3, padding=1)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
    return layers


def _network(
    layers: dict[str, nn.Module],
    channels: int,
    pool: tuple[int, int],
    side: int,
    input_size: int,
    units: int,
    classes: int,
    levels: Sequence[int],
    width: float,
    deviations: list[str],
) -> Classifier:
    """Finish a trunk whose last map has side x side cells: with its (kernel, stride) pool and fc layers, or a pyramid."""
    if levels:
        bins = sum(level * level for level in levels)
        head: Head = PyramidHead(fully_connected(channels * bins, units, units, classes), side, levels)
    else:
        kernel, stride = pool
        last = next(reversed(layers)).removeprefix("relu")
        layers[f"pool{last}"] = nn.MaxPool2d(kernel, stride=stride)
        after = (side - kernel) // stride + 1
        head = FlattenHead(fully_connected(channels * after * after, units, units, classes), after)
    if width != 1.0:
        deviations.append(f"{width:g} times as wide as the paper's")
    return Classifier(sequential(layers), head, input_size=input_size, deviations=deviations)
