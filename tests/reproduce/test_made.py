"""Images of an experiment: the same every time, every class alike."""

from __future__ import annotations

from collections import Counter

import torch

from fourfold.data.listing import Listing
from fourfold.data.splits import Splits
from fourfold.reproduce.effort import Effort
from fourfold.reproduce.made import Made, made_splits, reduced

EFFORT = Effort(train_images=35, val_images=12, epochs=1, seeds=1)


def listing_of(counts: list[int]) -> Listing:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    items = tuple(Made(f"{index}", torch.zeros(3, 4, 4, dtype=torch.uint8)) for index in range(len(labels)))
    return Listing(items, tuple(labels), tuple("abc"[: len(counts)]))


def test_made_images_are_of_all_classes_and_the_same_every_time() -> None:
    first, second = made_splits(EFFORT), made_splits(EFFORT)
    assert (len(first.train), len(first.val)) == (35, 12)
    assert len(set(first.train.labels)) == len(set(first.val.labels)) == 10
    for one, other in zip((*first.train.items, *first.val.items), (*second.train.items, *second.val.items), strict=True):
        pixels = one.content()
        assert isinstance(pixels, torch.Tensor)
        assert pixels.dtype == torch.uint8
        assert pixels.shape == (3, 32, 32)
        assert torch.equal(pixels, other.content())  # type: ignore[arg-type]


def test_a_class_has_its_colour_in_both_parts() -> None:
    data = made_splits(EFFORT)
    means = [
        torch.stack([item.content().float().mean((1, 2)) for item, label in zip(part.items, part.labels, strict=True)  # type: ignore[union-attr]
                     if label == 4]).mean(0)
        for part in (data.train, data.val)
    ]  # fmt: skip
    assert (means[0] - means[1]).abs().max() < 3


def test_a_part_has_of_every_class_alike_as_far_as_there_are() -> None:
    whole = Splits(listing_of([50, 5, 30]), listing_of([9, 9, 9]), None, "made")
    part = reduced(whole, Effort(train_images=30, val_images=7, epochs=1, seeds=1))
    assert Counter(part.train.labels) == {0: 13, 1: 5, 2: 12}
    assert sorted(Counter(part.val.labels).values()) == [2, 2, 3]
    assert part.train.classes == ("a", "b", "c")
    names = [int(item.name) for item in part.train.items]
    assert names == sorted(set(names))
    assert names[:13] != list(range(13)), "they are drawn, not the first"
    again = reduced(whole, Effort(train_images=30, val_images=7, epochs=1, seeds=1))
    assert [item.name for item in again.train.items] == [item.name for item in part.train.items]


def test_where_there_are_no_more_all_are_taken() -> None:
    whole = Splits(listing_of([4, 3]), listing_of([2, 2]), listing_of([1, 1]), "made", val_is_test=True)
    part = reduced(whole, Effort(train_images=100, val_images=100, epochs=1, seeds=1))
    assert part.train is whole.train
    assert part.val is whole.val
    assert part.test is None
    assert (part.origin, part.val_is_test) == ("made", True)
