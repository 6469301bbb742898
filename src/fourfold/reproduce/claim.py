"""What a paper claims, as a value: its words and figures, what is measured to test it, and where the numbers must lie.

An `Arm` is one side of a comparison; how arms are measured is in `counted.py`, `trained.py`, `asked.py`, `timed.py` and
`probed.py`. No claim is stated here.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from fourfold.data.splits import Splits
from fourfold.parallel import ALONE, Group
from fourfold.reproduce.effort import CPU, CPU_EFFORT, Effort

MEASURES: Mapping[str, str] = {  # what arms measure, in words
    "train_error": "training error",
    "val_error": "validation error",
    "error": "top-1 error",
    "error5": "top-5 error",
    "seconds": "time",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "depth": "layers one behind the other",
    "mean_std": "standard deviation of responses",
    "least": "least gradient of a layer, as a share of the largest,",
}
Form = Literal["difference", "ratio"]
Cell = str | float | None
Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Measured:
    """What was measured of an arm with one seed.

    values: by name; errors in per cent, times in seconds. curves: points (x, y) by name. seconds: what it took.
    """

    values: Mapping[str, float]
    curves: Mapping[str, Curve] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Scene:
    """Where arms are measured: how far to go, on which images, and the folder that keeps what has been measured.

    say: called with a line about what goes on.
    """

    budget: str
    effort: Effort
    splits: Splits | None
    folder: Path
    group: Group = ALONE
    workers: int = 2
    say: Callable[[str], None] = lambda _line: None

    @property
    def data(self) -> Splits:
        """The images. Raises ValueError where there are none."""
        if self.splits is None:
            raise ValueError("this experiment needs images; give --data, a folder of CIFAR-10 or one of class folders")
        return self.splits


class Arm(abc.ABC):
    """One side of a comparison: a network, and what is done with it."""

    is_exact: ClassVar[bool] = False
    """Whether it has no noise, so that one measurement says all."""
    needs_images: ClassVar[bool] = True
    is_kept: ClassVar[bool] = True
    """Whether a measurement made before can be taken again: not where arms must take turns."""

    @abc.abstractmethod
    def record(self, scene: Scene) -> dict[str, object]:
        """What is measured, as JSON: two arms with the same record share their measurements."""

    @abc.abstractmethod
    def measure(self, scene: Scene, seed: int) -> Measured:
        """Measure it once; goes on where it was stopped."""


@dataclass(frozen=True)
class Contrast:
    """A number made of what was measured, and the band in which the claim says it lies.

    words: what the number is. measure: the name of a value of both arms. It is `first` minus `second`, or `first` over
    `second`, or `first` itself where there is no second.
    """

    words: str
    measure: str
    first: str
    second: str | None = None
    low: float = -math.inf
    high: float = math.inf
    form: Form = "difference"


def higher(measure: str, first: str, second: str, by: float = 0.0) -> Contrast:
    """The claim that `first` has a higher error or the like than `second`, by more than `by`."""
    return Contrast(f"{MEASURES[measure]} of {first} less that of {second}", measure, first, second, low=by)


def no_lower(measure: str, first: str, second: str, by: float) -> Contrast:
    """The claim that `first` is lower than `second` by less than `by`, if at all."""
    return Contrast(f"{MEASURES[measure]} of {first} less that of {second}", measure, first, second, low=-by)


def alike(measure: str, first: str, second: str, reach: float) -> Contrast:
    """The claim that the two differ by less than `reach`, either way."""
    return Contrast(f"{MEASURES[measure]} of {first} less that of {second}", measure, first, second, low=-reach, high=reach)


def times(measure: str, first: str, second: str, low: float = 1.0, high: float = math.inf) -> Contrast:
    """The claim that `first` is between `low` and `high` times `second`."""
    return Contrast(f"{MEASURES[measure]} of {first} over that of {second}", measure, first, second, low, high, form="ratio")


def amount(measure: str, arm: str, low: float, high: float) -> Contrast:
    """The claim that the number itself lies between `low` and `high`."""
    return Contrast(f"{MEASURES[measure]} of {arm}", measure, arm, None, low, high)


@dataclass(frozen=True)
class Table:
    """Figures as a paper prints them: the first cell of a row names it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Claim:
    """What a paper says in `section`, its figures, and the experiment that asks whether it is so.

    arms: what is measured, by name, at the budgets smoke, cpu and gpu. contrasts: all of them together are the claim.
    on_imagenet: the paper's own experiment, for the budget paper. least: the smallest budget that can answer, besides
    smoke. effort: that of cpu. notes: how the experiment departs from the paper's.
    """

    name: str
    paper: str
    section: str
    statement: str
    figures: Table
    arms: Mapping[str, Arm]
    contrasts: tuple[Contrast, ...]
    on_imagenet: Mapping[str, Arm] = field(default_factory=dict)
    least: str = CPU
    effort: Effort = CPU_EFFORT
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A contrast of arms that there are not is a mistake of ours."""
        named = {arm for each in self.contrasts for arm in (each.first, each.second) if arm is not None}
        assert named <= set(self.arms), f"{self.name}: no arms {named - set(self.arms)}"
        assert self.contrasts, f"{self.name} says nothing that could be false"

    @property
    def is_exact(self) -> bool:
        """Whether nothing of it is a matter of chance."""
        return all(arm.is_exact for arm in self.arms.values())

    @property
    def needs_images(self) -> bool:
        """Whether any arm does."""
        return any(arm.needs_images for arm in self.arms.values())
