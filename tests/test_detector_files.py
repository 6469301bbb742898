"""Detectors in folders: what is read back is what was written, and damage is named in one line."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fourfold.detect.detector import Softmax, SvmScore
from fourfold.detect.proposals import PROPOSERS, First
from fourfold.detect.regions import PooledRegions, WarpedRegions
from fourfold.detect.suppress import Suppress
from fourfold.detector_files import (
    DetectorEntry,
    is_detector,
    load_detector,
    propose_as,
    read_detector_entry,
    regions_from,
    regions_record,
    write_detector_entry,
)
from fourfold.networks import build
from fourfold.weights import save_weights

ENTRY = DetectorEntry(
    method="SPP-net 4",
    regions={"pooled": {"scales": [64, 96]}},
    proposals="quality",
    count=70,
    scores="svm",
    refines=True,
    suppress={"iou": 0.25, "per_class": 7},
    thresholds=(0.5, -0.25),
    found={"map_2007": 0.5},
    deviations=("a", "b"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A detector of cats and dogs with random weights."""
    folder = tmp_path / "pets"
    folder.mkdir()
    torch.manual_seed(2)
    options = {"classes": 3, "width": 0.25, "levels": [2, 1], "units": 8}
    save_weights(folder / "weights.safetensors", build("resnet20", **options).state_dict())
    pixels = {"mean": [120.0, 121.0, 122.0], "std": [60.0, 61.0, 62.0], "order": "RGB"}
    entry = {"name": "pets", "network": "resnet20", "options": options, "licence": "yours", "pixels": pixels}
    text = json.dumps({**entry, "classes": ["cat", "dog", "background"]})
    (folder / "entry.json").write_text(text, encoding="utf-8")
    scale = torch.tensor(0.5, dtype=torch.float64)
    save_weights(folder / "svm.safetensors", {"weights": torch.randn(2, 8), "biases": torch.randn(2), "scale": scale})
    boxes = {"weights": torch.randn(2, 4, 80), "biases": torch.randn(2, 4), "pairs": torch.tensor([3, 4]), "scale": scale}
    save_weights(folder / "boxes.safetensors", boxes)
    write_detector_entry(folder, ENTRY)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        load_detector(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def rewritten(folder: Path, **changes: Any) -> None:
    (folder / "detector.json").write_text(json.dumps({**asdict(ENTRY), **changes}), encoding="utf-8")


def test_a_detector_is_opened_as_its_files_say(folder: Path) -> None:
    detector = load_detector(folder)

    assert (detector.name, detector.labels, detector.thresholds) == ("pets", ("cat", "dog"), (0.5, -0.25))
    assert detector.regions == PooledRegions((64, 96))
    assert detector.suppress == Suppress(0.25, 7)
    assert detector.propose == First(PROPOSERS["quality"], 70)
    assert isinstance(detector.score, SvmScore)
    assert detector.score.svms.scale == 0.5
    assert detector.score.svms.weights.shape == (2, 8)
    assert detector.refine is not None
    assert detector.refine.pairs.tolist() == [3, 4]


def test_proposals_and_their_number_can_be_others(folder: Path) -> None:
    assert load_detector(folder, proposals="fast").propose == First(PROPOSERS["fast"], 70)
    assert load_detector(folder, count=5).propose == First(PROPOSERS["quality"], 5)
    with pytest.raises(ValueError, match="0 proposals are none"):
        load_detector(folder, count=0)
    with pytest.raises(ValueError, match="no proposals 'fats'"):
        load_detector(folder, proposals="fats")


def test_a_detector_by_softmax_that_moves_no_boxes_needs_no_files_of_tensors(folder: Path) -> None:
    (folder / "svm.safetensors").unlink()
    (folder / "boxes.safetensors").unlink()
    write_detector_entry(folder, replace(ENTRY, scores="softmax", refines=False, thresholds=()))

    detector = load_detector(folder)

    assert isinstance(detector.score, Softmax)
    assert (detector.refine, detector.thresholds) == (None, ())


def test_what_is_written_is_read_back(folder: Path) -> None:
    assert read_detector_entry(folder) == ENTRY
    assert is_detector(folder)
    assert not is_detector(folder.parent)
    assert not is_detector("x" * 5000)  # longer than names may be
    for regions in (PooledRegions((30, 50)), WarpedRegions(context=3)):
        assert regions_from(json.loads(json.dumps(regions_record(regions)))) == regions
    assert propose_as("fast-x2", 3) == First(PROPOSERS["fast-x2"], 3)


def test_a_folder_that_holds_no_detector_is_told_apart(folder: Path, tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone").startswith(f"no folder {tmp_path / 'gone'}")
    (folder / "detector.json").unlink()
    assert "It holds a classifier: `fourfold classify` takes that." in refusal(folder)
    (folder / "entry.json").unlink()
    assert refusal(folder).endswith("train one with train-detector.")


DAMAGES: dict[str, dict[str, Any]] = {
    "a field too many": {"colour": 1},
    "regions of another kind": {"regions": {"round": {}}},
    "no regions": {"regions": {}},
    "regions that are a list": {"regions": ["pooled"]},
    "regions without scales": {"regions": {"pooled": {}}},
    "scales that are text": {"regions": {"pooled": {"scales": ["a"]}}},
    "an unknown option of regions": {"regions": {"warped": {"colour": 1}}},
    "an overlap that cannot be": {"suppress": {"iou": 3, "per_class": 7}},
    "suppression that is none": {"suppress": 5},
    "thresholds of other classes": {"thresholds": [0.5]},
    "thresholds that are none": {"thresholds": None},
    "scores of another kind": {"scores": "magic"},
    "a count that is text": {"count": "70"},
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_entry_is_named(name: str, folder: Path) -> None:
    rewritten(folder, **DAMAGES[name])

    assert refusal(folder).startswith(f"{folder / 'detector.json'} is damaged (")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"null"])
def test_an_entry_that_is_no_record_is_named(content: bytes, folder: Path) -> None:
    (folder / "detector.json").write_bytes(content)

    assert refusal(folder).startswith(f"{folder / 'detector.json'} is damaged (")


@pytest.mark.parametrize("name", ["svm.safetensors", "boxes.safetensors"])
def test_damaged_tensors_are_named(name: str, folder: Path) -> None:
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert str(path) in refusal(folder)
    save_file({"biases": torch.zeros(2)}, path)
    assert refusal(folder).startswith(f"{path} is damaged ('weights')")
    three = {"weights": torch.zeros(3, 4, 80), "biases": torch.zeros(3, 4), "pairs": torch.zeros(3), "scale": torch.ones(())}
    save_file(three, path)
    assert "it is of 3 classes, the network of 2" in refusal(folder)
    path.unlink()
    assert str(path) in refusal(folder)


def test_a_network_without_a_background_is_no_detectors(folder: Path) -> None:
    text = (folder / "entry.json").read_text(encoding="utf-8").replace("background", "emu")
    (folder / "entry.json").write_text(text, encoding="utf-8")

    assert "2 thresholds for the classes cat, dog, emu" in refusal(folder)
