"""Accuracies are those counted by hand on a folder whose answers are known; an image's answer is its own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from fourfold.catalog import ModelEntry, Network, load
from fourfold.data.folder import list_folder
from fourfold.data.listing import Broken, Listing, to_image
from fourfold.evaluate.answers import Reply
from fourfold.evaluate.crops import single_view
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.runner import blocks, evaluate, predictions, replies, truth_of
from fourfold.evaluate.summary import Evaluation
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.networks import build
from fourfold.papers.protocols import protocol_named
from fourfold.train.initialise import He

LABELS = tuple("abcdefg")
THREE = ("a", "b", "c")
VIEW = single_view(8)


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


LADDER = Predictor((Member(ladder_network(), VIEW),))


def photo(path: Path, looks_like: str) -> None:
    """A photo that the ladder network takes for a class; its second choices are the classes beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (30 * LABELS.index(looks_like), 200, 10)).save(path)


def measure(folder: Path) -> Evaluation:
    return evaluate(LADDER, list_folder(folder))


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

    result = evaluate(LADDER, list_folder(tmp_path), lambda done, count: seen.append((done, count)))

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


def test_classes_that_differ_in_case_alone_are_told_apart() -> None:
    labels = ("Cardigan", "pug", "cardigan")  # ImageNet: a dog, and what one wears

    def found(*classes: str) -> list[int]:
        return truth_of(labels, Listing((), tuple(range(len(classes))), classes), "net")

    assert found("cardigan", "Cardigan", "Pug") == [2, 0, 1]
    assert found("CARDIGAN") == [0]


@dataclass(frozen=True)
class Made:
    """An image in memory."""

    name: str
    image: torch.Tensor | None

    def content(self) -> torch.Tensor:
        """See Item."""
        if self.image is None:
            raise ValueError(f"{self.name} is gone")
        return self.image


def made_listing(sizes: Sequence[tuple[int, int] | None]) -> Listing:
    generator = torch.Generator().manual_seed(5)
    images = [
        None if size is None else torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes
    ]
    items = tuple(Made(f"{index}.png", image) for index, image in enumerate(images))
    return Listing(items, tuple(index % 3 for index in range(len(sizes))), THREE)


def pyramid_network() -> Network:
    """Random weights, large enough that images differ in their posteriors by far more than rounding does."""
    classifier = build("zf5-spp", input_size=32, width=0.1, classes=3).eval().requires_grad_(False)
    He()(classifier, torch.Generator().manual_seed(2))
    return Network(classifier, Pixels(mean=(120.0,) * 3, std=(60.0,) * 3), THREE, ModelEntry(name="zf", network="zf5-spp"))


NETWORKS = {"pyramid": pyramid_network(), "residual": load("resnet20-cifar10")}
ASKED = [
    ("pyramid", "single", 64),
    ("pyramid", "ten", 64),
    ("pyramid", "dense", 64),
    ("pyramid", "crops144", 10),
    ("pyramid", "crops144-max", 10),
    ("pyramid", "views98", 10),
    ("residual", "full", 64),
    ("residual", "ten+dense", 10),
]


def asked_by(which: str, protocol: str) -> Predictor:
    return Predictor((Member(NETWORKS[which], protocol_named(protocol, 32)),))


@pytest.mark.parametrize(("which", "protocol", "count"), ASKED)
def test_an_image_has_the_same_posterior_in_any_company(which: str, protocol: str, count: int) -> None:
    predictor = asked_by(which, protocol)
    sizes = [((32, 32), (40, 33), (37, 64), (90, 45), (40, 33))[index % 5] for index in range(count)]
    images = [to_image(item.content(), item.name) for item in made_listing(sizes).items]

    together = predictor(images)
    shuffled = random.Random(1).sample(range(len(images)), len(images))

    for size in (1, 7):
        parts = [predictor(images[start : start + size]) for start in range(0, len(images), size)]
        torch.testing.assert_close(torch.cat(parts), together, rtol=0, atol=1e-5)
    torch.testing.assert_close(predictor([images[i] for i in shuffled]), together[shuffled], rtol=0, atol=1e-5)
    assert len(torch.unique((together * 1e4).round(), dim=0)) == len(images)  # they differ by far more than is allowed


