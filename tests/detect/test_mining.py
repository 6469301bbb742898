"""Hard negative mining against the SVM of all negatives, and its promises one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fourfold.boxes import iou
from fourfold.detect.mining import RCNN, SPPNET, Miner, Mining, MiningState, RegionFeatures, mine
from fourfold.detect.svm import Plane, fit_svm

WIDTH, CLASSES, SCALE = 10, 3, 2.0
CENTRES = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(99)) * 2


def regions_of(index: int, count: int = 60) -> RegionFeatures:
    dice = torch.Generator().manual_seed(index)
    low = torch.rand(count, 2, generator=dice) * 50
    boxes = torch.cat((low, low + 10 + 20 * torch.rand(count, 2, generator=dice)), 1)
    features = 4 * torch.randn(count, WIDTH, generator=dice)
    return RegionFeatures(features, boxes, torch.rand(count, CLASSES, generator=dice, dtype=torch.float64))


def positives_of(count: int = 40) -> list[Tensor]:
    dice = torch.Generator().manual_seed(1000)
    return [4 * (torch.randn(count + label, WIDTH, generator=dice) + CENTRES[label]) for label in range(CLASSES)]


def objective(svm: Plane, positives: Tensor, negatives: Tensor) -> float:
    """What the SVM should make least: cost 1e-3, a positive's twice, and the bias as the weight of a feature of 10."""
    losses = [
        (1 - sign * (SCALE * part @ svm.weights + svm.bias)).clamp(min=0).sum()
        for sign, part in ((1, positives), (-1, negatives))
    ]
    return float(2e-3 * losses[0] + 1e-3 * losses[1] + svm.weights @ svm.weights / 2) + (svm.bias / 10) ** 2 / 2


def test_the_releases_numbers() -> None:
    assert Mining(overlap=0.3, hard=-1.0001, easy=-1.2, retrain_after=2000, apart=1.0) == RCNN
    assert replace(RCNN, apart=0.7) == SPPNET


def test_mining_finds_the_svm_of_all_negatives() -> None:
    miner = Miner(positives_of(), SCALE, replace(RCNN, retrain_after=40), 0)
    mined, first = mine(miner, regions_of, 60), miner.look(miner.start(), regions_of(0))
    for label, report in enumerate(mined.reports):
        negatives = torch.cat([r.features[r.overlaps[:, label] < 0.3] for r in map(regions_of, range(60))])
        whole = fit_svm(miner.positives[label] * SCALE, negatives * SCALE, seed=0)
        assert report.positives == 40 + label
        assert 0 < report.negatives < report.found < len(negatives) / 2
        assert report.fits > 3
        assert report.is_trained
        assert report.has_converged
        assert report.forgotten == 0
        svm = Plane(mined.svms.weights[label], float(mined.svms.biases[label]), True)
        early = first.classes[label].plane
        assert early is not None
        far, near = (float((each.weights - whole.weights).norm() / whole.weights.norm()) for each in (early, svm))
        assert near < 0.1 < far  # negatives that an early SVM finds easy are not looked at again
        least, more, most = (objective(each, miner.positives[label], negatives) for each in (whole, svm, early))
        assert least < 1.01 * more < 1.02 * least < 0.9 * most


def test_the_first_image_gives_all_its_negatives_and_later_ones_those_with_high_scores() -> None:
    miner = Miner(positives_of(), SCALE, RCNN, 0)
    first = miner.look(miner.start(), regions_of(0, 400))
    second = miner.look(first, regions_of(1))
    for label in range(CLASSES):
        are_negative = regions_of(0, 400).overlaps[:, label] < 0.3
        before, after = first.classes[label], second.classes[label]
        assert before.found == int(are_negative.sum())
        assert (before.fits, before.added) == (1, 0)
        assert before.plane is not None
        trained = fit_svm(miner.positives[label] * SCALE, regions_of(0, 400).features[are_negative] * SCALE, seed=0)
        assert torch.equal(before.plane.weights, trained.weights)
        scores = regions_of(0, 400).features[are_negative] * SCALE @ trained.weights + trained.bias
        assert torch.equal(torch.cat(before.negatives), regions_of(0, 400).features[are_negative][scores >= -1.2] * SCALE)
        assert 0 < len(before.negatives[0]) < before.found
        new = regions_of(1)
        is_hard = (new.features * SCALE @ trained.weights + trained.bias > -1.0001) & (new.overlaps[:, label] < 0.3)
        assert torch.equal(after.negatives[-1], new.features[is_hard] * SCALE)
        assert (after.added, after.found, after.fits) == (int(is_hard.sum()), before.found + int(is_hard.sum()), 1)
        assert 0 < after.added < int((new.overlaps[:, label] < 0.3).sum())


