"""What an evaluation of a localizer found: the replies to a data set, and the numbers that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from fourfold.data.listing import Broken
from fourfold.evaluate.metrics import Interval, wilson
from fourfold.localize.replies import RIGHT, LocationReply


@dataclass(frozen=True)
class ErrorRate:
    """`wrong` of `count` images."""

    wrong: int
    count: int

    @property
    def per_cent(self) -> float:
        """The share that is wrong, in per cent; 0 of no image."""
        return 100 * self.wrong / max(1, self.count)

    @property
    def interval(self) -> Interval:
        """The 95 % interval of `per_cent`; all of 0..100 for no image."""
        return wilson(self.wrong, self.count) if self.count else Interval(0.0, 100.0)


@dataclass(frozen=True)
class LocatedClass:
    """How well one class is located: errors as those of `LocalizationEvaluation`, over the images of this class.

    overlap: mean IoU, 0..1, of the boxes for the true class.
    """

    label: str
    classification: ErrorRate
    top1: ErrorRate
    top5: ErrorRate
    given: ErrorRate
    overlap: float


@dataclass(frozen=True, eq=False)
class LocalizationEvaluation:
    """The replies of one localizer to a data set. Errors count usable images alone.

    model, protocol: names, and in words what was done. labels: the classes. replies: one for each image, in the order of the
    data set, those with errors included. seconds: that asking about them took, decoding included, where it was measured.
    Raises ValueError where no image is usable.
    """

    model: str
    protocol: str
    labels: tuple[str, ...]
    replies: tuple[LocationReply, ...]
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not self.replies:
            raise ValueError("there is no image to evaluate; give a data set with one at least")
        if not self.answered:
            raise ValueError(f"none of the {len(self.replies)} images can be used; the first: {self.replies[0].error}")

    @cached_property
    def answered(self) -> tuple[LocationReply, ...]:
        """The replies to usable images, in the order of the data set."""
        return tuple(each for each in self.replies if not each.error)

    @cached_property
    def broken(self) -> tuple[Broken, ...]:
        """The images that could not be used, in the order of the data set."""
        return tuple(Broken(each.name, each.error) for each in self.replies if each.error)

    @property
    def images(self) -> int:
        """How many images could be used."""
        return len(self.answered)

    def localization(self, k: int) -> ErrorRate:
        """Images of which none of the first k guesses has both the true class and a right box (VGG Table 9 for k = 5)."""
        return _rate(self.answered, lambda each: each.is_right(k))

    def classification(self, k: int) -> ErrorRate:
        """Images of which none of the first k guesses has the true class."""
        return _rate(self.answered, lambda each: each.is_class_right(k))

    @property
    def given_class(self) -> ErrorRate:
        """Images whose box for the true class, were it told, is not right (VGG Table 8)."""
        return _rate(self.answered, lambda each: each.given_overlap > RIGHT)

    @property
    def rates(self) -> dict[str, ErrorRate]:
        """The errors by name, those of boxes first: class given, top-1 and top-5, then of the class alone."""
        return {
            "given_class_error": self.given_class,
            "top1_error": self.localization(1),
            "top5_error": self.localization(5),
            "top1_class_error": self.classification(1),
            "top5_class_error": self.classification(5),
        }

    @cached_property
    def overlap(self) -> float:
        """Mean IoU, 0..1, of the boxes for the true class."""
        return _mean_overlap(self.answered)

    @cached_property
    def per_class(self) -> tuple[LocatedClass, ...]:
        """One for each of `labels`, in their order."""
        return tuple(self._class(label) for label in range(len(self.labels)))

    def worst(self, count: int) -> tuple[LocationReply, ...]:
        """At most `count` images whose first guess is of the true class and its box wrong, the least overlap first."""
        wrong = [each for each in self.answered if each.is_class_right(1) and not each.is_right(1)]
        return tuple(sorted(wrong, key=lambda each: each.given_overlap)[:count])

    def _class(self, label: int) -> LocatedClass:
        own = tuple(each for each in self.answered if each.truth == label)
        return LocatedClass(
            self.labels[label],
            classification=_rate(own, lambda each: each.is_class_right(1)),
            top1=_rate(own, lambda each: each.is_right(1)),
            top5=_rate(own, lambda each: each.is_right(5)),
            given=_rate(own, lambda each: each.given_overlap > RIGHT),
            overlap=_mean_overlap(own),
        )


def _rate(replies: tuple[LocationReply, ...], is_right: Callable[[LocationReply], bool]) -> ErrorRate:
    return ErrorRate(sum(not is_right(each) for each in replies), len(replies))


def _mean_overlap(replies: tuple[LocationReply, ...]) -> float:
    return sum(each.given_overlap for each in replies) / max(1, len(replies))
