"""result.json is read back as it was written, and refused where it is anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.reproduce.claim import Measured
from fourfold.reproduce.claims import CLAIMS
from fourfold.reproduce.record import RECORDED, Result, read, recorded, write
from fourfold.reproduce.verdict import judge

RESULT = Result(
    claim="made",
    budget="cpu",
    seeds=(0, 1),
    arms={"a": {"trained": "resnet20", "options": {"width": 0.5}}, "b": {"counted": "nin"}},
    measured={
        "a": (
            Measured({"val_error": 1 / 3}, {"training": ((1.0, 90.0), (2.0, 0.1 + 0.2))}, 2.5),
            Measured({"val_error": 2.0}),
        ),
        "b": (Measured({"parameters": 19_421_274.0}), Measured({"parameters": 19_421_274.0})),
    },
    data="2 images",
    machine={"cores": 2},
    seconds=5.0,
)


def test_a_result_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    write(RESULT, tmp_path / "result.json")
    assert read(tmp_path / "result.json") == RESULT


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told.pop("seeds"),
        lambda told: told["measured"]["a"].pop(),
        lambda told: told["measured"]["a"][0]["values"].update(val_error="much"),
        lambda told: told["measured"]["a"][0]["values"].update(val_error=float("nan")),
        lambda told: told.update(budget="rich"),
        lambda told: told["arms"].pop("b"),
        lambda told: told.update(measured=[]),
        lambda told: told.update(seeds=[0, "1"]),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(spoil: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    write(RESULT, tmp_path / "result.json")
    told = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    spoil(told)
    (tmp_path / "result.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(ValueError, match=r"result.json is damaged \(.*\); restore it, or run"):
        read(tmp_path / "result.json")


def test_text_and_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("[1, 2", encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged"):
        read(tmp_path / "text")
    with pytest.raises(ValueError, match="is missing"):
        read(tmp_path / "nothing")


def test_numbers_that_json_has_not_are_not_written(tmp_path: Path) -> None:
    bad = Result("made", "cpu", (0,), {"a": {}}, {"a": (Measured({"val_error": float("inf")}),)}, "", {}, 0.0)
    with pytest.raises(ValueError, match="JSON"):
        write(bad, tmp_path / "result.json")
    assert list(tmp_path.iterdir()) == []


def test_what_came_with_the_package_is_of_claims_that_there_are_and_can_be_judged() -> None:
    names = sorted(path.stem for path in RECORDED.glob("*.json"))
    assert len(names) >= 10
    for name in names:
        result = recorded(name)
        assert result is not None
        assert result.claim == name
        assert result.budget != "smoke"
        assert judge(CLAIMS[name], result).findings


def test_what_was_not_recorded_is_none(tmp_path: Path) -> None:
    assert recorded("vgg-lrn", tmp_path) is None
