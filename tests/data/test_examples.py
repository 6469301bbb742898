"""Examples check what they hold, a hold-out takes its share of every class, and a listing is decoded to equal squares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fourfold.data.examples import Examples, decode
from fourfold.data.folder import list_folder
from fourfold.images import centre_view

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


def put(path: Path, colour: tuple[int, int, int] = (9, 80, 200), size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_images_of_the_right_size_arrive_pixel_for_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    for index, image in enumerate(pixels):
        path = tmp_path / f"{'cat' if index < 2 else 'dog'}/{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)

    examples, broken = decode(list_folder(tmp_path), 6)

    assert torch.equal(examples.images, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert examples.labels.tolist() == [0, 0, 1, 1, 1]
    assert examples.labels.dtype == torch.int64
    assert examples.classes == ("cat", "dog")
    assert broken == []


def test_of_an_oblong_image_the_middle_is_taken(tmp_path: Path) -> None:
    image = np.zeros((4, 12, 3), dtype=np.uint8)  # height 4 is the size already, so columns 4 to 7 remain
    image[:, :, 0] = np.arange(12) * 10
    (tmp_path / "dog").mkdir()
    Image.fromarray(image).save(tmp_path / "dog/a.png")
    Image.fromarray(image.transpose(1, 0, 2)).save(tmp_path / "dog/b.png")

    examples, _ = decode(list_folder(tmp_path), 4)

    assert examples.images[0, 0, 0].tolist() == [40, 50, 60, 70]
    assert examples.images[1, 0, :, 0].tolist() == [40, 50, 60, 70]


def test_broken_files_are_left_out_and_named_and_the_others_keep_their_labels(tmp_path: Path) -> None:
    for index in range(3):
        put(tmp_path / f"cat/{index}.png", (10 + index, 0, 0), size=(4, 4))
        put(tmp_path / f"dog/{index}.png", (20 + index, 0, 0), size=(4, 4))
    (tmp_path / "cat/1.png").write_bytes((tmp_path / "cat/1.png").read_bytes()[:40])
    (tmp_path / "dog/0.png").write_bytes(b"")
    seen = []

    examples, broken = decode(list_folder(tmp_path), 4, lambda done, count: seen.append((done, count)))

    assert examples.images[:, 0, 0, 0].tolist() == [10, 12, 21, 22]
    assert examples.labels.tolist() == [0, 0, 1, 1]
    assert [item.name for item in broken] == [str(tmp_path / "cat/1.png"), str(tmp_path / "dog/0.png")]
    assert all(item.name in item.error and "\n" not in item.error for item in broken)
    assert seen == [(done, 6) for done in range(1, 7)]


def test_a_class_without_one_readable_image_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "cat/a.png")
    put(tmp_path / "dog/a.png").write_bytes(b"broken")

    with pytest.raises(ValueError, match="no image of class 'dog' can be read"):
        decode(list_folder(tmp_path), 4)


def test_more_images_than_memory_holds_are_refused_before_any_is_read(tmp_path: Path) -> None:
    put(tmp_path / "cat/a.png").write_bytes(b"broken")

    with pytest.raises(ValueError, match=r"1 images of 100000x100000 do not fit into memory"):
        decode(list_folder(tmp_path), 100_000)  # 3e10 bytes


def test_a_large_image_is_read_as_the_view_that_classify_takes(tmp_path: Path) -> None:
    for name, width in (("a", 300), ("b", 700)):
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(width).integers(0, 256, (300, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / "1.png")

    examples, _ = decode(list_folder(tmp_path), 224)

    for image, name in zip(examples.images, "ab", strict=True):
        whole = torch.from_numpy(np.array(Image.open(tmp_path / name / "1.png"))).permute(2, 0, 1)
        assert torch.equal(image, centre_view(whole, 224))
