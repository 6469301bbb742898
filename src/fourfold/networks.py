"""Every network of the papers by the name that users type."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Literal, get_args, get_origin

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


def build(name: str, /, **options: object) -> Classifier:
    """A network of the papers by name, with random weights.

    Raises ValueError for a name or option that does not exist, and for a value that the option cannot have.
    """
    if name not in NETWORKS and name not in ALIASES:
        raise ValueError(f"no network {name!r}{closest(name, [*NETWORKS, *ALIASES])}; `fourfold models` lists all")
    builder = NETWORKS[ALIASES.get(name, name)]
    taken = set(builder.keywords) - {"levels"} if isinstance(builder, functools.partial) else set()
    parameters = inspect.signature(builder, eval_str=True).parameters
    allowed = {key: p for key, p in parameters.items() if p.default is not p.empty}
    for key, value in options.items():
        if key not in allowed or key in taken:
            choices = ", ".join(key for key in allowed if key not in taken)
            raise ValueError(f"{name} has no option {key!r}; its options are {choices}")
        default, kind = allowed[key].default, allowed[key].annotation
        if not (type(value) is type(default) and value == default) and not _fits(value, kind):
            raise ValueError(f"{name} cannot have {key}={value!r}; give {_wanted(kind)}")
    return builder(**options)


def _fits(value: object, kind: object) -> bool:
    """Whether a value is of the annotated kind; numbers must be above 0."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is Sequence:
        return isinstance(value, list | tuple) and all(_fits(item, get_args(kind)[0]) for item in value)
    if parts := get_args(kind):
        return any(_fits(value, part) for part in parts)
    if kind is NoneType or value is None:
        return kind is NoneType and value is None
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    numbers = (int, float) if kind is float else (int,)
    return isinstance(value, numbers) and 0 < value < math.inf


def _wanted(kind: object) -> str:
    """The words for an annotation in an error message."""
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if get_origin(kind) is Sequence:
        return "a list of whole numbers above 0, such as [4,2,1]"
    if parts := [part for part in get_args(kind) if part is not NoneType]:
        return _wanted(parts[0])
    return {bool: "true or false", int: "a whole number above 0", float: "a number above 0"}[kind]


def closest(name: str, names: Iterable[str]) -> str:
    """The words "; closest are a, b, c" to end the first half of an error message; empty where no name is alike."""
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"; closest are {', '.join(close)}" if close else ""
