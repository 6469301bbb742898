"""The kinds of errors, by hand and by going through every object."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.detections import Detections, nothing_found
from fourfold.detect.errors import KINDS, Errors, error_breakdown

CAT, DOG, CAR = range(3)
Row = tuple[float, float, float, float]


def image_of(*rows: tuple[Row, int], difficult: tuple[int, ...] = ()) -> Annotated:
    boxes = torch.tensor([box for box, _ in rows]).float().view(-1, 4)
    is_difficult = torch.tensor([at in difficult for at in range(len(rows))], dtype=torch.bool)
    labels = torch.tensor([label for _, label in rows], dtype=torch.int64)
    return Annotated(File(Path("photo.jpg")), 200, 300, boxes, labels, is_difficult)


def found_of(*rows: tuple[Row, int, float]) -> Detections:
    labels = torch.tensor([label for _, label, _ in rows], dtype=torch.int64)
    boxes = torch.tensor([box for box, _, _ in rows]).float().view(-1, 4)
    return Detections(boxes, labels, torch.tensor([score for _, _, score in rows]))


def kinds(errors: Errors) -> list[str]:
    return [KINDS[kind] for kind in errors.kinds.tolist()]


IMAGE = image_of(((0, 0, 10, 10), CAT), ((50, 0, 60, 10), DOG), ((100, 0, 110, 10), CAR))
FOUND = found_of(
    ((0, 0, 10, 10), CAT, 0.99),  # right
    ((0, 0, 10, 9), CAT, 0.9),  # found twice
    ((0, 0, 4, 10), CAT, 0.8),  # overlap 0.4
    ((50, 0, 60, 10), CAT, 0.7),  # a dog
    ((100, 0, 101, 10), CAT, 0.6),  # a tenth of a car
    ((150, 0, 160, 10), CAT, 0.5),  # nothing
    ((0, 0, 10, 0.9), CAT, 0.4),  # less than a tenth of the cat
    ((0, 0, 10, 10), CAR, 0.3),  # a cat
)


def test_every_kind_by_hand() -> None:
    cat, dog, car = error_breakdown([FOUND], [IMAGE], 3, 10, groups=[[CAT, DOG]])
    assert kinds(cat) == ["localization", "localization", "similar", "other", "background", "background"]
    assert cat.shares == {"localization": 1 / 3, "similar": 1 / 6, "other": 1 / 6, "background": 1 / 3}
    assert kinds(car) == ["other"]
    assert kinds(dog) == []
    assert set(dog.shares.values()) == {0}


def test_without_groups_no_class_is_similar() -> None:
    assert error_breakdown([FOUND], [IMAGE], 3, 10)[CAT].shares["similar"] == 0
    assert error_breakdown([FOUND], [IMAGE], 3, 10)[CAT].shares["other"] == 1 / 3


def test_the_surest_are_counted_over_all_images() -> None:
    other = found_of(((150, 0, 160, 10), CAT, 0.95), ((0, 0, 4, 10), CAT, 0.85))
    both = error_breakdown([FOUND, other], [IMAGE, IMAGE], 3, 3)
    assert kinds(both[CAT]) == ["background", "localization", "localization"]


def test_the_own_class_comes_before_others() -> None:
    image = image_of(((0, 0, 10, 10), DOG), ((0, 0, 10, 40), CAT))
    found = found_of(((0, 0, 10, 10), CAT, 0.9))  # on the dog exactly, and a quarter of the cat
    assert kinds(error_breakdown([found], [image], 3, 5, groups=[[CAT, DOG]])[CAT]) == ["localization"]


def test_what_falls_on_a_difficult_object_is_no_error_but_half_of_one_is_localization() -> None:
    image = image_of(((0, 0, 10, 10), CAT), difficult=(0,))
    found = found_of(((0, 0, 10, 10), CAT, 0.9), ((0, 0, 4, 10), CAT, 0.8))
    assert kinds(error_breakdown([found], [image], 1, 5)[CAT]) == ["localization"]


def test_nothing_found_and_no_objects() -> None:
    assert [kinds(each) for each in error_breakdown([nothing_found()], [IMAGE], 2 + 1, 5)] == [[], [], []]
    assert kinds(error_breakdown([FOUND], [image_of()], 3, 2)[CAT]) == ["background", "background"]
    assert kinds(error_breakdown([], [], 1, 5)[0]) == []


@pytest.mark.parametrize("group", [[0, 3], [-1, 0]])
def test_a_group_of_what_is_no_class_is_refused(group: list[int]) -> None:
    with pytest.raises(ValueError, match="give labels from 0 to 2"):
        error_breakdown([FOUND], [IMAGE], 3, 5, groups=[group])
