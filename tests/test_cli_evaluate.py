"""`evaluate` measures under any protocol and writes reports; `protocols` lists what there is; mistakes are one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fourfold

Run = Callable[..., Any]
NAME = "resnet20-cifar10"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve photos in two classes, of three sizes."""
    for seed in range(12):
        path = tmp_path / "data" / ("cat", "dog")[seed % 2] / f"{seed:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(((60, 40), (40, 60), (33, 33))[seed % 3]).save(path)
    return tmp_path / "data"


def test_a_protocol_is_named_in_the_result_and_is_the_one_that_python_runs(run: Run, data: Path) -> None:
    record = json.loads(run("evaluate", data, "--protocol", "ten", "--json").out)

    result = fourfold.evaluate(NAME, data, protocol="ten")
    assert result is not None
    assert record["protocol"] == result.protocol
    assert "32 crops of shorter side 37: the corners and the centre" in record["protocol"]  # 256 / 224 of 32 pixels
    assert (record["top1"], record["views"], record["images"]) == (round(result.top1, 3), 10, 12)
    assert record["log_loss"] == round(result.log_loss, 5)


def test_scales_replace_those_of_the_paper(run: Run, data: Path) -> None:
    record = json.loads(run("evaluate", data, "-p", "dense", "--scales", "40,48", "--json").out)

    assert record["protocol"].startswith("dense over shorter side 40, 48")


def test_several_protocols_are_compared(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    table = run("evaluate", NAME, data, "--protocol", "single,dense,single+dense", "--out", out)
    record = json.loads((out / "report.json").read_text(encoding="utf-8"))

    assert table.code == 0
    assert [line.split()[0] for line in table.out.splitlines()[1:4]] == ["single", "dense", "single+dense"]
    assert [row["name"] for row in record["protocols"]] == ["single", "dense", "single+dense"]
    assert {path.name for path in out.iterdir()} == {
        "single", "dense", "single+dense", "report.html", "report.json", "comparison.png",
    }  # fmt: skip
    assert "wrote" in table.err


def test_a_folder_gets_answers_and_a_page_and_is_used_again(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run("evaluate", NAME, data, "--out", out)
    written = (out / "answers.csv").read_bytes()

    again = run("evaluate", NAME, data, "--out", out)
    other = run("evaluate", NAME, data, "--out", out, "--protocol", "ten")

    rows = list(csv.DictReader(written.decode().splitlines()))
    assert [row["truth"] for row in rows] == ["cat"] * 6 + ["dog"] * 6
    top1 = json.loads((out / "report.json").read_text(encoding="utf-8"))["top1"]
    assert sum(int(row["rank"]) == 0 for row in rows) == round(12 * top1 / 100)
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (again.out, (out / "answers.csv").read_bytes()) == (first.out, written)
    assert (other.code, "choose another folder" in other.err) == (2, True)


def test_the_views_of_a_protocol_are_drawn(run: Run, data: Path, tmp_path: Path) -> None:
    result = run("evaluate", data, "--protocol", "crops144", "--show-views", tmp_path / "views.png")
    single = run("classify", data / "cat" / "00.png", "--protocol", "ten", "--show-views", tmp_path / "ten.png")

    assert (result.code, single.code) == (0, 0)
    with Image.open(tmp_path / "views.png") as many, Image.open(tmp_path / "ten.png") as few:
        assert many.format == few.format == "PNG"
        assert many.size > few.size


def test_protocols_are_listed_with_their_views_and_sources(run: Run) -> None:
    records = json.loads(run("protocols", "--json").out)["protocols"]
    table = run("protocols").out

    views = {row["name"]: row["views"] for row in records}
    assert (views["single"], views["ten"], views["grid150"], views["crops144"]) == (1, 10, 150, 144)
    assert (views["views96"], views["views98"], views["dense3"]) == (96, 98, 6)
    assert all(name in table for name in views)
    assert "shorter side 37, 55, 73" in json.dumps(json.loads(run("protocols", "--size", 32, "--json").out))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--protocol", "crops145"), "no protocol 'crops145'; closest are crops144"),
        (("--protocol", "single,nine"), "no protocol 'nine'"),
        (("--protocol", ""), "no protocol ''"),
        (("--protocol", "dense", "--scales", "16"), "scale 16 is smaller than the network's 32x32 window"),
        (("--scales", "wide"), "scales 'wide' not understood"),
        (("--split", "test"), "has no folder test/"),
        (("--ray", "local"), "name it with --out FOLDER"),
        (("--show-views", "views.jpg"), "end it with .png"),
        (("--out", "data"), "data"),
    ],
)
def test_what_will_not_do_is_refused_in_one_line(
    error_of: Callable[..., str], data: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(data.parent)
    (data / "answers.csv").write_text("mine", encoding="utf-8")

    assert words in error_of("evaluate", NAME, "data", *arguments)
    assert sorted(path.name for path in data.parent.iterdir()) == ["data"]
    assert (data / "answers.csv").read_text(encoding="utf-8") == "mine"


def test_a_size_below_one_is_no_network(error_of: Callable[..., str]) -> None:
    assert "size is 0" in error_of("protocols", "--size", "0")
