"""CIFAR's four packings, made byte for byte as published, are read alike; pickles that name anything else are refused."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from fourfold.data.cifar import is_cifar, list_cifar
from fourfold.data.listing import Listing, Parts

ROWS = 3  # images in a batch file
TEN = [f"data_batch_{number}" for number in range(1, 6)]


def made_rows(seed: int, classes: int = 2) -> tuple[np.ndarray, list[int]]:
    """uint8 (3,3072) and labels."""
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (ROWS, 3072), dtype=np.uint8), [(seed + row) % classes for row in range(ROWS)]


class Python2(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, which is how CIFAR's files were made."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, text: bytes) -> None:
        self.write(b"T" + len(text).to_bytes(4, "little") + text)  # pyright: ignore[reportAttributeAccessIssue]  # BINSTRING
        self.memoize(text)  # pyright: ignore[reportAttributeAccessIssue]

    dispatch[bytes] = save_string  # pyright: ignore[reportArgumentType]


def python2(value: object) -> bytes:
    file = io.BytesIO()
    Python2(file, 2).dump(value)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def python3(value: object) -> bytes:
    return pickle.dumps(value, protocol=2)


def ten_python(dump: Callable[[object], bytes]) -> dict[str, bytes]:
    files = {"batches.meta": dump({b"label_names": [b"cat", b"dog"], b"num_vis": 3072})}
    for seed, name in enumerate([*TEN, "test_batch"]):
        data, labels = made_rows(seed)
        files[name] = dump({b"data": data, b"labels": labels, b"batch_label": b"made"})
    return files


def ten_binary() -> dict[str, bytes]:
    files = {"batches.meta.txt": b"cat\ndog\n\n"}
    for seed, name in enumerate([*TEN, "test_batch"]):
        data, labels = made_rows(seed)
        files[f"{name}.bin"] = b"".join(bytes([label]) + row.tobytes() for row, label in zip(data, labels, strict=True))
    return files


def hundred_python() -> dict[str, bytes]:
    files = {"meta": python2({b"fine_label_names": [b"apple", b"bear", b"crab"], b"coarse_label_names": [b"x", b"y"]})}
    for seed, name in enumerate(["train", "test"]):
        data, labels = made_rows(seed, 3)
        files[name] = python2({b"data": data, b"fine_labels": labels, b"coarse_labels": [1, 1, 1]})
    return files


def hundred_binary() -> dict[str, bytes]:
    files = {"fine_label_names.txt": b"apple\nbear\ncrab\n", "coarse_label_names.txt": b"x\ny\n"}
    for seed, name in enumerate(["train.bin", "test.bin"]):
        data, labels = made_rows(seed, 3)
        files[name] = b"".join(bytes([1, label]) + row.tobytes() for row, label in zip(data, labels, strict=True))
    return files


PACKINGS = {
    "cifar-10-batches-py": ten_python(python2),
    "cifar-10-batches-bin": ten_binary(),
    "cifar-100-python": hundred_python(),
    "cifar-100-binary": hundred_binary(),
    "written again by Python 3": ten_python(python3),
}


def unpacked(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"a-folder/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def check(listing: Listing, seeds: range, names: list[str]) -> None:
    """Every pixel: CIFAR's page says 1024 red, then green, then blue values, each row by row."""
    rows = [pair for seed in seeds for pair in zip(*made_rows(seed, len(names)), strict=True)]
    assert len(listing) == len(rows) > 0
    for item, label, (row, expected) in zip(listing.items, listing.labels, rows, strict=True):
        image = item.content()
        assert isinstance(image, torch.Tensor)
        assert image.shape == (3, 32, 32)
        for channel, y, x in ((0, 0, 0), (1, 0, 5), (2, 31, 1), (0, 17, 30)):
            assert int(image[channel, y, x]) == int(row[1024 * channel + 32 * y + x])
        assert listing.classes[label] == names[expected]


def check_all(parts: Parts, name: str) -> None:
    is_hundred = "100" in name
    names = ["apple", "bear", "crab"] if is_hundred else ["cat", "dog"]
    assert list(parts) == ["train", "test"]
    assert parts["train"].classes == tuple(names)
    check(parts["train"], range(1) if is_hundred else range(5), names)
    check(parts["test"], range(1, 2) if is_hundred else range(5, 6), names)
    assert len({item.name for part in parts.values() for item in part.items}) == sum(map(len, parts.values()))


