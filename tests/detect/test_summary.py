"""The numbers of an evaluation where they are known: all found, nothing found, a class never found, and what is empty."""

from __future__ import annotations

import sys
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.detections import Detections, nothing_found
from fourfold.detect.errors import error_breakdown
from fourfold.detect.found_class import OUTCOMES
from fourfold.detect.summary import DetectionEvaluation, Photo, Seconds
from fourfold.detect.voc_ap import voc_scores

Box = tuple[float, float, float, float]
A, B, C, FAR = (0, 0, 20, 40), (50, 0, 90, 40), (100, 100, 300, 250), (320, 10, 330, 30)
CLASSES = ("cat", "dog", "car")
CAT, DOG, CAR = range(3)


def image_of(*rows: tuple[Box, int], difficult: tuple[int, ...] = ()) -> Annotated:
    boxes = torch.tensor([box for box, _ in rows]).float().view(-1, 4)
    labels = torch.tensor([label for _, label in rows], dtype=torch.int64)
    is_difficult = torch.tensor([at in difficult for at in range(len(rows))], dtype=torch.bool)
    return Annotated(File(Path("photo.jpg")), 260, 340, boxes, labels, is_difficult)


def found_of(*rows: tuple[Box, int, float]) -> Detections:
    boxes = torch.tensor([box for box, _, _ in rows]).float().view(-1, 4)
    labels = torch.tensor([label for _, label, _ in rows], dtype=torch.int64)
    return Detections(boxes, labels, torch.tensor([score for _, _, score in rows]))


def evaluation_of(
    images: list[Annotated], found: list[Detections], proposals: tuple[torch.Tensor, ...] | None = None
) -> DetectionEvaluation:
    return DetectionEvaluation("net", "some words", CLASSES, tuple(images), tuple(found), proposals)


def perfect(images: list[Annotated]) -> list[Detections]:
    return [Detections(each.boxes, each.labels, torch.linspace(0.9, 0.5, len(each))) for each in images]


IMAGES = [image_of((A, CAT), (B, DOG)), image_of((C, CAR), (A, DOG), (B, CAT)), image_of((C, CAT))]


def test_all_found_is_one() -> None:
    result = evaluation_of(IMAGES, perfect(IMAGES))
    assert (result.voc.map_2007, result.voc.map_2010) == pytest.approx((1, 1))
    assert result.map_2007_interval == pytest.approx((1, 1))
    assert result.map_2010_interval == pytest.approx((1, 1))
    assert result.coco is not None
    assert (result.coco.ap, result.coco.ap_75, result.coco.ar_100) == pytest.approx((1, 1, 1))
    assert [(each.objects, each.precision, each.recall, each.f1) for each in result.per_class] == [
        (3, 1, 1, 1), (2, 1, 1, 1), (1, 1, 1, 1),
    ]  # fmt: skip
    assert [each.outcomes for each in result.per_class] == [(3, 0, 0, 0, 0), (2, 0, 0, 0, 0), (1, 0, 0, 0, 0)]
    assert result.worst(9) == ()
    assert [each.index for each in result.best(9)] == [1, 0, 2]
    assert [each.index for each in result.best(2)] == [1, 0]


def test_nothing_found_is_zero() -> None:
    result = evaluation_of(IMAGES, [nothing_found()] * 3)
    assert (result.voc.map_2007, result.voc.map_2010) == (0, 0)
    assert (result.map_2007_interval, result.map_2010_interval) == ((0, 0), (0, 0))
    assert result.coco is not None
    assert (result.coco.ap, result.coco.ar_100) == (0, 0)
    assert [(each.ap_2010, each.threshold, each.recall) for each in result.per_class] == [(0, None, 0)] * 3
    assert result.photos == (Photo(0, 2, 0, 0), Photo(1, 3, 0, 0), Photo(2, 1, 0, 0))
    assert [each.missed for each in result.worst(2)] == [3, 2]
    assert result.best(9) == ()


def test_one_class_never_found_takes_its_part_of_the_mean() -> None:
    found = [each.take(each.labels != DOG) for each in perfect(IMAGES)]
    result = evaluation_of(IMAGES, found)
    assert result.voc.map_2010 == pytest.approx(2 / 3)
    assert result.coco is not None
    assert result.coco.ap == pytest.approx(2 / 3)
    assert [each.ap_2007 for each in result.per_class] == [1, 0, 1]
    assert [(each.right, each.missed) for each in result.photos] == [(1, 1), (2, 1), (1, 0)]
    low, high = result.map_2010_interval or (0, 0)
    assert low <= 2 / 3 <= high


