"""Class folders, all together or below train/, val/ and test/, are listed in one order on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fourfold.data.folder import list_folder, list_images, list_parts
from fourfold.data.listing import WHOLE, File, Listing


def put(path: Path, colour: tuple[int, int, int] = (9, 80, 200), size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def paths(listing: Listing) -> list[Path]:
    return [item.path for item in listing.items if isinstance(item, File)]


def test_classes_and_files_come_in_alphabetical_order(tmp_path: Path) -> None:
    for name in ("dog/b.png", "dog/a.jpg", "Cat/z.PNG", "ant/deep/er/x.bmp", "ant/m.png"):
        put(tmp_path / name)

    listing = list_folder(tmp_path)

    assert listing.classes == ("Cat", "ant", "dog")  # as Python sorts: capitals first, on every system
    names = [path.relative_to(tmp_path).as_posix() for path in paths(listing)]
    assert names == ["Cat/z.PNG", "ant/deep/er/x.bmp", "ant/m.png", "dog/a.jpg", "dog/b.png"]
    assert listing.labels == (0, 1, 1, 2, 2)
    assert len(listing) == 5


def test_hidden_files_other_files_and_loose_images_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "dog/a.png")
    for name in ("loose.png", "dog/.hidden.png", "dog/.thumbnails/a.png", ".git/b.png"):
        put(tmp_path / name)
    (tmp_path / "dog/notes.txt").write_text("not an image", encoding="utf-8")
    (tmp_path / "dog/folder.png").mkdir()

    listing = list_folder(tmp_path)

    assert paths(listing) == [tmp_path / "dog/a.png"]
    assert listing.classes == ("dog",)


def test_images_below_a_hidden_parent_are_found(tmp_path: Path) -> None:
    put(tmp_path / ".cache/dog/a.png")

    assert list_images(tmp_path / ".cache") == [tmp_path / ".cache/dog/a.png"]


def test_a_missing_folder_no_classes_and_an_empty_class_are_each_named(tmp_path: Path) -> None:
    put(tmp_path / "flat/a.png")
    put(tmp_path / "data/dog/a.png")
    (tmp_path / "data/emu").mkdir()

    for folder, text in (("nothing", "no folder"), ("flat", "has no folders in it"), ("data", "emu has no images")):
        with pytest.raises(ValueError, match=text):
            list_folder(tmp_path / folder)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("train", "val", "test"), {"train": "train", "val": "val", "test": "test"}),
        (("Training", "valid", "Testing"), {"train": "Training", "val": "valid", "test": "Testing"}),
        (("train", "validation"), {"train": "train", "val": "validation"}),
        (("train", "dev"), {"train": "train", "val": "dev"}),
        (("train", "test", "annotations"), {"train": "train", "test": "test"}),
    ],
)
def test_parts_are_found_by_any_of_their_usual_names(tmp_path: Path, names: tuple[str, ...], parts: dict[str, str]) -> None:
    for name in names:
        put(tmp_path / name / "dog/a.png")

    found = list_parts(tmp_path)

    assert {part: paths(listing) for part, listing in found.items()} == {
        part: [tmp_path / name / "dog/a.png"] for part, name in parts.items()
    }
    assert list(found) == [part for part in ("train", "val", "test") if part in parts]


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    for name in ("train/1.png", "bus/1.png", "test/1.png"):
        put(tmp_path / name)

    assert list_parts(tmp_path)[WHOLE].classes == ("bus", "test", "train")


def test_a_test_folder_without_classes_is_left_out_where_there_is_a_val(tmp_path: Path) -> None:
    for name in ("train/dog/1.png", "val/dog/1.png", "test/1.png"):
        put(tmp_path / name)

    assert list(list_parts(tmp_path)) == ["train", "val"]


def test_two_folders_for_one_part_and_a_missing_train_are_each_named(tmp_path: Path) -> None:
    for name in ("twice/train", "twice/val", "twice/valid", "none/val", "none/test"):
        put(tmp_path / name / "dog/a.png")

    with pytest.raises(ValueError, match=r"has both val/ and valid/; leave one"):
        list_parts(tmp_path / "twice")
    with pytest.raises(ValueError, match=r"has test/ and val/ but no train/"):
        list_parts(tmp_path / "none")
