"""A user's arguments for a localizer: what they change, what is refused before anything is written, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourfold.detector_training import Watch
from fourfold.localizer_jobs import LocalizerArguments, method_for, run_localizer_training
from fourfold.papers.localization import localizer_named, modern_steps
from fourfold.train.loop import Moment, Watchers

Make = Callable[..., Path]  # conftest's


class StoppedError(Exception):
    """Once boxes are learned: what comes then is tested elsewhere."""


def stop(_moment: Moment) -> None:
    raise StoppedError


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put_single: Make, write_classifier: Make) -> LocalizerArguments:
    """Arguments with paths below the working folder: data/ and start/."""
    monkeypatch.chdir(tmp_path)
    put_single(tmp_path / "data")
    write_classifier(tmp_path / "start", 1)
    return LocalizerArguments("data/boxes.csv", start="start", steps=2, batch_size=2)


def begin(given: LocalizerArguments, run: Path = Path("run"), *, resume: bool = False) -> list[str]:
    """Begin a run and stop it at its first mini-batch; what it said."""
    said: list[str] = []
    with pytest.raises(StoppedError):
        run_localizer_training(given, run, resume=resume, watch=Watch(training=Watchers(step=stop), say=said.append))
    return said


def refusal(given: LocalizerArguments, *, resume: bool = False, run: Path = Path("run")) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        run_localizer_training(given, run, resume=resume, watch=Watch(training=Watchers(step=stop)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no data": ({"data": None}, "no data given"),
    "data that is not there": ({"data": "gone"}, "no folder or file gone"),
    "an unknown method": ({"method": "vgg-prc"}, "no localizer 'vgg-prc'"),
    "an unknown start": ({"start": "resnet21"}, "resnet21"),
    "an unknown option": ({"options": {"colour": 1}}, "colour"),
    "a number of classes": ({"options": {"classes": 4}}, "leave out the option classes"),
    "options for what is taken as it is": ({"options": {"input_size": 32}}, "start knows the classes"),
    "epochs for what is taken as it is": ({"epochs": 2.0}, "start knows the classes"),
    "no epochs": ({"epochs": 0.0}, "0 epochs is not a length of training"),
    "no steps": ({"steps": 0}, "0 mini-batches of 2 images cannot be"),
    "no batch": ({"batch_size": 0}, "2 mini-batches of 0 images cannot be"),
    "a rate of nothing": ({"rate": 0.0}, "0 is not a learning rate"),
    "an endless rate": ({"rate": float("inf")}, "inf is not a learning rate"),
    "a scale below the window": ({"scale": 15}, "no 16x16 window fits images of scale 15"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_before_anything_is_written(name: str, given: LocalizerArguments) -> None:
    changes, text = WRONG[name]
    assert text in refusal(replace(given, **changes))
    assert not Path("run").exists()


def test_arguments_change_the_method_and_are_told_as_deviations() -> None:
    plain = method_for(LocalizerArguments(method="vgg-scr"), 500)
    changed = method_for(LocalizerArguments(method="vgg-scr", steps=9, rate=0.5, batch_size=7, scale=40), 500)
    assert plain == localizer_named("vgg-scr")
    assert (changed.steps, changed.batch_size, changed.per_class) == (9, 7, False)
    told = " | ".join(changed.deviations)
    for words in ("9 mini-batches, not 370,000", "batches of 7 images, not 256", "rate of 0.5", "images of scale 40"):
        assert words in told


def test_modern_is_the_method_where_none_is_named_and_follows_the_data() -> None:
    assert method_for(LocalizerArguments(), 1200) == method_for(LocalizerArguments(method="modern"), 1200)
    assert method_for(LocalizerArguments(), 1200).steps == modern_steps(1200) != modern_steps(10)
    assert method_for(LocalizerArguments(steps=5), 1200).steps == 5
    assert method_for(LocalizerArguments(method="vgg-pcr"), 1200).steps == 370_000


def test_arguments_are_kept_with_whole_paths(given: LocalizerArguments, tmp_path: Path) -> None:
    said = begin(given)
    kept = json.loads(Path("run/args.json").read_text(encoding="utf-8"))
    assert {name: value for name, value in kept.items() if value not in (None, {})} == {
        "data": str(tmp_path / "data" / "boxes.csv"), "start": str(tmp_path / "start"), "steps": 2, "batch_size": 2,
    }  # fmt: skip
    assert said == [
        "10 images, the largest object of each, of 3 classes; checked on val",
        "after VGG appendix A, PCR, all layers: 2 mini-batches of 2",
        "classes by start, as they are",
    ]


@pytest.mark.parametrize("change", [{"steps": 3}, {"method": "vgg-pcr"}, {"scale": 30}, {"seed": 4}, {"start": "other"}])
def test_a_run_goes_on_with_its_own_arguments_alone(change: dict[str, Any], given: LocalizerArguments) -> None:
    begin(given)
    assert "leave it out to go on" in refusal(replace(given, **change), resume=True)
    begin(given, resume=True)
    begin(LocalizerArguments(), resume=True)


def test_a_folder_that_holds_a_run_is_refused_and_stays(given: LocalizerArguments) -> None:
    begin(given)
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    assert "run holds a run already; add --resume" in refusal(given)
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before
    assert "start holds a run already" in refusal(given, run=Path("start"))
    assert "gone holds no run to resume" in refusal(given, resume=True, run=Path("gone"))
    Path("start/args.json").write_text('{"recipe": "vgg"}', encoding="utf-8")
    assert "holds another kind of run" in refusal(given, resume=True, run=Path("start"))


def test_faults_are_named_and_many_counted(given: LocalizerArguments) -> None:
    lines = Path("data/boxes.csv").read_text(encoding="utf-8").splitlines()
    for number in range(1, 8):
        lines.append(f"{number}.png,blue,50,5,50,9,{lines[number + 1].rpartition(',')[2]}")
    Path("data/boxes.csv").write_text("\n".join(lines), encoding="utf-8")
    said = begin(given)
    assert sum("object" in line and "boxes.csv" in line for line in said) == 5
    assert "and 2 faults more" in said
