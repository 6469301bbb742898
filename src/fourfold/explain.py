"""What a network is, layer by layer: output shape, receptive field, parameters and multiply-adds.

Counted on the meta device, so no memory is used and no number is computed, however large the network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fourfold.models.base import Branches, Classifier, FlattenHead, PyramidHead, field_after
from fourfold.shapes import Field

SILENT = (nn.ReLU, nn.Dropout, nn.Identity)  # layers without parameters that keep their input's shape


@dataclass(frozen=True)
class Layer:
    """One layer. `output` is (C,h,w) or (D,); `field` is None behind the maps, where a unit sees the whole input."""

    name: str
    kind: str
    output: tuple[int, ...]
    field: Field | None
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Explanation:
    """A network at inference: totals over `layers`; `field` is that of the map cells which the head reads.

    `auxiliary_parameters` are those of heads that exist in training only, and are not in `parameters`.
    """

    network: str
    input_size: int
    parameters: int
    multiply_adds: int
    auxiliary_parameters: int
    field: Field
    layers: tuple[Layer, ...]
    deviations: tuple[str, ...]


def explain(name: str, build: Callable[[], Classifier], size: int | None = None) -> Explanation:
    """Count everything in the network that `build` makes, for one image of size x size (its own input size if None).

    Raises ValueError where the network cannot take that size.
    """
    with torch.device("meta"):
        network = build().eval()
        size = size or network.input_size
        pixels = torch.empty(1, 3, size, size)
        layers = list(_follow(network, pixels))
    return Explanation(
        network=name,
        input_size=size,
        parameters=sum(layer.parameters for layer in layers),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        auxiliary_parameters=_parameters(network.auxiliaries),
        field=network.field,
        layers=tuple(layers),
        deviations=network.deviations,
    )


def _follow(network: Classifier, pixels: Tensor) -> Iterator[Layer]:
    try:
        maps, _ = yield from _walk("", network.trunk, pixels, Field())
        pooled = network.head.pool(maps)
    except RuntimeError as error:  # torch's own word for a map that has shrunk to nothing
        raise ValueError(
            f"an image of {pixels.shape[-1]} pixels is too small for this network; give a larger size"
        ) from error
    if not isinstance(network.head, FlattenHead):
        kind = f"pyramid {network.head.levels}" if isinstance(network.head, PyramidHead) else "mean"
        yield Layer("pool", kind, tuple(pooled.shape[1:]), None, 0, 0)
    for name, layer in network.head.fc.named_children():
        pooled = layer(pooled)
        if not isinstance(layer, SILENT):
            yield _describe(name, layer, pooled, None)


def _walk(name: str, module: nn.Module, maps: Tensor, field: Field) -> Generator[Layer, None, tuple[Tensor, Field]]:
    """Yield the layers of a tree in the order they run; returns the maps and the field after it."""
    if isinstance(module, nn.Sequential):
        for child, layer in module.named_children():
            maps, field = yield from _walk(_join(name, child), layer, maps, field)
        return maps, field
    if isinstance(module, Branches):
        ends = []
        for child, path in module.named_children():
            ends.append((yield from _walk(_join(name, child), path, maps, field)))
        return module.join([end for end, _ in ends]), max((f for _, f in ends), key=lambda f: f.size)
    maps, field = module(maps), field_after(module, field)
    if not isinstance(module, SILENT):
        yield _describe(name, module, maps, field)
    return maps, field


def _describe(name: str, layer: nn.Module, output: Tensor, field: Field | None) -> Layer:
    shape = tuple(output.shape[1:])
    return Layer(name, _kind(layer), shape, field, _parameters(layer), _multiply_adds(layer, shape))


def _multiply_adds(layer: nn.Module, output: tuple[int, ...]) -> int:
    """Multiplications of the weights alone, as the papers count: no biases, batch norms or pools."""
    if isinstance(layer, nn.Conv2d):
        return layer.weight.numel() * output[1] * output[2]
    return layer.weight.numel() if isinstance(layer, nn.Linear) else 0


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        word = {nn.Conv2d: "conv", nn.MaxPool2d: "max", nn.AvgPool2d: "mean"}[type(layer)]
        kernel = layer.kernel_size if isinstance(layer.kernel_size, int) else layer.kernel_size[0]
        stride = layer.stride if isinstance(layer.stride, int) else layer.stride[0]
        groups = f", {layer.groups} groups" if isinstance(layer, nn.Conv2d) and layer.groups > 1 else ""
        return f"{word} {kernel}x{kernel}" + (f"/{stride}" if stride > 1 else "") + groups
    words = {nn.Linear: "linear", nn.BatchNorm2d: "batch norm"}
    return words.get(type(layer), type(layer).__name__)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
