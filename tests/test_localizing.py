"""How localizers are asked, against the parts they are made of; what becomes of images that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fourfold.boxes import iou
from fourfold.catalog import load
from fourfold.data.annotated import Annotations
from fourfold.data.boxed import find_boxed_parts
from fourfold.evaluate.whole import Dense
from fourfold.images import centre_crop, read_image, resize_shorter
from fourfold.localize.heatmap import ByHeat, gradient_activation
from fourfold.localize.locate import Boxer, CentralCrop, Everywhere
from fourfold.localizer_files import open_localizer
from fourfold.localizing import Located, Spot, evaluate_system, localize_each, protocols_of, system_of
from fourfold.sources import Failure, find

Make = Callable[..., Path]  # conftest's


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, put_single: Make, write_localizer: Make) -> Path:
    """data/ and the localizers one/ and two/."""
    folder = tmp_path_factory.mktemp("home")
    put_single(folder / "data", 12)
    for seed, name in enumerate(("one", "two"), start=1):
        write_localizer(folder / name, seed)
    return folder


def photo(home: Path, index: int = 0) -> Tensor:
    return read_image(home / "data" / f"{index}.png")


def images(home: Path) -> Annotations:
    return find_boxed_parts(home / "data" / "boxes.csv")["train"]


def test_dense_asks_boxes_and_classes_of_whole_images(home: Path) -> None:
    opened, image = open_localizer(home / "one"), photo(home)
    guesses = system_of([opened]).localizer(image)

    posteriors = Dense((20,), 16)(opened.classifier, [image])[0]
    order = posteriors.argsort(descending=True).tolist()
    boxes = Everywhere((Boxer(opened.boxes, opened.classifier, (20,)),))(image, order)
    assert [guess.label for guess in guesses] == order
    assert [guess.probability for guess in guesses] == pytest.approx(posteriors[order].tolist())
    assert torch.equal(torch.tensor([guess.box for guess in guesses]), boxes)
    assert len({guess.box for guess in guesses}) == 3, "a box for each class"


def test_scales_are_those_asked_for(home: Path) -> None:
    opened, image = open_localizer(home / "one"), photo(home)
    found = system_of([opened], "dense", [24, 32])
    boxes = Everywhere((Boxer(opened.boxes, opened.classifier, (24, 32)),))(image, [1])
    assert torch.equal(found.localizer.locate(image, [1]), boxes)
    assert torch.equal(found.localizer.predictor([image]), Dense((24, 32), 16)(opened.classifier, [image]))
    assert not torch.equal(boxes, system_of([opened]).localizer.locate(image, [1]))


def test_several_localizers_unite_their_boxes_and_average_their_classes(home: Path) -> None:
    parts, image = [open_localizer(home / name) for name in ("one", "two")], photo(home)
    asked = system_of(parts)
    boxers = tuple(Boxer(each.boxes, each.classifier, (20,)) for each in parts)
    assert torch.equal(asked.localizer.locate(image, [2]), Everywhere(boxers)(image, [2]))
    each = torch.stack([Dense((20,), 16)(part.classifier, [image]) for part in parts]).mean(0)
    assert torch.allclose(asked.localizer.predictor([image]), each)
    assert asked.model == "one + two"


def test_central_asks_both_of_the_central_crop(home: Path) -> None:
    opened, image = open_localizer(home / "one"), photo(home)
    asked = system_of([opened], "central")
    crop = centre_crop(resize_shorter(image, 20), 16)[None]
    network = opened.classifier
    scores = network.classifier(network.pixels(crop)).softmax(1)
    assert torch.allclose(asked.localizer.predictor([image]), scores, atol=1e-5)
    assert torch.equal(asked.localizer.locate(image, [0, 2]), CentralCrop(opened.boxes)(image, [0, 2]))


def test_heat_needs_no_localizer(home: Path) -> None:
    network, image = load(home / "one" / "classifier"), photo(home)
    plain, own = system_of([network]), system_of([open_localizer(home / "one")], "heat")
    assert torch.equal(plain.localizer.locate(image, [1]), ByHeat(network, 16)(image, [1])), "at the single view's scale"
    assert torch.equal(own.localizer.locate(image, [1]), ByHeat(network, 20)(image, [1])), "at the scale it learned from"
    square = centre_crop(resize_shorter(image, 16), 16)[None]
    assert torch.allclose(
        plain.localizer.predictor([image]), network.classifier(network.pixels(square)).softmax(1), atol=1e-5
    )
    larger = system_of([network], "heat", [40])
    assert torch.equal(larger.localizer.locate(image, [1]), ByHeat(network, 40)(image, [1]))
    assert larger.maps.scale == 40
    assert "no boxes learned from" in plain.words


WRONG: dict[str, tuple[tuple[str, ...], str | None, list[int] | None, str]] = {
    "an unknown protocol": (("one",), "dnse", None, r"no protocol 'dnse'.*closest are dense.*dense, central, heat"),
    "dense for a classifier": (("one/classifier",), "dense", None, "which gives no boxes by protocol dense"),
    "both kinds": (("one", "one/classifier"), None, None, "cannot be asked together"),
    "two central crops": (("one", "two"), "central", None, "2 networks cannot give one box by protocol central"),
    "two maps": (("one", "two"), "heat", None, "2 networks cannot give one box by protocol heat"),
    "two classifiers": (("one/classifier", "two/classifier"), None, None, "give one, or localizers and dense"),
    "a scale below the window": (("one",), "dense", [15], "scale 15 is smaller than the network's 16x16 window"),
    "a small scale of maps": (("one",), "heat", [15], "scale 15 is smaller"),
    "scales of maps": (("one/classifier",), "heat", [20, 30], "at one scale, and 2 are given"),
    "a scale of the crop": (("one",), "central", [20], "leave out the scales"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_go_together_is_refused(name: str, home: Path) -> None:
    folders, protocol, scales, words = WRONG[name]
    parts = [load(home / each) if "/" in each else open_localizer(home / each) for each in folders]
    with pytest.raises(ValueError, match=words) as caught:
        system_of(parts, protocol, scales)
    assert "\n" not in str(caught.value)


def test_all_means_what_the_networks_can_be_asked_by(home: Path) -> None:
    one, two, network = open_localizer(home / "one"), open_localizer(home / "two"), load(home / "one" / "classifier")
    assert protocols_of([one], "all") == ["dense", "central", "heat"]
    assert protocols_of([one, two], "all") == ["dense"]
    assert protocols_of([network], "all") == ["heat"]
    assert protocols_of([one], None) == ["dense"]
    assert protocols_of([network], None) == ["heat"]
    assert protocols_of([one], "heat, dense,heat") == ["heat", "dense"]


def test_photos_are_located_in_order_and_broken_ones_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    sources = find([home / "data" / "0.png", tmp_path / "bad.png", home / "data" / "1.png"])
    asked = system_of([open_localizer(home / "one")])

    first, bad, second = localize_each(asked, sources, top=2)

    assert isinstance(first, Located)
    assert isinstance(second, Located)
    assert isinstance(bad, Failure)
    assert "bad.png" in bad.error
    for located, index in ((first, 0), (second, 1)):
        guesses = asked.localizer(photo(home, index))[:2]
        assert [(spot.index, spot.probability, spot.box) for spot in located.top] == [
            (guess.label, guess.probability, guess.box) for guess in guesses
        ]
        assert [spot.label for spot in located.top] == [asked.labels[guess.label] for guess in guesses]
        assert located.heat is None
    for top in (0, 6):
        with pytest.raises(ValueError, match=f"top is {top}; ask for 1 to 5 classes"):
            list(localize_each(asked, sources, top))


def test_an_image_that_becomes_too_large_is_a_failure(home: Path) -> None:
    asked = system_of([open_localizer(home / "one")], "dense", [300])
    (found,) = localize_each(asked, [torch.zeros(3, 20, 900, dtype=torch.uint8)])
    assert isinstance(found, Failure)
    assert re.search(r"<Tensor>: an image of 900x20 becomes 13500x300 .*give smaller scales", found.error)


def test_the_map_drawn_is_that_of_the_likeliest_class(home: Path) -> None:
    opened = open_localizer(home / "one")
    asked = system_of([opened])
    (found,) = localize_each(asked, [photo(home)], with_heat=True)
    assert isinstance(found, Located)
    wanted = gradient_activation(opened.classifier, resize_shorter(photo(home), 20), [found.top[0].index])[0]
    assert found.heat is not None
    assert torch.equal(found.heat, wanted)


@pytest.mark.parametrize(("row", "column"), [(1, 1), (2, 3)])
def test_a_picture_shows_the_box_and_the_map_where_they_are(row: int, column: int) -> None:
    image, heat = torch.full((3, 300, 500), 128, dtype=torch.uint8), torch.zeros(4, 5)
    heat[row, column] = 4.0
    spot = Spot("cat", 0, 0.75, (20.0, 250.0, 480.0, 290.0))
    located = Located("x", (spot,), "net", "words", image)

    plain, hot = (np.asarray(each.plot()).astype(int) for each in (located, replace(located, heat=heat)))

    assert plain.shape == (300, 500, 3)
    changed = (plain != 128).any(2)
    down, across = changed[:, 300].nonzero()[0], changed[270].nonzero()[0]  # where no words are
    assert (down.min(), down.max(), across.min(), across.max()) == (250, 289, 20, 479)
    warmth = hot[:, :, 0] - hot[:, :, 2]
    peak = np.unravel_index(warmth[:230].argmax(), warmth[:230].shape)
    assert abs(peak[0] - (row + 0.5) * 75) < 3
    assert abs(peak[1] - (column + 0.5) * 100) < 3
    flat = np.asarray(replace(located, heat=torch.zeros(4, 5)).plot())
    assert flat.shape == plain.shape


def test_an_evaluation_asks_about_every_largest_object(home: Path) -> None:
    opened, part, seen = open_localizer(home / "one"), images(home), []

    found = evaluate_system(system_of([opened]), part, lambda done, total: seen.append((done, total)))

    assert seen == [(index + 1, len(part)) for index in range(len(part))]
    locate = Everywhere((Boxer(opened.boxes, opened.classifier, (20,)),))
    overlaps = []
    for reply, image in zip(found.replies, part.images, strict=True):
        box = locate(read_image(Path(image.item.name)), [int(image.labels[0])])
        overlaps.append(float(iou(box, image.boxes)))
        assert reply.given_overlap == pytest.approx(overlaps[-1], abs=1e-5)
    assert found.given_class.wrong == sum(overlap <= 0.5 for overlap in overlaps)
    assert sum(overlap > 0 for overlap in overlaps) > 0
    assert found.seconds is not None
    assert found.seconds > 0


def test_classes_are_matched_by_name_and_unknown_ones_named(tmp_path: Path, put_single: Make, write_localizer: Make) -> None:
    part = find_boxed_parts(put_single(tmp_path / "data", 5, ("red [cell]", "purple", "blue")) / "boxes.csv")["train"]
    asked = system_of([open_localizer(write_localizer(tmp_path / "one", 1))])

    found = evaluate_system(asked, part)

    assert [found.labels[each.truth] if not each.error else "" for each in found.replies] == [
        "red [cell]", "", "blue", "red [cell]", "",
    ]  # fmt: skip
    assert [each.name for each in found.broken] == [part.images[index].item.name for index in (1, 4)]
    assert found.broken[0].error.endswith("1.png: its object is of class purple, which one does not know")
    only = replace(part, images=part.images[1:2])
    with pytest.raises(ValueError, match=r"none of the 1 images can be used; the first: .*purple"):
        evaluate_system(asked, only)
    with pytest.raises(ValueError, match="no image has an object that can be located"):
        evaluate_system(asked, replace(part, images=()))


def test_a_file_that_is_broken_is_left_out_of_the_errors(tmp_path: Path, put_single: Make, write_localizer: Make) -> None:
    part = find_boxed_parts(put_single(tmp_path / "data", 5) / "boxes.csv")["train"]
    (tmp_path / "data" / "3.png").write_bytes((tmp_path / "data" / "3.png").read_bytes()[:900])
    found = evaluate_system(system_of([open_localizer(write_localizer(tmp_path / "one", 1))]), part)
    assert found.images == 4
    assert [Path(each.name).name for each in found.broken] == ["3.png"]
