"""ResNet (1512.03385): the ImageNet networks of Table 1, the CIFAR-10 networks of section 4.2, and their plain twins.

Not here: pre-activation ResNets, which are another paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.base import Branches, Classifier, global_head, head_deviations, sequential, widen
from fourfold.models.sge import SpatialGroupEnhance

Shortcut = Literal["A", "B", "C"]

STAGES = {  # ResNet Table 1: blocks in conv2_x .. conv5_x
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BOTTLENECK_DEPTHS = (50, 101, 152)
STAGE_WIDTHS = (64, 128, 256, 512)
CIFAR_WIDTHS = (16, 32, 64)  # ResNet 4.2
EXPANSION = 4  # a bottleneck ends with four times the channels it works with


class Residual(Branches):
    """relu(residual(x) + shortcut(x)): the last ReLU comes after the addition (ResNet 3.2)."""

    def __init__(self, residual: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.residual = residual
        self.shortcut = shortcut

    def join(self, outputs: Sequence[Tensor]) -> Tensor:
        residual, shortcut = outputs
        return F.relu_(residual.add_(shortcut))  # the residual ends in a batch norm, which does not need its output again


class Subsample(nn.Module):
    """Option A where the size changes: every stride-th cell, and zeros for the new channels, appended (ResNet 3.3)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.extra = outputs - inputs
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def resnet(
    depth: int,
    classes: int = 1000,
    *,
    plain: bool = False,
    shortcut: Shortcut | None = None,
    stride_in: Literal["1x1", "3x3"] = "1x1",
    sge_groups: int = 0,
    levels: Sequence[int] = (),
    units: int | None = None,
    width: float = 1.0,
) -> Classifier:
    """ResNet or plain net of 18, 34, 50, 101 or 152 layers for 224x224 images (ResNet Table 1).

    shortcut: A, B or C of section 3.3; B unless given (the paper compares 18 and 34 with plain nets under A).
    stride_in: where a bottleneck halves the map: the first 1x1 as in the authors' release, or the 3x3 ("v1.5").
    sge_groups: put Spatial Group-wise Enhance (1905.09646) with so many groups at the end of every residual branch.
    levels: a spatial pyramid (SPP-net) in place of the mean. units: of two more fc layers before the scores, such as SPP-net
    has. Raises ValueError for a depth that is not in the table.
    """
    if depth not in STAGES:
        raise ValueError(f"no ResNet of {depth} layers in Table 1; choose from {', '.join(map(str, STAGES))}")
    stem = widen(64, width)
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False),
        "bn1": nn.BatchNorm2d(stem),
        "relu1": nn.ReLU(inplace=True),
        "pool1": nn.MaxPool2d(3, stride=2, padding=1),
    }
    bottleneck = depth in BOTTLENECK_DEPTHS
    channels = stem
    for stage, (blocks, base) in enumerate(zip(STAGES[depth], STAGE_WIDTHS, strict=True), start=2):
        middle = widen(base, width)
        outputs = middle * EXPANSION if bottleneck else middle
        for number in range(1, blocks + 1):
            stride = 2 if stage > 2 and number == 1 else 1
            if bottleneck:
                branch = _bottleneck(channels, middle, outputs, stride, stride_in)
            else:
                branch = _basic(channels, outputs, stride)
            layers[f"conv{stage}_{number}"] = _block(branch, channels, outputs, stride, plain, shortcut or "B", sge_groups)
            channels = outputs
    deviations = _deviations(stride_in if bottleneck else "1x1", sge_groups, levels, units, width)
    head = global_head(channels, classes, 7, levels, units)
    return Classifier(sequential(layers), head, input_size=224, deviations=deviations)


