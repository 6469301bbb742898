"""Weights in and out of files: safetensors, other people's checkpoints, and the translation of their parameter names.

Nothing here ever unpickles code: `.pth` files are read with `weights_only=True`.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fourfold.files import write_whole
from fourfold.models.base import Classifier

State = Mapping[str, Tensor]
WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
TORCH_FILES = (b"PK\x03\x04", b"\x80\x02")  # how torch.save begins a file: a zip archive, and a pickle before torch 1.6
DAMAGED = (  # what safetensors and torch.load raise, as found by changing bytes of good files at random
    SafetensorError,
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    struct.error,
)


def save_weights(path: Path, state: State) -> None:
    """Write tensors to a safetensors file, whole or not at all."""
    write_whole(path, lambda temporary: save_file({name: value.contiguous() for name, value in state.items()}, temporary))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file, or a torch file with `weights_only=True`.

    Wrappers such as "state_dict" and the prefix "module." are taken off. Raises ValueError when the file is missing,
    damaged, holds anything but tensors, or would run code when it is read.
    """
    if not path.is_file():
        raise ValueError(f"no weights file {path}; check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_start(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is not a plain weights file: reading it could run code; convert it to safetensors where you trust it"
        ) from error
    except DAMAGED as error:
        raise ValueError(f"{path} is not a weights file that can be read; give .safetensors, .pth or .pt") from error
    for _ in range(len(WRAPPERS)):  # a table that holds itself has no innermost one
        if isinstance(content, Mapping) and (inner := next((key for key in WRAPPERS if key in content), None)):
            content = content[inner]
    if not isinstance(content, Mapping) or not content or not all(map(_is_plain, content.values())):
        raise ValueError(f"{path} holds no table of weights; give a file with a network's state_dict")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _check_start(path: Path) -> None:
    """Refuse what torch.save did not write, before torch.load guesses what it is and warns."""
    with path.open("rb") as file:
        if not file.read(4).startswith(TORCH_FILES):
            raise ValueError(f"{path} does not begin as torch's files do")


