"""GoogLeNet (1409.4842) as published: 5x5 branches, local response normalisation, no batch norm, two auxiliary heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fourfold.models.base import Branches, Classifier, FlattenHead, Head, MeanHead, PyramidHead, sequential, widen
from fourfold.models.lrn import LocalResponseNorm

INCEPTIONS = {  # GoogLeNet Table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARIES = ("inception_4a", "inception_4d")  # GoogLeNet 5
POOL_BEFORE = {"4a": "pool3", "5a": "pool4"}
BATCH_NORM_EPSILON = 1e-3  # as in the released batch-norm Inception, and so in torchvision's weights


class Inception(Branches):
    """Branches joined along the channels (GoogLeNet Figure 2)."""

    def join(self, outputs: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(outputs), dim=1)


def googlenet(
    classes: int = 1000,
    *,
    input_size: int = 224,
    naive: bool = False,
    batch_norm: bool = False,
    branch5: int = 5,
    pool4: int = 3,
    auxiliaries: bool = True,
    levels: Sequence[int] = (),
    width: float = 1.0,
) -> Classifier:
    """GoogLeNet of Table 1 for 224x224 images, or with a lighter stem for 64x64 or 32x32.

    naive: the module of Figure 2a, without reductions or projection, so maps widen with every pool branch.
    batch_norm: after every convolution in place of both normalisations and biases. branch5: the kernel of the "5x5"
    branch, and pool4 that of the pool before 5a; torchvision has 3 and 2. auxiliaries: False leaves out the heads on 4a
    and 4d, as at inference. Raises ValueError for another input size or an even kernel.
    """
    if input_size not in (224, 64, 32):
        raise ValueError(f"no GoogLeNet for images of {input_size}; choose 224, 64 or 32")
    if branch5 % 2 == 0:
        raise ValueError(f"a {branch5}x{branch5} branch cannot keep the map's size; choose an odd kernel, such as 5 or 3")
    layers, channels = _stem(input_size, batch_norm, width)
    heads = nn.ModuleDict()
    for name, filters in INCEPTIONS.items():
        if name in POOL_BEFORE:
            layers[POOL_BEFORE[name]] = _pool(pool4 if name == "5a" else 3)
        scaled = [widen(count, width) for count in filters]
        build = _naive_inception if naive else _inception
        layers[f"inception_{name}"], channels = build(channels, scaled, branch5, batch_norm)
        if auxiliaries and f"inception_{name}" in AUXILIARIES:
            heads[f"inception_{name}"] = _auxiliary(channels, classes, input_size, batch_norm, width)
    side = 7 if input_size == 224 else 4
    deviations = _deviations(input_size, batch_norm, branch5, pool4, levels, width)
    head = _head(channels, classes, side, levels)
    return Classifier(sequential(layers), head, input_size=input_size, auxiliaries=heads, deviations=deviations)


def _stem(input_size: int, batch_norm: bool, width: float) -> tuple[dict[str, nn.Module], int]:
    """Everything before 3a (GoogLeNet Figure 3); small images keep the 8x smaller map of 5x by losing strides here."""
    c1, reduced, c2 = (widen(channels, width) for channels in (64, 64, 192))
    kernel, stride = (3, 1) if input_size == 32 else (7, 2)
    layers = {
        **_convolution("conv1", 3, c1, kernel, batch_norm, stride),
        "pool1": _pool(),
        **({} if batch_norm else {"lrn1": _lrn()}),
        **_convolution("conv2_reduce", c1, reduced, 1, batch_norm),
        **_convolution("conv2", reduced, c2, 3, batch_norm),
        **({} if batch_norm else {"lrn2": _lrn()}),
    }
    if input_size == 224:
        layers["pool2"] = _pool()
    return layers, c2


def _inception(inputs: int, filters: Sequence[int], branch5: int, batch_norm: bool) -> tuple[nn.Module, int]:
    """Dimension reductions before the large filters, a projection after the pool (GoogLeNet Figure 2b)."""
    one, reduce3, three, reduce5, five, projection = filters
    module = Inception()
    paths: dict[str, dict[str, nn.Module]] = {
        "branch1": _convolution("conv", inputs, one, 1, batch_norm),
        "branch3": {
            **_convolution("reduce", inputs, reduce3, 1, batch_norm),
            **_convolution("conv", reduce3, three, 3, batch_norm),
        },
        "branch5": {
            **_convolution("reduce", inputs, reduce5, 1, batch_norm),
            **_convolution("conv", reduce5, five, branch5, batch_norm),
        },
        "pool": {
            "pool": nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            **_convolution("conv", inputs, projection, 1, batch_norm),
        },
    }
    for name, path in paths.items():
        module.add_module(name, sequential(path))
    return module, one + three + five + projection


def _naive_inception(inputs: int, filters: Sequence[int], branch5: int, batch_norm: bool) -> tuple[nn.Module, int]:
    """Every filter reads all inputs, and the pool passes them all on (GoogLeNet Figure 2a)."""
    one, _, three, _, five, _ = filters
    module = Inception()
    for name, outputs, kernel in (("branch1", one, 1), ("branch3", three, 3), ("branch5", five, branch5)):
        module.add_module(name, sequential(_convolution("conv", inputs, outputs, kernel, batch_norm)))
    module.add_module("pool", nn.MaxPool2d(3, stride=1, padding=1))
    return module, one + three + five + inputs


def _convolution(
    name: str, inputs: int, outputs: int, kernel: int, batch_norm: bool, stride: int = 1
) -> dict[str, nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=not batch_norm)
    bn: dict[str, nn.Module] = {f"bn_{name}": nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPSILON)} if batch_norm else {}
    return {name: conv, **bn, f"relu_{name}": nn.ReLU(inplace=True)}


def _pool(kernel: int = 3) -> nn.Module:
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)  # Caffe's rounding: 112, 56, 28, 14, 7


def _lrn() -> nn.Module:
    return LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)  # not in the paper; the BVLC replication's constants


def _auxiliary(channels: int, classes: int, input_size: int, batch_norm: bool, width: float) -> nn.Module:
    """Average pool 5x5/3, 128 1x1 filters, 1024 units, 70 % dropout, linear (GoogLeNet 5)."""
    map_size = 14 if input_size == 224 else 8
    side = (map_size - 5) // 3 + 1  # 4 at 224
    reduced, units = widen(128, width), widen(1024, width)
    fc = sequential(
        {
            "fc1": nn.Linear(reduced * side * side, units),
            "relu": nn.ReLU(inplace=True),
            "drop": nn.Dropout(0.7),
            "fc2": nn.Linear(units, classes),
        }
    )
    trunk = {"pool": nn.AvgPool2d(5, stride=3), **_convolution("conv", channels, reduced, 1, batch_norm)}
    return sequential({**trunk, "head": FlattenHead(fc, side)})


def _head(channels: int, classes: int, side: int, levels: Sequence[int]) -> Head:
    if levels:
        bins = sum(level * level for level in levels)
        return PyramidHead(sequential({"drop": nn.Dropout(0.4), "fc": nn.Linear(channels * bins, classes)}), side, levels)
    return MeanHead(sequential({"drop": nn.Dropout(0.4), "fc": nn.Linear(channels, classes)}), side)


def _deviations(
    input_size: int, batch_norm: bool, branch5: int, pool4: int, levels: Sequence[int], width: float
) -> list[str]:
    stem = "conv1 is 3x3 of stride 1 and pool2 is left out" if input_size == 32 else "pool2 is left out"
    said = [
        (batch_norm, "batch norm (1502.03167) after every convolution, in place of biases and response normalisation"),
        (branch5 != 5, f"the 5x5 branches have {branch5}x{branch5} filters"),
        (pool4 != 3, f"the pool before 5a is {pool4}x{pool4}"),
        (bool(levels), f"spatial pyramid {tuple(levels)} (SPP-net 2.2) in place of the global mean"),
        (input_size != 224, f"for {input_size}x{input_size} images: {stem}"),
        (width != 1.0, f"{width:g} times as wide as the paper's"),
    ]
    return [text for is_so, text in said if is_so]
