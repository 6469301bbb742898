"""`fourfold features`, `probe` and `search`: what they print, write and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fourfold
from fourfold.features.files import read_features


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for place, (name, colour) in enumerate((("red", (200, 40, 40)), ("sky", (60, 120, 220)))):
        (folder / name).mkdir()
        for index in range(5):
            noise = np.random.default_rng(10 * place + index).integers(-30, 30, (32, 38, 3))
            pixels = (noise + np.array(colour)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def test_features_are_written_and_counted(run: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    result = run("features", data, "--out", out, "--json", "--layer", "conv3_1", "--scales", "32,40",
                 "--pooling", "2,1", "--aggregate", "stack", "--no-mirror", "--no-normalise")  # fmt: skip
    record = json.loads(result.out)
    assert result.code == 0
    assert (record["images"], record["classes"], record["width"]) == (10, 2, 2 * 5 * 32)
    header = read_features(out).header
    assert (header["layer"], header["scales"], header["levels"]) == ("conv3_1", [32, 40], [2, 1])
    assert (header["is_normalised"], header["are_mirrored"], header["aggregate"]) == (False, False, "stack")
    shown = run("features", data / "red", "--out", tmp_path / "g.npz")
    assert "g.npz" in shown.out
    assert "resnet20-cifar10, pool at 32 pixels" in shown.out


def test_a_broken_photo_is_a_line_and_exit_code_2(run: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    result = run("features", data / "red" / "0.png", tmp_path / "bad.png", "--out", tmp_path / "f.npz", "--json")
    assert result.code == 2
    assert json.loads(result.out)["images"] == 1
    assert result.err.count("\n") == 1
    assert "bad.png is not an image" in result.err


def test_a_probe_prints_its_accuracy(run: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    result = run("probe", data, "--json", "--out", tmp_path / "p", "--kind", "logistic", "--seed", 2)
    record = json.loads(result.out)
    assert (record["accuracy"], record["kind"], record["images"]) == (100.0, "logistic", 2)
    assert (tmp_path / "p" / "probe.safetensors").is_file()
    shown = run("probe", data, "--layer", "conv2_1", "--pooling", "max")
    assert "100.00 %" in shown.out
    assert "svm on conv2_1 of resnet20-cifar10" in shown.out


def test_search_prints_neighbours_and_draws_them(run: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    table, sheet = tmp_path / "f.npz", tmp_path / "sheet.png"
    run("features", data, "--out", table, "--json")
    result = run("search", data / "sky" / "2.png", "--in", table, "--count", 3, "--save", sheet, "--json", "--index")
    record = json.loads(result.out)
    assert [each["class"] for each in record["neighbours"]] == ["sky"] * 3
    assert Path(record["neighbours"][0]["image"]).name == "2.png"
    assert Image.open(sheet).format == "PNG"
    assert (tmp_path / "f.npz.index").is_file()
    shown = run("search", data / "red", "--in", table, "--count", 2)
    assert shown.code == 0
    assert shown.out.count("1.0000") == 5
    pairs = json.loads(run("search", "--in", table, "--duplicates", 0.999, "--json").out)
    assert all(pair["similarity"] >= 0.999 for pair in pairs["pairs"])
    assert "pairs" in run("search", "--in", table, "--duplicates", 0.5).out


def test_mistakes_are_one_line(error_of: Callable[..., str], data: Path, tmp_path: Path) -> None:
    table = tmp_path / "f.npz"
    fourfold.features(data, table)
    assert "end it with .parquet" in error_of("features", data, "--out", tmp_path / "f.csv")
    assert 'with layer "pool" and not "conv2_1"' in error_of("features", data, "--out", table, "--layer", "conv2_1")
    assert "no layer 'fc9'; closest" in error_of("features", data, "--out", table, "--layer", "fc9")
    assert "pooling 'min'" in error_of("probe", data, "--pooling", "min")
    assert "no probe 'tree'" in error_of("probe", data, "--kind", "tree")
    assert "needs a photo to look for" in error_of("search", "--in", table)
    assert "give one of them" in error_of("search", data / "red", "--in", table, "--duplicates", "0.9")
    assert "no file" in error_of("search", data / "red", "--in", tmp_path / "none.npz")
    assert "end it with .png" in error_of("search", data / "red", "--in", table, "--save", tmp_path / "s.jpg")
