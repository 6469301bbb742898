"""VGG (1409.1556): configurations A to E of Table 1, and the shallow 5x5 net that section 4.1 compares B with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from fourfold.models.base import Classifier, FlattenHead, Head, PyramidHead, fully_connected, sequential, widen
from fourfold.models.lrn import LocalResponseNorm

CHANNELS = (64, 128, 256, 512, 512)  # VGG 2.1: doubled after each pool up to 512
CONFIGURATIONS = {  # VGG Table 1: kernel sizes of the convolutions in each stage
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "A-LRN": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "B-shallow": ((5,), (5,), (5,), (5,), (5,)),  # VGG 4.1: each pair of 3x3 replaced by one 5x5
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
FC_WIDTH = 4096
SMALL_FC_WIDTH = 512  # ours, for small images: as many units as the last map has cells
POOLS = 5


def vgg(
    configuration: str,
    classes: int = 1000,
    *,
    input_size: int = 224,
    batch_norm: bool = False,
    levels: Sequence[int] = (),
    width: float = 1.0,
) -> Classifier:
    """VGG in one of CONFIGURATIONS.

    input_size: 224 as in the paper, or a smaller multiple of 32, for which the fc layers shrink. batch_norm: after every
    convolution, which then has no need of pre-initialisation. levels: a spatial pyramid (SPP-net) in place of pool5.
    Raises ValueError for another configuration or size.
    """
    if configuration not in CONFIGURATIONS:
        raise ValueError(f"no VGG configuration {configuration!r}; choose from {', '.join(CONFIGURATIONS)}")
    if input_size < 32 or input_size % 2**POOLS:
        raise ValueError(f"input size {input_size} cannot be halved {POOLS} times; use 224 or another multiple of 32")
    layers: dict[str, nn.Module] = {}
    inputs = 3
    for stage, (kernels, base) in enumerate(zip(CONFIGURATIONS[configuration], CHANNELS, strict=True), start=1):
        outputs = widen(base, width)
        for number, kernel in enumerate(kernels, start=1):
            layers |= _convolution(f"{stage}_{number}", inputs, outputs, kernel, batch_norm)
            inputs = outputs
        if stage == 1 and configuration == "A-LRN":
            layers["lrn1"] = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # VGG 2.1: AlexNet's constants
        layers[f"pool{stage}"] = nn.MaxPool2d(2, stride=2)
    if levels:
        del layers[f"pool{POOLS}"]
    units = widen(FC_WIDTH if input_size == 224 else SMALL_FC_WIDTH, width)
    head = _head(inputs, units, classes, input_size // 2**POOLS, levels)
    deviations = _deviations(input_size, batch_norm, levels, width, units)
    return Classifier(sequential(layers), head, input_size=input_size, deviations=deviations)


def _convolution(name: str, inputs: int, outputs: int, kernel: int, batch_norm: bool) -> dict[str, nn.Module]:
    layers: dict[str, nn.Module] = {f"conv{name}": nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)}
    if batch_norm:
        layers[f"bn{name}"] = nn.BatchNorm2d(outputs)
    return {**layers, f"relu{name}": nn.ReLU(inplace=True)}


def _head(channels: int, units: int, classes: int, side: int, levels: Sequence[int]) -> Head:
    if levels:
        bins = sum(level * level for level in levels)
        return PyramidHead(fully_connected(channels * bins, units, units, classes), 2 * side, levels)
    return FlattenHead(fully_connected(channels * side * side, units, units, classes), side)


def _deviations(input_size: int, batch_norm: bool, levels: Sequence[int], width: float, units: int) -> list[str]:
    said = [
        (batch_norm, "batch norm (1502.03167) after every convolution; the paper has none"),
        (bool(levels), f"spatial pyramid {tuple(levels)} (SPP-net 2.2) in place of pool5"),
        (input_size != 224, f"for {input_size}x{input_size} images; fc6 and fc7 have {units} units in place of 4096"),
        (width != 1.0, f"{width:g} times as wide as the paper's"),
    ]
    return [text for is_so, text in said if is_so]
