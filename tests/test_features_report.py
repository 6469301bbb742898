"""Records and tables of features, and the contact sheet of neighbours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fourfold.data.listing import Broken
from fourfold.evaluate.metrics import ClassScore, Interval
from fourfold.features.files import Features
from fourfold.features.probe import Probe, ProbeScores
from fourfold.features_report import (
    alike_record,
    alike_table,
    features_record,
    features_table,
    neighbours_sheet,
    pairs_record,
    pairs_table,
    probed_record,
    probed_table,
)
from fourfold.sources import Failure
from fourfold.verbs_features import Alike, Neighbour, Probed

HEADER = {"network": "net", "layer": "fc7", "scales": [32, 48], "width": 5, "model": "runs/net"}


def cells(table: object) -> list[str]:
    return [str(cell) for column in table.columns for cell in column.cells]  # pyright: ignore


def test_a_table_of_features_is_told_by_its_counts() -> None:
    table = Features(("a", "b"), ("x", "y"), torch.zeros(2, 5), HEADER, (Broken("c", "cut off"),))
    record = json.loads(json.dumps(features_record(table, "f.npz")))
    assert record["images"] == record["classes"] == 2
    assert record["scales"] == [32, 48]
    assert record["broken"] == [{"image": "c", "error": "cut off"}]
    assert "model" not in record
    shown = features_table(table, "f.npz")
    assert cells(shown) == ["f.npz", "2", "2", "5", "1"]
    assert shown.caption == "net, fc7 at 32, 48 pixels"


def test_a_probe_is_told_by_its_accuracy_and_cost() -> None:
    probe = Probe(torch.zeros(2, 5), torch.zeros(2), ("x", "y"), "svm", 10.0, ((1.0, 80.12345), (10.0, 90.0)), HEADER)
    scores = ProbeScores(3, 200 / 3, Interval(20.76601, 93.85081), (ClassScore("x", 1 / 3, 0.5, 0.4, 2, 3),))
    result = Probed(probe, scores, 1200, "test/", (), 3.456)
    record = json.loads(json.dumps(probed_record(result)))
    assert record["accuracy"] == 66.667
    assert record["interval"] == [20.766, 93.851]
    assert record["cross_validation"] == [{"cost": 1.0, "accuracy": 80.123}, {"cost": 10.0, "accuracy": 90.0}]
    assert record["per_class"] == [{"label": "x", "precision": 0.33333, "recall": 0.5, "images": 2}]
    assert (record["cost"], record["trained_images"], record["images"], record["seconds"]) == (10.0, 1200, 3, 3.46)
    assert cells(probed_table(result)) == ["1,200", "3", "66.67 %", "20.8 .. 93.9 %", "10", "3.5"]


def found(folder: Path, truth: tuple[str, ...] = ("cat", "dog", "cat")) -> Alike:
    """Three neighbours, green, blue and green, and one whose file is gone."""
    near = []
    for index, (name, colour) in enumerate(zip(truth, ((0, 255, 0), (0, 0, 255), (0, 250, 0)), strict=True)):
        Image.new("RGB", (32, 40), colour).save(folder / f"{index}.png")
        near.append(Neighbour(str(folder / f"{index}.png"), name, 0.9 - index / 10))
    near.append(Neighbour(str(folder / "gone.png"), truth[0], 0.1))
    return Alike(str(folder / "query\n.png"), torch.full((3, 40, 32), 200, dtype=torch.uint8), tuple(near))


def test_neighbours_are_told_in_their_order(tmp_path: Path) -> None:
    record = json.loads(json.dumps(alike_record(found(tmp_path))))
    assert [each["class"] for each in record["neighbours"]] == ["cat", "dog", "cat", "cat"]
    assert record["neighbours"][1] == {"image": str(tmp_path / "1.png"), "class": "dog", "similarity": 0.8}
    assert alike_record(Failure("x", "gone")) == {"source": "x", "error": "gone"}
    unknown = alike_record(found(tmp_path, ("", "", "")))
    assert unknown["neighbours"][0]["class"] is None
    shown = cells(alike_table([found(tmp_path)]))
    assert len(shown) == 20
    assert all("\n" not in cell for cell in shown)
    assert shown[4:8] == ["1", "2", "3", "4"]
    assert shown[-4:] == ["0.9000", "0.8000", "0.7000", "0.1000"]


def test_pairs_are_told() -> None:
    pairs = [("a", "b", 0.99999999), ("a", "c", 0.9876543)]
    assert pairs_record(pairs)["pairs"][1] == {"images": ["a", "c"], "similarity": 0.987654}
    assert cells(pairs_table(pairs)) == ["a", "a", "b", "c", "1.0000", "0.9877"]


def test_the_sheet_shows_the_query_and_its_neighbours_side_by_side(tmp_path: Path) -> None:
    sheet = np.asarray(neighbours_sheet([found(tmp_path), found(tmp_path)])).astype(int)
    middle = [sheet[row] for row in (sheet == (0, 0, 255)).all(2).any(1).nonzero()[0][:1]]
    colours = list(dict.fromkeys(map(tuple, middle[0].tolist())))
    photos = [each for each in colours if each in {(200, 200, 200), (0, 255, 0), (0, 0, 255), (0, 250, 0)}]
    assert photos == [(200, 200, 200), (0, 255, 0), (0, 0, 255), (0, 250, 0)]
    one = np.asarray(neighbours_sheet([found(tmp_path)]))
    assert sheet.shape[0] == 2 * one.shape[0]
    crosses = (one == (220, 38, 38)).all(2).any()
    assert crosses, "the dog is not of the class that most have"
    assert not (np.asarray(neighbours_sheet([found(tmp_path, ("", "", ""))])) == (220, 38, 38)).all(2).any()
