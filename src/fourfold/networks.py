"""Every network of the papers by the name that users type."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping

from fourfold.models.alexnet import alexnet, nin
from fourfold.models.base import Classifier
from fourfold.models.googlenet import googlenet
from fourfold.models.resnet import cifar_resnet, resnet
from fourfold.models.sppnet import PYRAMID_50, convnet5, overfeat, zf5
from fourfold.models.vgg import vgg

Build = Callable[..., Classifier]

NETWORKS: Mapping[str, Build] = {
    "vgg-a": functools.partial(vgg, "A"),
    "vgg-a-lrn": functools.partial(vgg, "A-LRN"),
    "vgg-b": functools.partial(vgg, "B"),
    "vgg-b-shallow": functools.partial(vgg, "B-shallow"),
    "vgg-c": functools.partial(vgg, "C"),
    "vgg-d": functools.partial(vgg, "D"),
    "vgg-e": functools.partial(vgg, "E"),
    **{f"resnet{depth}": functools.partial(resnet, depth) for depth in (18, 34, 50, 101, 152)},
    **{f"plain{depth}": functools.partial(resnet, depth, plain=True) for depth in (18, 34)},
    **{f"resnet{depth}": functools.partial(cifar_resnet, depth) for depth in (20, 32, 44, 56, 110, 1202)},
    **{f"plain{depth}": functools.partial(cifar_resnet, depth, plain=True) for depth in (20, 32, 44, 56, 110, 1202)},
    "googlenet": googlenet,
    "googlenet-naive": functools.partial(googlenet, naive=True),
    "zf5": zf5,
    "zf5-spp": functools.partial(zf5, levels=PYRAMID_50),
    "convnet5": convnet5,
    "convnet5-spp": functools.partial(convnet5, levels=PYRAMID_50),
    "overfeat5": functools.partial(overfeat, 5),
    "overfeat5-spp": functools.partial(overfeat, 5, levels=PYRAMID_50),
    "overfeat7": functools.partial(overfeat, 7),
    "overfeat7-spp": functools.partial(overfeat, 7, levels=PYRAMID_50),
    "alexnet": alexnet,
    "nin": nin,
}
ALIASES = {"vgg11": "vgg-a", "vgg13": "vgg-b", "vgg16": "vgg-d", "vgg19": "vgg-e"}


def build(name: str, **options: object) -> Classifier:
    """A network of the papers by name, with random weights. Raises ValueError for a name or option that does not exist."""
    if name not in NETWORKS and name not in ALIASES:
        raise ValueError(f"no network {name!r}{closest(name, [*NETWORKS, *ALIASES])}; `fourfold models` lists all")
    builder = NETWORKS[ALIASES.get(name, name)]
    taken = set(builder.keywords) - {"levels"} if isinstance(builder, functools.partial) else set()
    allowed = {key: p for key, p in inspect.signature(builder).parameters.items() if p.default is not p.empty}
    for key in options:
        if key not in allowed or key in taken:
            choices = ", ".join(key for key in allowed if key not in taken)
            raise ValueError(f"{name} has no option {key!r}; its options are {choices}")
    return builder(**options)


def closest(name: str, names: Iterable[str]) -> str:
    """The words "; closest are a, b, c" to end the first half of an error message; empty where no name is alike."""
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"; closest are {', '.join(close)}" if close else ""