@pytest.mark.parametrize("name", PACKINGS)
def test_a_folder_of_each_packing_gives_its_pixels_and_names(tmp_path: Path, name: str) -> None:
    folder = unpacked(tmp_path / "any name", PACKINGS[name])

    assert is_cifar(folder)
    check_all(list_cifar(folder), name)


@pytest.mark.parametrize("name", PACKINGS)
def test_an_archive_of_each_packing_gives_the_same(tmp_path: Path, name: str) -> None:
    file = archive(tmp_path / "cifar-10-or-100.tar.gz", PACKINGS[name])

    assert is_cifar(file)
    check_all(list_cifar(file), name)


def test_an_array_that_was_written_column_by_column_is_read_right(tmp_path: Path) -> None:
    files = dict(PACKINGS["cifar-10-batches-py"])
    data, labels = made_rows(5)
    files["test_batch"] = python2({b"data": np.asfortranarray(data), b"labels": labels})

    check(list_cifar(unpacked(tmp_path / "c", files))["test"], range(5, 6), ["cat", "dog"])


class Touch:
    """Pickles to a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("where", ["data_batch_3", "batches.meta"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, where: str) -> None:
    files = {**PACKINGS["cifar-10-batches-py"], where: python3({b"data": Touch(tmp_path / "ran")})}

    with pytest.raises(ValueError, match=rf"{where} cannot be read \(it names posix.mkdir, which CIFAR's files never do\)"):
        list_cifar(unpacked(tmp_path / "c", files))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["builtins.eval", "numpy.load", "numpy.core.multiarray.fromfile", "builtins.getattr"])
def test_names_besides_those_of_arrays_are_refused(tmp_path: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    files = {**PACKINGS["cifar-10-batches-py"], "test_batch": f"c{module}\n{attribute}\n.".encode()}

    with pytest.raises(ValueError, match=f"it names {name}"):
        list_cifar(unpacked(tmp_path / "c", files))


GOOD = made_rows(0)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({b"data": GOOD[0].astype(np.float32), b"labels": GOOD[1]}, "holds no rows of 3,072 bytes"),
        ({b"data": GOOD[0].astype(object), b"labels": GOOD[1]}, "holds no rows of 3,072 bytes"),
        ({b"data": GOOD[0][:, :3000], b"labels": GOOD[1]}, "holds no rows of 3,072 bytes"),
        ({b"data": GOOD[0], b"labels": [0, 1]}, "with a label each"),
        ({b"data": GOOD[0], b"labels": [0, 1, 2]}, "labels beyond the 2 classes"),
        ({b"data": GOOD[0], b"labels": [0, 1, -1]}, "labels beyond the 2 classes"),
        ({b"data": GOOD[0]}, "with a label each"),
        ([1, 2], "holds no rows"),
    ],
)
def test_a_batch_with_other_contents_is_refused(tmp_path: Path, record: object, text: str) -> None:
    files = {**PACKINGS["cifar-10-batches-py"], "data_batch_2": python2(record)}

    with pytest.raises(ValueError, match=text) as caught:
        list_cifar(unpacked(tmp_path / "c", files))
    assert "data_batch_2" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, 9000])
@pytest.mark.parametrize("name", ["cifar-10-batches-py", "cifar-10-batches-bin"])
def test_a_file_that_is_cut_off_is_one_line(tmp_path: Path, name: str, keep: int) -> None:
    files = dict(PACKINGS[name])
    cut = "data_batch_4" if "py" in name else "data_batch_4.bin"
    files[cut] = files[cut][:keep]

    with pytest.raises(ValueError, match=f"{cut}.*download") as caught:
        list_cifar(unpacked(tmp_path / "c", files))
    assert "\n" not in str(caught.value)


def test_an_archive_that_is_cut_off_or_lacks_a_file_is_one_line(tmp_path: Path) -> None:
    whole = archive(tmp_path / "cifar-10-python.tar.gz", PACKINGS["cifar-10-batches-py"])
    content = whole.read_bytes()
    for keep in (10, len(content) // 2, 3 * len(content) // 4):
        whole.write_bytes(content[:keep])
        with pytest.raises(ValueError, match=r"is damaged or cut off .*; download it again"):
            list_cifar(whole)
    files = {name: text for name, text in PACKINGS["cifar-10-batches-bin"].items() if name != "test_batch.bin"}
    with pytest.raises(ValueError, match="lacks some of CIFAR's files"):
        list_cifar(archive(tmp_path / "cifar-10-binary.tar.gz", files))