def test_an_image_without_objects_counts_by_its_false_alarms_alone() -> None:
    empty = image_of()
    quiet = evaluation_of([*IMAGES, empty], [*perfect(IMAGES), nothing_found()])
    assert quiet.voc.map_2010 == pytest.approx(1)
    assert [each.index for each in quiet.best(9)] == [1, 0, 2]  # where nothing was to be found, nothing is shown
    result = evaluation_of([*IMAGES, empty], [*perfect(IMAGES), found_of((FAR, CAT, 0.99))])
    assert result.per_class[CAT].ap_2010 == pytest.approx(3 / 4)
    assert result.photos[3] == Photo(3, 0, 0, 1)
    assert [each.index for each in result.worst(9)] == [3]
    assert [each.index for each in result.best(9)] == [1, 0, 2]


def test_a_class_without_objects_has_no_part_in_the_mean() -> None:
    images = [image_of((A, CAT)), image_of((B, CAT), (C, DOG), difficult=(1,))]
    result = evaluation_of(images, [found_of((A, CAT, 0.9), (FAR, CAR, 0.8)), found_of((B, CAT, 0.7), (C, DOG, 0.6))])
    assert (result.voc.map_2007, result.voc.map_2010) == pytest.approx((1, 1))
    assert [(each.objects, each.difficult, each.found) for each in result.per_class] == [(2, 0, 2), (0, 1, 0), (0, 0, 1)]
    assert [each.ap_2007 is None for each in result.per_class] == [False, True, True]
    assert result.objects == 2
    assert [each.mistakes for each in result.photos] == [0, 0]  # what has no threshold is no alarm


def test_a_photo_counts_what_reaches_the_threshold_of_its_class() -> None:
    images = [image_of((A, CAT), (B, CAT), (C, DOG)), image_of((A, CAT))]
    found = [
        found_of((A, CAT, 0.9), (B, CAT, 0.8), (FAR, CAT, 0.3), (FAR, DOG, 0.25), (C, DOG, 0.2)),
        found_of((FAR, CAT, 0.85), (A, CAT, 0.1)),
    ]
    result = evaluation_of(images, found)
    # cats: 0.9 right, 0.85 wrong, 0.8 right, 0.3 wrong, 0.1 right: F1 2/4, 2/5, 4/6, 4/7, 6/8; dogs: wrong, right
    assert [each.threshold for each in result.per_class[:2]] == pytest.approx([0.1, 0.2])
    assert result.photos == (Photo(0, 3, 3, 2), Photo(1, 1, 1, 1))
    surer = evaluation_of(images, [found[0], found_of((FAR, CAT, 0.85), (FAR, CAT, 0.2), (FAR, CAT, 0.2))])
    assert surer.per_class[CAT].threshold == pytest.approx(0.8)  # F1 2/4, 2/5, 4/6, 4/7, ...
    assert surer.photos == (Photo(0, 3, 3, 1), Photo(1, 1, 0, 1))
    assert surer.sure(0).scores.tolist() == pytest.approx([0.9, 0.8, 0.25, 0.2])  # the threshold itself is high enough
    assert surer.sure(1).scores.tolist() == pytest.approx([0.85])
    assert [each.index for each in surer.worst(9)] == [1, 0]


def test_missed_objects_and_false_alarms_are_mistakes_alike() -> None:
    images = [image_of((A, CAT), (B, CAT)), image_of((A, CAT))]
    found = [found_of((A, CAT, 0.9)), found_of((A, CAT, 0.5), (FAR, CAT, 0.8), (FAR, CAT, 0.7))]
    result = evaluation_of(images, found)
    assert result.photos == (Photo(0, 2, 1, 0), Photo(1, 1, 1, 2))  # F1 2/4, 2/5, 2/6, 4/7
    assert [each.index for each in result.worst(9)] == [1, 0]


