"""The command line parses, prints and exits as promised; --json is for machines, and no way to stop it is ugly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fourfold

COMMANDS = ("classify", "explain", "models", "evaluate", "protocols", "train")
FOURFOLD = Path(sys.executable).with_name("fourfold")
WEIGHTS = Path(fourfold.__file__).parent / "bundled" / "resnet20-cifar10" / "weights.safetensors"
LETTERS = "abcdefghij"


Run = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three photos that are neither alike nor square."""
    return [write(tmp_path / "photos" / f"{seed}.png", seed) for seed in range(3)]


def write(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((60, 40)).save(path)
    return path


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [str(FOURFOLD), *map(str, arguments)]
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=buffered)


def python(code: str, *arguments: str) -> str:
    command: Sequence[str] = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_json_of_classify_is_what_python_answers(run: Run, photos: list[Path]) -> None:
    result = run("classify", *photos, "--json", "--top", 3)

    answers = [answer for answer in fourfold.classify(photos, top=3) if isinstance(answer, fourfold.Answer)]
    assert (result.code, result.err) == (0, "")
    for record, answer in zip(records(result.out), answers, strict=True):
        assert set(record) == {"source", "top", "model", "protocol"}
        assert record["source"] == answer.source
        assert [guess["label"] for guess in record["top"]] == [guess.label for guess in answer.top]
        assert [guess["index"] for guess in record["top"]] == [guess.index for guess in answer.top]
        expected = [guess.probability for guess in answer.top]
        assert [guess["probability"] for guess in record["top"]] == pytest.approx(expected, abs=1e-6)  # rounded there


def test_the_table_has_a_line_for_each_photo(run: Run, photos: list[Path]) -> None:
    result = run("classify", photos[0].parent)

    lines = result.out.splitlines()
    assert result.code == 0
    assert [line.split()[0].endswith(path.name) for line, path in zip(lines[1:4], photos, strict=True)] == [True] * 3
    assert fourfold.classify(photos[1])[0].top[0].label in lines[2]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_name_in_brackets_is_shown_as_it_is(run: Run, tmp_path: Path) -> None:
    assert "/[red].png " in run("classify", write(tmp_path / "[red].png", 1)).out


