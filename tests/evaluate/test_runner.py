"""Accuracies are those counted by hand on a folder whose answers are known; files that cannot be read do not count."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from fourfold.catalog import ModelEntry, Network
from fourfold.data.folder import list_folder
from fourfold.evaluate.protocol import CentreView
from fourfold.evaluate.runner import Evaluation, evaluate
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential

LABELS = tuple("abcdefg")
VIEW = CentreView(scale=8, size=8)


def ladder_network() -> Network:
    """Ranks class i by its distance to red / 30: an image of red 30 * i is of class i, and then come its neighbours."""
    classify = nn.Linear(3, len(LABELS))
    centres = torch.arange(len(LABELS)).float()
    with torch.no_grad():  # -(x - c)^2 = -x^2 + 2cx - c^2, and x^2 is the same for every class
        classify.weight.zero_()
        classify.weight[:, 0] = 2 * centres
        classify.bias.copy_(-centres.square())
    head = MeanHead(sequential({"fc": classify}), side=8)
    classifier = Classifier(sequential({"none": nn.Identity()}), head, input_size=8).eval()
    return Network(classifier, Pixels(std=(30.0,) * 3), LABELS, ModelEntry(name="ladder", network="ladder"))


def photo(path: Path, looks_like: str) -> None:
    """A photo that the ladder network takes for a class; its second choices are the classes beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (30 * LABELS.index(looks_like), 200, 10)).save(path)


def measure(folder: Path) -> Evaluation:
    return evaluate(ladder_network(), VIEW, list_folder(folder))


def test_accuracies_are_the_share_of_images_whose_class_is_among_the_first(tmp_path: Path) -> None:
    for index, (truth, looks_like) in enumerate(["aa", "ab", "gg", "ga", "cg", "cc", "cc"]):
        photo(tmp_path / truth / f"{index}.png", looks_like)

    result = measure(tmp_path)

    # 4 of 7 are right; of the others b's neighbours and g's (g f e d c) hold the class, and a's (a b c d e) lack g
    assert (result.images, result.classes) == (7, 3)
    assert (result.top1, result.top5) == pytest.approx((400 / 7, 600 / 7))
    assert (result.model, result.protocol) == ("ladder", "centre 8 of shorter side 8")
    assert result.broken == ()


def test_the_interval_is_that_of_the_top_1_count(tmp_path: Path) -> None:
    for index in range(20):
        photo(tmp_path / "a" / f"{index}.png", "b")

    interval = measure(tmp_path).top1_interval

    assert (interval.low, interval.high) == pytest.approx((0, 16.11), abs=0.005)  # Newcombe 1998: 0 of 20


def test_every_image_counts_once_over_several_batches(tmp_path: Path) -> None:
    for index in range(130):
        photo(tmp_path / "d" / f"{index:03}.png", "d" if index < 64 + 13 else "e")
    seen: list[tuple[int, int]] = []

    result = evaluate(ladder_network(), VIEW, list_folder(tmp_path), lambda done, count: seen.append((done, count)))

    assert result.images == 130
    assert result.top1 == pytest.approx(100 * 77 / 130)
    assert seen[-1] == (130, 130)
    assert len(seen) > 1


def test_a_broken_image_at_the_very_end_loses_none_of_the_others(tmp_path: Path) -> None:
    photo(tmp_path / "b" / "1.png", "b")
    photo(tmp_path / "b" / "2.png", "c")
    (tmp_path / "b" / "9.png").write_bytes(b"no image")

    result = measure(tmp_path)

    assert (result.images, result.top1, len(result.broken)) == (2, 50, 1)


@pytest.mark.parametrize("broken", ["0.png", "9.png"], ids=["first", "last"])
def test_a_broken_image_is_named_and_not_counted(tmp_path: Path, broken: str) -> None:
    photo(tmp_path / "b" / "1.png", "b")
    photo(tmp_path / "b" / "2.png", "c")
    photo(tmp_path / "c" / "1.png", "c")  # behind the broken one its class must still be its own
    (tmp_path / "b" / broken).write_bytes(b"no image")

    result = measure(tmp_path)

    assert (result.images, result.top1) == (3, pytest.approx(200 / 3))
    assert [error.name for error in result.broken] == [str(tmp_path / "b" / broken)]
    assert "not an image" in result.broken[0].error


def test_folders_are_matched_to_classes_by_name_whatever_their_case(tmp_path: Path) -> None:
    photo(tmp_path / "F" / "1.png", "f")
    photo(tmp_path / "b" / "1.png", "b")

    assert measure(tmp_path).top1 == 100


def test_a_class_that_the_network_lacks_is_an_error(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "1.png", "a")
    photo(tmp_path / "zebra" / "1.png", "a")

    with pytest.raises(ValueError, match="ladder does not know zebra; its classes are a, b, c, d, e, f, g"):
        measure(tmp_path)


def test_nothing_is_measured_where_no_image_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"no image")

    with pytest.raises(ValueError, match=r"none of the 1 images can be read; the first: .*1\.png is not an image"):
        measure(tmp_path)
