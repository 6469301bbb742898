"""What a path to data is, and its images divided into those to learn from and those to check against."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fourfold.data import cifar, folder, hub, manifest, shards
from fourfold.data.listing import WHOLE, Item, Listing, Parts

HELD_OUT = 0.1  # share of each class that is kept for validation where the source has no validation images


@dataclass(frozen=True)
class Splits:
    """Images to learn from, to check against and to test on, and in words where the second came from.

    Where `val_is_test`, the source has test images and no validation images, and `val` holds the test images: what is
    chosen by them is chosen by looking at the test. `test` is then None, as it is where there are none.
    """

    train: Listing
    val: Listing
    test: Listing | None
    origin: str
    val_is_test: bool = False


def find_data(path: str | Path, *, seed: int) -> Splits:
    """The images of a data set for training.

    path: a folder of class folders, or of train/, val/ and test/ with those; a CSV or JSONL manifest; CIFAR-10 or
    CIFAR-100 as published; WebDataset shards (a tar, a folder or a pattern such as shards-{000..009}.tar; "wds/PATH"
    says so); or "hfds/NAME", a data set of the Hugging Face hub or a folder in its formats.

    Where there are neither validation nor test images, a tenth of each class is held out: see `hold_out`. Raises
    ValueError where the data cannot be found or read, has one class only, or where its parts differ in their classes.
    """
    parts, key = find_parts(path)
    whole = next(iter(parts.values())) if len(parts) == 1 else None
    if whole is None and "train" not in parts:
        raise ValueError(f"{path} has {' and '.join(parts)} images but none to train on; name a part train")
    train = whole or parts["train"]
    if len(set(train.classes)) < 2:
        raise ValueError(f"there is one class only, {train.classes[0]!r}; give a folder for each of two classes or more")
    if whole or not {"val", "test"} & set(parts):
        rest, held = hold_out(train, seed, key)
        if not len(held):
            raise ValueError(f"{path} has one image of each class; training needs at least two")
        of = " of train/" if "train" in parts else ""
        return Splits(rest, held, None, f"{HELD_OUT:.0%} of each class{of}, held out")
    _check_classes(parts)
    if "val" in parts:
        return Splits(train, parts["val"], parts.get("test"), "val/")
    return Splits(train, parts["test"], None, "test/, as there is no val/", val_is_test=True)


def find_test(path: str | Path, labels: Sequence[str], split: str | None = None) -> tuple[Listing, str]:
    """The images of a data set to measure a network on, and the name of their part: test, else val, else all that there are.

    labels: the network's classes; a folder called like one of them is no part. split: the part to take instead, train, val
    or test. Raises ValueError where the data or the part cannot be found.
    """
    if split not in (None, "train", "val", "test"):
        raise ValueError(f"no part {split!r}; the parts of a data set are train, val and test")
    wanted = ("test", "val") if split is None else (split,)
    place = Path(path)
    if place.is_dir() and not (cifar.is_cifar(place) or shards.is_shards(place) or hub.is_hub(place)):
        return _folder_of_test(place, wanted, {label.lower() for label in labels}, takes_all=split is None)
    parts, _ = find_parts(path)
    for name in (*wanted, WHOLE) if split is None else wanted:
        if name in parts:
            return parts[name], name or "all"
    raise ValueError(f"{path} has no part {' or '.join(wanted)}, but {' and '.join(name or 'one whole' for name in parts)}")


def _folder_of_test(place: Path, wanted: Sequence[str], known: set[str], *, takes_all: bool) -> tuple[Listing, str]:
    """Of class folders; unlike `find_parts`, train/ may be missing beside the others."""
    for name in wanted:
        if name not in known and (place / name).is_dir():
            return folder.list_folder(place / name), name
    if not takes_all:
        raise ValueError(f"{place} has no folder {wanted[0]}/; add it, or leave the part out to measure on all images")
    return folder.list_folder(place), "all"


def find_parts(path: str | Path) -> tuple[Parts, Callable[[Item], str]]:
    """The parts that a source has, and the key that stays with an item wherever the data lie; see `find_data`."""
    text = str(path)
    if text.startswith("hfds/") and not Path(text).exists():
        return hub.list_hub(text.removeprefix("hfds/")), lambda item: item.name
    place = _place(text)
    if shards.is_shards(place):
        return shards.list_shards(place), lambda item: item.key if isinstance(item, shards.Member) else item.name
    if not place.exists():
        raise ValueError(f"no folder or file {path}; give a folder of class folders, a manifest, a tar or hfds/NAME")
    if cifar.is_cifar(place):
        return cifar.list_cifar(place), lambda item: item.name
    if place.is_dir() and hub.is_hub(place):
        return hub.list_hub(str(place)), lambda item: item.name.removeprefix(str(place))
    if place.is_dir():
        return folder.list_parts(place), lambda item: _relative(item, place)
    if place.suffix.lower() in manifest.SUFFIXES:
        return manifest.list_manifest(place), lambda item: _relative(item, place.parent)
    raise ValueError(f"{path} is not known as data; give a folder, a .csv or .jsonl manifest, a .tar, or CIFAR's .tar.gz")


def hold_out(listing: Listing, seed: int, key: Callable[[Item], str]) -> tuple[Listing, Listing]:
    """Hold out a tenth of every class, and at least one image where a class has two: the rest, and what is held out.

    In each class, those of lowest rank by a hash of (seed, key) are held out. So the choice depends on nothing but
    names, and photos that are added later leave nearly all others where they are: none changes its rank among the
    others, only the line at a tenth shifts by a few places.
    """
    members: dict[int, list[tuple[bytes, int]]] = {}
    for index, (item, label) in enumerate(zip(listing.items, listing.labels, strict=True)):
        digest = hashlib.sha256(f"{seed}\0{key(item)}".encode("utf-8", "surrogateescape")).digest()
        members.setdefault(label, []).append((digest, index))
    held: set[int] = set()
    for ranked in members.values():
        count = min(max(1, round(HELD_OUT * len(ranked))), len(ranked) - 1)
        held |= {index for _, index in sorted(ranked)[:count]}
    everything = range(len(listing))
    return listing.take([index for index in everything if index not in held]), listing.take(sorted(held))


def _place(text: str) -> Path:
    """The path itself; after "wds/", timm's word for shards, it may be absolute."""
    path = Path(text)
    if not text.startswith("wds/") or path.exists():
        return path
    rest = Path(text.removeprefix("wds/"))
    rooted = Path("/") / rest
    return rest if rest.exists() or not rooted.exists() else rooted  # Path("wds//data") has lost a slash


def _relative(item: Item, root: Path) -> str:
    path = Path(item.name)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _check_classes(parts: Parts) -> None:
    """Raises ValueError where the class folders of a part are not those of train, or where train has no image of a class."""
    train = parts["train"]
    used = {train.classes[label] for label in train.labels}
    for name, part in parts.items():
        differ = set(part.classes) ^ set(train.classes) or {part.classes[label] for label in part.labels} - used
        if differ:
            few = ", ".join(sorted(differ)[:5]) + (f" and {len(differ) - 5} more" if len(differ) > 5 else "")
            raise ValueError(f"train/ and {name}/ differ in the classes {few}; give both the same")