def test_good_inputs_are_answered_in_order_among_bad_ones(run: Run, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")

    as_json = run("classify", photos[2], tmp_path / "broken.png", photos[0], tmp_path / "gone.png", "--json")
    as_table = run("classify", photos[2], tmp_path / "broken.png", photos[0], tmp_path / "gone.png")

    assert [set(record) == {"source", "error"} for record in records(as_json.out)] == [False, True, False, True]
    assert [Path(record["source"]).name for record in records(as_json.out)] == ["2.png", "broken.png", "0.png", "gone.png"]
    assert len(as_table.out.splitlines()) == 4  # a heading, two answers, a caption
    for result in (as_json, as_table):
        assert result.code == 2
        first, second = result.err.splitlines()
        assert first.startswith(f"fourfold: {tmp_path / 'broken.png'} is not an image")
        assert second.startswith(f"fourfold: {tmp_path / 'gone.png'} does not exist")


def test_a_photo_on_standard_input_is_classified(run: Run, photos: list[Path]) -> None:
    (by_name,), (by_input,) = (
        records(run("classify", photos[0], "--json").out),
        records(run("classify", "-", "--json", stdin=photos[0].read_bytes()).out),
    )

    assert by_input == {**by_name, "source": "-"}


@pytest.mark.parametrize("flags", [("--save",), ()], ids=["--save", "alone"])
def test_pictures_are_saved_and_never_overwritten(run: Run, photos: list[Path], tmp_path: Path, flags: tuple) -> None:
    other = write(tmp_path / "other" / "0.png", 7)  # another photo of the same name

    first = run("classify", photos[0], other, *flags, "--save-to", tmp_path / "out")
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    run("classify", photos[0], *flags, "--save-to", tmp_path / "out")

    assert first.code == 0
    assert set(written) == {"0.jpg", "0-2.jpg"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"0.jpg", "0-2.jpg", "0-3.jpg"}
    assert all((tmp_path / "out" / name).read_bytes() == content for name, content in written.items())
    with Image.open(tmp_path / "out" / "0.jpg") as image:
        assert (image.format, image.width) == ("JPEG", 360)


def test_somebody_elses_weights_classify_and_are_measured(run: Run, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(LETTERS) + "\n\n", encoding="utf-8")
    names = ("--classes", tmp_path / "names.txt", "--pixels", "cifar10")
    options = ("--weights", WEIGHTS, "--model", "resnet20", *names, "--json")
    write(tmp_path / "data" / "a" / "1.png", 1)
    write(tmp_path / "data" / "g" / "2.png", 2)

    (ours,), (theirs,) = records(run("classify", photos[0], "--json").out), records(run("classify", photos[0], *options).out)
    measured = json.loads(run("evaluate", tmp_path / "data", *options).out)

    assert [guess["label"] for guess in theirs["top"]] == [LETTERS[guess["index"]] for guess in ours["top"]]
    assert [guess["probability"] for guess in theirs["top"]] == [guess["probability"] for guess in ours["top"]]
    assert (theirs["model"], measured["images"]) == ("weights.safetensors", 2)


def test_evaluate_counts_the_images_it_can_read_and_reports_the_others(run: Run, tmp_path: Path) -> None:
    for seed in range(8):
        write(tmp_path / ("cat", "dog")[seed % 2] / f"{seed}.png", seed)
    (tmp_path / "cat" / "broken.png").write_bytes(b"no image")

    as_json, as_table = run("evaluate", tmp_path, "--json"), run("evaluate", "resnet20-cifar10", tmp_path)

    labels = [run("classify", path, "--json").out for path in sorted(tmp_path.glob("*/[0-9].png"))]
    hits = sum(json.loads(line)["top"][0]["label"] == Path(json.loads(line)["source"]).parent.name for line in labels)
    record = json.loads(as_json.out)
    assert (record["images"], record["classes"], record["top1"]) == (8, 2, 100 * hits / 8)
    assert record["top1"] <= record["top5"] <= 100
    assert (record["model"], record["protocol"]) == ("resnet20-cifar10", "centre 32 of shorter side 32")
    assert f"{100 * hits / 8:.2f} %" in as_table.out
    for result in (as_json, as_table):
        assert result.code == 2
        assert result.err.count("\n") == 1
        assert "broken.png is not an image" in result.err


def test_explain_gives_the_promised_keys_and_a_heatmap_of_a_photo(run: Run, photos: list[Path], tmp_path: Path) -> None:
    record = json.loads(run("explain", "vgg16", "--json").out)
    plotted = run("explain", "resnet20-cifar10", photos[0], "--label", "cat", "--plot", tmp_path / "new" / "heat.png")

    keys = {"parameters", "multiply_adds", "stride", "receptive_field", "layers", "deviations"}
    assert keys <= set(record)
    assert (record["parameters"], record["stride"]) == (138_357_544, 32)  # VGG table 2; five pools of 2
    assert plotted.code == 0
    assert ": cat, " in plotted.out
    with Image.open(tmp_path / "new" / "heat.png") as image:
        assert image.format == "PNG"


def test_models_are_listed_as_json(run: Run) -> None:
    record = json.loads(run("models", "--json").out)

    assert {"resnet20", "vgg-d", "googlenet"} <= {row["name"] for row in record["networks"]}
    assert "resnet20-cifar10" in {row["name"] for row in record["weights"]}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    result = run(command, "--help")

    assert (result.code, result.err) == (0, "")
    assert f"fourfold {command}" in result.out


def test_without_a_command_the_help_names_all(run: Run) -> None:
    assert all(command in run().out for command in COMMANDS)
    assert run("--version").out.startswith("fourfold ")


def test_neither_the_package_nor_its_help_loads_torch() -> None:
    code = "import sys, fourfold, atexit; atexit.register(lambda: print('torch' in sys.modules));"

    assert python(code) == "False\n"
    assert python(f"{code} from fourfold.cli import main; main()", "--help").endswith("\nFalse\n")


@pytest.mark.parametrize("arguments", [("classify", "--json"), ("--version",), ("explain", "resnet110", "--json")])
def test_a_reader_that_leaves_is_no_error(photos: list[Path], arguments: tuple[str, ...]) -> None:
    with start(*arguments, *(photos * 30 if arguments[0] == "classify" else ())) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()

        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_control_c_stops_quietly(photos: list[Path]) -> None:
    with start("classify", *photos * 2000, "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()

        process.send_signal(signal.SIGINT)

        assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 130
