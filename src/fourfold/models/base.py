"""What all networks of the four papers are: a trunk, and a head that pools its maps and runs fc layers.

A trunk is an `nn.Sequential` of layers and of `Branches`; nothing else decides how tensors flow, so `explain` can follow
them layer by layer. No network is defined here.
"""

from __future__ import annotations

import abc
import difflib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.shapes import Field, square

POOL = "pool"  # what `features` calls the vector that the fc layers read


class Branches(nn.Module, abc.ABC):
    """Paths that read the same maps and are joined again; every child module is one path."""

    @abc.abstractmethod
    def join(self, outputs: Sequence[Tensor]) -> Tensor:
        """Put the outputs of the paths, in the order of the children, together."""

    def forward(self, maps: Tensor) -> Tensor:
        return self.join([path(maps) for path in self.children()])


class Head(nn.Module, abc.ABC):
    """Pool the maps, then run the fc layers; `side` is the number of map cells per side at the training size."""

    def __init__(self, fc: nn.Sequential, side: int) -> None:
        super().__init__()
        self.fc = fc
        self.side = side

    @abc.abstractmethod
    def pool(self, maps: Tensor) -> Tensor:
        """(N,C,h,w) -> (N,P), the vector that the fc layers read."""

    @abc.abstractmethod
    def dense(self, maps: Tensor) -> Tensor:
        """(N,C,h,w) -> (N,K,h-side+1,w-side+1): the scores of every side x side window."""

    @abc.abstractmethod
    def with_fc(self, fc: nn.Sequential) -> Head:
        """A head that pools as this one does, with other fc layers."""

    def until(self, layer: str) -> Head:
        """The same head that ends with the fc layer called `layer`. Raises ValueError if there is none."""
        names = [name for name, _ in self.fc.named_children()]
        if layer not in names:
            raise ValueError(f"no fc layer {layer!r}; this head has {', '.join(names) or 'none'}")
        return self.with_fc(self.fc[: names.index(layer) + 1])

    def features(self, pooled: Tensor, layer: str) -> Tensor:
        """(N,P) -> (N,D): the output of the fc layer called `layer`. Raises ValueError if there is none."""
        return self.until(layer).fc(pooled)

    def forward(self, maps: Tensor) -> Tensor:
        return self.fc(self.pool(maps))

    def _check_window(self, maps: Tensor) -> None:
        height, width = maps.shape[-2:]
        if min(height, width) < self.side:
            raise ValueError(
                f"a map of {height}x{width} cells is smaller than the head's {self.side}x{self.side}; give a larger image"
            )


class FlattenHead(Head):
    """All cells as one vector (AlexNet, VGG); the map must be side x side, larger ones go through `dense`."""

    def pool(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        if (height, width) != (self.side, self.side):
            raise ValueError(
                f"a map of {height}x{width} cells does not fit fc layers made for {self.side}x{self.side}; "
                "give an image of the network's own size, or use dense()"
            )
        return maps.flatten(1)

    def dense(self, maps: Tensor) -> Tensor:
        """The first fc layer as a side x side convolution without padding, the others as 1 x 1 (VGG 3.2)."""
        self._check_window(maps)
        return _as_convolutions(self.fc, maps, self.side)

    def with_fc(self, fc: nn.Sequential) -> FlattenHead:
        """See Head."""
        return FlattenHead(fc, self.side)


class MeanHead(Head):
    """The mean over all cells (NIN; GoogLeNet 5; ResNet 3.3), so any map size passes."""

    def pool(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))

    def dense(self, maps: Tensor) -> Tensor:
        """Means of side x side cells at stride 1, then fc layers as 1 x 1 convolutions.

        A Reading: border cells lie in fewer windows than inner ones, so they weigh less than in one global mean.
        """
        self._check_window(maps)
        return _as_convolutions(self.fc, F.avg_pool2d(maps, self.side, stride=1), 1)

    def with_fc(self, fc: nn.Sequential) -> MeanHead:
        """See Head."""
        return MeanHead(fc, self.side)


