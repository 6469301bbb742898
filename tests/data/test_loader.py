"""Batches come in an order that only seed, epoch and index decide."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor

from fourfold.data.augment import Flip, PadCrop
from fourfold.data.examples import Examples
from fourfold.data.loader import Loader, generator_for

COUNT, BATCH = 23, 5  # three images are left over in every epoch


def numbered(count: int = COUNT) -> Examples:
    """Image i is filled with 1 + i and has label i."""
    images = (torch.arange(count, dtype=torch.uint8) + 1).view(-1, 1, 1, 1).expand(-1, 3, 6, 8).contiguous()
    images[:, :, :, 0] = 200  # so that a flip shows
    return Examples(images, torch.arange(count), tuple(map(str, range(count))))


def plain(seed: int = 0) -> Loader:
    return Loader(numbered(), BATCH, (), seed)


def augmented(seed: int = 0) -> Loader:
    return Loader(numbered(), BATCH, (PadCrop(4), Flip()), seed)


def order(loader: Loader, epoch: int) -> list[int]:
    return torch.cat([labels for _, labels in loader.epoch(epoch)]).tolist()


def same(first: list[tuple[Tensor, Tensor]], second: list[tuple[Tensor, Tensor]]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(first, second, strict=True)
    )


def test_an_epoch_has_whole_batches_and_no_image_twice() -> None:
    loader = plain()

    for epoch in range(5):
        batches = list(loader.epoch(epoch))
        seen = torch.cat([labels for _, labels in batches]).tolist()
        assert len(batches) == len(loader) == 4
        assert all(images.shape == (BATCH, 3, 6, 8) and images.dtype == torch.uint8 for images, _ in batches)
        assert len(set(seen)) == 20


def test_labels_stay_with_their_images() -> None:
    for images, labels in plain().epoch(3):
        assert images[:, 0, 0, 1].tolist() == (labels + 1).tolist()


def test_an_exact_multiple_uses_every_image() -> None:
    loader = Loader(numbered(20), BATCH, (), 0)

    assert sorted(order(loader, 0)) == list(range(20))


def test_no_image_is_left_out_for_ever() -> None:
    assert {label for epoch in range(20) for label in order(plain(), epoch)} == set(range(COUNT))


def test_every_image_is_as_likely_to_come_first_as_any_other() -> None:
    epochs = 1150  # 50 expected for each of 23 images
    first = torch.tensor([int(next(plain().epoch(epoch))[1][0]) for epoch in range(epochs)])

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
    loader = Loader(Examples(images, torch.zeros(20, dtype=torch.int64), ("one",)), 10, (PadCrop(4), Flip()), 0)

    batches = [images for epoch in range(3) for images, _ in loader.epoch(epoch)]

    assert len({batch.numpy().tobytes() for batch in batches}) == 6
    assert len({image.numpy().tobytes() for image in torch.cat(batches)}) > 40  # of 60 draws from 162 views; 50 expected


def test_augmentation_does_not_change_the_images_in_memory() -> None:
    loader = augmented()
    list(loader.epoch(0))

    assert torch.equal(loader.examples.images, numbered().images)


def test_too_few_images_for_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"4 images do not fill a batch of 5; give more images or a smaller batch"):
        Loader(numbered(4), BATCH, (), 0)

    assert len(Loader(numbered(5), BATCH, (), 0)) == 1


def test_generators_are_seeded_by_the_first_seven_bytes_of_a_sha256() -> None:
    expected = int(hashlib.sha256(b"(3, 'dropout', 17)").hexdigest()[:14], 16)  # a run in progress relies on it

    assert generator_for(3, "dropout", 17).initial_seed() == expected


def test_generators_of_different_numbers_differ() -> None:
    keys = [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (0, "dropout", 0), (0, "hold out"), (10, 1)]
    draws = {tuple(torch.randint(2**62, (4,), generator=generator_for(*key)).tolist()) for key in keys}

    assert len(draws) == 9
