"""`fourfold train` as a person types it: reasons are given, Ctrl-C saves, --resume goes on, several processes agree."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourfold.terminal import stopped

PROGRAM = [sys.executable, "-m", "fourfold"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of twelve noisy images, and a file that is none."""
    draw = np.random.default_rng(0)
    for name, colour in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(12):
            pixels = (np.array(colour) + draw.integers(-25, 26, (32, 40, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{index}.png")
    (tmp_path / "data" / "red" / "broken.png").write_bytes(b"no image")
    return tmp_path / "data"


def program(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120, cwd=cwd
    )


def test_without_a_single_flag_choices_come_with_reasons_and_the_run_classifies(data: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    trained = program("train", data, "--epochs", 2, cwd=tmp_path / "here")

    assert trained.returncode == 0, trained.stderr
    assert "network resnet20 at 32x32, starting from resnet20-cifar10" in trained.stderr
    assert f"left out: {data / 'red' / 'broken.png'} is not an image" in trained.stderr
    assert "Traceback" not in trained.stderr
    assert "try it: fourfold classify --model runs/run-1 PHOTO" in trained.stdout
    answered = program("classify", "--model", "runs/run-1", data / "blue" / "0.png", "--json", cwd=tmp_path / "here")
    assert {guess["label"] for guess in json.loads(answered.stdout)["top"]} == {"red", "blue"}
    again = program("train", data, "--epochs", 1, "--json", cwd=tmp_path / "here")
    assert json.loads(again.stdout)["run"] == "runs/run-2"


def test_json_is_one_object_with_the_files_left_out(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--recipe", "resnet-cifar", "-o", "width=0.25", "--epochs", 1)
    trained = program("train", data, "--run", run, *options, "--json")

    record = json.loads(trained.stdout)
    assert (trained.returncode, record["images"], record["run"], record["network"]) == (0, 2, str(run), "resnet20")
    assert [file["source"] for file in record["broken"]] == [str(data / "red" / "broken.png")]


def test_control_c_saves_and_resume_goes_on_to_the_end(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["train", data, "--run", run, "--epochs", 60, "--recipe", "resnet-cifar", "-o", "width=0.25", "--json"]
    with subprocess.Popen(
        [*PROGRAM, *map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        log = run / "metrics.csv"
        while not (log.exists() and log.read_text(encoding="utf-8").count("\n") >= 4):
            assert started.poll() is None
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        shown = started.communicate(timeout=60)[1]

    assert (started.returncode, shown.splitlines()[-1]) == (
        130,
        f"stopped and saved; go on with: fourfold train --run {run} --resume",
    )
    before = log.read_text(encoding="utf-8").splitlines()
    assert 4 <= len(before) < 61

    assert program("train", "--run", run, "--resume").returncode == 0
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[: len(before)] == before
    assert [line.split(",")[0] for line in lines[1:]] == [str(epoch) for epoch in range(1, 61)]


def test_two_processes_make_one_run(data: Path, tmp_path: Path) -> None:
    """What they compute is tested in test_parallel.py. Without the dashes torchrun takes --run for an option of its own."""
    options = ["--recipe", "resnet-cifar", "-o", "width=0.25", "--epochs", "2", "--batch-size", "6", "--device", "cpu"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    run = tmp_path / "run"
    command = [*torchrun, "-m", "fourfold", "--", "train", str(data), *options, "--run", str(run)]

    both = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, timeout=120)

    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout)["images"] == 2  # printed by one of them
    assert both.stderr.count("left out: ") == 1
    assert len((run / "metrics.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert program("classify", "--model", run, data / "blue" / "0.png").returncode == 0
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert again.stderr.count("holds a run already") >= 1  # said by those that found out
    assert 'Traceback (most recent call last):\n  File "<frozen' not in both.stderr


@pytest.mark.parametrize(("is_there", "line"), [
    (True, "stopped and saved; go on with: fourfold train --run {} --resume\n"),
    (False, "stopped before anything was written\n"),
])  # fmt: skip
def test_what_control_c_leaves_is_said(
    is_there: bool, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    if is_there:
        folder.mkdir()

    assert stopped("train", folder) == 130
    assert capsys.readouterr().err == line.format(folder)
