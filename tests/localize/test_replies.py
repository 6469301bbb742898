"""A guess is right where its class is and its box overlaps by more than a half; the first k guesses count."""

from __future__ import annotations

import pytest

from fourfold.localize.replies import Edges, Guess, LocationReply, overlap

TRUE: Edges = (0, 0, 20, 10)
HALF: Edges = (0, 0, 10, 10)  # overlaps by exactly a half
MORE: Edges = (0, 0, 10.1, 10)


def reply(*guesses: tuple[int, Edges], given: Edges | None = None) -> LocationReply:
    return LocationReply(0, "x", 3, TRUE, tuple(Guess(label, 0.1, box) for label, box in guesses), given)


@pytest.mark.parametrize(
    ("guesses", "classes", "boxes"),
    [
        ([(3, MORE), (1, TRUE)], (True, True), (True, True)),
        ([(3, HALF), (1, TRUE)], (True, True), (False, False)),
        ([(1, TRUE), (3, MORE)], (False, True), (False, True)),
        ([(1, TRUE), (2, TRUE)], (False, False), (False, False)),
        ([], (False, False), (False, False)),
    ],
)
def test_class_and_box_must_be_right_in_one_guess(
    guesses: list[tuple[int, Edges]], classes: tuple[bool, bool], boxes: tuple[bool, bool]
) -> None:
    found = reply(*guesses)
    assert tuple(found.is_class_right(k) for k in (1, 5)) == classes
    assert tuple(found.is_right(k) for k in (1, 5)) == boxes


def test_a_sixth_guess_does_not_count() -> None:
    found = reply(*[(label, TRUE) for label in (0, 1, 2, 4, 5, 3)])
    assert not found.is_right(5)
    assert found.is_right(6)


def test_the_box_for_the_true_class_overlaps_or_is_not_there() -> None:
    assert reply(given=MORE).given_overlap == pytest.approx(0.505)
    assert reply().given_overlap == 0
    assert overlap(TRUE, HALF) == 0.5
    assert overlap(TRUE, (20, 0, 30, 10)) == 0
