"""COCO's average precision and recall, counted by its authors' own library, pycocotools (Lin et al. 2014)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.detect.detections import Detections
from fourfold.detect.voc_ap import check_pairs

AT_50, AT_75 = 0, 5  # places among the overlaps 0.5, 0.55, ..., 0.95
ALL, SMALL, MEDIUM, LARGE = range(4)  # areas: any, below 32 squared, up to 96 squared, above


@dataclass(frozen=True)
class CocoScores:
    """COCO's twelve numbers, 0..1; None where there is no object to find, such as no small one.

    ap: mean over the overlaps 0.5, 0.55, ..., 0.95 and over classes; ap_50 and ap_75 at one overlap; ap_small, ap_medium and
    ap_large for objects of less than 32 x 32 pixels, up to 96 x 96, and more. Areas are those of the boxes, where COCO's own
    annotations have the area of the outline. ar_1, ar_10, ar_100: mean recall with so many detections on an image of each
    class; ar_small, ar_medium, ar_large: with 100.
    """

    ap: float | None
    ap_50: float | None
    ap_75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar_1: float | None
    ar_10: float | None
    ar_100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None


def coco_scores(found: Sequence[Detections], images: Sequence[Annotated], num_classes: int) -> CocoScores:
    """COCO's numbers; found: the detections of each image, in the order of `images`. Difficult objects are its crowds.

    Raises ValueError as `check_pairs` does, and where pycocotools is not installed.
    """
    check_pairs(found, images, num_classes)
    precision, recall = _accumulated(_objects(images), _findings(found), len(images), num_classes)
    return CocoScores(
        *(_mean(each) for each in (precision[..., ALL, -1], precision[AT_50, ..., ALL, -1], precision[AT_75, ..., ALL, -1])),
        *(_mean(precision[..., size, -1]) for size in (SMALL, MEDIUM, LARGE)),
        *(_mean(recall[..., ALL, most]) for most in range(3)),
        *(_mean(recall[..., size, -1]) for size in (SMALL, MEDIUM, LARGE)),
    )


def _mean(values: np.ndarray) -> float | None:
    """-1 stands for a class without objects."""
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else None


def _accumulated(
    objects: list[dict[str, Any]], findings: list[dict[str, Any]], num_images: int, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision by overlap, recall, class, area and count; recall by overlap, class, area and count."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise ValueError("COCO's numbers need the library pycocotools; install it: pip install 'fourfold[detect]'") from None
    with redirect_stdout(io.StringIO()):  # it tells its progress there
        sides = []
        for annotations in (objects, findings):
            side = COCO()
            dataset: Any = {
                "images": [{"id": index} for index in range(num_images)],
                "categories": [{"id": label} for label in range(num_classes)],
                "annotations": annotations,
            }
            side.dataset = dataset
            side.createIndex()
            sides.append(side)
        judged = COCOeval(*sides, iouType="bbox")
        judged.evaluate()
        judged.accumulate()
    return judged.eval["precision"], judged.eval["recall"]


def _objects(images: Sequence[Annotated]) -> list[dict[str, Any]]:
    rows = [
        {"image_id": index, "category_id": label, "iscrowd": int(is_difficult), **_box(box)}
        for index, image in enumerate(images)
        for box, label, is_difficult in zip(image.boxes, image.labels.tolist(), image.is_difficult.tolist(), strict=True)
    ]
    return _numbered(rows)


def _findings(found: Sequence[Detections]) -> list[dict[str, Any]]:
    rows = [
        {"image_id": index, "category_id": label, "iscrowd": 0, "score": score, **_box(box)}
        for index, each in enumerate(found)
        for box, label, score in zip(each.boxes, each.labels.tolist(), each.scores.tolist(), strict=True)
    ]
    return _numbered(rows)


def _numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From 1: the library takes the number 0 for no match."""
    return [{"id": number, **row} for number, row in enumerate(rows, 1)]


def _box(box: Tensor) -> dict[str, Any]:
    left, top, right, bottom = box.tolist()
    width, height = right - left, bottom - top
    return {"bbox": [left, top, width, height], "area": width * height}
