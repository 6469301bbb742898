"""Linear support vector machines, one for each class, on features of regions (R-CNN 2.3); trained by liblinear."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.shapes import expect

NORM = 20.0  # mean length to which features are scaled (code), so that one COST fits every network
COST = 1e-3  # of an example on the wrong side (code)
BIAS = 10  # value of the feature that stands for the bias: the larger, the less the bias is held down (code)
POSITIVE = 2.0  # how much more a positive's mistake costs (code)
TOLERANCE = 1e-3  # of the solver; the release leaves liblinear's 0.1, which stops early enough to depend on the seed (ours)
MOST_ROUNDS = 20_000  # over the examples; ends what does not converge (ours)
NEVER = -1e9  # the score of a class without an SVM: finite, and below any threshold


@dataclass(frozen=True, eq=False)
class Plane:
    """One class's SVM: features (R,D) @ weights float32 (D,) + bias. has_converged: whether the solver reached TOLERANCE."""

    weights: Tensor
    bias: float
    has_converged: bool


@dataclass(frozen=True, eq=False)
class LinearSvms:
    """Scores of K classes from features of regions.

    weights: float32 (K,D). biases: float32 (K,). scale: by what features are multiplied first, see `scale_for`.
    """

    weights: Tensor
    biases: Tensor
    scale: float

    def __call__(self, features: Tensor) -> Tensor:
        """Scores (R,K) of features (R,D), as the network gives them; a positive score says that the class is seen."""
        expect(features, f"R {self.weights.shape[1]}", name="the features of regions")
        return (features * self.scale) @ self.weights.T + self.biases

    def tensors(self) -> dict[str, Tensor]:
        """All there is, for a safetensors file."""
        return {"weights": self.weights, "biases": self.biases, "scale": torch.tensor(self.scale, dtype=torch.float64)}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> LinearSvms:
        """The inverse of `tensors`."""
        return LinearSvms(tensors["weights"], tensors["biases"], float(tensors["scale"]))


def join(planes: Sequence[Plane | None], scale: float, width: int) -> LinearSvms:
    """The SVMs of all classes, on `width` features; a class without one gets the score NEVER for every region."""
    weights = [torch.zeros(width) if plane is None else plane.weights for plane in planes]
    biases = [NEVER if plane is None else plane.bias for plane in planes]
    return LinearSvms(torch.stack(weights), torch.tensor(biases, dtype=torch.float32), scale)


def scale_for(features: Tensor) -> float:
    """The factor that gives features (R,D) the mean length NORM; a sample will do, in the release 200 boxes of 200 images.

    Raises ValueError where all of them are 0, there are none, or one is not finite.
    """
    mean = float(features.norm(dim=1).double().mean())
    if not 0 < mean < float("inf"):
        raise ValueError(f"{len(features)} features have a mean length of {mean}; give some that are finite and not all 0")
    return NORM / mean


def fit_svm(positives: Tensor, negatives: Tensor, *, seed: int, cost: float = COST) -> Plane:
    """The SVM that tells positives (p,D) from negatives (n,D), scaled features both: L2-regularised, hinge loss, dual.

    The solver works on float64 and keeps the values that are not 0 once more: 24 bytes a value at most. Where it does not
    converge, what it has is given, and `has_converged` is false. Raises ValueError where there are no examples of one kind.
    """
    if not len(positives) or not len(negatives):
        raise ValueError(f"{len(positives)} positives and {len(negatives)} negatives make no SVM; give some of both")
    expect(negatives, f"n {positives.shape[1]}", name="the negatives")
    try:
        from sklearn.exceptions import ConvergenceWarning  # pyright: ignore[reportMissingImports]
        from sklearn.svm import LinearSVC  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("SVMs need the library scikit-learn; install it: pip install 'fourfold[detect]'") from None
    examples = torch.empty(len(positives) + len(negatives), positives.shape[1], dtype=torch.float64)
    examples[: len(positives)], examples[len(positives) :] = positives, negatives
    is_positive = torch.arange(len(examples)) < len(positives)
    solver = LinearSVC(
        loss="hinge",
        dual=True,  # pyright: ignore[reportArgumentType]
        C=cost,
        intercept_scaling=BIAS,
        class_weight={1: POSITIVE},
        tol=TOLERANCE,
        max_iter=MOST_ROUNDS,
        random_state=seed % 2**32,  # numpy's seeds end there
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said by has_converged
        solver.fit(examples.numpy(), is_positive.long().numpy())
    weights = torch.as_tensor(solver.coef_).flatten().float()
    return Plane(weights, float(torch.as_tensor(solver.intercept_)), int(solver.n_iter_) < MOST_ROUNDS)
