"""SVMs against the library called directly, against the objective that they minimise, and by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch import Tensor

from fourfold.detect import svm
from fourfold.detect.svm import LinearSvms, fit_svm, join, scale_for


def made(count: int, centre: float, seed: int, width: int = 12) -> Tensor:
    """Features as after a ReLU: no negative ones, many zeros."""
    return (torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + centre).clamp(min=0)


def objective(weights: np.ndarray, bias: float, positives: Tensor, negatives: Tensor) -> float:
    """R-CNN's, by its release: cost 1e-3, a positive's twice, and the bias as the weight of a feature of 10."""
    scores = [part.double().numpy() @ weights + bias for part in (positives, negatives)]
    losses = 2e-3 * np.maximum(0, 1 - scores[0]).sum() + 1e-3 * np.maximum(0, 1 + scores[1]).sum()
    return float(losses + weights @ weights / 2 + (bias / 10) ** 2 / 2)


def test_the_svm_is_that_of_the_library() -> None:
    positives, negatives = 8 * made(60, 1.0, 0), 8 * made(200, 0.0, 1)
    plane = fit_svm(positives, negatives, seed=3)
    features = torch.cat((positives, negatives)).double().numpy()
    labels = np.array([1] * 60 + [-1] * 200)
    other = LinearSVC(
        loss="hinge", C=1e-3, intercept_scaling=10, class_weight={1: 2.0, -1: 1.0}, tol=1e-6, max_iter=10**6, random_state=0
    ).fit(features, labels)
    assert plane.has_converged
    assert plane.weights.dtype == torch.float32
    np.testing.assert_allclose(
        plane.weights.numpy(), np.ravel(other.coef_), rtol=0, atol=2e-3
    )  # the solvers stop at 1e-3 and 1e-6
    assert plane.bias == pytest.approx(float(np.ravel(other.intercept_)[0]), abs=5e-3)
    scores = features @ plane.weights.double().numpy() + plane.bias
    assert (scores[:60] > 0).sum() > 40
    assert (scores[60:] > 0).sum() < 20


def test_no_step_away_from_the_svm_makes_its_objective_less() -> None:
    positives, negatives = 5 * made(30, 0.5, 2), 5 * made(200, 0.0, 3)
    plane = fit_svm(positives, negatives, seed=0)
    weights = plane.weights.double().numpy()
    least = objective(weights, plane.bias, positives, negatives)
    dice = np.random.default_rng(0)
    for size in (0.3, 0.1, 0.03):
        for _ in range(50):
            step = dice.normal(size=13) * size
            assert objective(weights + step[:12] / 5, plane.bias + step[12], positives, negatives) > least * (1 - 1e-4)


def test_the_same_seed_gives_the_same_svm_and_any_seed_nearly_so() -> None:
    positives, negatives = 5 * made(40, 0.3, 4), 5 * made(300, 0.0, 5)
    one, same, other = (fit_svm(positives, negatives, seed=seed) for seed in (1, 1, 2**40 + 7))
    assert torch.equal(one.weights, same.weights)
    assert one.bias == same.bias
    assert not torch.equal(one.weights, other.weights)
    torch.testing.assert_close(one.weights, other.weights, rtol=0, atol=3e-3)  # the solver's tolerance


def test_the_larger_the_cost_the_fewer_the_mistakes() -> None:
    positives, negatives = made(40, 0.8, 6), made(300, 0.0, 7)
    losses = []
    for cost in (1e-4, 1e-2, 1.0):
        plane = fit_svm(positives, negatives, seed=0, cost=cost)
        losses.append(float((1 - (positives @ plane.weights + plane.bias)).clamp(min=0).mean()))
    assert losses[0] > losses[1] > losses[2]


def test_a_solver_that_does_not_converge_says_so_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svm, "MOST_ROUNDS", 1)
    monkeypatch.setattr(svm, "TOLERANCE", 1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not fit_svm(made(40, 0.1, 8), made(300, 0.0, 9), seed=0, cost=10.0).has_converged


def test_scores_are_products_of_scaled_features_and_a_class_without_svm_scores_below_all() -> None:
    plane = fit_svm(made(9, 1.0, 10), made(20, 0.0, 11), seed=0)
    svms = join([None, plane], 0.5, 12)
    features = 8 * made(7, 0.2, 12)
    scores = svms(features)
    assert scores.shape == (7, 2)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
    assert (scores[:, 0] < -1e8).all()
    slow = [
        sum(0.5 * a * b for a, b in zip(row, plane.weights.tolist(), strict=True)) + plane.bias for row in features.tolist()
    ]
    assert scores[:, 1].tolist() == pytest.approx(slow, rel=1e-4, abs=1e-5)
    assert svms(torch.zeros(0, 12)).shape == (0, 2)


def test_tensors_bring_back_the_same_scores() -> None:
    svms = LinearSvms(made(3, 0.0, 13), torch.tensor([0.1, -2.0, 3.0]), 1 / 3)
    tensors = svms.tensors()
    assert all(isinstance(each, Tensor) for each in tensors.values())
    again = LinearSvms.from_tensors(tensors)
    assert torch.equal(again(made(5, 0.0, 14)), svms(made(5, 0.0, 14)))
    assert again.scale == 1 / 3


def test_scaled_features_have_the_mean_length_of_20() -> None:
    features = torch.tensor([[3.0, 4.0], [0.0, 0.0], [9.0, 12.0], [0.0, 0.0]])
    assert scale_for(features) == pytest.approx(20 / 5)
    assert float((features * scale_for(features)).norm(dim=1).mean()) == pytest.approx(20)


def test_what_cannot_be_learnt_or_scaled_is_refused() -> None:
    with pytest.raises(ValueError, match="0 positives and 4 negatives"):
        fit_svm(torch.zeros(0, 3), torch.ones(4, 3), seed=0)
    with pytest.raises(ValueError, match="2 positives and 0 negatives"):
        fit_svm(torch.ones(2, 3), torch.ones(0, 3), seed=0)
    with pytest.raises(ValueError, match="the negatives has shape"):
        fit_svm(torch.ones(2, 3), torch.ones(4, 2), seed=0)
    for wrong in (torch.zeros(3, 2), torch.zeros(0, 2), torch.tensor([[1.0, torch.inf]])):
        with pytest.raises(ValueError, match="mean length"):
            scale_for(wrong)
    with pytest.raises(ValueError, match="the features of regions"):
        LinearSvms(torch.ones(2, 3), torch.ones(2), 1.0)(torch.ones(5, 4))
