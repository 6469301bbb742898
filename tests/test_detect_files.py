"""The files of a detector's evaluation: they are read back as what was given, hold the photos, and are written whole."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.detections import Detections
from fourfold.detect.summary import DetectionEvaluation
from fourfold.detect_files import LONGEST, write_detection_report
from fourfold.detect_report import detection_record

CLASSES = ("cat", "dog,\nor so")
GREYS = (40, 120, 200)


def image_of(path: Path, label: int) -> Annotated:
    box = torch.tensor([[10.0, 20.0, 60.0, 90.0]])
    return Annotated(File(path), 100, 150, box, torch.tensor([label]), torch.tensor([False]))


def evaluation_of(folder: Path, names: tuple[str, ...] = ("a.png", "b.png", "c.png")) -> DetectionEvaluation:
    """Grey photos: a cat found, a cat missed and another place found, a dog found with a faint one beside it."""
    paths = [folder / name for name in names]
    for path, grey in zip(paths, GREYS, strict=True):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((100, 150, 3), grey, dtype=np.uint8)).save(path)
    images = tuple(image_of(path, label) for path, label in zip(paths, (0, 0, 1), strict=True))
    far = torch.tensor([[100.0, 5.0, 140.5, 30.25]])
    found = (
        Detections(images[0].boxes, torch.tensor([0]), torch.tensor([0.75])),
        Detections(far, torch.tensor([0]), torch.tensor([0.875])),
        Detections(torch.cat((images[2].boxes, far)), torch.tensor([1, 1]), torch.tensor([0.5, 0.125])),
    )
    return DetectionEvaluation("spp", "scale 688", CLASSES, images, found)


def plain(image: Tensor, _found: Detections, _truth: Annotated) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def greys_of(page: str) -> list[int]:
    """The mean of each photo in a page."""
    data = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page)
    return [round(float(np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))).mean())) for each in data]


def test_every_file_says_what_was_found(tmp_path: Path) -> None:
    result = evaluation_of(tmp_path)
    folder = tmp_path / "some" / "report"
    write_detection_report(result, folder, plain)
    assert sorted(path.name for path in folder.iterdir()) == [
        "detections.json", "per_class.csv", "report.html", "result.json",
    ]  # fmt: skip
    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == detection_record(result)
    rows = list(csv.DictReader(io.StringIO((folder / "per_class.csv").read_text(encoding="utf-8"), newline="")))
    assert [row["class"] for row in rows] == ["cat", "dog,\\nor so"]
    assert [float(row["ap_2010"]) for row in rows] == [0.25, 1]  # cats: wrong, then right, of two
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>spp</h1>" in page
    assert greys_of(page) == [pytest.approx(grey, abs=1) for grey in (120, 40, 200)]  # the one with mistakes, then others


def test_detections_are_cocos_results(tmp_path: Path) -> None:
    write_detection_report(evaluation_of(tmp_path, ("1.png", "20.png", "3.png")), tmp_path / "report")
    path = tmp_path / "report" / "detections.json"
    assert [row["file_name"] for row in json.loads(path.read_text(encoding="utf-8"))] == [
        "1.png",
        "20.png",
        "3.png",
        "3.png",
    ]
    truth: Any = COCO()
    truth.dataset = {"images": [{"id": at} for at in (1, 20, 3)], "categories": [{"id": 1}, {"id": 2}], "annotations": []}
    truth.createIndex()
    read = truth.loadRes(str(path)).anns.values()  # as anybody's program reads it
    assert [(row["image_id"], row["category_id"], row["score"], row["bbox"]) for row in read] == [
        (1, 1, 0.75, [10, 20, 50, 70]), (20, 1, 0.875, [100, 5, 40.5, 25.25]),
        (3, 2, 0.5, [10, 20, 50, 70]), (3, 2, 0.125, [100, 5, 40.5, 25.25]),
    ]  # fmt: skip


def test_images_of_one_name_in_two_folders_are_told_apart_in_csv(tmp_path: Path) -> None:
    write_detection_report(evaluation_of(tmp_path), tmp_path / "report")
    write_detection_report(evaluation_of(tmp_path, ("x/a.png", "y/a.png", "c.png")), tmp_path / "report")
    assert not (tmp_path / "report" / "detections.json").exists()  # it would be of the evaluation before
    text = (tmp_path / "report" / "detections.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [Path(row["image"]).relative_to(tmp_path).as_posix() for row in rows] == ["x/a.png", "y/a.png", "c.png", "c.png"]
    write_detection_report(evaluation_of(tmp_path), tmp_path / "report")
    assert not (tmp_path / "report" / "detections.csv").exists()


def test_what_is_drawn_reaches_the_thresholds(tmp_path: Path) -> None:
    seen: dict[int, tuple[list[float], int]] = {}

    def draw(image: Tensor, found: Detections, truth: Annotated) -> Image.Image:
        seen[int(image[0, 0, 0])] = (found.scores.tolist(), len(truth))
        return Image.new("RGB", (3000, 1000))

    write_detection_report(evaluation_of(tmp_path), tmp_path / "report", draw)
    # cats: 0.875 wrong, 0.75 right: from 0.75 on; dogs: from 0.5 on
    assert seen == {40: ([0.75], 1), 120: ([0.875], 1), 200: ([0.5], 1)}
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    data = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page)
    assert {Image.open(io.BytesIO(base64.b64decode(each))).size for each in data} == {(LONGEST, LONGEST // 3)}


def test_a_photo_that_is_gone_is_left_out(tmp_path: Path) -> None:
    result = evaluation_of(tmp_path)
    (tmp_path / "b.png").unlink()
    write_detection_report(result, tmp_path / "report", plain)
    assert greys_of((tmp_path / "report" / "report.html").read_text(encoding="utf-8")) == [
        pytest.approx(40, abs=1), pytest.approx(200, abs=1),
    ]  # fmt: skip


def test_without_a_way_to_draw_there_are_no_photos(tmp_path: Path) -> None:
    write_detection_report(evaluation_of(tmp_path), tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert greys_of(page) == []
    assert page.count("data:image/png") == 2


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot write to .*file.*choose another place"):
        write_detection_report(evaluation_of(tmp_path), tmp_path / "file")


def test_names_that_are_no_unicode_are_written_as_escapes(tmp_path: Path) -> None:
    result = evaluation_of(tmp_path)
    images = tuple(image_of(Path(f"{at}\udcff.png"), int(each.labels[0])) for at, each in enumerate(result.images))
    write_detection_report(
        DetectionEvaluation("\udcff", "", ("\udcff", "b"), images, result.found), tmp_path / "report", plain
    )
    text = (tmp_path / "report" / "detections.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert (rows[0]["image"], rows[0]["class"]) == ("0\\udcff.png", "\\udcff")
