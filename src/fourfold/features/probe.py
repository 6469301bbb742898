"""A linear classifier on features: one SVM for each class, or logistic regression (VGG appendix B, SPP-net 3.4).

Its cost C is chosen by cross-validation. Nothing of the network is changed, so that this takes seconds.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fourfold.evaluate.metrics import ClassScore, Interval, class_scores, top_k_hits, wilson
from fourfold.files import write_text
from fourfold.shapes import expect
from fourfold.weights import read_weights, save_weights

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]
    from sklearn.svm import LinearSVC  # pyright: ignore[reportMissingImports]

SVM, LOGISTIC = "svm", "logistic"
COSTS = tuple(10.0**power for power in range(-2, 4))  # a Reading: VGG chooses C on held-out images, of what it does not say
FOLDS = 5  # VGG appendix B holds out 20 % of the training images
MOST_ROUNDS = 10_000  # of a solver; ends what does not converge (ours)
PROBE, WEIGHTS = "probe.json", "probe.safetensors"


@dataclass(frozen=True, eq=False)
class Probe:
    """Scores of K classes from features, which are brought to length 1 first.

    weights: float32 (K,D). biases: float32 (K,). cost: the C chosen, and chances: (C, accuracy in cross-validation in per
    cent) of all that were tried. header: of the features, see Features.
    """

    weights: Tensor
    biases: Tensor
    classes: tuple[str, ...]
    kind: str
    cost: float
    chances: tuple[tuple[float, float], ...]
    header: Mapping[str, Any]

    def scores(self, features: Tensor) -> Tensor:
        """(N,D) -> float32 (N,K). Of logistic regression their softmax is the probabilities."""
        expect(features, f"N {self.weights.shape[1]}", name="the features")
        return F.normalize(features, dim=1) @ self.weights.T + self.biases

    def predict(self, features: Tensor) -> Tensor:
        """(N,D) -> int64 (N,), indices into `classes`."""
        return self.scores(features).argmax(1)


@dataclass(frozen=True)
class ProbeScores:
    """How a probe does on images that it has not seen: accuracy and its interval in per cent, scores of each class."""

    images: int
    accuracy: float
    interval: Interval
    per_class: tuple[ClassScore, ...]


def fit_probe(
    features: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    header: Mapping[str, Any],
    *,
    seed: int,
    kind: str = SVM,
    costs: Sequence[float] = COSTS,
) -> Probe:
    """Fit float32 features (N,D) to labels int64 (N,), indices into `classes`.

    The cost of the best accuracy in a stratified cross-validation is taken, of equal ones the lowest; the division into
    parts follows from `seed`. The SVMs have squared hinge loss, one class against the others; logistic regression has one
    softmax. Raises ValueError where a class has fewer than two images, and for features that are not finite.
    """
    _check(features, labels, classes, kind, costs)
    folds = min(FOLDS, int(labels.bincount(minlength=len(classes)).min()))
    values, truth = F.normalize(features.double(), dim=1).numpy(), labels.numpy()
    svm_or_logistic = _svm if kind == SVM else _logistic
    try:
        from sklearn.exceptions import ConvergenceWarning  # pyright: ignore[reportMissingImports]
        from sklearn.model_selection import (  # pyright: ignore[reportMissingImports]
            StratifiedKFold,
            cross_val_score,
        )
    except ImportError:
        raise ValueError("probes need the library scikit-learn; install it: pip install 'fourfold[features]'") from None
    division = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a large C may end early; cross-validation has seen it so
        tried = [cross_val_score(svm_or_logistic(c, seed), values, truth, cv=division).mean() for c in costs]
        best = max(range(len(costs)), key=lambda place: (tried[place], -costs[place]))
        fitted = svm_or_logistic(costs[best], seed).fit(values, truth)
    weights, biases = _planes(torch.as_tensor(fitted.coef_), torch.as_tensor(fitted.intercept_))
    chances = tuple((float(cost), 100 * float(share)) for cost, share in zip(costs, tried, strict=True))
    return Probe(weights.float(), biases.float(), tuple(classes), kind, float(costs[best]), chances, dict(header))


def evaluate_probe(probe: Probe, features: Tensor, labels: Tensor) -> ProbeScores:
    """How often a probe is right on features (N,D) of labels int64 (N,). Raises ValueError where there are none."""
    if not len(features):
        raise ValueError("there is no image to test on; give at least one")
    scores = probe.scores(features)
    hits = top_k_hits(scores, labels, 1)
    share = 100 * hits / len(labels)
    return ProbeScores(len(labels), share, wilson(hits, len(labels)), class_scores(labels, scores.argmax(1), probe.classes))


def write_probe(folder: Path, probe: Probe) -> None:
    """A probe as two files in a folder: probe.safetensors and probe.json."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS, {"weights": probe.weights, "biases": probe.biases})
    record = {
        "classes": probe.classes,
        "kind": probe.kind,
        "cost": probe.cost,
        "chances": probe.chances,
        "header": dict(probe.header),
    }
    write_text(folder / PROBE, json.dumps(record, indent=1) + "\n")