def test_an_overlap_of_exactly_the_threshold_is_no_negative() -> None:
    made = regions_of(0, 3)
    made = replace(made, overlaps=torch.tensor([[0.3, 0.0, 0.9], [0.2999, 0.3, 0.9], [0.0, 0.31, 0.9]], dtype=torch.float64))
    miner = Miner(positives_of(), SCALE, RCNN, 0)
    state = miner.look(miner.start(), made)
    assert [each.found for each in state.classes] == [2, 1, 0]
    assert [each.fits for each in state.classes] == [1, 1, 0]


def test_an_svm_is_trained_again_when_more_than_so_many_are_new() -> None:
    miner = Miner(positives_of(), SCALE, replace(RCNN, retrain_after=10, easy=-1e9), 0)
    state = miner.start()
    fits = []
    for index in range(30):
        before = state.classes[0]
        state = miner.look(state, regions_of(index))
        after = state.classes[0]
        new = after.found - before.found
        assert after.fits - before.fits == int(before.plane is None or before.added + new > 10)
        assert after.added == (0 if after.fits > before.fits else before.added + new)
        assert sum(map(len, after.negatives)) == after.found  # nothing is easy here
        fits.append(after.fits)
    assert 3 < fits[-1] < 30


def test_an_interruption_changes_no_bit(tmp_path: Path) -> None:
    miner = Miner(positives_of(), SCALE, replace(SPPNET, retrain_after=25), 4)
    whole = mine(miner, regions_of, 20)
    states: list[MiningState] = []
    mine(miner, regions_of, 20, saved=states.append)
    assert [state.images for state in states] == list(range(1, 21))
    for state in (states[0], states[3], states[11], states[19]):
        save_file(state.tensors(WIDTH), tmp_path / "state.safetensors")
        again = MiningState.from_tensors(load_file(tmp_path / "state.safetensors"))
        asked: list[int] = []

        def describe(index: int, asked: list[int] = asked) -> RegionFeatures:
            asked.append(index)
            return regions_of(index)

        resumed = mine(miner, describe, 20, again)
        assert asked == list(range(state.images, 20))
        assert torch.equal(resumed.svms.weights, whole.svms.weights)
        assert torch.equal(resumed.svms.biases, whole.svms.biases)
        assert resumed.reports == whole.reports


def test_the_start_can_be_saved_too() -> None:
    miner = Miner(positives_of(), SCALE, RCNN, 0)
    again = MiningState.from_tensors(miner.start().tensors(WIDTH))
    assert torch.equal(mine(miner, regions_of, 3, again).svms.weights, mine(miner, regions_of, 3).svms.weights)


def test_a_class_without_positives_or_negatives_is_never_seen_and_is_reported() -> None:
    positives = positives_of()
    positives[1] = torch.zeros(0, WIDTH)

    def describe(index: int) -> RegionFeatures:
        made = regions_of(index)
        made.overlaps[:, 2] = 0.8
        return made

    mined = mine(Miner(positives, SCALE, RCNN, 0), describe, 4)
    assert [report.is_trained for report in mined.reports] == [True, False, False]
    assert [report.positives for report in mined.reports] == [40, 0, 42]
    assert [report.found for report in mined.reports][1:] == [0, 0]
    scores = mined.svms(regions_of(9).features)
    assert scores.isfinite().all()
    assert (scores[:, 1:] < -1e8).all()
    assert (scores[:, 0].abs() < 100).all()


