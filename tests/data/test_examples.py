"""Examples check what they hold, and a hold-out takes its share of every class."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.examples import Examples

CLASSES = ("cat", "dog", "emu")


def numbered(counts: list[int]) -> Examples:
    """Image i is filled with i; the classes come mixed, class k counts[k] times."""
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(len(labels)))]
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 5)
    return Examples(images, labels, tuple(f"class {label}" for label in range(len(counts))))


def numbers(examples: Examples) -> list[int]:
    return examples.images[:, 0, 0, 0].tolist()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("shape", "labels"),
    [
        ((2, 1, 4, 4), [0, 1]),
        ((2, 3, 4), [0, 1]),
        ((2, 3, 4, 4), [0, 1, 2]),
        ((2, 3, 4, 4), [0, 3]),
        ((2, 3, 4, 4), [-1, 0]),
    ],
    ids=["grey", "no width", "more labels than images", "label too high", "negative label"],
)
def test_images_and_labels_that_disagree_are_refused(shape: tuple[int, ...], labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"labels|images"):
        Examples(torch.zeros(shape, dtype=torch.uint8), torch.tensor(labels), CLASSES)


def test_no_examples_are_allowed() -> None:
    assert len(Examples(torch.zeros((0, 3, 4, 4), dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), CLASSES)) == 0


def test_take_keeps_the_order_asked_for_and_the_labels_with_their_images() -> None:
    examples = numbered([3, 4])
    taken = examples.take(torch.tensor([5, 0, 2]))

    assert numbers(taken) == [5, 0, 2]
    assert taken.labels.tolist() == [int(examples.labels[index]) for index in (5, 0, 2)]


def test_a_tenth_of_each_class_is_held_out() -> None:
    rest, held = numbered([100, 30, 14, 3]).hold_out(0.1, generator(0))

    assert held.labels.bincount().tolist() == [10, 3, 1, 1]
    assert rest.labels.bincount().tolist() == [90, 27, 13, 2]


def test_a_class_of_one_image_keeps_it_and_a_class_of_two_gives_one() -> None:
    rest, held = numbered([1, 2]).hold_out(0.1, generator(0))

    assert sorted(rest.labels.tolist()) == [0, 1]
    assert held.labels.tolist() == [1]


def test_even_a_whole_share_leaves_one_image_of_each_class() -> None:
    rest, held = numbered([5, 7]).hold_out(1.0, generator(0))

    assert rest.labels.bincount().tolist() == [1, 1]
    assert held.labels.bincount().tolist() == [4, 6]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.floats(0.05, 0.95), st.integers(0, 99))
def test_both_parts_together_are_the_whole_in_order_with_the_right_labels(
    counts: list[int], share: float, seed: int
) -> None:
    whole = numbered(counts)
    rest, held = whole.hold_out(share, generator(seed))

    assert sorted(numbers(rest) + numbers(held)) == list(range(sum(counts)))
    for part in (rest, held):
        assert numbers(part) == sorted(numbers(part))
        assert part.labels.tolist() == [int(whole.labels[index]) for index in numbers(part)]


def test_the_same_seed_holds_out_the_same_images_and_another_seed_others() -> None:
    held = [numbers(numbered([60, 50]).hold_out(0.2, generator(seed))[1]) for seed in (3, 3, 4)]

    assert held[0] == held[1]
    assert held[0] != held[2]


def test_every_image_is_held_out_for_some_seed() -> None:
    seen = {index for seed in range(60) for index in numbers(numbered([10, 8]).hold_out(0.3, generator(seed))[1])}

    assert seen == set(range(18))