@pytest.mark.parametrize("protocol", ["single", "ten-maps"])
def test_replies_do_not_depend_on_order_or_batches(protocol: str) -> None:
    predictor = asked_by("pyramid", protocol)
    listing = made_listing([None if index % 11 == 4 else (32 + index % 3, 40) for index in range(70)])
    truth = truth_of(THREE, listing, "net")
    together = evaluate(predictor, listing).replies

    shuffled = random.Random(2).sample(range(70), 70)
    for indices in (shuffled, [69, 3, 4, 5], range(7, 21)):
        given = [each for batch, _ in replies(predictor, listing, truth, indices) for each in batch]
        assert [each.index for each in given] == list(indices)
        for each in given:
            check_alike(each, together[each.index])
    assert [each.index for each in together if each.error] == [4, 15, 26, 37, 48, 59]


def check_alike(have: Reply, want: Reply) -> None:
    assert replace(have, probability=0, top=()) == replace(want, probability=0, top=())
    assert have.probability == pytest.approx(want.probability, abs=1e-5)
    assert dict(have.top) == pytest.approx(dict(want.top), abs=1e-5)


def test_parts_of_an_evaluation_are_those_of_the_whole_to_the_last_bit() -> None:
    predictor = asked_by("pyramid", "single")
    listing = made_listing([(32, 32 + index % 2) for index in range(150)])
    truth = truth_of(THREE, listing, "net")

    parts = blocks(predictor, range(150))
    given = [each for part in reversed(parts) for batch, _ in replies(predictor, listing, truth, part) for each in batch]

    assert [(part[0], part[-1]) for part in parts] == [(0, 63), (64, 127), (128, 149)]
    assert tuple(sorted(given, key=lambda each: each.index)) == evaluate(predictor, listing).replies


def test_a_batch_holds_fewer_images_where_a_protocol_takes_many_views() -> None:
    torch.manual_seed(0)
    head = MeanHead(sequential({"fc": nn.Linear(3, 7)}), side=224)
    classifier = Classifier(sequential({"none": nn.Identity()}), head, input_size=224).eval()
    network = Network(classifier, Pixels(), LABELS, ModelEntry(name="net", network="net"))

    def sizes(protocol: str) -> set[int]:
        return set(map(len, blocks(Predictor((Member(network, protocol_named(protocol, 224)),)), range(64 * 6))))

    assert sizes("single") == {64}
    assert sizes("ten") == {6}
    assert sizes("crops144") == {1}


def test_large_photos_do_not_pile_up() -> None:
    """Five of 4000 x 3000 have 60 million pixels, six have more than the 64 million that are allowed."""
    large = torch.zeros(3, 3000, 4000, dtype=torch.uint8)
    items = (*(Made(f"{index}.png", large) for index in range(6)), Made("6.png", large[:, :32, :32]))

    given = replies(LADDER, Listing(items, (0,) * 7, LABELS), [0] * 7, range(7))

    assert [[each.index for each in batch] for batch, _ in given] == [[0, 1, 2, 3, 4], [5, 6]]


def test_an_image_that_the_protocol_refuses_has_a_reply_that_says_why() -> None:
    listing = made_listing([(40, 33), (4, 200), None, (40, 33)])
    predictor = Predictor((Member(NETWORKS["pyramid"], protocol_named("full", 32, (400,))),))

    result = evaluate(predictor, listing)

    assert [bool(each.error) for each in result.replies] == [False, True, True, False]
    assert result.replies[1].error.startswith("1.png: an image of 200x4 becomes 20000x400")
    assert result.replies[2].error == "2.png is gone"


def test_views_are_counted_of_the_first_image_that_is_usable() -> None:
    listing = made_listing([None, (40, 33), (32, 32)])

    assert evaluate(asked_by("pyramid", "ten"), listing).views == 10
    both = Predictor((*asked_by("pyramid", "single").members, *asked_by("pyramid", "crops144").members))
    assert evaluate(both, listing).views == 145


def test_seconds_are_those_of_the_predictor_alone() -> None:
    result = evaluate(LADDER, made_listing([(32, 32)] * 3))

    assert 0 < result.seconds < result.wall_seconds


def test_predictions_come_in_order_and_broken_items_aside() -> None:
    listing = made_listing([(9, 8), None, (8, 8), (8, 12)])
    broken: list[Broken] = []

    ((images, labels, posteriors),) = predictions(LADDER.members[0].network, VIEW, listing, [6, 5, 4, 3], broken)

    assert [tuple(image.shape) for image in images] == [(3, 9, 8), (3, 8, 8), (3, 8, 12)]
    assert labels.tolist() == [6, 4, 3]
    torch.testing.assert_close(posteriors, LADDER(images))
    assert broken == [Broken("1.png", "1.png is gone")]
