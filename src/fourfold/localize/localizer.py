"""A localizer: what is on an image, by a predictor, and where, by one box for each of its likeliest classes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.listing import read_item
from fourfold.evaluate.predictor import Predictor
from fourfold.localize.locate import Locate
from fourfold.localize.replies import Edges, Guess, LocationReply

GUESSES = 5  # of an image (VGG appendix A, as ILSVRC)


@dataclass(frozen=True, eq=False)
class Localizer:
    """The classes are those of `predictor`, likely the best classification system there is; `locate` says where each is.

    Another order of the classes in `locate` is put right by name. Raises ValueError where the classes differ.
    """

    predictor: Predictor
    locate: Locate

    def __post_init__(self) -> None:
        if differ := set(self.predictor.labels) ^ set(self.locate.labels):
            raise ValueError(
                f"the networks that classify and that give boxes differ in the classes {', '.join(sorted(differ)[:5])}; "
                "use networks of one data set"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        return self.predictor.labels

    def __call__(self, image: Tensor) -> tuple[Guess, ...]:
        """uint8 (3,H,W) -> the likeliest classes with their boxes, likeliest first, five at most.

        Raises ValueError for an image that cannot be asked about.
        """
        return self._asked(image, None)[0]

    def reply(self, index: int, annotated: Annotated) -> LocationReply:
        """What is said of image number `index`, which has one object; one that cannot be used has a reply that says why."""
        truth, box = int(annotated.labels[0]), _edges(annotated.boxes[0])
        try:
            guesses, given = self._asked(read_item(annotated.item), truth)
        except ValueError as error:
            return LocationReply(index, annotated.item.name, truth, box, error=str(error))
        return LocationReply(index, annotated.item.name, truth, box, guesses, given)

    def _asked(self, image: Tensor, truth: int | None) -> tuple[tuple[Guess, ...], Edges | None]:
        """The guesses, and the box for a class that is told."""
        values, order = self.predictor([image])[0].sort(descending=True, stable=True)
        labels, probabilities = order[:GUESSES].tolist(), values[:GUESSES].tolist()
        asked = [*labels, *([] if truth is None or truth in labels else [truth])]
        names = self.locate.labels
        boxes = self.locate(image, [names.index(self.labels[label]) for label in asked])
        edges = dict(zip(asked, map(_edges, boxes), strict=True))
        guesses = tuple(Guess(label, value, edges[label]) for label, value in zip(labels, probabilities, strict=True))
        return guesses, None if truth is None else edges[truth]


def _edges(box: Tensor) -> Edges:
    left, top, right, bottom = box.tolist()
    return left, top, right, bottom
