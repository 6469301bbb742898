"""COCO's numbers against pycocotools called by hand on files, and where they are known."""

from __future__ import annotations

import json
import sys
from dataclasses import astuple
from pathlib import Path

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.coco_ap import coco_scores
from fourfold.detect.detections import Detections, nothing_found

CLASSES = 3


def boxes_of(count: int, dice: torch.Generator) -> torch.Tensor:
    """Sides from 6 to 166 pixels: small, medium and large."""
    low = torch.rand(count, 2, generator=dice) * 200
    return torch.cat((low, low + 6 + 160 * torch.rand(count, 2, generator=dice) ** 2), 1)


def image_of(boxes: torch.Tensor, labels: torch.Tensor, is_difficult: torch.Tensor | None = None) -> Annotated:
    crowds = torch.zeros(len(boxes), dtype=torch.bool) if is_difficult is None else is_difficult
    return Annotated(File(Path("photo.jpg")), 400, 400, boxes, labels, crowds)


def random_case(seed: int) -> tuple[list[Detections], list[Annotated]]:
    """Near hits of all objects, of half of them twice, and others; an eighth of the objects crowds; equal scores."""
    dice = torch.Generator().manual_seed(seed)
    found, images = [], []
    for _ in range(6):
        count = int(torch.randint(0, 8, (1,), generator=dice))
        boxes, labels = boxes_of(count, dice), torch.randint(0, CLASSES, (count,), generator=dice)
        images.append(image_of(boxes, labels, torch.rand(count, generator=dice) < 0.15))
        hit = torch.cat((torch.arange(count), torch.arange(count // 2)))
        shift = torch.randn(len(hit), 2, generator=dice).repeat(1, 2) * 4
        guesses = torch.cat((boxes[hit] + shift, boxes_of(4, dice)))
        guessed = torch.cat((labels[hit], torch.randint(0, CLASSES, (4,), generator=dice)))
        found.append(Detections(guesses, guessed, torch.randint(1, 9, (len(guesses),), generator=dice) / 9))
    return found, images


def by_hand(found: list[Detections], images: list[Annotated], folder: Path) -> list[float]:
    objects, lines = [], []
    for index, (each, image) in enumerate(zip(found, images, strict=True)):
        for row in range(len(image)):
            x1, y1, x2, y2 = image.boxes[row].tolist()
            box, crowd = [x1, y1, x2 - x1, y2 - y1], int(image.is_difficult[row])
            objects.append(
                {"id": len(objects) + 1, "image_id": index, "category_id": int(image.labels[row]), "iscrowd": crowd}
            )
            objects[-1] |= {"bbox": box, "area": box[2] * box[3]}
        for row in range(len(each)):
            x1, y1, x2, y2 = each.boxes[row].tolist()
            lines.append({"image_id": index, "category_id": int(each.labels[row]), "score": float(each.scores[row])})
            lines[-1] |= {"bbox": [x1, y1, x2 - x1, y2 - y1]}
    pictures, categories = [{"id": index} for index in range(len(images))], [{"id": label} for label in range(CLASSES)]
    truth = {"info": {}, "images": pictures, "categories": categories, "annotations": objects}
    (folder / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    (folder / "found.json").write_text(json.dumps(lines), encoding="utf-8")
    coco = COCO(str(folder / "truth.json"))
    judged = COCOeval(coco, coco.loadRes(str(folder / "found.json")), "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    return judged.stats.tolist()


@pytest.mark.parametrize("seed", range(100))
def test_random_cases_equal_pycocotools_on_files(seed: int, tmp_path: Path) -> None:
    found, images = random_case(seed)
    wanted = by_hand(found, images, tmp_path)
    scores = [-1 if each is None else each for each in astuple(coco_scores(found, images, CLASSES))]
    assert scores == pytest.approx(wanted, abs=1e-12)
    assert len(set(wanted)) > 6  # numbers that could be mistaken for each other would prove little


def test_perfect_detections_score_one_and_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    dice = torch.Generator().manual_seed(0)
    sides = torch.tensor([[10.0, 10.0], [50.0, 50.0], [150.0, 150.0]])  # small, medium, large
    low = torch.rand(3, 2, generator=dice)
    boxes, labels = torch.cat((low, low + sides), 1), torch.tensor([0, 1, 2])
    scores = coco_scores([Detections(boxes, labels, torch.ones(3))], [image_of(boxes, labels)], CLASSES)
    assert astuple(scores) == pytest.approx([1] * 12)
    assert capfd.readouterr() == ("", "")


def test_by_hand_at_two_overlaps() -> None:
    image = image_of(torch.tensor([[0.0, 0.0, 100.0, 100.0]]), torch.tensor([0]))
    found = Detections(torch.tensor([[0.0, 0.0, 62.0, 100.0]]), torch.tensor([0]), torch.tensor([0.9]))  # overlap 0.62
    scores = coco_scores([found], [image], CLASSES)
    assert (scores.ap_50, scores.ap_75, scores.ap) == pytest.approx((1, 0, 0.3))  # right at 0.5, 0.55 and 0.6 of ten
    assert (scores.ap_small, scores.ap_medium, scores.ap_large) == (None, None, pytest.approx(0.3))


def test_nothing_found_scores_zero_and_no_object_none() -> None:
    object_ = image_of(torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([0]))
    assert coco_scores([nothing_found()], [object_], 1).ap == 0
    empty = image_of(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert set(astuple(coco_scores([nothing_found()], [empty], 1))) == {None}
    assert set(astuple(coco_scores([], [], 1))) == {None}


def test_labels_beyond_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="a label is 2 of 1 classes"):
        coco_scores([nothing_found()], [image_of(torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([2]))], 1)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(ValueError, match=r"pip install 'fourfold\[detect\]'"):
        coco_scores([], [], 1)
