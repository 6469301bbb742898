"""What is written is read back the same, is what the formats say, and is whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from fourfold.detect.box_files import read_box_file
from fourfold.detect.box_writers import write_coco_results, write_csv, write_yolo
from fourfold.detect.detections import Detections, nothing_found

CLASSES = ("red, cell", "größer", "7")
SIZES = {"a/1.v2.jpg": (60, 90), "007.png": (33, 47), "none.jpg": (20, 30)}


def found(seed: int = 0) -> dict[str, Detections]:
    random = torch.Generator().manual_seed(seed)
    result = {}
    for number, (name, (height, width)) in enumerate(SIZES.items()):
        count = 0 if name == "none.jpg" else 9 + number
        corners = torch.rand(count, 2, 2, generator=random) * torch.tensor([width * 1.2, height * 1.2]) - 5
        boxes = torch.cat([corners.amin(1), corners.amax(1)], 1)
        labels = torch.randint(0, 3, (count,), generator=random)
        result[name] = Detections(boxes, labels, torch.randn(count, generator=random) * 3)
    return result


def write(kind: str, folder: Path, detections: dict[str, Detections]) -> Path:
    path = folder / kind
    if kind == "yolo":
        write_yolo(path, detections, SIZES)
    elif kind == "found.csv":
        write_csv(path, detections, CLASSES)
    else:
        write_coco_results(path, detections, CLASSES)
    return path


@pytest.mark.parametrize("kind", ["yolo", "found.csv", "found.json"])
def test_what_is_written_is_read_back(kind: str, tmp_path: Path) -> None:
    detections = found()

    file = read_box_file(write(kind, tmp_path, detections))

    for name, wanted in detections.items():
        have = file.detections(name, *SIZES[name], CLASSES)
        assert torch.equal(have.labels, wanted.labels)
        torch.testing.assert_close(have.boxes, wanted.boxes, atol=0.0011, rtol=0)  # two roundings to a thousandth
        assert torch.equal(have.scores, wanted.scores)
        if len(wanted):
            torch.testing.assert_close(file.boxes(name, *SIZES[name]), wanted.boxes, atol=0.0011, rtol=0)


@pytest.mark.parametrize("kind", ["yolo", "found.csv"])
def test_an_image_without_boxes_is_told_from_one_that_is_missing(kind: str, tmp_path: Path) -> None:
    file = read_box_file(write(kind, tmp_path, found()))

    assert file.boxes("none.jpg", 20, 30).shape == (0, 4)
    with pytest.raises(ValueError, match=r"says nothing of image 'other.jpg'; it has 3 images"):
        file.boxes("other.jpg", 20, 30)
    assert len(file.detections("other.jpg", 20, 30, CLASSES)) == 0


def test_cocos_own_library_takes_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detections = {"007.png": found()["007.png"]}
    write_coco_results(tmp_path / "found.json", detections, CLASSES, ids=(3, 18, 90))
    truth = COCO()
    dataset: Any = {"images": [{"id": 7}], "categories": [{"id": 3}, {"id": 18}, {"id": 90}], "annotations": []}
    truth.dataset = dataset
    truth.createIndex()

    read = truth.loadRes(str(tmp_path / "found.json"))

    capsys.readouterr()
    rows = [read.anns[number] for number in sorted(read.anns)]
    wanted = detections["007.png"]
    assert [row["category_id"] for row in rows] == [(3, 18, 90)[label] for label in wanted.labels.tolist()]
    np.testing.assert_allclose([row["bbox"][:2] for row in rows], wanted.boxes[:, :2].numpy(), atol=0.0006)
    sides = (wanted.boxes[:, 2:] - wanted.boxes[:, :2]).numpy()
    np.testing.assert_allclose([row["bbox"][2:] for row in rows], sides, atol=0.0006)


def test_names_of_images_and_classes_stay_beside_their_numbers(tmp_path: Path) -> None:
    box = Detections(torch.tensor([[1.5, 2, 4, 8]]), torch.tensor([1]), torch.tensor([0.25]))

    write_coco_results(tmp_path / "a.json", {"x/b.v2.jpg": box, "000012.jpg": box}, CLASSES)

    first, second = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert first == {
        "image_id": "b.v2",
        "file_name": "x/b.v2.jpg",
        "category_id": 2,
        "category": "größer",
        "bbox": [1.5, 2.0, 2.5, 6.0],
        "score": 0.25,
    }
    assert second["image_id"] == 12


def test_yolos_lines_are_fractions_of_the_image(tmp_path: Path) -> None:
    box = Detections(torch.tensor([[10.0, 5, 30, 45]]), torch.tensor([2]), torch.tensor([0.5]))

    write_yolo(tmp_path / "new" / "labels", {"b.jpg": box}, {"b.jpg": (50, 100)})

    assert (tmp_path / "new/labels/b.txt").read_text(encoding="utf-8").split() == [
        "2", "0.20000000", "0.50000000", "0.20000000", "0.80000000", "0.5",
    ]  # fmt: skip


def test_csv_is_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", found(), CLASSES)

    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 + 10 + 1
    assert {row["class"] for row in rows} == {*CLASSES, ""}


def test_images_told_apart_by_folder_alone_are_refused(tmp_path: Path) -> None:
    twins = {"a/1.jpg": nothing_found(), "b/1.jpg": nothing_found()}

    with pytest.raises(ValueError, match=r"images a/1.jpg and b/1.jpg are told apart by folder or ending alone"):
        write_coco_results(tmp_path / "a.json", twins, CLASSES)
    with pytest.raises(ValueError, match="told apart by folder or ending alone"):
        write_yolo(tmp_path / "yolo", twins, {"a/1.jpg": (1, 1), "b/1.jpg": (1, 1)})
    assert list(tmp_path.iterdir()) == []


def test_nothing_at_all_is_a_file_too(tmp_path: Path) -> None:
    write_coco_results(tmp_path / "a.json", {}, CLASSES)
    write_csv(tmp_path / "a.csv", {}, CLASSES)

    assert len(read_box_file(tmp_path / "a.json").rows) == len(read_box_file(tmp_path / "a.csv").rows) == 0