def cifar_resnet(
    depth: int,
    classes: int = 10,
    *,
    plain: bool = False,
    shortcut: Shortcut = "A",
    sge_groups: int = 0,
    levels: Sequence[int] = (),
    units: int | None = None,
    width: float = 1.0,
    input_size: int = 32,
) -> Classifier:
    """ResNet or plain net of 6n+2 layers for 32x32 images (ResNet 4.2), or for larger ones, which its mean takes as well.

    Raises ValueError for another depth, or an input size that its two strides of 2 do not divide.
    """
    if input_size < 8 or input_size % 4:
        raise ValueError(f"input size {input_size} cannot be; choose a multiple of 4, at least 8")
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"no CIFAR ResNet of {depth} layers; depths are 6n+2: 20, 32, 44, 56, 110, 1202")
    channels = widen(CIFAR_WIDTHS[0], width)
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, channels, 3, padding=1, bias=False),
        "bn1": nn.BatchNorm2d(channels),
        "relu1": nn.ReLU(inplace=True),
    }
    for stage, base in enumerate(CIFAR_WIDTHS, start=2):
        outputs = widen(base, width)
        for number in range(1, (depth - 2) // 6 + 1):
            stride = 2 if stage > 2 and number == 1 else 1
            branch = _basic(channels, outputs, stride)
            layers[f"conv{stage}_{number}"] = _block(branch, channels, outputs, stride, plain, shortcut, sge_groups)
            channels = outputs
    deviations = _deviations("1x1", sge_groups, levels, units, width)
    if input_size != 32:
        deviations.append(f"images of {input_size}x{input_size} pixels, not 32x32")
    head = global_head(channels, classes, input_size // 4, levels, units)
    return Classifier(sequential(layers), head, input_size=input_size, deviations=deviations)


def _basic(inputs: int, outputs: int, stride: int) -> dict[str, nn.Module]:
    """Two 3x3 convolutions, without the last ReLU (ResNet Figure 5, left)."""
    return {
        "conv1": nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        "bn1": nn.BatchNorm2d(outputs),
        "relu1": nn.ReLU(inplace=True),
        "conv2": nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        "bn2": nn.BatchNorm2d(outputs),
    }


def _bottleneck(inputs: int, middle: int, outputs: int, stride: int, stride_in: str) -> dict[str, nn.Module]:
    """1x1, 3x3, 1x1 convolutions, without the last ReLU (ResNet Figure 5, right)."""
    first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
    return {
        "conv1": nn.Conv2d(inputs, middle, 1, stride=first, bias=False),
        "bn1": nn.BatchNorm2d(middle),
        "relu1": nn.ReLU(inplace=True),
        "conv2": nn.Conv2d(middle, middle, 3, stride=second, padding=1, bias=False),
        "bn2": nn.BatchNorm2d(middle),
        "relu2": nn.ReLU(inplace=True),
        "conv3": nn.Conv2d(middle, outputs, 1, bias=False),
        "bn3": nn.BatchNorm2d(outputs),
    }


def _block(
    branch: dict[str, nn.Module],
    inputs: int,
    outputs: int,
    stride: int,
    plain: bool,
    option: Shortcut,
    sge_groups: int,
) -> nn.Module:
    if sge_groups:
        branch["sge"] = SpatialGroupEnhance(outputs, sge_groups)
    if plain:
        return sequential({**branch, "relu": nn.ReLU(inplace=True)})
    return Residual(sequential(branch), _shortcut(inputs, outputs, stride, option))


def _shortcut(inputs: int, outputs: int, stride: int, option: Shortcut) -> nn.Module:
    changes = stride != 1 or inputs != outputs
    if option == "C" or (option == "B" and changes):
        projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        return sequential({"conv": projection, "bn": nn.BatchNorm2d(outputs)})
    return Subsample(inputs, outputs, stride) if changes else nn.Identity()


def _deviations(stride_in: str, sge_groups: int, levels: Sequence[int], units: int | None, width: float) -> list[str]:
    said = [
        (stride_in != "1x1", "bottlenecks halve the map in their 3x3 convolution (v1.5), not in the first 1x1"),
        (bool(sge_groups), f"Spatial Group-wise Enhance (1905.09646), {sge_groups} groups, in every block"),
        (width != 1.0, f"{width:g} times as wide as the paper's"),
    ]
    return [*head_deviations(levels, units), *(text for is_so, text in said if is_so)]
