"""What several test files share."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold import cli
from fourfold.catalog import load
from fourfold.detector_files import DetectorEntry, write_detector_entry
from fourfold.localize.regressor import box_network
from fourfold.localizer_files import LocalizerEntry, write_localizer_entry
from fourfold.networks import build
from fourfold.weights import save_weights

CLASSES = ("blue", "red [cell]")  # of made images with boxes
COLOURS = ((30, 40, 210), (220, 30, 30))
OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
CORNERS = ((4, 6, 30, 40), (44, 20, 70, 50), (0, 0, 79, 63), (10, 30, 60, 60), (50, 2, 78, 22))


def pytest_configure() -> None:
    """Let programs that the tests start see Ctrl-C: jobs in the background of a shell ignore it, and pass that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def error_of(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail, and return its one line of error."""

    def call(*arguments: object, stdin: bytes = b"") -> str:
        monkeypatch.setattr(sys, "argv", ["fourfold", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capfd.readouterr()
        assert stopped.value.code == 2
        assert captured.out == ""
        assert captured.err.startswith("fourfold: ")
        assert captured.err.endswith("\n")
        assert captured.err[:-1].isprintable(), "one line without control characters"
        assert "Traceback" not in captured.err
        return captured.err

    return call


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command in this process."""

    def call(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["fourfold", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Result(stopped.value.code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def write_detector() -> Callable[..., Path]:
    """Gives a function that writes a detector into a folder."""

    def write(folder: Path, seed: int, boxes: Path, classes: tuple[str, ...] = CLASSES) -> Path:
        """A detector with random weights and SVMs that reads its proposals from a file."""
        folder.mkdir(parents=True)
        torch.manual_seed(seed)
        options = {"classes": len(classes) + 1, "width": 0.25, "levels": [2, 1], "units": 8}
        save_weights(folder / "weights.safetensors", build("resnet20", **options).state_dict())
        pixels = {"mean": [120.0, 121.0, 122.0], "std": [60.0, 61.0, 62.0], "order": "RGB"}
        entry = {"name": folder.name, "network": "resnet20", "options": options, "pixels": pixels, "licence": "yours"}
        (folder / "entry.json").write_text(json.dumps({**entry, "classes": [*classes, "background"]}), encoding="utf-8")
        svm = {"weights": torch.randn(len(classes), 8), "biases": torch.zeros(len(classes)), "scale": torch.tensor(0.1)}
        save_weights(folder / "svm.safetensors", svm)
        regions, suppress = {"pooled": {"scales": [64]}}, {"iou": 0.3, "per_class": 100}
        least = (-0.5,) * len(classes)
        record = DetectorEntry("SPP-net 4", regions, str(boxes), 5, "svm", False, suppress, least, {})
        write_detector_entry(folder, record)
        return folder

    return write


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    """Gives a function that writes made images with boxes into a folder."""

    def write(folder: Path, count: int = 4, names: tuple[str, ...] = CLASSES) -> Path:
        """VOC's layout: 64x80 noise with a rectangle of each class; beside it boxes.csv with proposals for all."""
        (folder / "Annotations").mkdir(parents=True)
        (folder / "JPEGImages").mkdir()
        draw = np.random.default_rng(1)
        lines = ["image,class,score,x1,y1,x2,y2"]
        for index in range(count):
            pixels = draw.integers(90, 160, (64, 80, 3)).astype(np.uint8)
            objects = ""
            for name, colour, (left, top, right, bottom) in zip(names, COLOURS, CORNERS, strict=False):
                pixels[top:bottom, left:right] = colour
                objects += OBJECT.format(name, left + 1, top + 1, right, bottom)
            Image.fromarray(pixels).save(folder / "JPEGImages" / f"{index}.png")
            (folder / "Annotations" / f"{index}.xml").write_text(f"<annotation>{objects}</annotation>", encoding="utf-8")
            lines += [f"{index}.png,,,{','.join(map(str, corner))}" for corner in CORNERS]
        (folder / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, put: Callable[..., Path], write_detector: Callable[..., Path]) -> Path:
    """data/, and the detectors one/ and two/."""
    folder = tmp_path_factory.mktemp("home")
    data = put(folder / "data")
    for seed, name in enumerate(("one", "two"), start=1):
        write_detector(folder / name, seed, data / "boxes.csv")
    return folder


@pytest.fixture(scope="session")
def put_single() -> Callable[..., Path]:
    """Gives a function that writes made images of one bright object each, and boxes.csv, into a folder."""

    def write(folder: Path, count: int = 12, names: tuple[str, ...] = ("blue", "green", "red [cell]")) -> Path:
        """48x60 dark noise with a rectangle in the channel of its class; one of six is for val, where there are six."""
        folder.mkdir(parents=True)
        draw = np.random.default_rng(2)
        lines = ["path,label,x1,y1,x2,y2,split"]
        for index in range(count):
            pixels = draw.integers(0, 90, (48, 60, 3)).astype(np.uint8)
            left, top = (int(draw.integers(1, side - 30)) for side in (60, 48))
            right, bottom = left + int(draw.integers(16, 28)), top + int(draw.integers(16, 28))
            label = index % len(names)
            pixels[top:bottom, left:right, label] = 250
            Image.fromarray(pixels).save(folder / f"{index}.png")
            part = "val" if count >= 6 and index % 6 == 5 - index // 6 % 3 else "train"
            lines.append(f"{index}.png,{names[label]},{left},{top},{right},{bottom},{part}")
        (folder / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def write_classifier() -> Callable[..., Path]:
    """Gives a function that writes a small classifier with random weights into a folder."""

    def write(folder: Path, seed: int, classes: tuple[str, ...] = ("blue", "green", "red [cell]")) -> Path:
        folder.mkdir(parents=True)
        torch.manual_seed(seed)
        options = {"classes": len(classes), "width": 0.25, "input_size": 16}
        save_weights(folder / "weights.safetensors", build("resnet20", **options).state_dict())
        pixels = {"mean": [60.0, 61.0, 62.0], "std": [70.0, 71.0, 72.0], "order": "RGB"}
        entry = {"name": folder.name, "network": "resnet20", "options": options, "pixels": pixels, "licence": "yours"}
        (folder / "entry.json").write_text(json.dumps({**entry, "classes": list(classes)}), encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def write_localizer(write_classifier: Callable[..., Path]) -> Callable[..., Path]:
    """Gives a function that writes a localizer with random weights into a folder."""

    def write(
        folder: Path, seed: int, classes: tuple[str, ...] = ("blue", "green", "red [cell]"), *, per_class: bool = True
    ) -> Path:
        network = load(write_classifier(folder / "classifier", seed, classes))
        dice = torch.Generator().manual_seed(seed)
        boxes = box_network(network, per_class=per_class, scale=20, generator=dice).classifier
        state = boxes.state_dict()
        state["head.fc.fc.weight"].normal_(0, 0.3, generator=dice)  # so that boxes differ from window to window
        save_weights(folder / "boxes.safetensors", state)
        write_localizer_entry(folder, LocalizerEntry("made", per_class, 20, "classifier", {}))
        return folder

    return write
