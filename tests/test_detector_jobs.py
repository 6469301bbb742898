"""A user's arguments for a detector: what they change, what is refused before anything is written, and what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold.detect import box_regression
from fourfold.detect.method import Method
from fourfold.detector_jobs import DetectorArguments, method_for, run_detector_training
from fourfold.detector_training import Watch
from fourfold.networks import build
from fourfold.weights import save_weights

BOX = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>5</ymin><xmax>{}</xmax><ymax>40</ymax></bndbox></object>"


class StoppedError(Exception):
    """Once proposals are made: what comes then is tested elsewhere."""


def stop(what: str, _done: int, _total: int) -> None:
    if what != "proposals":
        raise StoppedError


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DetectorArguments:
    """Arguments with paths below the working folder: data/ of four photos, start/, boxes.csv."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    draw = np.random.default_rng(0)
    lines = ["image,class,score,x1,y1,x2,y2"]
    for name in "abcd":
        Image.fromarray(draw.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(f"data/{name}.png")
        objects = BOX.format("cat", 4, 30) + BOX.format("dog", 40, 70)
        Path(f"data/{name}.xml").write_text(f"<annotation>{objects}</annotation>", encoding="utf-8")
        lines += [f"{name}.png,,,{x},{y},{x + 25},{y + 30}" for x in (0, 20, 50) for y in (0, 30)]
    Path("boxes.csv").write_text("\n".join(lines), encoding="utf-8")
    Path("start").mkdir()
    torch.manual_seed(0)
    options = {"classes": 2, "width": 0.25, "levels": [2, 1], "units": 8}
    save_weights(Path("start/weights.safetensors"), build("resnet20", **options).state_dict())
    pixels = {"mean": [120.0, 121.0, 122.0], "std": [60.0, 61.0, 62.0], "order": "RGB"}
    entry = {"name": "small", "network": "resnet20", "options": options, "classes": ["a", "b"], "pixels": pixels}
    Path("start/entry.json").write_text(json.dumps({**entry, "licence": "yours"}), encoding="utf-8")
    return DetectorArguments("data", "sppnet", "start", proposals="boxes.csv", count=9, steps=2)


def begin(given: DetectorArguments, run: Path = Path("run"), *, resume: bool = False) -> list[str]:
    """Begin a run and stop it behind its proposals; what it said."""
    said: list[str] = []
    with pytest.raises(StoppedError):
        run_detector_training(given, run, resume=resume, watch=Watch(stop, say=said.append))
    return said


def refusal(given: DetectorArguments, *, resume: bool = False, run: Path = Path("run")) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        run_detector_training(given, run, resume=resume, watch=Watch(stop))
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no data": ({"data": None}, "no data given"),
    "data that is not there": ({"data": "gone"}, "no folder or file gone"),
    "an unknown method": ({"method": "spnet"}, "no method 'spnet'"),
    "an unknown start": ({"start": "resnet21"}, "resnet21"),
    "an unknown option": ({"options": {"colour": 1}}, "colour"),
    "unknown proposals": ({"proposals": "fats"}, "no proposals 'fats'"),
    "no proposals": ({"count": 0}, "0 proposals are none"),
    "fewer than none": ({"count": -3}, "-3 proposals are none"),
    "no steps": ({"steps": -1}, "-1 mini-batches cannot be"),
    "a rate of nothing": ({"rate": 0.0}, "0 is not a learning rate"),
    "a rate below nothing": ({"rate": -0.1}, "-0.1 is not a learning rate"),
    "a rate that is no number": ({"rate": float("nan")}, "nan is not a learning rate"),
    "an endless rate": ({"rate": float("inf")}, "inf is not a learning rate"),
    "a rate without steps": ({"rate": 0.1, "steps": 0}, "so it has no learning rate"),
    "unknown scores": ({"scores": "magic"}, "no scores by 'magic'; choose svm or softmax"),
    "softmax without steps": ({"scores": "softmax", "steps": 0}, "tune it, or score by svm"),
    "no decay": ({"decay": 0.0}, "a lambda of 0"),
    "a decay without boxes": ({"decay": 5.0, "refines": False}, "so there is no lambda"),
    "scales for warped regions": ({"method": "rcnn", "scales": (60,)}, "has no scales"),
    "a scale of nothing": ({"scales": (0,)}, "scales are (0,)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_before_anything_is_written(name: str, given: DetectorArguments) -> None:
    changes, text = WRONG[name]

    assert text in refusal(replace(given, **changes))
    assert not Path("run").exists()


def method(**changes: Any) -> Method:
    return method_for(DetectorArguments(**{"method": "sppnet", **changes}), 32)


def test_arguments_change_the_method_and_are_told_as_deviations() -> None:
    plain, changed = method(), method(
        proposals="quality", count=7, scores="softmax", refines=False, steps=9, rate=0.5, scales=(40, 60)
    )  # fmt: skip

    assert (plain.proposals, plain.count, plain.scores) == ("fast", 2000, "svm")
    assert plain.ridge == box_regression.SPPNET
    assert (changed.proposals, changed.count, changed.scores, changed.ridge) == ("quality", 7, "softmax", None)
    assert changed.tuning is not None
    assert changed.tuning.steps == 9
    told = " | ".join(changed.deviations)
    for words in (
        "7 proposals of quality",
        "softmax",
        "no box regression",
        "9 mini-batches",
        "rate of 0.5",
        "scales 40, 60",
    ):
        assert words in told
        assert words not in " | ".join(plain.deviations)
    assert method(count=7).proposals == "fast"
    assert method(proposals="quality").count == 2000
    assert method(steps=0).tuning is None
    assert method(decay=5.0).ridge == replace(box_regression.SPPNET, decay=5.0)


def test_boxes_can_be_asked_of_a_method_that_moves_none() -> None:
    assert method(method="googlenet").ridge is None
    asked = method(method="googlenet", refines=True)
    assert asked.ridge == box_regression.RCNN
    assert any("box regression" in note for note in asked.deviations)
    assert method(refines=True) == method()


def test_modern_is_the_method_where_none_is_named() -> None:
    assert method_for(DetectorArguments(), 32) == method(method="modern")


def test_arguments_are_kept_with_whole_paths(given: DetectorArguments, tmp_path: Path) -> None:
    said = begin(given)

    kept = json.loads(Path("run/args.json").read_text(encoding="utf-8"))
    assert {name: value for name, value in kept.items() if value not in (None, {})} == {
        "data": str(tmp_path / "data"), "method": "sppnet", "start": str(tmp_path / "start"),
        "proposals": str(tmp_path / "boxes.csv"), "count": 9, "steps": 2,
    }  # fmt: skip
    assert said[0] == "3 images, 6 boxes of 2 classes; checked on 10%, held out"
    assert said[1].startswith("SPP-net 4, one scale: regions pooled from maps at 98, starting from small")


def test_a_folder_that_holds_a_run_is_refused_and_stays(given: DetectorArguments) -> None:
    begin(given)
    before = Path("run/args.json").read_bytes()

    assert "run holds a run already; add --resume to go on with it" in refusal(replace(given, steps=3))
    assert Path("run/args.json").read_bytes() == before
    assert "holds a run already" in refusal(given, run=Path("start"))  # a classifier


def test_resuming_takes_what_was_said_from_any_folder_and_refuses_another_thing(
    given: DetectorArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(given)
    begin(DetectorArguments(), resume=True)
    begin(given, resume=True)  # the same again
    for changes, text in (
        ({"steps": 3}, "steps 2, not 3"),
        ({"method": "rcnn"}, "method 'sppnet', not 'rcnn'"),
        ({"options": {"width": 0.5}}, "options {}, not {'width': 0.5}"),
        ({"scales": (40,)}, "scales None, not (40,)"),
        ({"refines": False}, "refines None, not False"),
    ):
        assert text in refusal(replace(DetectorArguments(), **changes), resume=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    begin(DetectorArguments(), tmp_path / "run", resume=True)


def test_scales_are_kept_as_they_were(given: DetectorArguments) -> None:
    begin(replace(given, scales=(40, 60)))
    begin(DetectorArguments(scales=(40, 60)), resume=True)


def test_what_holds_no_such_run_is_not_resumed(given: DetectorArguments) -> None:
    assert "holds no run to resume" in refusal(given, resume=True)
    Path("run").mkdir()
    Path("run/args.json").write_text('{"epochs": 3}', encoding="utf-8")
    assert "holds another kind of run" in refusal(DetectorArguments(), resume=True)
    Path("run/args.json").write_text("{", encoding="utf-8")
    assert "args.json cannot be read" in refusal(DetectorArguments(), resume=True)


def test_five_faults_are_told_and_the_others_counted(given: DetectorArguments) -> None:
    wrong = "".join(BOX.format("cat", x, y) for x, y in ((90, 99), (7, 6), (90, 95), (85, 90), (50, 200), (99, 100)))
    for name in "ab":
        path = Path(f"data/{name}.xml")
        path.write_text(path.read_text(encoding="utf-8").replace("</annotation>", f"{wrong}</annotation>"), encoding="utf-8")

    said = begin(given)

    assert len(said) == 8
    assert "a.xml: object 3 (cat): box" in said[2]
    assert any("cut to it" in line for line in said)
    assert said[-1] == "and 7 faults more"