class PyramidHead(Head):
    """Spatial pyramid pooling (SPP-net 2.2): the maximum in n x n bins for each level, for any map size."""

    def __init__(self, fc: nn.Sequential, side: int, levels: Sequence[int]) -> None:
        super().__init__(fc, side)
        self.levels = tuple(levels)

    def pool(self, maps: Tensor) -> Tensor:
        return pyramid_pool(maps, self.levels)

    def dense(self, maps: Tensor) -> Tensor:
        """The plain forward on each side x side window at stride 1."""
        self._check_window(maps)
        windows = maps.unfold(2, self.side, 1).unfold(3, self.side, 1)  # (N,C,h',w',side,side)
        rows = [self._row(row) for row in windows.unbind(2)]  # one by one: all windows together are many times the map
        return torch.stack(rows, 2)

    def with_fc(self, fc: nn.Sequential) -> PyramidHead:
        """See Head."""
        return PyramidHead(fc, self.side, self.levels)

    def _row(self, windows: Tensor) -> Tensor:
        """(N,C,w',side,side) -> (N,K,w')."""
        count, _, columns = windows.shape[:3]
        return self(windows.transpose(1, 2).flatten(0, 1)).view(count, columns, -1).transpose(1, 2)


def pyramid_pool(maps: Tensor, levels: Sequence[int]) -> Tensor:
    """Max-pool maps into n x n bins for each level and join the bins (SPP-net 2.2).

    maps: (N,C,h,w) float, any h and w of at least 1. Returns (N, C * sum of n squared), levels in the order given,
    channel-major within a level. Bin i covers cells floor(i*w/n) up to ceil((i+1)*w/n), so bins overlap where w is not a
    multiple of n (appendix A). Raises ValueError on an empty map or a level below 1.
    """
    if 0 in maps.shape[-2:]:
        raise ValueError(f"cannot pool an empty map of shape {tuple(maps.shape)}; give a larger image")
    if not levels or min(levels) < 1:
        raise ValueError(f"pyramid levels are {tuple(levels)}; give one or more whole numbers of at least 1")
    return torch.cat([F.adaptive_max_pool2d(maps, level).flatten(1) for level in levels], dim=1)