def test_images_without_regions_change_nothing() -> None:
    miner = Miner(positives_of(), SCALE, RCNN, 0)
    empty = regions_of(0, 0)
    with_gaps = mine(miner, lambda index: regions_of(index // 2) if index % 2 else empty, 6)
    assert torch.equal(with_gaps.svms.weights, mine(miner, regions_of, 3).svms.weights)
    assert not any(report.is_trained for report in mine(miner, lambda _: empty, 2).reports)


def test_spp_nets_negatives_of_an_image_lie_apart_and_the_hardest_stays() -> None:
    crowded = regions_of(1, 200)
    crowded = replace(
        crowded,
        boxes=torch.cat((crowded.boxes[:50], crowded.boxes[:50] * 1.01, crowded.boxes[:50], crowded.boxes[:50] * 0.99)),
    )
    miner = Miner(positives_of(), SCALE, replace(SPPNET, hard=-3.0), 0)
    start = miner.look(miner.start(), regions_of(0))
    taken = miner.look(start, crowded).classes[0].negatives[-1]
    plane = start.classes[0].plane
    assert plane is not None
    scores = crowded.features * SCALE @ plane.weights + plane.bias
    pool = ((scores > -3.0) & (crowded.overlaps[:, 0] < 0.3)).nonzero()[:, 0].tolist()
    kept: list[int] = []
    for row in sorted(pool, key=lambda row: -float(scores[row])):
        if not any(float(iou(crowded.boxes[[row]], crowded.boxes[[other]])) > 0.7 for other in kept):
            kept.append(row)
    assert len(kept) < len(pool) - 5
    assert torch.equal(taken, crowded.features[sorted(kept)] * SCALE)
    first = miner.look(miner.start(), crowded).classes[0]
    assert first.found < int((crowded.overlaps[:, 0] < 0.3).sum())  # on the first image they lie apart too


def test_the_hardest_stay_where_there_are_too_many() -> None:
    free = Miner(positives_of(), SCALE, replace(RCNN, easy=-5.0), 0)
    bound = replace(free, mining=replace(free.mining, most=7))
    all_of, few_of = (miner.look(miner.start(), regions_of(0)).classes[0] for miner in (free, bound))
    plane = all_of.plane
    assert plane is not None
    rows = torch.cat(all_of.negatives)
    hardest = (rows @ plane.weights + plane.bias).topk(7).indices.sort().values
    assert torch.equal(torch.cat(few_of.negatives), rows[hardest])
    assert few_of.forgotten == len(rows) - 7
    assert mine(bound, regions_of, 1).reports[0].forgotten == len(rows) - 7


def test_those_forgotten_add_up_over_the_trainings() -> None:
    bound = Miner(positives_of(), SCALE, replace(RCNN, retrain_after=5, easy=-1e9, most=7), 0)
    state = bound.start()
    for index in range(8):
        state = bound.look(state, regions_of(index))
        for each in state.classes:
            assert each.forgotten == each.found - sum(map(len, each.negatives))  # nothing is easy here
    assert all(each.fits > 2 for each in state.classes)


def test_without_an_svm_a_class_takes_all_its_negatives_whatever_is_hard() -> None:
    state = Miner(positives_of(), SCALE, replace(RCNN, hard=0.5), 0)
    found = state.look(state.start(), regions_of(0)).classes[1].found
    assert found == int((regions_of(0).overlaps[:, 1] < 0.3).sum())


def test_the_seed_is_the_solvers() -> None:
    mined = [mine(Miner(positives_of(), SCALE, RCNN, seed), regions_of, 3).svms.weights for seed in (0, 0, 1)]
    assert torch.equal(mined[0], mined[1])
    assert not torch.equal(mined[0], mined[2])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no class"):
        Miner([], SCALE, RCNN, 0)
    with pytest.raises(ValueError, match="positives of class 1"):
        Miner([torch.ones(2, 4), torch.ones(2, 5)], SCALE, RCNN, 0)
    miner = Miner(positives_of(), SCALE, RCNN, 0)
    with pytest.raises(ValueError, match="the features of regions"):
        miner.look(miner.start(), replace(regions_of(0), features=torch.ones(60, 3)))
    with pytest.raises(ValueError, match="the overlaps of regions"):
        miner.look(miner.start(), replace(regions_of(0), overlaps=torch.ones(60, 2)))
