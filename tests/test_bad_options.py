"""Options, weights, folders and places to write that will not do are refused in one line that names them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fourfold

WEIGHTS = Path(fourfold.__file__).parent / "bundled" / "resnet20-cifar10" / "weights.safetensors"
FOREIGN = ("classify", "good.png", "--model", "resnet20")
Fail = Callable[..., str]


class Program:
    """What an attacker would put into a pickle: reading it makes a file."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("attacked",)


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, error_of: Fail, tmp_path: Path) -> Fail:
    """Run a command in a folder with one photo, weights and class names; return its one line of error."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save("good.png")
    Path("ten.txt").write_text("\n".join("abcdefghij"), encoding="utf-8")
    Path("folder").mkdir()
    return error_of


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--top", "0"), "top is 0; ask for at least 1"),
        (("--top", "-3"), "top is -3"),
        (("--top", "abc"), "'--top'"),
        (("--bogus",), "--bogus"),
        (("--model", "resnet21-cifar10"), "no model 'resnet21-cifar10'; closest are resnet20-cifar10"),
        (("--model", "vgg16"), "vgg16 is a network without weights"),
        (("--model", "folder"), "folder is not a run folder"),
        (("--model", "x" * 300), "xxx"),
        (("--classes", "ten.txt"), "--classes goes with --weights FILE"),
        (("--pixels", "imagenet"), "--pixels goes with --weights FILE"),
        (("--weights", str(WEIGHTS)), "--weights needs --classes FILE"),
        (("--save-to", "good.png"), "cannot write good.png/good.jpg"),
    ],
)
def test_options_of_classify_are_checked(fail: Fail, arguments: tuple[str, ...], words: str) -> None:
    assert words in fail("classify", "good.png", *arguments)


@pytest.mark.parametrize("arguments", [("frobnicate",), ("classify",), ("evaluate",), ("--bogus",), ("explain",)])
def test_a_command_line_that_is_none_points_to_the_help(fail: Fail, arguments: tuple[str, ...]) -> None:
    assert "see `fourfold --help`" in fail(*arguments)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.pth", None, "no weights file gone.pth"),
        ("junk.safetensors", b"\xff" * 64, "junk.safetensors is not a weights file"),
        ("empty.pth", b"", "empty.pth is not a weights file"),
        ("text.pth", b"hello there", "text.pth is not a"),
        ("attack.pth", pickle.dumps({"a": Program()}), "attack.pth is not a"),
        ("number.pth", 7, "number.pth holds no table of weights"),
    ],
    ids=["missing", "junk", "empty", "text", "pickled program", "a number"],
)
def test_weights_that_are_none_are_refused_and_never_run(
    fail: Fail, name: str, content: bytes | int | None, words: str
) -> None:
    if isinstance(content, bytes):
        Path(name).write_bytes(content)
    elif content is not None:
        torch.save(content, name)

    assert words in fail(*FOREIGN, "--weights", name, "--classes", "ten.txt")
    assert not Path("attacked").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read class names from names.txt"),
        (b"", "names.txt holds no class names"),
        (b"\n \n", "names.txt holds no class names"),
        (bytes(range(256)), "cannot read class names from names.txt"),
        (b"cat\ndog\n", "head.fc.fc.weight is (10, 64) and should be (2, 64)"),
    ],
)
def test_class_names_are_checked_against_the_weights(fail: Fail, content: bytes | None, words: str) -> None:
    if content is not None:
        Path("names.txt").write_bytes(content)

    assert words in fail(*FOREIGN, "--weights", WEIGHTS, "--classes", "names.txt")


BAD_PIXELS = ("nonsense", "", "mean=1,2", "mean=a,b,c", "mean=1,2,3,std=0,1,1", "mean=nan,1,1", "std=1,1,1")


@pytest.mark.parametrize("text", BAD_PIXELS)
def test_pixels_are_checked(fail: Fail, text: str) -> None:
    message = fail(*FOREIGN, "--weights", WEIGHTS, "--classes", "ten.txt", "--pixels", text)

    assert f"pixels {text!r} not understood; give imagenet" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("vgg17",), "no model 'vgg17'"),
        (("vgg16", "--size", "1"), "an image of 1 pixels is too small"),
        (("resnet20", "--size", "0"), "size is 0"),
        (("resnet20", "--size", "-3"), "size is -3"),
        (("resnet20", "--size", "1000000000"), "size is 1000000000"),
        (("resnet20", "-o", "bad"), "option 'bad' not understood; write KEY=VALUE"),
        (("resnet20", "-o", "depth=3"), "resnet20 has no option 'depth'"),
        (("resnet20", "-o", "shortcut=Z"), "'Z'"),
        (("resnet20", "-o", "classes=many"), "'many'"),
        (("resnet20", "-o", "classes=-1"), "-1"),
        (("resnet20", "--label", "cat"), "--label cat needs a photo"),
        (("resnet20", "--plot", "folder"), "folder is not the name of a PNG file"),
        (("resnet20", "--plot", "good.png/plot.png"), "cannot write good.png/plot.png"),
        (("resnet20-cifar10", "good.png"), "a photo needs --plot FILE.png"),
        (("resnet20-cifar10", "gone.png", "--plot", "a.png"), "gone.png does not exist"),
        (("resnet20-cifar10", "folder", "--plot", "a.png"), "folder is a folder; give an image file"),
        (("resnet20-cifar10", "good.png", "--plot", "a.jpg"), "a.jpg is not the name of a PNG file"),
        (("resnet20-cifar10", "good.png", "--plot", "a.png", "--label", "zebra"), "no class 'zebra'"),
        (("resnet20", "good.png", "--plot", "a.png"), "resnet20 is a network without weights"),
    ],
)
def test_options_of_explain_are_checked(fail: Fail, arguments: tuple[str, ...], words: str) -> None:
    assert words in fail("explain", *arguments)
    assert sorted(path.name for path in Path().iterdir()) == ["folder", "good.png", "ten.txt"]


def test_evaluate_needs_a_folder_of_classes_that_the_model_knows(fail: Fail) -> None:
    Path("data").mkdir()

    assert "no folder or file gone" in fail("evaluate", "gone")
    assert "good.png is not known as data" in fail("evaluate", "good.png")
    assert "no model 'a'" in fail("evaluate", "a", "b", "c")
    assert "data has no folders in it" in fail("evaluate", "data")
    Path("data/zebra").mkdir()
    assert "data/zebra has no images" in fail("evaluate", "data")
    Path("good.png").rename("data/zebra/good.png")
    assert "does not know zebra" in fail("evaluate", "data")
    Path("data/zebra").rename("data/cat")
    Path("data/cat/good.png").write_bytes(b"no image")
    assert "none of the 1 images can be read" in fail("evaluate", "data")
    assert "no model 'gone'" in fail("evaluate", "gone", "data")


def test_train_needs_two_classes_with_images(fail: Fail) -> None:
    Path("data").mkdir()

    assert "no folder or file gone" in fail("train", "gone")
    assert "data has no folders in it" in fail("train", "data")
    Path("data/cat").mkdir()
    assert "data/cat has no images" in fail("train", "data")
    Path("good.png").rename("data/cat/good.png")
    assert "one class only, 'cat'" in fail("train", "data")
    assert "no recipe 'magic'" in fail("train", "data", "--recipe", "magic")
    assert "no network 'vgg17'" in fail("train", "data", "--model", "vgg17")
    assert "--resume needs --run FOLDER" in fail("train", "data", "--resume")
    assert not Path("runs").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("arguments", [("--version",), ("explain", "resnet110", "--json")], ids=["a word", "a long text"])
def test_a_full_disk_is_an_error_in_one_line(arguments: tuple[str, ...]) -> None:
    command = [Path(sys.executable).with_name("fourfold"), *arguments]
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}

    with Path("/dev/full").open("wb", buffering=0) as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=buffered)

    assert done.returncode == 2
    assert done.stderr.startswith(b"fourfold: ")
    assert done.stderr.count(b"\n") == 1
    assert b"No space left on device" in done.stderr


def test_a_network_that_does_not_fit_into_memory_is_an_error_in_one_line(fail: Fail) -> None:
    for index in range(8):
        path = Path(f"data/{'ab'[index % 2]}/{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Path("good.png").read_bytes())

    # its first block would have (320,000 x 320,000 x 3 x 3) weights of 4 bytes
    assert "out of memory" in fail("train", "data", "-o", "width=20000", "--epochs", "1")
