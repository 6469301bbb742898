"""VOC's average precision by hand, and against the development kit's words written down again, slowly and in pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.detections import Detections, nothing_found
from fourfold.detect.voc_ap import Curve, VocScores, judge, voc_scores

CLASSES = 3
Pixels = tuple[int, int, int, int]  # x1 y1 x2 y2 from 1, the last pixel included, as VOC's files have them


def image_of(rows: list[tuple[Pixels, int, bool]]) -> Annotated:
    """An image with these objects: box in pixels, class, whether it is difficult."""
    return Annotated(
        File(Path("photo.jpg")),
        200,
        300,
        edges([box for box, _, _ in rows]),
        torch.tensor([label for _, label, _ in rows], dtype=torch.int64),
        torch.tensor([is_difficult for _, _, is_difficult in rows], dtype=torch.bool),
    )


def found_of(rows: list[tuple[Pixels, int, float]]) -> Detections:
    """Detections: box in pixels, class, score."""
    labels = torch.tensor([label for _, label, _ in rows], dtype=torch.int64)
    return Detections(edges([box for box, _, _ in rows]), labels, torch.tensor([score for _, _, score in rows]))


def edges(boxes: list[Pixels]) -> torch.Tensor:
    return torch.tensor([(x1 - 1, y1 - 1, x2, y2) for x1, y1, x2, y2 in boxes]).float().view(-1, 4)


A, B, FAR = (1, 1, 10, 10), (101, 101, 120, 110), (201, 1, 210, 10)


def test_four_detections_by_hand() -> None:
    images = [image_of([(A, 0, False), (B, 0, False)]), image_of([(A, 0, False), (FAR, 0, True)])]
    found = [
        found_of([(A, 0, 0.9), (A, 0, 0.8), (B, 0, 0.5)]),  # right, found twice, right
        found_of([(FAR, 0, 0.95), (B, 0, 0.7)]),  # difficult: not counted; wrong
    ]
    curve = voc_scores(found, images, 1).curves[0]
    assert curve.positives == 3
    assert curve.is_right.tolist() == [True, False, False, True]
    assert curve.precision.tolist() == [1, 1 / 2, 1 / 3, 1 / 2]
    assert curve.recall.tolist() == [1 / 3, 1 / 3, 1 / 3, 2 / 3]
    assert curve.ap_2010 == pytest.approx((1 + 1 / 2) / 3)
    assert curve.ap_2007 == pytest.approx((4 * 1 + 3 * 1 / 2) / 11)  # recalls 0 to 0.3, 0.4 to 0.6, none from 0.7 on


def test_an_overlap_of_exactly_a_half_is_right() -> None:  # the kit: ovmax >= minoverlap
    image = image_of([((1, 1, 20, 10), 0, False)])
    assert judge(found_of([((1, 1, 10, 10), 0, 0.9)]), image, 0.5).tolist() == [1]
    assert judge(found_of([((1, 1, 9, 10), 0, 0.9)]), image, 0.5).tolist() == [-1]


def test_the_kits_pixels_and_our_edges_overlap_alike() -> None:
    image = image_of([((1, 1, 3, 1), 0, False)])  # three pixels: edges 0 .. 3, not 1 .. 3
    assert judge(found_of([((1, 1, 1, 1), 0, 0.9)]), image, 1 / 3).tolist() == [1]
    assert judge(found_of([((1, 1, 1, 1), 0, 0.9)]), image, 0.34).tolist() == [-1]


def test_a_detection_is_held_against_the_object_it_fits_best_and_no_other() -> None:
    left, right = (1, 1, 100, 10), (11, 1, 110, 10)
    image = image_of([(left, 0, False), (right, 0, False)])
    twice = found_of([(left, 0, 0.9), ((2, 1, 101, 10), 0, 0.8)])  # the second fits `right` too, but `left` better
    assert judge(twice, image, 0.5).tolist() == [1, -1]


def test_of_two_objects_that_fit_alike_the_first_counts() -> None:
    for is_first_difficult, verdict in ((True, 0), (False, 1)):
        image = image_of([(A, 0, is_first_difficult), (A, 0, not is_first_difficult)])
        assert judge(found_of([(A, 0, 0.9)]), image, 0.5).tolist() == [verdict]


def test_a_difficult_object_may_be_found_often() -> None:
    assert judge(found_of([(A, 0, 0.9)] * 3), image_of([(A, 0, True)]), 0.5).tolist() == [0, 0, 0]


def test_another_class_is_never_right() -> None:
    assert judge(found_of([(A, 1, 0.9)]), image_of([(A, 0, False)]), 0.0).tolist() == [-1]


def test_of_equal_scores_the_earlier_image_is_first() -> None:
    images = [image_of([]), image_of([(A, 0, False)])]
    found = [found_of([(A, 0, 0.5)]), found_of([(A, 0, 0.5)])]
    assert voc_scores(found, images, 1).curves[0].ap_2010 == 0.5
    assert voc_scores(found[::-1], images[::-1], 1).curves[0].ap_2010 == 1


def test_three_of_ten_do_not_reach_the_recall_of_3_times_a_tenth_as_in_the_kit() -> None:
    curve = Curve(10, torch.zeros(3), torch.tensor([True, True, True]))
    assert curve.ap_2007 == pytest.approx(3 / 11)


def test_the_means_leave_out_classes_without_objects() -> None:
    images = [image_of([(A, 0, False), (B, 2, True)])]
    scores = voc_scores([found_of([(A, 0, 0.9), (A, 1, 0.9), (FAR, 2, 0.9)])], images, 4)
    assert [curve.positives for curve in scores.curves] == [1, 0, 0, 0]
    assert [curve.ap_2010 for curve in scores.curves] == [1, 0, 0, 0]
    assert (scores.map_2007, scores.map_2010) == (1, 1)


def test_nothing_found_scores_nothing() -> None:
    scores = voc_scores([nothing_found()], [image_of([(A, 0, False)])], 1)
    assert (scores.map_2007, scores.map_2010) == (0, 0)


@pytest.mark.parametrize(
    ("found", "images", "words"),
    [
        ([], [image_of([(A, 0, False)])], "there are detections of 0 images, and 1 images"),
        ([found_of([(A, 1, 0.9)])], [image_of([(A, 0, False)])], "a label is 1 of 1 classes"),
        ([nothing_found()], [image_of([(A, 5, False)])], "a label is 5 of 1 classes"),
        ([nothing_found()], [image_of([(A, 0, True)])], "no image has an object"),
        ([], [], "no image has an object"),
    ],
)
def test_what_cannot_be_scored_is_refused(found: list[Detections], images: list[Annotated], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        voc_scores(found, images, 1)


def near(box: Pixels, dice: np.random.Generator) -> Pixels:
    x1, y1, x2, y2 = (max(1, value + int(dice.integers(-4, 5))) for value in box)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def random_case(seed: int) -> tuple[list[list[tuple[Pixels, int, bool]]], list[list[tuple[Pixels, int, float]]]]:
    """Objects and detections of some images: near hits, doubles, other classes, difficult ones, equal scores."""
    dice = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(dice.integers(1, 9)):
        objects, guesses = [], []
        for _ in range(dice.integers(0, 6)):
            x, y, width, height = (int(value) for value in dice.integers((1, 1, 3, 3), (60, 60, 40, 40)))
            objects.append(((x, y, x + width, y + height), int(dice.integers(CLASSES)), bool(dice.random() < 0.2)))
        for box, label, _ in objects * 2:
            if dice.random() < 0.7:
                guess = label if dice.random() < 0.8 else int(dice.integers(CLASSES))
                guesses.append((near(box, dice), guess, float(dice.integers(1, 12)) / 12))
        guesses += [((5, 5, 25, 25), int(dice.integers(CLASSES)), float(dice.integers(1, 12)) / 12)]
        truth.append(objects)
        found.append([guesses[at] for at in dice.permutation(len(guesses))])
    return truth, found


def pixel_overlap(bb: Pixels, bbgt: Pixels) -> float:
    iw = min(bb[2], bbgt[2]) - max(bb[0], bbgt[0]) + 1
    ih = min(bb[3], bbgt[3]) - max(bb[1], bbgt[1]) + 1
    if iw <= 0 or ih <= 0:
        return -1.0
    areas = [(each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (bb, bbgt)]
    return iw * ih / (sum(areas) - iw * ih)


def kit(truth: list, found: list, label: int) -> tuple[float, float]:
    """AP of one class by eleven points and by area, step by step as the development kit describes it."""
    objects = [[(box, difficult) for box, of, difficult in each if of == label] for each in truth]
    npos = sum(not difficult for each in objects for _, difficult in each)
    lines = [(score, at, box) for at, each in enumerate(found) for box, of, score in each if of == label]
    lines.sort(key=lambda line: -line[0])
    taken, tp, fp, recall, precision = set(), 0, 0, [], []
    for _, at, box in lines:
        overlaps = [pixel_overlap(box, other) for other, _ in objects[at]]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if not overlaps or overlaps[best] < 0.5:
            fp += 1
        elif not objects[at][best][1]:
            is_new = (at, best) not in taken
            taken.add((at, best))
            tp, fp = tp + is_new, fp + (not is_new)
        recall.append(tp / npos)
        precision.append(tp / max(1, tp + fp))
    curve = list(zip(precision, recall, strict=True))
    points = [max((p for p, r in curve if r >= t), default=0) for t in np.arange(0.0, 1.1, 0.1)]
    mrec, mpre = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    return sum(p / 11 for p in points), sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)))


def test_a_hundred_random_cases_score_as_the_kit_does() -> None:
    seen, different = 0, set()
    for seed in range(110):
        truth, found = random_case(seed)
        if not any(not difficult for each in truth for _, _, difficult in each):
            continue
        scores = voc_scores([found_of(each) for each in found], [image_of(each) for each in truth], CLASSES)
        wanted = [kit(truth, found, label) for label, curve in enumerate(scores.curves) if curve.positives]
        for curve, (eleven, area) in zip((each for each in scores.curves if each.positives), wanted, strict=True):
            assert curve.ap_2007 == pytest.approx(eleven, abs=1e-9)
            assert curve.ap_2010 == pytest.approx(area, abs=1e-9)
            different.add(round(area, 6))
        assert scores.map_2007 == pytest.approx(np.mean([eleven for eleven, _ in wanted]), abs=1e-9)
        assert scores.map_2010 == pytest.approx(np.mean([area for _, area in wanted]), abs=1e-9)
        seen += 1
    assert seen >= 100
    assert len(different) > 100


def test_no_curves_are_refused() -> None:
    with pytest.raises(ValueError, match="no image has an object"):
        VocScores(())
