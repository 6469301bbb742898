"""The threshold of the highest F1, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_curve

from fourfold.detect.found_class import best_f1, f1_scores, found_class
from fourfold.detect.voc_ap import Curve


def curve_of(positives: int, scores: list[float], is_right: list[int]) -> Curve:
    return Curve(positives, torch.tensor(scores), torch.tensor(is_right, dtype=torch.bool))


def test_five_detections_by_hand() -> None:
    curve = curve_of(4, [0.9, 0.8, 0.7, 0.6, 0.5], [1, 1, 0, 1, 0])
    # F1 of the first 1 to 5: 2/5, 4/6, 4/7, 6/8, 6/9
    assert f1_scores(curve).tolist() == pytest.approx([2 / 5, 4 / 6, 4 / 7, 6 / 8, 6 / 9])
    score = found_class("cat", curve, 2, torch.tensor([0, 0, 1, 0, 4]))
    assert (score.label, score.objects, score.difficult, score.found) == ("cat", 4, 2, 5)
    assert score.threshold == pytest.approx(0.6)
    assert (score.precision, score.recall, score.f1) == pytest.approx((3 / 4, 3 / 4, 3 / 4))
    assert (score.ap_2007, score.ap_2010) == (curve.ap_2007, curve.ap_2010)
    assert score.outcomes == (3, 1, 0, 0, 0)  # of the first four, as there are four objects


def test_a_threshold_does_not_part_equal_scores() -> None:
    curve = curve_of(2, [0.9, 0.5, 0.5, 0.5], [1, 1, 0, 0])  # F1 of the first two would be 1
    score = found_class("cat", curve, 0, torch.tensor([0, 0, 4, 4]))
    assert score.threshold == pytest.approx(0.9)  # 2/3 by one, 4/6 by all four: of equal ones the highest
    assert (score.precision, score.recall) == (1, 0.5)


def test_without_a_right_detection_there_is_no_threshold() -> None:
    for curve in (curve_of(3, [0.9], [0]), curve_of(3, [], []), curve_of(0, [0.9], [0])):
        score = found_class("cat", curve, 0, torch.full((len(curve.scores),), 4))
        assert best_f1(curve) is None
        assert (score.threshold, score.precision, score.recall, score.f1) == (None, 0, 0, 0)


def test_a_class_without_objects_has_no_average_precision() -> None:
    score = found_class("cat", curve_of(0, [0.9], [0]), 1, torch.tensor([4]))
    assert (score.ap_2007, score.ap_2010, score.found) == (None, None, 1)
    assert score.outcomes == (0, 0, 0, 0, 0)


def test_random_curves_have_the_f1_that_scikit_learn_finds() -> None:
    for seed in range(50):
        dice = np.random.default_rng(seed)
        count = int(dice.integers(2, 40))
        is_right = dice.random(count) < 0.5
        is_right[0] = True
        scores = -np.sort(-dice.integers(1, 12, count) / 12).astype(np.float32)  # equal ones
        precision, recall, thresholds = precision_recall_curve(is_right, scores)  # all objects are found in the end
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        curve = Curve(int(is_right.sum()), torch.from_numpy(scores), torch.from_numpy(is_right))
        score = found_class("cat", curve, 0, torch.zeros(count, dtype=torch.int64))
        assert score.f1 == pytest.approx(f1[:-1].max())
        assert score.threshold in thresholds[np.isclose(f1[:-1], f1[:-1].max(), atol=1e-12, rtol=0)]
