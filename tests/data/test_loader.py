"""Batches come in an order that only seed, epoch and index decide, whoever reads them and in however many parts."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fourfold.data.augment import AlternateFlip, Augment, ColourShift, Erase, Flip, PadCrop, Photometric
from fourfold.data.dice import generator_for
from fourfold.data.examples import Examples
from fourfold.data.loader import Loader, Part, Rows, in_turn
from fourfold.data.sizes import Alternate, Growing

COUNT, BATCH, WIDTH = 23, 5, 8  # three images are left over in every epoch
ALL = Rows()
STEPS = (PadCrop(4), Flip(), ColourShift(), Photometric(), Erase(3))


def numbered(count: int = COUNT) -> Examples:
    """Image i is filled with 1 + i and has label i."""
    images = (torch.arange(count, dtype=torch.uint8) + 1).view(-1, 1, 1, 1).expand(-1, 3, 6, WIDTH).contiguous()
    images[:, :, :, 0] = 200  # so that a flip shows
    return Examples(images, torch.arange(count), tuple(map(str, range(count))))


def plain(seed: int = 0) -> Loader:
    return Loader(numbered(), BATCH, (), seed, WIDTH)


def augmented(seed: int = 0, steps: Sequence[Augment] = (PadCrop(4), Flip()), rows: Rows = ALL) -> Loader:
    return Loader(numbered(), BATCH, steps, seed, WIDTH, rows=rows)


def order(loader: Loader, epoch: int) -> list[int]:
    return torch.cat([part.labels for part in loader.epoch(epoch)]).tolist()


def same(first: list[Part], second: list[Part]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(one.images, other.images)
        and torch.equal(one.labels, other.labels)
        and torch.equal(one.dice.uniform(2), other.dice.uniform(2))  # for what is drawn in training, as for mixup
        for one, other in zip(first, second, strict=True)
    )


def test_an_epoch_has_whole_batches_and_no_image_twice() -> None:
    loader = plain()

    for epoch in range(5):
        batches = list(loader.epoch(epoch))
        seen = torch.cat([part.labels for part in batches]).tolist()
        assert len(batches) == len(loader) == 4
        assert all(part.images.shape == (BATCH, 3, 6, WIDTH) and part.images.dtype == torch.uint8 for part in batches)
        assert all(part.is_last for part in batches)
        assert len(set(seen)) == 20


def test_labels_stay_with_their_images() -> None:
    for part in plain().epoch(3):
        assert part.images[:, 0, 0, 1].tolist() == (part.labels + 1).tolist()


def test_an_exact_multiple_uses_every_image() -> None:
    loader = Loader(numbered(20), BATCH, (), 0, WIDTH)

    assert sorted(order(loader, 0)) == list(range(20))


def test_no_image_is_left_out_for_ever() -> None:
    assert {label for epoch in range(20) for label in order(plain(), epoch)} == set(range(COUNT))


def test_every_image_is_as_likely_to_come_first_as_any_other() -> None:
    epochs = 1150  # 50 expected for each of 23 images
    first = torch.tensor([int(next(plain().epoch(epoch)).labels[0]) for epoch in range(epochs)])

    chi_square = float(((first.bincount(minlength=COUNT) - 50.0) ** 2 / 50).sum())

    assert chi_square < 48.3  # 22 degrees of freedom: one correct sample in a thousand lies above (tables)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(order(plain(seed), epoch)) for seed in range(4) for epoch in range(4)]

    assert len(set(orders)) == 16


def test_batches_depend_on_seed_epoch_and_index_alone() -> None:
    fresh = list(augmented().epoch(2))
    used = augmented()
    for epoch in (7, 0, 2):
        list(used.epoch(epoch))
    torch.manual_seed(1234)
    both = zip(used.epoch(2), used.epoch(3), strict=True)  # two epochs at once, in turns

    assert same([batch for batch, _ in both], fresh)


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_starting_at_a_batch_equals_skipping_those_before(start: int) -> None:
    assert same(list(augmented().epoch(1, start)), list(augmented().epoch(1))[start:])


def test_an_image_is_augmented_differently_in_every_batch_and_epoch() -> None:
    images = torch.arange(48, dtype=torch.uint8).view(1, 1, 6, 8).repeat(20, 3, 1, 1)  # 20 times the same image
    same_image = Examples(images, torch.zeros(20, dtype=torch.int64), ("one",))
    loader = Loader(same_image, 10, (PadCrop(4), Flip()), 0, WIDTH)

    batches = [part.images for epoch in range(3) for part in loader.epoch(epoch)]

    assert len({batch.numpy().tobytes() for batch in batches}) == 6
    assert len({image.numpy().tobytes() for image in torch.cat(batches)}) > 40  # of 60 draws from 162 views; 50 expected


def test_augmentation_does_not_change_the_images_in_memory() -> None:
    source = numbered()
    list(Loader(source, BATCH, (*STEPS, AlternateFlip()), 0, WIDTH).epoch(0))

    assert torch.equal(source.images, numbered().images)


def test_half_of_the_images_are_mirrored_in_one_epoch_and_the_other_half_in_the_next() -> None:
    loader = Loader(numbered(20), BATCH, (AlternateFlip(),), 0, WIDTH)
    turned = [
        {int(label) for part in loader.epoch(epoch) for label in part.labels[part.images[:, 0, 0, 0] != 200]}
        for epoch in range(4)
    ]

    assert turned[0] == turned[2]
    assert turned[1] == turned[3] == set(range(20)) - turned[0]
    assert 3 < len(turned[0]) < 17  # 10 of 20 expected, within three standard deviations


def test_too_few_images_for_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"4 images do not fill a batch of 5; give more images or a smaller batch"):
        Loader(numbered(4), BATCH, (), 0, WIDTH)

    assert len(Loader(numbered(5), BATCH, (), 0, WIDTH)) == 1


def test_more_processes_than_images_in_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a batch of 5 cannot feed 6 processes; use fewer of them"):
        augmented(rows=Rows(0, 6))

    assert [len(part.labels) for part in augmented(rows=Rows(4, 5)).epoch(0)] == [1] * 4


@given(st.integers(1, 60), st.integers(1, 9), st.none() | st.integers(1, 20))
def test_the_rows_of_all_processes_are_the_whole_batch_in_order(total: int, world: int, at_once: int | None) -> None:
    parts = [Rows(rank, world, at_once).parts(total) for rank in range(world)]
    lengths = [sum(stop - start for start, stop in mine) for mine in parts]

    assert [row for mine in parts for start, stop in mine for row in range(start, stop)] == list(range(total))
    assert max(lengths) - min(lengths) <= 1  # no process waits for another's two more images
    assert all(0 < stop - start <= (at_once or total) for mine in parts for start, stop in mine)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, BATCH), st.none() | st.integers(1, BATCH + 1), st.integers(0, 3))
def test_parts_and_processes_together_give_the_batches_of_one(world: int, at_once: int | None, start: int) -> None:
    whole = list(augmented(steps=STEPS).epoch(1, start))
    shared = [list(augmented(steps=STEPS, rows=Rows(rank, world, at_once)).epoch(1, start)) for rank in range(world)]

    assert all(sum(part.is_last for part in parts) == len(whole) for parts in shared)
    batches = [list(split(parts)) for parts in shared]
    for index, batch in enumerate(whole):
        rows = [part for mine in batches for part in mine[index]]
        assert torch.equal(torch.cat([part.images for part in rows]), batch.images)
        assert torch.equal(torch.cat([part.labels for part in rows]), batch.labels)
        assert torch.equal(torch.cat([part.dice.beta(0.4) for part in rows]), batch.dice.beta(0.4))
        assert torch.equal(torch.cat([part.dice.turns() for part in rows]), batch.dice.turns())


def split(parts: list[Part]) -> list[list[Part]]:
    """Parts up to one that is_last, again and again."""
    ends = [0, *(index + 1 for index, part in enumerate(parts) if part.is_last)]
    return [parts[low:high] for low, high in itertools.pairwise(ends)]


def test_the_images_of_an_epoch_have_its_size() -> None:
    square = Examples(torch.full((10, 3, 16, 16), 77, dtype=torch.uint8), torch.zeros(10, dtype=torch.int64), ("one",))
    loader = Loader(square, 5, (Flip(),), 0, 16, Alternate(0.75))

    sides = [{tuple(part.images.shape[2:]) for part in loader.epoch(epoch)} for epoch in range(3)]

    assert sides == [{(16, 16)}, {(12, 12)}, {(16, 16)}]
    assert all((part.images == 77).all() and part.images.dtype == torch.uint8 for part in loader.epoch(1))


def test_sizes_are_told_how_much_of_the_training_is_done() -> None:
    square = Examples(torch.zeros(10, 3, 16, 16, dtype=torch.uint8), torch.zeros(10, dtype=torch.int64), ("one",))
    loader = Loader(square, 5, (), 0, 16, Growing(start=0.5, until=0.4))

    assert [next(loader.epoch(3, 0, share)).images.shape[-1] for share in (0.0, 0.39, 0.4, 1.0)] == [8, 8, 16, 16]


@pytest.mark.parametrize("count", [1, 7, 12, 13])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_in_turn_shows_every_image_once_and_as_it_is(count: int, world: int) -> None:
    source = numbered(count)
    shared = [list(in_turn(source, WIDTH, Rows(rank, world), batch_size=3)) for rank in range(world)]
    batches: list[tuple[Tensor, Tensor]] = [batch for mine in shared for batch in mine]

    assert all(1 <= len(labels) <= 3 for _, labels in batches)
    assert torch.equal(torch.cat([labels for _, labels in batches]), source.labels)
    assert torch.equal(torch.cat([images for images, _ in batches]), source.images)


def test_generators_are_seeded_by_the_first_seven_bytes_of_a_sha256() -> None:
    expected = int(hashlib.sha256(b"(3, 'dropout', 17)").hexdigest()[:14], 16)  # a run in progress relies on it

    assert generator_for(3, "dropout", 17).initial_seed() == expected


def test_generators_of_different_numbers_differ() -> None:
    keys = [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (0, "dropout", 0), (0, "hold out"), (10, 1)]
    draws = {tuple(torch.randint(2**62, (4,), generator=generator_for(*key)).tolist()) for key in keys}

    assert len(draws) == 9
