"""What commands share that ask models: naming models, protocols and scales, and opening somebody else's weights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fourfold.terminal import progress, write_picture

if TYPE_CHECKING:
    from fourfold.sources import Source
    from fourfold.verbs import Model

DEFAULT_MODEL = "resnet20-cifar10"  # catalog.DEFAULT; importing that would import torch

ModelNames = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="A name of `fourfold models`, a run folder, or owner/name; several are averaged."),
]
WeightsFile = Annotated[Path | None, typer.Option("--weights", help="Somebody else's weights file for network --model.")]
ClassesFile = Annotated[Path | None, typer.Option("--classes", help="With --weights: class names, one a line.")]
PixelsText = Annotated[
    str | None, typer.Option("--pixels", help='With --weights: imagenet (default), cifar10, half or "mean=R,G,B,std=R,G,B".')
]
ProtocolName = Annotated[
    str, typer.Option("--protocol", "-p", help="A test protocol of `fourfold protocols`; NAME+NAME is the mean of two.")
]
ScalesText = Annotated[
    str | None, typer.Option("--scales", help="Shorter sides in pixels, such as 256,384, in place of the paper's.")
]


def parse_scales(text: str | None) -> list[int] | None:
    """Whole numbers divided by commas. Raises ValueError for anything else."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"scales {text!r} not understood; give whole numbers of pixels, such as 256,384,512") from None


def take_models(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words of the command line that name models, which `--model a b c` leaves among the arguments, and the others."""
    from fourfold.catalog import is_model

    found = [word for word in words if is_model(word)]
    return found, [word for word in words if word not in found]


def open_models(names: Sequence[str], weights: Path | None, classes: Path | None, pixels: str | None) -> list[Model]:
    """The models that the options name, saying first what will be downloaded."""
    from fourfold import verbs

    if weights is not None:
        if classes is None:
            raise ValueError("--weights needs --classes FILE, a text file with one class name a line")
        if len(names) != 1:
            raise ValueError(f"--weights is for one network, and {len(names)} are named; give one --model")
        return [verbs.load_file(weights, names[0], classes, "imagenet" if pixels is None else pixels)]
    if classes is not None or pixels is not None:
        given = "--pixels" if classes is None else "--classes"
        raise ValueError(f"{given} goes with --weights FILE; give that too, or leave {given} out")
    return [_open(name) for name in names]


def write_png(path: Path, write: Callable[[Path], object]) -> None:
    """Write a PNG file whole or not at all. Raises ValueError for another name, and where it cannot be written."""
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} is not the name of a PNG file; end it with .png")
    write_picture(path, write)


def draw_views(
    path: Path,
    model: Model,
    source: Source,
    protocol: str,
    scales: Sequence[int] | None,
    split: str | None = None,
) -> None:
    """For --show-views: what a protocol sees of a photo, or of the first photo of a data set, as a PNG file."""
    from fourfold import verbs

    picture = verbs.show_views(model, source, protocol, scales=scales, split=split)
    write_png(path, lambda temporary: picture.save(temporary, format="PNG"))
    print(f"wrote {path}", file=sys.stderr)


def _open(name: str) -> Model:
    from fourfold import catalog, verbs

    entry = catalog.entry_of(name)
    is_download = entry is not None and bool(entry.url)
    if entry is not None and is_download:
        print(f"{entry.name}: {entry.megabytes:g} MB from {entry.url}, kept in {catalog.cache_folder()}", file=sys.stderr)
        print(f"licence: {entry.licence}", file=sys.stderr)
    with progress("downloading", unit="MB", is_quiet=not is_download) as show:
        return verbs.load(name, lambda done, total: show(done // 10**6, total // 10**6))
