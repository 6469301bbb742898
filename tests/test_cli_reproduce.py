"""`fourfold reproduce` as it is typed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.reproduce.record import read

Run = Callable[..., Any]


def test_all_claims_are_listed_as_a_table_and_as_json(run: Run) -> None:
    shown = run("reproduce")
    assert shown.code == 0
    assert "vgg-lrn" in shown.out
    assert "claims: " in shown.out
    records = json.loads(run("reproduce", "--json").out)
    assert len(records) >= 24


def test_claims_are_run_one_after_the_other(run: Run, tmp_path: Path) -> None:
    shown = run("reproduce", "resnet-bottleneck", "vgg-kernels", "--budget", "smoke", "--out", tmp_path, "--json")
    assert shown.code == 0
    first, second = (json.loads(line) for line in shown.out.splitlines())
    assert (first["claim"], first["verdict"]) == ("resnet-bottleneck", "confirmed")
    assert (second["claim"], second["verdict"], second["seeds"]) == ("vgg-kernels", "not shown at this scale", [0, 1])
    again = run("reproduce", "vgg-kernels", "--budget", "smoke", "--seeds", "1", "--out", tmp_path)
    assert "validation error of C less that of D" in again.out
    assert f"wrote {tmp_path / 'vgg-kernels'}" in again.err


def test_a_page_of_all_claims_is_written(run: Run, tmp_path: Path) -> None:
    shown = run("reproduce", "--report", tmp_path / "page.html")
    assert shown.code == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert f"wrote {tmp_path / 'page.html'}" in shown.err


def test_the_budget_paper_prints_commands_and_runs_nothing(run: Run, tmp_path: Path) -> None:
    shown = run("reproduce", "vgg-lrn", "--budget", "paper", "--data", "/imagenet", "--out", tmp_path / "out")
    assert shown.code == 0
    assert shown.out.count("torchrun --nproc-per-node 8 -m fourfold -- train /imagenet --model vgg-a") == 2
    assert "floating point operations" in shown.out
    assert not (tmp_path / "out").exists()
    record = json.loads(run("reproduce", "vgg-lrn", "--budget", "paper", "--json").out)
    assert [each["arm"] for each in record] == ["A", "A-LRN"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vgg-lrm"], "no claim 'vgg-lrm'; closest are vgg-lrn"),
        (["resnet-cost", "vgg-lrm"], "no claim 'vgg-lrm'"),
        (["vgg-lrn"], "vgg-lrn needs images; give --data"),
        (["vgg-lrn", "--data", "nowhere"], "no folder or file nowhere"),
        (["vgg-lrn", "--budget", "rich"], "no budget 'rich'; choose from smoke, cpu, gpu, paper"),
        (["vgg-lrn", "--budget", "smoke", "--seeds", "0"], "0 seeds cannot be"),
        (["vgg-lrn", "--budget", "smoke", "--device", "abacus"], "no device 'abacus'"),
        (["resnet-cost", "--budget", "paper"], "resnet-cost has no experiment on ImageNet"),
        (["vgg-lrn", "--report", "page.html"], "--report is a page of all claims"),
        (["--report", "/dev/null/page.html"], "cannot write /dev/null/page.html"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], said: str, error_of: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in error_of("reproduce", *words)
    assert not (tmp_path / "reproduced" / "vgg-lrn").exists()


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path: Path, run: Run) -> None:
    words = ["reproduce", "vgg-kernels", "--budget", "smoke", "--out", str(tmp_path)]
    program = subprocess.Popen([sys.executable, "-m", "fourfold", *words], stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "measured").glob("*")) and program.poll() is None:
        time.sleep(0.01)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)
    if program.returncode == 130:  # else it was done before the signal came
        assert said == "stopped and saved; the same command goes on\n"
        assert not (tmp_path / "vgg-kernels").exists()
    kept = len(list((tmp_path / "measured").iterdir()))
    assert kept >= 1
    assert run(*words).code == 0
    assert len(read(tmp_path / "vgg-kernels" / "result.json").measured) == 2
