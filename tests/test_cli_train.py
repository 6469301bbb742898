"""`fourfold train` as a person types it: broken files are named, Ctrl-C saves, --resume goes on, the run classifies."""

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


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


def test_a_broken_file_is_named_and_left_out_and_the_run_classifies(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained = program("train", data, "--run", run, "--epochs", 1, "-o", "width=0.25", "--json")

    record = json.loads(trained.stdout)
    assert (trained.returncode, record["images"], record["run"]) == (0, 2, str(run))
    assert [file["source"] for file in record["broken"]] == [str(data / "red" / "broken.png")]
    assert trained.stderr.startswith("left out: ")
    assert trained.stderr.count("\n") == 1
    answered = program("classify", "--model", run, data / "blue" / "0.png", "--json")
    assert {guess["label"] for guess in json.loads(answered.stdout)["top"]} == {"red", "blue"}


def test_control_c_saves_and_resume_goes_on_to_the_end(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["train", data, "--run", run, "--epochs", 60, "-o", "width=0.25", "--json"]
    with subprocess.Popen(
        [*PROGRAM, *map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        log = run / "log.jsonl"
        while not (log.exists() and log.read_text(encoding="utf-8").count("\n") >= 3):
            assert started.poll() is None
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        shown = started.communicate(timeout=60)[1]

    assert (started.returncode, shown.splitlines()[1:]) == (
        130,
        [f"stopped and saved; go on with the same command and --run {run} --resume"],
    )
    before = log.read_text(encoding="utf-8").splitlines()
    assert 3 <= len(before) < 60

    assert program(*command, "--resume").returncode == 0
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[: len(before)] == before
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 61))