def random_case(seed: int) -> DetectionEvaluation:
    dice = torch.Generator().manual_seed(seed)
    images, found = [], []
    for _ in range(6):
        count = int(torch.randint(0, 6, (1,), generator=dice))
        low = torch.rand(count, 2, generator=dice) * 200
        boxes, labels = torch.cat((low, low + 30), 1), torch.randint(0, 3, (count,), generator=dice)
        hard = torch.rand(count, generator=dice) < 0.2
        images.append(Annotated(File(Path("photo.jpg")), 260, 340, boxes, labels, hard))
        guesses = torch.cat((boxes, boxes)) + torch.randn(2 * count, 2, generator=dice).repeat(1, 2) * 6
        guessed = (labels.repeat(2) + (torch.rand(2 * count, generator=dice) < 0.2)) % 3
        found.append(Detections(guesses, guessed, torch.randint(1, 9, (2 * count,), generator=dice) / 9))
    return DetectionEvaluation("net", "", CLASSES, tuple(images), tuple(found), groups=((CAT, DOG),))


def test_outcomes_and_rankings_agree_with_the_curves_and_the_kinds_of_errors() -> None:
    for seed in range(20):
        result = random_case(seed)
        curves = voc_scores(result.found, result.images, 3).curves
        errors = error_breakdown(result.found, result.images, 3, 999, groups=[[CAT, DOG]])
        for curve, error, outcomes, ranking in zip(curves, errors, result.outcomes, result.rankings, strict=True):
            assert (outcomes == 0).tolist() == curve.is_right.tolist() == ranking.is_right.tolist()
            wrong = [OUTCOMES[at] for at in outcomes.tolist() if at]
            counts = {kind: wrong.count(kind) / max(1, len(wrong)) for kind in OUTCOMES[1:]}
            assert counts == pytest.approx(error.shares)
            assert float(ranking.positives.sum()) == curve.positives


def test_photos_add_up_to_the_classes() -> None:
    for seed in range(20):
        result = random_case(seed)
        for_all = [(each.recall * each.objects, each.precision) for each in result.per_class]
        right = sum(each.right for each in result.photos)
        assert right == pytest.approx(sum(count for count, _ in for_all))
        shown = sum(count / precision for count, precision in for_all if precision)
        assert right + sum(each.false_alarms for each in result.photos) == pytest.approx(shown)
        assert sum(each.missed for each in result.photos) == result.objects - right


def test_a_lonely_image_has_no_interval() -> None:
    result = evaluation_of(IMAGES[:1], perfect(IMAGES[:1]))
    assert (result.map_2007_interval, result.map_2010_interval) == (None, None)


def test_the_interval_is_the_same_every_time_and_around_the_mean() -> None:
    for seed in range(3):
        result, again = random_case(seed), random_case(seed)
        assert result.map_2007_interval == again.map_2007_interval
        low, high = result.map_2010_interval or (1, 0)
        assert low < result.voc.map_2010 < high


def test_proposals_cover_for_the_counts_that_they_reach() -> None:
    boxes = [torch.cat((torch.tensor([FAR] * 150).float(), each.boxes)) for each in IMAGES]
    covered = evaluation_of(IMAGES, perfect(IMAGES), tuple(boxes)).coverage
    assert covered is not None
    assert covered.counts == (10, 100, 153)
    assert covered.recall(0.5).tolist() == [0, 0, 1]
    assert covered.proposals.tolist() == pytest.approx([10, 100, 152])
    hundred = evaluation_of(IMAGES, perfect(IMAGES), tuple(each[:100] for each in boxes)).coverage
    assert hundred is not None
    assert hundred.counts == (10, 100)
    assert evaluation_of(IMAGES, perfect(IMAGES)).coverage is None


def test_without_the_library_the_reason_stands_for_cocos_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluation_of(IMAGES, perfect(IMAGES)).why_no_coco == ""
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    result = evaluation_of(IMAGES, perfect(IMAGES))
    assert result.coco is None
    assert "pip install 'fourfold[detect]'" in result.why_no_coco
    assert result.voc.map_2010 == pytest.approx(1)


def test_seconds_add_up() -> None:
    assert Seconds(1.0, 2.0, 4.0).total == 7
    assert astuple(Seconds(1.0, 2.0, 4.0)) == (1, 2, 4)


@pytest.mark.parametrize(
    ("images", "found", "words"),
    [
        ([], [], "there is no image to evaluate"),
        ([image_of()], [nothing_found()], "no image has an object"),
        ([image_of((A, CAT), difficult=(0,))], [nothing_found()], "no image has an object"),
        (IMAGES, [], "there are detections of 0 images, and 3 images"),
        (IMAGES[:1], [found_of((A, 3, 0.9))], "a label is 3 of 3 classes"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_at_once(images: list[Annotated], found: list[Detections], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        evaluation_of(images, found)
