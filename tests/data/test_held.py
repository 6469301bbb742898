"""What was made before is held within bounds, and what was asked for longest ago goes first."""

from __future__ import annotations

import pytest
import torch

from fourfold.data.held import Held, bytes_of


def held(limit: int) -> tuple[Held[str], list[str]]:
    return Held(limit, len), []


def ask(store: Held[str], made: list[str], *values: str) -> None:
    for value in values:
        assert store.get(value[0], lambda value=value: made.append(value) or value) == value


def test_what_was_made_is_held() -> None:
    store, made = held(10)
    ask(store, made, "aaaa", "bbbb", "aaaa", "bbbb")
    assert made == ["aaaa", "bbbb"]


def test_what_was_asked_for_longest_ago_is_let_go() -> None:
    store, made = held(10)
    ask(store, made, "aaaa", "bbbb", "aaaa", "cccc")  # b is the oldest
    made.clear()
    ask(store, made, "aaaa", "cccc")
    assert made == []
    ask(store, made, "bbbb", "cccc", "aaaa")  # b pushes a out, then a b
    assert made == ["bbbb", "aaaa"]


def test_several_are_let_go_for_a_large_one_and_exactly_the_limit_fits() -> None:
    store, made = held(10)
    ask(store, made, "aaaa", "bbb", "ccc")
    assert made == ["aaaa", "bbb", "ccc"]
    ask(store, made, "aaaa", "bbb", "ccc")
    assert len(made) == 3, "ten of ten are held"
    ask(store, made, "dddddd")
    made.clear()
    ask(store, made, "ccc")
    assert made == []
    ask(store, made, "bbb", "aaaa")
    assert made == ["bbb", "aaaa"]


def test_one_that_exceeds_the_limit_alone_is_held_until_another_comes() -> None:
    store, made = held(3)
    ask(store, made, "aaaa", "aaaa", "b", "b", "cc", "b")
    assert made == ["aaaa", "b", "cc"]


def test_what_could_not_be_made_is_not_held() -> None:
    store, _ = held(3)

    def fail() -> str:
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        store.get("a", fail)
    assert store.get("a", lambda: "aaa") == "aaa"


def test_a_tensor_takes_its_values_bytes() -> None:
    assert bytes_of(torch.zeros(3, 5, 7, dtype=torch.uint8)) == 105
    assert bytes_of(torch.zeros(2, 3)) == 24