class Classifier(nn.Module):
    """A network of the four papers: pixels (N,3,H,W) -> trunk -> maps (N,C,h,w) -> head -> scores (N,K) before softmax.

    `input_size` is the side of the training crop in pixels; `auxiliaries` maps the name of a trunk layer to a head that
    reads its output during training (GoogLeNet 5); `deviations` says how the network departs from its paper.
    """

    def __init__(
        self,
        trunk: nn.Sequential,
        head: Head,
        *,
        input_size: int,
        auxiliaries: nn.ModuleDict | None = None,
        deviations: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.input_size = input_size
        self.auxiliaries = auxiliaries or nn.ModuleDict()
        self.deviations = tuple(deviations)

    @property
    def field(self) -> Field:
        """Receptive field, stride and first centre of the cells that the head reads."""
        return field_after(self.trunk)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.trunk(pixels))

    def dense(self, pixels: Tensor) -> Tensor:
        """(N,3,H,W) -> (N,K,h',w') scores, one for each place where a training-size window fits the map."""
        return self.head.dense(self.trunk(pixels))

    def all_scores(self, pixels: Tensor) -> list[Tensor]:
        """The scores that the training loss reads: the main ones first, then those of the auxiliary heads."""
        scores, maps = [], pixels
        for name, layer in self.trunk.named_children():
            maps = layer(maps)
            if name in self.auxiliaries:
                scores.append(self.auxiliaries[name](maps))
        return [self.head(maps), *scores]

    @property
    def feature_names(self) -> list[str]:
        """The layers that `features` knows, in the order they run; those inside of others as "conv2_1.residual.conv1"."""
        pool = [] if isinstance(self.head, FlattenHead) else [POOL]
        trunk = [name for name, _ in self.trunk.named_modules() if name]
        return [*trunk, *pool, *(name for name, _ in self.head.fc.named_children())]

    def features(self, pixels: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """(N,3,H,W) -> outputs of named layers in one pass: maps (N,C,h,w) of the trunk, vectors (N,P) or (N,D) behind it.

        layers: names of `feature_names`, those of `explain` among them; "pool" is the vector that the fc layers read, where
        it is no mere flattening. The pass ends with the last of them, so that without fc layers images of any size will do.
        Gradients flow through the outputs, which are copies: no later layer changes them in place. Raises ValueError for a
        layer that there is not.
        """
        for layer in layers:
            _check_layer(layer, self.feature_names)
        kept: dict[str, Tensor] = {}
        wanted, maps = set(layers), pixels
        for name, module in self.trunk.named_children():
            if wanted <= set(kept):
                break
            maps = _keep(name, module, maps, wanted, kept)
        if not wanted <= set(kept):
            self._keep_head(maps, wanted, kept)
        return {layer: kept[layer] for layer in layers}

    def _keep_head(self, maps: Tensor, wanted: set[str], kept: dict[str, Tensor]) -> None:
        pooled = self.head.pool(maps)
        if POOL in wanted:
            kept[POOL] = pooled.clone()
        for name, module in self.head.fc.named_children():
            pooled = _keep(name, module, pooled, wanted, kept)


def _check_layer(layer: str, names: Sequence[str]) -> None:
    if layer not in names:
        close = ", ".join(difflib.get_close_matches(layer, names, n=3)) or ", ".join(names[-3:])
        raise ValueError(f"no layer {layer!r}; closest are {close}; `fourfold explain` lists all")


def _keep(name: str, module: nn.Module, maps: Tensor, wanted: set[str], kept: dict[str, Tensor]) -> Tensor:
    """Run a layer or a tree of layers, and copy the outputs of those that are wanted; nothing of the network is changed."""
    if isinstance(module, nn.Sequential):
        for child, layer in module.named_children():
            maps = _keep(f"{name}.{child}", layer, maps, wanted, kept)
    elif isinstance(module, Branches):
        paths = module.named_children()
        maps = module.join([_keep(f"{name}.{child}", path, maps, wanted, kept) for child, path in paths])
    else:
        maps = module(maps)
    if name in wanted:
        kept[name] = maps.clone()
    return maps


def field_after(module: nn.Module, before: Field = Field()) -> Field:  # noqa: B008 (Field is frozen)
    """The receptive field after a layer or a tree of layers; of several branches, the widest."""
    if isinstance(module, nn.Sequential):
        for layer in module:
            before = field_after(layer, before)
        return before
    if isinstance(module, Branches):
        return max((field_after(path, before) for path in module.children()), key=lambda field: field.size)
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        kernel, stride, padding = (
            square(cast(int | tuple[int, int], size)) for size in (module.kernel_size, module.stride, module.padding)
        )
        return before.through(kernel, stride, padding)
    return before


def fully_connected(*sizes: int, first: int = 6, dropout: float = 0.5) -> nn.Sequential:
    """fc6, relu6, drop6, fc7, ..., fc8 as AlexNet, VGG and SPP-net share them: sizes are inputs, hidden ..., classes."""
    layers: dict[str, nn.Module] = {}
    last = len(sizes) - 2
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        number = first + index
        layers[f"fc{number}"] = nn.Linear(inputs, outputs)
        if index < last:
            layers[f"relu{number}"] = nn.ReLU(inplace=True)
            layers[f"drop{number}"] = nn.Dropout(dropout)
    return sequential(layers)


def global_head(channels: int, classes: int, side: int, levels: Sequence[int], units: int | None) -> Head:
    """The mean over all cells, or a spatial pyramid of `levels`; then the scores, or fc6 and fc7 of `units` before them."""
    bins = sum(level * level for level in levels) if levels else 1
    if units is None:
        fc = sequential({"fc": nn.Linear(channels * bins, classes)})
    else:
        fc = fully_connected(channels * bins, units, units, classes)
    return PyramidHead(fc, side, levels) if levels else MeanHead(fc, side)


def head_deviations(levels: Sequence[int], units: int | None) -> list[str]:
    """How `global_head` departs from the mean and one fc layer, in words."""
    said = [
        (bool(levels), f"spatial pyramid {tuple(levels)} (SPP-net 2.2) in place of the global mean"),
        (units is not None, f"fc6 and fc7 of {units} units before the scores"),
    ]
    return [text for is_so, text in said if is_so]


def sequential(layers: dict[str, nn.Module]) -> nn.Sequential:
    """An nn.Sequential whose children carry the paper's names."""
    chain = nn.Sequential()
    for name, layer in layers.items():
        chain.add_module(name, layer)
    return chain


def widen(channels: int, width: float, multiple: int = 1) -> int:
    """Channels of a network `width` times as wide, as a multiple of `multiple`; width 1 leaves the paper's number."""
    return max(multiple, round(channels * width / multiple) * multiple)


def _as_convolutions(fc: nn.Sequential, maps: Tensor, side: int) -> Tensor:
    for layer in fc:
        if isinstance(layer, nn.Linear):
            kernel = layer.weight.view(layer.out_features, -1, side, side)
            maps, side = F.conv2d(maps, kernel, layer.bias), 1
        else:
            maps = layer(maps)
    return maps
