"""One folder of images for each class, all together or below train/, val/ and test/ (which is also ImageNet's layout)."""

from __future__ import annotations

from pathlib import Path

from fourfold.data.listing import PART_WORDS, WHOLE, File, Listing, Parts
from fourfold.images import SUFFIXES


def list_parts(folder: Path) -> Parts:
    """The images below train/, val/ and test/ (by any of the usual names), or of the class folders themselves.

    A test/ without class folders, as ImageNet's, has no labels and is left out where there is a val/. Raises ValueError
    as `list_folder` does, and where two folders are the same part, or train/ is missing beside the others.
    """
    found: dict[str, Path] = {}
    for below in _folders(folder):
        part = PART_WORDS.get(below.name.lower())
        if part and part in found:
            raise ValueError(f"{folder} has both {found[part].name}/ and {below.name}/; leave one of them")
        if part:
            found[part] = below
    has_others = len(found) < len(_folders(folder))
    if not found or ("train" not in found and has_others) or (has_others and _is_class(found["train"])):
        return {WHOLE: list_folder(folder)}
    if "train" not in found:
        raise ValueError(f"{folder} has {' and '.join(f'{below.name}/' for below in found.values())} but no train/; add it")
    if "val" in found and "test" in found and not _folders(found["test"]):
        del found["test"]
    return {part: list_folder(found[part]) for part in ("train", "val", "test") if part in found}


def list_folder(folder: Path) -> Listing:
    """The images of a folder of class folders. Raises ValueError where it is missing, has no class or an empty one."""
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}; give a folder that holds one folder of images for each class")
    names = [path.name for path in _folders(folder)]
    if not names:
        raise ValueError(f"{folder} has no folders in it; give a folder that holds one folder of images for each class")
    found = [(path, label) for label, name in enumerate(names) for path in list_images(folder / name)]
    filled = {label for _, label in found}
    for label, name in enumerate(names):
        if label not in filled:
            raise ValueError(f"class folder {folder / name} has no images; add some or remove the folder")
    return Listing(tuple(File(path) for path, _ in found), tuple(label for _, label in found), tuple(names))


def list_images(folder: Path) -> list[Path]:
    """Every file below the folder that is named like an image, sorted; hidden files and folders are passed over."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name, but for hidden ones."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_class(train: Path) -> bool:
    """Whether a folder named train/ is a class (of railways) and not a part: it holds images and no folders."""
    return not _folders(train) and bool(list_images(train))
