"""Class folders are listed in one order on every machine, and decoded to equal squares with broken files left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold.data.folder import AHEAD, Broken, list_folder, list_images, load_examples, read_in_order
from fourfold.evaluate.protocol import CentreView


def put(path: Path, colour: tuple[int, int, int] = (9, 80, 200), size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_classes_and_files_come_in_alphabetical_order(tmp_path: Path) -> None:
    for name in ("dog/b.png", "dog/a.jpg", "Cat/z.PNG", "ant/deep/er/x.bmp", "ant/m.png"):
        put(tmp_path / name)

    listing = list_folder(tmp_path)

    assert listing.classes == ("Cat", "ant", "dog")  # as Python sorts: capitals first, on every system
    names = [path.relative_to(tmp_path).as_posix() for path in listing.paths]
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

    assert listing.paths == (tmp_path / "dog/a.png",)
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


def test_many_files_are_decoded_in_the_order_given_with_broken_ones_in_their_place(tmp_path: Path) -> None:
    count = 2 * AHEAD + 7
    paths = [put(tmp_path / f"{index}.png", (index, 255 - index, 7)) for index in range(count)]
    for index in (0, 70, count - 1):
        paths[index].write_bytes(b"not an image")

    results = list(read_in_order(paths))

    assert len(results) == count
    for index, result in enumerate(results):
        if index in (0, 70, count - 1):
            assert isinstance(result, Broken)
            assert result.path == paths[index]
        else:
            assert isinstance(result, torch.Tensor)
            assert result[:, 0, 0].tolist() == [index, 255 - index, 7]


def test_images_of_the_right_size_arrive_pixel_for_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    for index, image in enumerate(pixels):
        path = tmp_path / f"{'cat' if index < 2 else 'dog'}/{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)

    examples, broken = load_examples(list_folder(tmp_path), 6)

    assert torch.equal(examples.images, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert examples.labels.tolist() == [0, 0, 1, 1, 1]
    assert examples.labels.dtype == torch.int64
    assert examples.classes == ("cat", "dog")
    assert broken == []


def test_of_an_oblong_image_the_middle_is_taken(tmp_path: Path) -> None:
    image = np.zeros((4, 12, 3), dtype=np.uint8)  # height 4 is the size already, so columns 4 to 7 remain
    image[:, :, 0] = np.arange(12) * 10
    (tmp_path / "dog").mkdir()
    Image.fromarray(image).save(tmp_path / "dog/a.png")
    Image.fromarray(image.transpose(1, 0, 2)).save(tmp_path / "dog/b.png")

    examples, _ = load_examples(list_folder(tmp_path), 4)

    assert examples.images[0, 0, 0].tolist() == [40, 50, 60, 70]
    assert examples.images[1, 0, :, 0].tolist() == [40, 50, 60, 70]


def test_broken_files_are_left_out_and_named_and_the_others_keep_their_labels(tmp_path: Path) -> None:
    for index in range(3):
        put(tmp_path / f"cat/{index}.png", (10 + index, 0, 0), size=(4, 4))
        put(tmp_path / f"dog/{index}.png", (20 + index, 0, 0), size=(4, 4))
    (tmp_path / "cat/1.png").write_bytes((tmp_path / "cat/1.png").read_bytes()[:40])
    (tmp_path / "dog/0.png").write_bytes(b"")
    seen = []

    examples, broken = load_examples(list_folder(tmp_path), 4, lambda done, count: seen.append((done, count)))

    assert examples.images[:, 0, 0, 0].tolist() == [10, 12, 21, 22]
    assert examples.labels.tolist() == [0, 0, 1, 1]
    assert [item.path for item in broken] == [tmp_path / "cat/1.png", tmp_path / "dog/0.png"]
    assert all(str(item.path) in item.error and "\n" not in item.error for item in broken)
    assert seen == [(done, 6) for done in range(1, 7)]


def test_a_class_without_one_readable_image_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "cat/a.png")
    put(tmp_path / "dog/a.png").write_bytes(b"broken")

    with pytest.raises(ValueError, match="no image of class 'dog' can be read"):
        load_examples(list_folder(tmp_path), 4)


def test_more_images_than_memory_holds_are_refused_before_any_is_read(tmp_path: Path) -> None:
    put(tmp_path / "cat/a.png").write_bytes(b"broken")

    with pytest.raises(ValueError, match=r"1 images of 100000x100000 do not fit into memory"):
        load_examples(list_folder(tmp_path), 100_000)  # 3e10 bytes


def test_a_large_image_is_read_as_the_view_that_classify_takes(tmp_path: Path) -> None:
    for name, width in (("a", 300), ("b", 700)):
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(width).integers(0, 256, (300, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / "1.png")

    examples, _ = load_examples(list_folder(tmp_path), 224)

    for image, name in zip(examples.images, "ab", strict=True):
        whole = torch.from_numpy(np.array(Image.open(tmp_path / name / "1.png"))).permute(2, 0, 1)
        assert torch.equal(image, CentreView(256, 224).view(whole))
