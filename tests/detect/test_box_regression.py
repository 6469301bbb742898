"""Box regression against scikit-learn's ridge, numpy's covariance, and data that is linear by making."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import Ridge as LibraryRidge
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.box_code import decode, encode
from fourfold.detect.box_regression import (
    RCNN,
    SPPNET,
    BoxExamples,
    BoxRegression,
    Ridge,
    fit_boxes,
    gather,
    pairs_of,
    solve_ridge,
    whitening,
)
from fourfold.detect.sampling import match


def boxes_of(count: int, dice: torch.Generator) -> Tensor:
    low = torch.rand(count, 2, generator=dice) * 40
    return torch.cat((low, low + 8 + 25 * torch.rand(count, 2, generator=dice)), 1)


def linear(count: int, width: int, seed: int, noise: float = 0.0) -> tuple[BoxExamples, Tensor, Tensor]:
    """Examples whose code is weights (4,P) times pooled, and biases (4,)."""
    dice = torch.Generator().manual_seed(seed)
    pooled = torch.randn(count, width, generator=dice)
    weights = torch.tensor([[0.02], [0.05], [0.08], [0.1]]) * torch.randn(4, width, generator=dice)
    biases = torch.tensor([0.1, -0.05, 0.2, -0.1])
    boxes = boxes_of(count, dice)
    code = pooled @ weights.T + biases + noise * torch.randn(count, 4, generator=dice)
    return BoxExamples(pooled, boxes, decode(boxes, code)), weights, biases


def test_the_papers_numbers() -> None:
    assert (RCNN.decay, RCNN.overlap) == (1000, 0.6)
    assert (SPPNET.decay, SPPNET.overlap) == (4000, 0.5)


@pytest.mark.parametrize(("count", "width"), [(60, 7), (9, 40), (20, 20), (1, 5)])
def test_the_weights_are_those_of_the_library_and_leave_no_gradient(count: int, width: int) -> None:
    """Both systems: one row for each feature, and one for each example."""
    dice = np.random.default_rng(count)
    features = np.concatenate([3 * dice.normal(size=(count, width)), np.ones((count, 1))], 1)
    targets = dice.normal(size=(count, 4))
    solved = solve_ridge(torch.from_numpy(features.copy()), torch.from_numpy(targets), 2.5).numpy()
    library = LibraryRidge(alpha=2.5, fit_intercept=False).fit(features, targets)
    np.testing.assert_allclose(solved, library.coef_.T, rtol=1e-9, atol=1e-12)
    gradient = features.T @ (features @ solved - targets) + 2.5 * solved
    np.testing.assert_allclose(gradient, 0, atol=1e-10)
    assert np.abs(solved).max() > 0.01


def test_whitened_targets_are_nearly_uncorrelated_with_a_spread_of_1() -> None:
    dice = np.random.default_rng(1)
    targets = dice.normal(size=(500, 4)) @ dice.normal(size=(4, 4))
    targets -= targets.mean(0)
    whiten, undo = (each.numpy() for each in whitening(torch.from_numpy(targets)))
    values, vectors = np.linalg.eigh(np.cov(targets.T, bias=True))
    np.testing.assert_allclose(whiten, vectors @ np.diag(1 / np.sqrt(values + 0.001)) @ vectors.T, atol=1e-9)
    np.testing.assert_allclose(whiten @ undo, np.eye(4), atol=1e-9)
    spread = np.cov((targets @ whiten).T, bias=True)
    assert np.abs(spread - np.eye(4)).max() < 0.05  # the 0.001 keeps it from being 1


def test_the_regression_is_the_papers_word_for_word() -> None:
    """Scaled features and a one, targets centred and whitened, ridge, and back."""
    examples, _, _ = linear(50, 6, 3, noise=0.05)
    scale, decay = 1.7, 30.0
    fitted = fit_boxes([examples], scale, Ridge(decay, 0.6))
    targets = encode(examples.boxes.double(), examples.objects.double()).numpy()
    mean = targets.mean(0)
    values, vectors = np.linalg.eigh((targets - mean).T @ (targets - mean) / 50)
    whiten = vectors @ np.diag(1 / np.sqrt(values + 0.001)) @ vectors.T
    undo = vectors @ np.diag(np.sqrt(values + 0.001)) @ vectors.T
    features = np.concatenate([examples.pooled.double().numpy() * scale, np.ones((50, 1))], 1)
    beta = LibraryRidge(alpha=decay, fit_intercept=False).fit(features, (targets - mean) @ whiten).coef_.T
    new = torch.randn(9, 6, generator=torch.Generator().manual_seed(4))
    boxes = boxes_of(9, torch.Generator().manual_seed(5))
    code = np.concatenate([new.double().numpy() * scale, np.ones((9, 1))], 1) @ beta @ undo + mean
    wanted = decode(boxes.double(), torch.from_numpy(code)).float()
    torch.testing.assert_close(fitted(new, boxes, torch.zeros(9, dtype=torch.int64)), wanted, rtol=1e-4, atol=1e-3)
    assert (wanted - boxes).abs().max() > 3


@pytest.mark.parametrize(("count", "width"), [(300, 5), (30, 60)])
def test_made_linear_targets_are_recovered_by_a_weak_decay(count: int, width: int) -> None:
    examples, weights, biases = linear(count, width, 6)
    fitted = fit_boxes([examples], 2.0, Ridge(1e-6, 0.6))
    moved = fitted(examples.pooled, examples.boxes, torch.zeros(count, dtype=torch.int64))
    torch.testing.assert_close(moved, examples.objects, rtol=1e-3, atol=2e-3)
    if count > width:
        torch.testing.assert_close(fitted.weights[0] * 2, weights, rtol=0, atol=1e-4)
        torch.testing.assert_close(fitted.biases[0], biases, rtol=0, atol=1e-4)


def test_each_class_moves_its_own_boxes_and_one_without_pairs_none() -> None:
    first, second = linear(80, 5, 7)[0], linear(90, 5, 8)[0]
    nothing = BoxExamples(torch.zeros(0, 5), torch.zeros(0, 4), torch.zeros(0, 4))
    fitted = fit_boxes([first, nothing, second], 1.0, Ridge(0.01, 0.6))
    assert fitted.pairs.tolist() == [80, 0, 90]
    assert fitted.weights.shape == (3, 4, 5)
    pooled, boxes = torch.cat((first.pooled[:6], second.pooled[:6])), torch.cat((first.boxes[:6], second.boxes[:6]))
    boxes = boxes / 3
    labels = torch.tensor([0, 1, 2] * 4)
    moved = fitted(pooled, boxes, labels)
    alone = [fit_boxes([each], 1.0, Ridge(0.01, 0.6)) for each in (first, second)]
    zeros = torch.zeros(4, dtype=torch.int64)
    for label, one in ((0, alone[0]), (2, alone[1])):
        own = labels == label
        torch.testing.assert_close(moved[own], one(pooled[own], boxes[own], zeros))
        assert (moved[own] - boxes[own]).abs().max() > 0.1
    assert torch.equal(moved[labels == 1], boxes[labels == 1])
    assert fitted(torch.zeros(0, 5), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)).shape == (0, 4)


def test_a_decay_without_end_moves_by_the_mean() -> None:
    examples, _, _ = linear(40, 5, 9)
    fitted = fit_boxes([examples], 1.0, Ridge(1e12, 0.6))
    wanted = decode(examples.boxes, encode(examples.boxes, examples.objects).mean(0).expand(40, 4))
    moved = fitted(examples.pooled, examples.boxes, torch.zeros(40, dtype=torch.int64))
    torch.testing.assert_close(moved, wanted, rtol=1e-4, atol=1e-3)


def test_tensors_bring_back_the_same_boxes(tmp_path: Path) -> None:
    examples, _, _ = linear(40, 5, 10)
    fitted = fit_boxes([examples, examples], 1 / 3, RCNN)
    save_file(fitted.tensors(), tmp_path / "boxes.safetensors")
    again = BoxRegression.from_tensors(load_file(tmp_path / "boxes.safetensors"))
    labels = torch.tensor([0, 1] * 20)
    assert torch.equal(again(examples.pooled, examples.boxes, labels), fitted(examples.pooled, examples.boxes, labels))
    assert again.scale == 1 / 3


def made_images() -> tuple[list[Tensor], list[Annotated]]:
    dice = torch.Generator().manual_seed(12)
    images, candidates = [], []
    for count in (3, 0, 2, 4):
        objects = boxes_of(count, dice)
        labels = torch.randint(0, 3, (count,), generator=dice)
        flags = torch.arange(count) == 2
        images.append(Annotated(File(Path("photo.jpg")), 80, 70, objects, labels, flags))
        near = objects.repeat(20, 1) + 3 * torch.randn(20 * count, 4, generator=dice)
        candidates.append(torch.cat((near, boxes_of(15, dice))))
    return candidates, images


def test_pairs_are_the_boxes_that_overlap_an_object_enough() -> None:
    candidates, images = made_images()
    matches = [match(boxes, image) for boxes, image in zip(candidates, images, strict=True)]
    pairs = pairs_of(matches, Ridge(1.0, 0.6), 4, seed=0)
    wanted = [(i, row) for i, each in enumerate(matches) for row in range(len(each)) if float(each.overlaps[row]) >= 0.6]
    assert list(zip(pairs.images.tolist(), pairs.rows.tolist(), strict=True)) == wanted
    assert 30 < len(pairs) < sum(map(len, candidates)) - 60
    for image, row, thing, label in zip(pairs.images, pairs.rows, pairs.objects, pairs.labels, strict=True):
        assert int(matches[image].objects[row]) == int(thing)
        assert int(images[image].labels[thing]) == int(label)
        assert not images[image].is_difficult[thing]
    assert len(pairs_of(matches, Ridge(1.0, 0.5), 4, seed=0)) > len(pairs)
    assert len(pairs_of([], RCNN, 2, seed=0)) == 0


def test_an_overlap_of_exactly_the_threshold_makes_a_pair() -> None:
    image = Annotated(
        File(Path("p.jpg")), 9, 20, torch.tensor([[0.0, 0.0, 10.0, 4.0]]), torch.tensor([1]), torch.tensor([False])
    )
    boxes = torch.tensor([[0.0, 0.0, 6.0, 4.0], [0.0, 0.0, 5.9, 4.0], [0.0, 0.0, 5.0, 4.0]])
    assert pairs_of([match(boxes, image)], RCNN, 2, seed=0).rows.tolist() == [0]
    assert pairs_of([match(boxes, image)], SPPNET, 2, seed=0).rows.tolist() == [0, 1, 2]


def test_too_many_pairs_of_a_class_are_drawn_from_by_the_seed() -> None:
    candidates, images = made_images()
    matches = [match(boxes, image) for boxes, image in zip(candidates, images, strict=True)]
    every = pairs_of(matches, Ridge(1.0, 0.6), 3, seed=0).labels.bincount(minlength=3)
    few = [pairs_of(matches, Ridge(1.0, 0.6, most=5), 3, seed=seed) for seed in (0, 0, 1)]
    assert every.max() > 8
    for pairs in few:
        assert pairs.labels.bincount(minlength=3).tolist() == every.clamp(max=5).tolist()
        assert (pairs.images.diff() >= 0).all()
    assert torch.equal(few[0].rows, few[1].rows)
    assert not torch.equal(few[0].rows, few[2].rows)


def test_examples_are_gathered_by_class_with_their_own_objects() -> None:
    candidates, images = made_images()
    matches = [match(boxes, image) for boxes, image in zip(candidates, images, strict=True)]
    pairs = pairs_of(matches, RCNN, 4, seed=0)
    asked: list[int] = []

    def describe(index: int, rows: Tensor) -> Tensor:
        asked.append(index)
        return torch.cat((torch.full((len(rows), 1), float(index)), rows[:, None].float()), 1)

    examples = gather(pairs, candidates, images, 4, describe)
    assert asked == [0, 2, 3]
    assert [len(each.boxes) for each in examples] == pairs.labels.bincount(minlength=4).tolist()
    assert len(examples[3].boxes) == 0
    assert sum(len(each.boxes) for each in examples) > 30
    for label, each in enumerate(examples):
        for (image, row), box, thing in zip(each.pooled.int().tolist(), each.boxes, each.objects, strict=True):
            assert torch.equal(box, candidates[image][row])
            assert torch.equal(thing, images[image].boxes[matches[image].objects[row]])
            assert int(matches[image].labels[row]) == label
    assert fit_boxes(examples, 1.0, RCNN).pairs.tolist() == [len(each.boxes) for each in examples]


def test_no_pairs_at_all_move_nothing() -> None:
    candidates, images = made_images()
    empty = pairs_of([], RCNN, 2, seed=0)
    fitted = fit_boxes(gather(empty, candidates, images, 2, lambda _, rows: torch.ones(len(rows), 3)), 1.0, RCNN)
    boxes = candidates[0][:5]
    assert torch.equal(fitted(torch.ones(5, 3), boxes, torch.tensor([0, 1, 0, 1, 0])), boxes)


def test_what_cannot_be_learnt_or_moved_is_refused() -> None:
    examples, _, _ = linear(10, 5, 13)
    for wrong in ((0, 0.6, 5), (1000, 0.0, 5), (1000, 0.6, 0)):
        with pytest.raises(ValueError, match="; give "):
            Ridge(*wrong)
    fitted = fit_boxes([examples], 1.0, RCNN)
    with pytest.raises(ValueError, match="the pooled features"):
        fitted(torch.ones(3, 5), torch.ones(2, 4), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="without width or height"):
        fitted(torch.ones(1, 5), torch.tensor([[3.0, 1.0, 3.0, 2.0]]), torch.tensor([0]))