def _is_plain(value: object) -> bool:
    """Whether it is a tensor of real numbers in main memory; others would not copy, or not as they are."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_complex()
        and not value.is_quantized
    )


def load_into(network: Classifier, state: State, *, name: str) -> None:
    """Put weights into the network, translated from the layout they are in.

    Layouts: ours, torchvision's VGG, ResNet and GoogLeNet, and the common CIFAR ResNets whose classifier is `linear`.
    Raises ValueError naming the first tensor that does not fit; the network is unchanged then.
    """
    wanted = network.state_dict()
    ours = translate(state, network)
    ours = {key: value for key, value in ours.items() if key in wanted or not key.startswith("auxiliaries.")}
    counts = {key: value for key, value in wanted.items() if key.endswith("num_batches_tracked")}
    ours = {**counts, **ours}  # older files have no such counters, and nothing depends on them here
    for key, value in wanted.items():
        if key not in ours:
            raise ValueError(f"{name} does not fit this network: it has no {key}; choose the network it was made for")
        if ours[key].shape != value.shape:
            have, want = tuple(ours[key].shape), tuple(value.shape)
            raise ValueError(f"{name} does not fit this network: {key} is {have} and should be {want}")
    for key in ours:
        if key not in wanted:
            raise ValueError(f"{name} does not fit this network: it has {key}, which the network lacks")
    if "linear.weight" in state and not any(".shortcut." in key for key in ours):
        ours = append_zero_channels(ours, network)
    network.load_state_dict(ours)


def translate(state: State, network: Classifier) -> dict[str, Tensor]:
    """The same tensors under our names; names of no known layout stay as they are."""
    if any(name.startswith("features.") for name in state):
        return _translate_vgg(state, network)
    rules = GOOGLENET_RULES if any(name.startswith("inception3a.") for name in state) else RESNET_RULES
    return {_rename(name, rules): value for name, value in state.items()}


RESNET_RULES = (
    (r"^(conv1|bn1)\.(.*)$", lambda m: f"trunk.{m[1]}.{m[2]}"),
    (
        r"^layer(\d+)\.(\d+)\.((?:conv|bn)\d)\.(.*)$",
        lambda m: f"trunk.conv{int(m[1]) + 1}_{int(m[2]) + 1}.residual.{m[3]}.{m[4]}",
    ),
    (
        r"^layer(\d+)\.(\d+)\.(?:downsample|shortcut)\.([01])\.(.*)$",
        lambda m: f"trunk.conv{int(m[1]) + 1}_{int(m[2]) + 1}.shortcut.{('conv', 'bn')[int(m[3])]}.{m[4]}",
    ),
    (r"^(?:fc|linear)\.(.*)$", lambda m: f"head.fc.fc.{m[1]}"),
)

_STEM = {"conv1": "conv1", "conv2": "conv2_reduce", "conv3": "conv2"}
_AUXILIARY = {"aux1": "inception_4a", "aux2": "inception_4d"}
_PATH = {  # torchvision's branches in order: 1x1; reduce, 3x3; reduce, "5x5"; pool, projection
    "branch1.": ("branch1", "conv"),
    "branch2.0.": ("branch3", "reduce"),
    "branch2.1.": ("branch3", "conv"),
    "branch3.0.": ("branch5", "reduce"),
    "branch3.1.": ("branch5", "conv"),
    "branch4.1.": ("pool", "conv"),
}


def _layer(kind: str, name: str) -> str:
    return f"bn_{name}" if kind == "bn" else name


GOOGLENET_RULES = (
    (r"^(conv[123])\.(conv|bn)\.(.*)$", lambda m: f"trunk.{_layer(m[2], _STEM[m[1]])}.{m[3]}"),
    (
        r"^inception(\d[a-e])\.(branch\d\.(?:\d\.)?)(conv|bn)\.(.*)$",
        lambda m: f"trunk.inception_{m[1]}.{_PATH[m[2]][0]}.{_layer(m[3], _PATH[m[2]][1])}.{m[4]}",
    ),
    (r"^(aux[12])\.conv\.(conv|bn)\.(.*)$", lambda m: f"auxiliaries.{_AUXILIARY[m[1]]}.{_layer(m[2], 'conv')}.{m[3]}"),
    (r"^(aux[12])\.(fc[12])\.(.*)$", lambda m: f"auxiliaries.{_AUXILIARY[m[1]]}.head.fc.{m[2]}.{m[3]}"),
    (r"^fc\.(.*)$", lambda m: f"head.fc.fc.{m[1]}"),
)


def _rename(name: str, rules: tuple) -> str:
    for pattern, ours in rules:
        if match := re.match(pattern, name):
            return ours(match)
    return name


def _translate_vgg(state: State, network: Classifier) -> dict[str, Tensor]:
    """torchvision numbers the layers of a VGG; convolutions, batch norms and fc layers come in the order of ours."""
    kinds = ("trunk.conv", "trunk.bn", "head.fc.fc")
    ours = {kind: _layers(network.state_dict(), kind) for kind in kinds}
    theirs: dict[str, list[str]] = {kind: [] for kind in kinds}
    for name in state:
        layer = name.rpartition(".")[0]
        is_bn = f"{layer}.running_mean" in state
        kind = "head.fc.fc" if layer.startswith("classifier.") else "trunk.bn" if is_bn else "trunk.conv"
        if layer not in theirs[kind]:
            theirs[kind].append(layer)
    names = {their: our for kind in kinds for their, our in zip(theirs[kind], ours[kind], strict=False)}
    return {
        f"{names.get(layer, layer)}.{leaf}": value
        for (layer, _, leaf), value in ((name.rpartition("."), value) for name, value in state.items())
    }


def _layers(state: State, start: str) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name in state if name.startswith(start)))


def append_zero_channels(state: State, network: Classifier) -> dict[str, Tensor]:
    """Reorder the channels of a CIFAR ResNet whose option A pads new channels half before and half after the old ones.

    Ours appends them all, which is the literal reading of ResNet 3.3. A stage's channels may be listed in any order, so
    the same function is had by listing the old ones first.
    """
    moved = dict(state)
    stages = sorted({name.split(".")[1].split("_")[0] for name in state if ".residual." in name})
    order = torch.arange(state["trunk.conv1.weight"].shape[0])  # ours -> theirs, in the stage before
    for stage in stages:
        blocks = [name for name, _ in network.trunk.named_children() if name.startswith(f"{stage}_")]
        for block in blocks:
            prefix = f"trunk.{block}.residual"
            moved[f"{prefix}.conv1.weight"] = moved[f"{prefix}.conv1.weight"][:, order]
            if block == blocks[0]:
                order = _after_padding(order, state[f"{prefix}.conv2.weight"].shape[0])
            moved[f"{prefix}.conv2.weight"] = moved[f"{prefix}.conv2.weight"][order]
            for leaf in ("weight", "bias", "running_mean", "running_var"):
                moved[f"{prefix}.bn2.{leaf}"] = moved[f"{prefix}.bn2.{leaf}"][order]
    moved["head.fc.fc.weight"] = moved["head.fc.fc.weight"][:, order]
    return moved


def _after_padding(order: Tensor, channels: int) -> Tensor:
    before = (channels - len(order)) // 2
    old = order + before
    new = torch.tensor([index for index in range(channels) if not before <= index < before + len(order)], dtype=torch.long)
    return torch.cat([old, new])


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
