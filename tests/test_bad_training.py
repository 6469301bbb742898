"""Data sets and options that cannot be trained with: one line each, exit code 2, and no run that looks like one."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourfold import cli

Fail = Callable[..., str]
AFTER_READING = (
    "a class of corrupt files",
    "a run folder that is a file",
    "a run folder that cannot be made",
    "a wild rate",
)
# what is found out late: by then the data and the reasons for what was chosen have been told, each in a line of its own
DRAW = np.random.default_rng(0)


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(DRAW.integers(0, 256, (12, 14, 3), dtype=np.uint8)).save(path)


def folders(counts: dict[str, int]) -> None:
    """Class folders below data/, with so many photos; with none, empty ones."""
    for name, count in counts.items():
        Path("data", name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            photo(Path("data", name, f"{index}.png"))


def written(name: str, text: str) -> None:
    for index in range(4):
        photo(Path(f"{index}.png"))
    Path(name).write_text(text, encoding="utf-8")


def all_corrupt() -> None:
    folders({"cat": 3, "dog": 3})
    for path in Path("data").rglob("*.png"):
        path.write_bytes(b"no image")


def one_class_corrupt() -> None:
    folders({"cat": 3, "dog": 3})
    for path in Path("data/dog").glob("*.png"):
        path.write_bytes(path.read_bytes()[:30])


def cut_tar() -> None:
    Path("data").mkdir()
    with tarfile.open("data/0.tar", "w") as tar:
        for index in range(4):
            for suffix, content in (("png", b"x" * 3000), ("cls", str(index % 2).encode())):
                entry = tarfile.TarInfo(f"{index}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    Path("data/0.tar").write_bytes(Path("data/0.tar").read_bytes()[:5000])


def unlabelled_tar() -> None:
    Path("data").mkdir()
    with tarfile.open("data/0.tar", "w") as tar:
        entry = tarfile.TarInfo("0.png")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"12345"))


def cut_cifar() -> None:
    Path("data").mkdir()
    for index in range(1, 6):
        Path(f"data/data_batch_{index}.bin").write_bytes(bytes(3073 * 2 + 5))
    Path("data/test_batch.bin").write_bytes(bytes(3073))
    Path("data/batches.meta.txt").write_text("a\nb\n", encoding="utf-8")


DATA = {
    "a path that is not there": (lambda: None, "no folder or file data"),
    "an empty folder": (lambda: Path("data").mkdir(), "has no folders in it"),
    "one class": (lambda: folders({"cat": 4}), "there is one class only, 'cat'"),
    "an empty class": (lambda: folders({"cat": 4, "dog": 0}), "dog has no images"),
    "one image of each": (lambda: folders({"cat": 1, "dog": 1}), "one image of each class"),
    "nothing but corrupt files": (all_corrupt, "can be read"),
    "a class of corrupt files": (one_class_corrupt, "no image of class 'dog' can be read"),
    "a val/ with another class": (
        lambda: folders({"train/cat": 3, "train/dog": 3, "val/cat": 2, "val/emu": 2}),
        "differ in the classes dog, emu",
    ),
    "a val/ without a class": (
        lambda: folders({"train/cat": 3, "train/dog": 3, "val/cat": 2}),
        "train/ and val/ differ in the classes dog",
    ),
    "a train/ of one class": (lambda: folders({"train/cat": 3, "val/cat": 3}), "one class only"),
    "a text file": (lambda: Path("data").write_text("cat", encoding="utf-8"), "is not known as data"),
    "a tar that is cut off": (cut_tar, "0.tar"),
    "a tar without labels": (unlabelled_tar, "0.tar"),
    "a CIFAR archive that is cut off": (cut_cifar, "data_batch_1.bin"),
}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def line_of(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Fail:
    """The one line of error of a command that must fail; `before` allows lines of other kinds above it."""

    def call(*arguments: object, before: bool) -> str:
        monkeypatch.setattr("sys.argv", ["fourfold", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capfd.readouterr()
        *above, line = captured.err.splitlines()
        assert stopped.value.code == 2
        assert captured.out == ""
        assert line.startswith("fourfold: ")
        assert line.isprintable()
        assert before or not above
        assert not any("Traceback" in each or each.startswith("fourfold: ") for each in above)
        return line

    return call


@pytest.mark.parametrize("name", DATA)
def test_data_that_cannot_be_trained_on(name: str, line_of: Fail) -> None:
    make, text = DATA[name]
    make()

    assert text in line_of("train", "data", before=name in AFTER_READING)
    assert not Path("runs").exists()


LISTS = {
    "no header": ("0.png,cat\n1.png,dog\n", "path"),
    "no label column": ("path,colour\n0.png,red\n", "label"),
    "an empty label": ("path,label\n0.png,cat\n1.png,\n", "line 3"),
    "an unknown part": ("path,label,split\n0.png,cat,train\n1.png,dog,sometimes\n", "sometimes"),
    "one photo with two labels": ("path,label\n0.png,cat\n1.png,dog\n0.png,dog\n", "0.png"),
    "no lines": ("path,label\n", "list.csv"),
    "photos that are not there": ("path,label\n8.png,cat\n9.png,dog\n7.png,cat\n6.png,dog\n", "line 2: no image 8.png"),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_that_cannot_be_trained_on(name: str, line_of: Fail) -> None:
    text, problem = LISTS[name]
    written("list.csv", text)

    assert problem in line_of("train", "list.csv", before=False)
    assert not Path("runs").exists()


def test_a_list_of_objects_with_a_line_that_is_none(line_of: Fail) -> None:
    written("list.jsonl", json.dumps({"path": "0.png", "label": "cat"}) + "\n{broken\n")

    assert "line 2" in line_of("train", "list.jsonl", before=False)


OPTIONS: dict[str, tuple[tuple[object, ...], str]] = {
    "a batch larger than the data": (("--batch-size", 500), "a batch of 500 cannot be filled from 10 images"),
    "a batch of none": (("--batch-size", 0), "a batch of 0"),
    "no images at once": (("--at-once", 0), "0 images at once cannot be"),
    "no epochs": (("--epochs", 0), "0 epochs is not a length"),
    "endless epochs": (("--epochs", "inf"), "inf epochs is not a length"),
    "two budgets": (("--epochs", 1, "--minutes", 1), "a budget is in epochs or minutes, not in both"),
    "a rate of nothing": (("--rate", 0), "0 is not a learning rate"),
    "validation never": (("--validate-every", 0), "every 0 epochs"),
    "no patience": (("--patience", 0), "a patience of 0 validations"),
    "no workers": (("--workers", 0), "0 workers cannot read"),
    "an unknown recipe": (("--recipe", "magic"), "no recipe 'magic'"),
    "an unknown network": (("--model", "vgg17"), "no network 'vgg17'"),
    "an unknown option": (("--model", "resnet20", "-o", "colour=red"), "colour"),
    "classes as an option": (("-o", "classes=7"), "leave out the option classes"),
    "an unknown start": (("--from", "resnet21-cifar10"), "resnet21-cifar10"),
    "a start of another kind": (("--from", "resnet20-cifar10", "--model", "nin"), "no layer in common"),
    "images of several sizes for fc layers that read one": (
        ("--recipe", "modern-cifar", "--model", "vgg-a", "-o", "input_size=32"),
        "recipe modern-cifar shows images of several sizes, and the fc layers of vgg-a read one",
    ),
    "a recipe that goes on from another": (("--recipe", "vgg-384", "--model", "vgg-a"), "goes on from a run of recipe vgg"),
    "an unknown tracker": (("--track", "tensorbored"), "no tracker 'tensorbored'"),
    "a wild rate": (("--rate", "1e20", "--epochs", 30), "train with a lower rate (--rate)"),
    "an unknown device": (("--device", "abacus"), "no device 'abacus'"),
    "a run that is not there": (("--run", "gone", "--resume"), "gone holds no run to resume"),
    "a resume without a run": (("--resume",), "--resume needs --run FOLDER"),
    "a run folder that is a file": (("--run", "data/cat/0.png"), "cannot write to data/cat/0.png"),
    "a run folder that cannot be made": (("--run", "/proc/run"), "cannot write to /proc/run"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_cannot_be_trained_with(name: str, line_of: Fail) -> None:
    folders({"cat": 6, "dog": 6})
    arguments, text = OPTIONS[name]

    assert text in line_of("train", "data", *arguments, before=name in AFTER_READING)
    assert not any(Path().rglob("entry.json"))


def test_there_are_thirty_of_them_and_more() -> None:
    assert len(DATA) + len(LISTS) + len(OPTIONS) >= 40
