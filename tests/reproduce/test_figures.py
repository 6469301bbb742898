"""Pictures of claims: which panels there are, and what their lines and bars show."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fourfold.reproduce.claim import Claim, Contrast, Measured, Table, higher, times
from fourfold.reproduce.figures import curves_of, mean_curve, picture
from fourfold.reproduce.record import Result
from fourfold.reproduce.trained import Trained

ARM = Trained("resnet20", "resnet-cifar")


def claim_of(*contrasts: Contrast) -> Claim:
    return Claim("x-y", "P", "1", "S.", Table(("net",), (("a",),)), {"a$": ARM, "b": ARM}, contrasts)


def result_of(curves: dict[str, tuple[tuple[float, float], ...]], seeds: int = 2) -> Result:
    values = {"val_error": 5.0, "seconds": 1.0}
    many = tuple(Measured({**values, "val_error": 5.0 + seed}, curves) for seed in range(seeds))
    return Result("x-y", "cpu", tuple(range(seeds)), {"a$": {}, "b": {}}, {"a$": many, "b": many}, "", {}, 0.0)


TRAINING = {"training": ((10.0, 90.0), (20.0, 50.0)), "validation": ((10.0, 80.0), (20.0, 60.0))}


@pytest.mark.parametrize(
    ("curves", "contrasts", "panels"),
    [
        ({}, [higher("val_error", "a$", "b")], 1),
        (TRAINING, [higher("val_error", "a$", "b")], 2),
        (TRAINING, [higher("val_error", "a$", "b"), higher("val_error", "b", "a$"), times("seconds", "a$", "b")], 3),
        ({"gradient": ((1.0, 0.1), (2.0, 10.0))}, [higher("val_error", "a$", "b")], 2),
        ({"training": ((1.0, 90.0),), "validation": ((1.0, 90.0),), "responses": ((1.0, 2.0),)},
         [higher("val_error", "a$", "b")], 3),
        ({"training": (), "validation": ()}, [higher("val_error", "a$", "b")], 1),
    ],
)  # fmt: skip
def test_there_is_a_panel_for_all_that_there_is_something_for(
    curves: dict[str, tuple[tuple[float, float], ...]], contrasts: list[Contrast], panels: int, tmp_path: Path
) -> None:
    for seeds in (1, 2):
        picture(claim_of(*contrasts), result_of(curves, seeds), tmp_path / "plot.png")
        with Image.open(tmp_path / "plot.png") as image:
            assert image.format == "PNG"
            assert image.width == pytest.approx(panels * 5.2 * 130, abs=2)


def test_curves_are_those_of_all_seeds_and_their_mean() -> None:
    low, high = (Measured({}, {"training": ((1.0, y), (2.0, y / 2))}) for y in (10.0, 30.0))
    short = Measured({}, {"training": ((1.0, 50.0),)})
    measured = {"a": (low, high), "b": (low, short), "c": (Measured({}), Measured({}))}
    found = curves_of(Result("x-y", "cpu", (0, 1), {arm: {} for arm in measured}, measured, "", {}, 0.0), "training")
    assert list(found) == ["a", "b"]
    assert mean_curve(found["a"]) == ((1.0, 20.0), (2.0, 10.0))
    assert mean_curve(found["b"]) == ((1.0, 30.0),)