def read_probe(folder: Path) -> Probe:
    """The inverse of `write_probe`. Raises ValueError where the folder holds none, or its files are damaged."""
    if not (folder / PROBE).is_file():
        raise ValueError(f"{folder} holds no {PROBE}; give a folder that `fourfold probe --out` made")
    tensors = read_weights(folder / WEIGHTS)
    try:
        record = json.loads((folder / PROBE).read_text(encoding="utf-8"))
        chances = tuple((float(cost), float(share)) for cost, share in record["chances"])
        classes, weights, biases = tuple(record["classes"]), tensors["weights"], tensors["biases"]
        expect(weights, f"{len(classes)} {record['header']['width']}", name="the weights")
        expect(biases, str(len(classes)), name="the biases")
        return Probe(weights, biases, classes, record["kind"], float(record["cost"]), chances, record["header"])
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{folder / PROBE} is damaged ({error}); make the probe again") from error


def _check(features: Tensor, labels: Tensor, classes: Sequence[str], kind: str, costs: Sequence[float]) -> None:
    if kind not in (SVM, LOGISTIC):
        raise ValueError(f"no probe {kind!r}; give {SVM} or {LOGISTIC}")
    if not costs or min(costs) <= 0:
        raise ValueError(f"costs are {tuple(costs)}; give one or more numbers above 0")
    expect(labels, str(len(features)), name="the labels")
    if len(classes) < 2:
        raise ValueError(f"{len(classes)} classes cannot be told apart; give two or more")
    if not features.isfinite().all():
        raise ValueError("some features are infinite or no numbers; check the network's weights")
    for name, count in zip(classes, labels.bincount(minlength=len(classes)).tolist(), strict=True):
        if count < 2:
            raise ValueError(f"class {name} has {count} images that can be read; cross-validation needs two of each class")


def _svm(cost: float, seed: int) -> LinearSVC:
    from sklearn.svm import LinearSVC  # pyright: ignore[reportMissingImports]

    return LinearSVC(C=cost, max_iter=MOST_ROUNDS, random_state=seed % 2**32)


def _logistic(cost: float, seed: int) -> LogisticRegression:
    from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]

    return LogisticRegression(C=cost, max_iter=MOST_ROUNDS, random_state=seed % 2**32)


def _planes(weights: Tensor, biases: Tensor) -> tuple[Tensor, Tensor]:
    """One row for each class: of two classes scikit-learn has one, the second's against the first's.

    Halves, so that the softmax of the two scores is the sigmoid of that one.
    """
    if len(weights) > 1:
        return weights, biases
    return torch.cat([-weights, weights]) / 2, torch.cat([-biases, biases]) / 2
