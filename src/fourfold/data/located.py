"""Images of one object each: what localization learns from and is tested on, made from a detection data set."""

from __future__ import annotations

from dataclasses import replace

from fourfold.boxes import area
from fourfold.data.annotated import Annotated, Annotations
from fourfold.data.boxed import BoxedSplits
from fourfold.data.listing import Broken


def largest(annotations: Annotations) -> Annotations:
    """The same images, each with its largest object alone; of equally large ones the first.

    Objects marked as difficult do not count. An image without any other is left out, and named among the faults.
    """
    images, faults = [], []
    for image in annotations.images:
        if bool(image.is_difficult.all()):  # as it is of none
            faults.append(Broken(image.item.name, "it has no object to be located; image left out"))
        else:
            images.append(_largest(image))
    return Annotations(tuple(images), annotations.classes, (*annotations.faults, *faults))


def largest_of_splits(splits: BoxedSplits) -> BoxedSplits:
    """`largest` for each part. Raises ValueError where no image is left to learn from."""
    train = largest(splits.train)
    if not len(train):
        raise ValueError("no image to learn from has an object that can be located; add boxes that are not difficult")
    return replace(splits, train=train, val=largest(splits.val), test=None if splits.test is None else largest(splits.test))


def _largest(image: Annotated) -> Annotated:
    row = area(image.boxes).masked_fill(image.is_difficult, -1).argmax(keepdim=True)
    return replace(image, boxes=image.boxes[row], labels=image.labels[row], is_difficult=image.is_difficult[row])
