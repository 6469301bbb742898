"""Photos give the windows that were drawn for them, whoever decodes them, and say which of them cannot be read."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fourfold.data.augment import AlternateFlip, ColourShift, Erase, Flip, PadCrop, Photometric
from fourfold.data.crops import AreaCrop, Centre
from fourfold.data.listing import File, Listing
from fourfold.data.loader import Loader, Part, Rows, in_turn
from fourfold.data.photos import Photos, survey
from fourfold.data.randaugment import RandAugment
from fourfold.data.sizes import Alternate
from fourfold.images import Pixels, centre_view, channel_pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.train.checkpoint import STATE
from fourfold.train.initialise import He
from fourfold.train.loop import LAST, Moment, Settings, Watchers, fit
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Steps
from fourfold.windows import Window

COUNT, BATCH, SIZE = 17, 5, 8
STEPS = (Flip(), ColourShift(), Photometric(), Erase(3), RandAugment(), AlternateFlip())


@dataclass(frozen=True)
class Piece:
    """A window of SIZE x SIZE whole pixels, which nothing is scaled for, at a place drawn from two numbers."""

    @property
    def draws(self) -> int:
        return 2

    def __call__(self, height: int, width: int, numbers: Sequence[float]) -> Window:
        return Window(int(numbers[0] * (height - SIZE + 1)), int(numbers[1] * (width - SIZE + 1)), SIZE, SIZE)


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    """PNG and JPEG files of noise whose height, width and class differ."""
    folder, draw = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    paths = []
    for index in range(COUNT):
        height, width = draw.integers(SIZE + 1, 40, 2)
        paths.append(folder / f"{index:02}.{'png' if index % 3 else 'jpg'}")
        Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(paths[-1])
    return Listing(tuple(map(File, paths)), tuple(index % 3 for index in range(COUNT)), ("a", "b", "c"))


@dataclass(frozen=True)
class Slow:
    """An item in memory that waits for another before it gives its bytes."""

    name: str
    pixels: Tensor
    after: threading.Event
    done: threading.Event

    def content(self) -> Tensor:
        assert self.after.wait(10)
        self.done.set()
        return self.pixels


def loader_of(listing: Listing, *, workers: int = 2, rows: Rows | None = None, size: int = SIZE) -> Loader:
    return Loader(
        Photos(listing, AreaCrop((0.2, 1.0)), workers), BATCH, STEPS, 3, size, Alternate(0.75), rows or Rows(at_once=None)
    )


def same(first: Sequence[Part], second: Sequence[Part]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
        for one, other in zip(first, second, strict=True)
    )


def test_a_batch_holds_the_window_of_each_item_in_the_order_asked_for(listing: Listing) -> None:
    photos = Photos(listing, Piece())
    wanted = [torch.tensor([4, 16, 2]), torch.tensor([4]), torch.tensor([7, 4, 7, 1])]  # PNG, so that pixels are exact
    numbers = [torch.rand(len(indices), 2, generator=torch.Generator().manual_seed(len(indices))) for indices in wanted]

    batches = list(photos.read((indices, rows, SIZE) for indices, rows in zip(wanted, numbers, strict=True)))

    assert [len(batch) for batch in batches] == [3, 1, 4]
    for batch, indices, rows in zip(batches, wanted, numbers, strict=True):
        for image, index, (top, left) in zip(batch, indices.tolist(), rows.tolist(), strict=True):
            item = listing.items[index]
            assert isinstance(item, File)
            with Image.open(item.path) as opened:
                pixels = torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1)
            y, x = int(top * (pixels.shape[1] - SIZE + 1)), int(left * (pixels.shape[2] - SIZE + 1))
            assert torch.equal(image, pixels[:, y : y + SIZE, x : x + SIZE])


def test_each_batch_has_its_own_size(listing: Listing) -> None:
    photos, nothing = Photos(listing, Centre(8)), torch.zeros(2, 0)

    batches = photos.read((torch.tensor([0, 1]), nothing, size) for size in (8, 5, 11))

    assert [tuple(batch.shape) for batch in batches] == [(2, 3, 8, 8), (2, 3, 5, 5), (2, 3, 11, 11)]
    assert list(photos.read(iter([]))) == []


def test_photos_have_the_labels_and_classes_of_their_listing(listing: Listing) -> None:
    photos = Photos(listing, Piece())

    assert len(photos) == COUNT
    assert photos.classes == ("a", "b", "c")
    assert photos.labels.dtype == torch.int64
    assert photos.labels.tolist() == [index % 3 for index in range(COUNT)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_how_many_threads_decode_changes_no_batch(listing: Listing, workers: int) -> None:
    for epoch in (0, 1):
        assert same(list(loader_of(listing, workers=workers).epoch(epoch)), list(loader_of(listing, workers=3).epoch(epoch)))


def test_an_item_that_takes_long_keeps_its_place() -> None:
    first, second = threading.Event(), threading.Event()
    pixels = [torch.full((3, SIZE, SIZE), value, dtype=torch.uint8) for value in (10, 20)]
    begun = threading.Event()
    begun.set()
    items = (Slow("slow", pixels[0], after=second, done=first), Slow("fast", pixels[1], after=begun, done=second))
    photos = Photos(Listing(items, (0, 0), ("a",)), Piece(), workers=2)

    (batch,) = photos.read([(torch.tensor([0, 1]), torch.zeros(2, 2), SIZE)])

    assert batch[:, 0, 0, 0].tolist() == [10, 20]


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_an_epoch_taken_up_in_the_middle_has_the_same_batches(listing: Listing, start: int) -> None:
    for epoch in (0, 1):
        whole = list(loader_of(listing).epoch(epoch))
        assert len(whole) == 3
        assert same(list(loader_of(listing, workers=1).epoch(epoch, start)), whole[start:])


@pytest.mark.parametrize(("world", "at_once"), [(2, None), (3, None), (5, None), (1, 2), (2, 2), (2, 1)])
def test_the_parts_of_all_processes_are_the_batch_of_one(listing: Listing, world: int, at_once: int | None) -> None:
    for epoch in (0, 1):
        whole = list(loader_of(listing).epoch(epoch))
        shared = [list(loader_of(listing, rows=Rows(rank, world, at_once)).epoch(epoch)) for rank in range(world)]
        for index, batch in enumerate(whole):
            rows = [part for parts in shared for part in parts[index * len(parts) // 3 : (index + 1) * len(parts) // 3]]
            assert torch.equal(torch.cat([part.images for part in rows]), batch.images)
            assert torch.equal(torch.cat([part.labels for part in rows]), batch.labels)


def test_windows_differ_from_epoch_to_epoch_and_between_images_of_a_batch() -> None:
    ramp = torch.arange(30 * 40).view(30, 40).remainder(251).to(torch.uint8).expand(3, -1, -1)
    event = threading.Event()
    event.set()
    items = tuple(Slow(str(index), ramp, after=event, done=event) for index in range(10))
    loader = Loader(Photos(Listing(items, (0,) * 10, ("a",)), Piece()), 5, (), 0, SIZE)

    seen = [image.numpy().tobytes() for epoch in range(4) for part in loader.epoch(epoch) for image in part.images]

    assert len(set(seen)) > 35  # 40 of 23 * 33 windows; one pair alike is expected


@pytest.mark.parametrize("batch_size", [1, 4, 17, 250])
@pytest.mark.parametrize("world", [1, 2, 3, 20])
def test_in_turn_shows_the_centre_of_every_photo_once(listing: Listing, world: int, batch_size: int) -> None:
    photos = Photos(listing, Centre(SIZE))

    batches = [batch for rank in range(world) for batch in in_turn(photos, SIZE, Rows(rank, world), batch_size)]

    images, labels = (torch.cat(each) for each in zip(*batches, strict=True))
    assert labels.tolist() == list(listing.labels)
    (expected,) = photos.read([(torch.arange(COUNT), torch.zeros(COUNT, 0), SIZE)])
    assert torch.equal(images, expected)
    assert all(1 <= len(labels) <= batch_size for _, labels in batches)


def test_the_centre_is_that_of_the_single_view() -> None:
    rows, columns = torch.meshgrid(torch.arange(39), torch.arange(24), indexing="ij")  # thrice 13 x 8
    slope = torch.stack([4 * rows + 2 * columns, 250 - 6 * rows, 8 * columns]).to(torch.uint8)  # a shift would show
    event = threading.Event()
    event.set()
    items = tuple(Slow(str(turned), slope.transpose(1, 2) if turned else slope, event, event) for turned in (0, 1))

    ((images, _),) = in_turn(Photos(Listing(items, (0, 0), ("a",)), Centre(SIZE)), SIZE)

    for image, item in zip(images, items, strict=True):
        difference = (image.int() - centre_view(item.pixels, SIZE).int()).abs()
        assert difference[:, 1:-1, 1:-1].max() <= 1  # neighbours are 6 to 24 levels apart
        assert difference.max() <= 10  # at its edge the single view mixes in what lies beyond


def broken_listing(listing: Listing, folder: Path) -> tuple[Listing, list[str]]:
    """The listing with four files among its own that cannot be read, and their names."""
    png = io.BytesIO()
    Image.new("RGB", (20, 20)).save(png, "PNG")
    contents = {"empty.jpg": b"", "text.png": b"no image", "half.png": png.getvalue()[:40]}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    bad = [File(folder / name) for name in (*contents, "missing.jpg")]
    items = (bad[0], *listing.items[:6], bad[1], bad[2], *listing.items[6:], bad[3])
    labels = (0, *listing.labels[:6], 1, 1, *listing.labels[6:], 2)
    return Listing(items, labels, listing.classes), [item.name for item in bad]


def test_items_that_cannot_be_read_are_named_and_left_out(listing: Listing, tmp_path: Path) -> None:
    whole, bad = broken_listing(listing, tmp_path)
    steps: list[tuple[int, int]] = []

    kept, broken, sample = survey(whole, Centre(SIZE), SIZE, lambda done, total: steps.append((done, total)))

    assert kept == listing
    assert [each.name for each in broken] == bad
    assert all(each.error and "\n" not in each.error for each in broken)
    assert steps == [(done, COUNT + 4) for done in range(1, COUNT + 5)]
    assert torch.equal(sample, torch.cat([images for images, _ in in_turn(Photos(listing, Centre(SIZE)), SIZE)]))


def test_a_sample_takes_every_class_though_there_is_no_room_for_all(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = (*listing.items, *listing.items)  # 34
    labels = (0,) * COUNT + (1,) * COUNT
    side = 8192  # of which five make a gigabyte
    monkeypatch.setattr("fourfold.data.photos.read_window", lambda *_args, **_names: torch.zeros(3, 1, 1, dtype=torch.uint8))

    _, _, sample = survey(Listing(items, labels, ("a", "b")), Centre(SIZE), side)

    assert len(sample) == 5  # numbers 0, 7, 14, 21 and 28


def test_a_class_without_a_readable_item_is_refused(listing: Listing, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    items, labels = (*listing.items, File(tmp_path / "bad.jpg")), (*listing.labels, 3)

    with pytest.raises(ValueError, match="no image of class 'd' can be read; replace its files or remove the class"):
        survey(Listing(items, labels, ("a", "b", "c", "d")), Centre(SIZE), SIZE)


@pytest.mark.parametrize("damage", ["gone", "garbage"])
def test_an_item_that_is_lost_during_training_is_said_in_one_line(listing: Listing, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "lost.png"
    Image.new("RGB", (20, 20)).save(path)
    items, labels = (*listing.items[:9], File(path)), listing.labels[:10]
    kept, broken, _ = survey(Listing(items, labels, listing.classes), Centre(SIZE), SIZE)
    assert broken == []
    path.write_bytes(b"garbage")
    if damage == "gone":
        path.unlink()
    before = threading.active_count()

    with pytest.raises(ValueError, match=r"lost\.png") as caught:
        list(loader_of(kept).epoch(0))

    assert "\n" not in str(caught.value)
    caught.value.__traceback__ = None  # its frames hold the readers
    assert threading.active_count() == before


def tiny() -> Classifier:
    layers = {"conv": torch.nn.Conv2d(3, 4, 3), "relu": torch.nn.ReLU()}
    return Classifier(sequential(layers), MeanHead(sequential({"fc": torch.nn.Linear(4, 3)}), 6), input_size=SIZE)


@pytest.mark.parametrize("stop", [1, 4])
def test_a_run_on_photos_goes_on_bit_for_bit_with_other_threads(listing: Listing, tmp_path: Path, stop: int) -> None:
    recipe = Recipe("made", COUNT, BATCH, 7, Steps(0.05, ()), He(), (PadCrop(2), *STEPS), channel_pixels, 0.9, 1e-3)
    recipe = replace(recipe, crop=AreaCrop(), sizes=Alternate(0.75))
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    def run(folder: Path, workers: int, stop: int = 0) -> None:
        def watch(moment: Moment) -> None:
            if moment.step == stop:
                os.kill(os.getpid(), signal.SIGINT)

        folder.mkdir(exist_ok=True)
        train, val = Photos(listing, AreaCrop(), workers), Photos(listing, Centre(SIZE), workers)
        fit(tiny(), Pixels(), recipe, train, val, folder, settings=Settings(3), watchers=Watchers(step=watch))

    run(whole, 2)
    with pytest.raises(KeyboardInterrupt):
        run(parts, 1, stop)
    run(parts, 4)

    assert (parts / STATE).read_bytes() == (whole / STATE).read_bytes()
    assert (parts / LAST).read_bytes() == (whole / LAST).read_bytes()
