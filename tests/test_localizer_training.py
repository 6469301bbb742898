"""A localizer's stages: what the classes come from, and that a stopped run ends with the same bytes as another."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fourfold.catalog import load
from fourfold.data.boxed import BoxedSplits, find_boxed
from fourfold.data.located import largest_of_splits
from fourfold.detector_training import Watch
from fourfold.images import read_image
from fourfold.localize.method import Method
from fourfold.localizer_files import open_localizer
from fourfold.localizer_training import (
    ClassTraining,
    TrainedLocalizer,
    classes_to_learn,
    classifier_in,
    fits,
    train_boxes_in,
)
from fourfold.localizing import evaluate_system, system_of
from fourfold.train.loop import Moment, Watchers
from fourfold.train.schedule import Cosine
from fourfold.weights import read_weights

Make = Callable[..., Path]  # conftest's
METHOD = Method("made", True, "all", 256, False, 20, Cosine(0.02, 0.1), 4, 0.9, 5e-4, decays_all=False, average=0.9)
QUIET = Watch()
FILES = ("boxes.safetensors", "localizer.json", "classifier/weights.safetensors", "classifier/entry.json")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, put_single: Make, write_classifier: Make) -> Path:
    """data/ and the classifiers start/, of the same classes, and other/."""
    folder = tmp_path_factory.mktemp("home")
    put_single(folder / "data", 18)
    write_classifier(folder / "start", 1, ("green", "red [cell]", "blue"))
    write_classifier(folder / "other", 2, ("cat", "dog"))
    return folder


def splits_of(home: Path) -> BoxedSplits:
    return largest_of_splits(find_boxed(home / "data" / "boxes.csv", seed=0))


def stopping(at: int) -> Watchers:
    def step(moment: Moment) -> None:
        if moment.step == at:
            signal.raise_signal(signal.SIGINT)

    return Watchers(step=step)


def made(home: Path, folder: Path, start: Path, watch: Watch = QUIET, method: Method = METHOD) -> TrainedLocalizer:
    """A localizer by both stages."""
    folder.mkdir(parents=True, exist_ok=True)
    training = ClassTraining(str(start), {}, epochs=2, seed=5)
    network = classifier_in(folder, splits_of(home), training, watch)
    return train_boxes_in(folder, network, method, 20, splits_of(home), seed=5, watch=watch)


def bytes_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


def test_a_classifier_of_the_same_classes_is_taken_as_it_is(home: Path, tmp_path: Path) -> None:
    said: list[str] = []
    trained = made(home, tmp_path / "run", home / "start", Watch(say=said.append))

    start, opened = load(home / "start"), open_localizer(tmp_path / "run")
    assert said == ["classes by start, as they are"]
    assert opened.classifier.labels == start.labels == ("green", "red [cell]", "blue")
    ours = opened.classifier.classifier.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in start.classifier.state_dict().items())
    images = torch.stack([read_image(home / "data" / f"{index}.png") for index in range(2)])
    assert torch.equal(opened.classifier.pixels(images), start.pixels(images))
    moved = opened.boxes.classifier.state_dict()
    assert not torch.equal(moved["trunk.conv1.weight"], ours["trunk.conv1.weight"]), "all layers were tuned"
    assert trained.folder == tmp_path / "run"


def test_what_is_written_is_what_was_trained_and_measured(home: Path, tmp_path: Path) -> None:
    trained = made(home, tmp_path / "run", home / "start")

    (name, result), (second, other) = trained.found
    assert (name, second) == ("dense", "central")
    opened = open_localizer(tmp_path / "run")
    last = read_weights(tmp_path / "run" / "tuning" / "last.safetensors")
    assert all(torch.equal(last[name], value) for name, value in opened.boxes.classifier.state_dict().items())
    again = evaluate_system(system_of([opened]), splits_of(home).val)
    assert again.replies == result.replies
    assert evaluate_system(system_of([opened], "central"), splits_of(home).val).replies == other.replies
    record = json.loads((tmp_path / "run" / "localizer.json").read_text(encoding="utf-8"))
    assert (record["scale"], record["per_class"], record["start"], record["method"]) == (20, True, "classifier", "made")
    found = record["found"]["dense"]
    assert found["given_class_error"] == round(100 * again.given_class.wrong / 3, 3)
    assert found["given_class_error_interval"][0] <= found["given_class_error"] <= found["given_class_error_interval"][1]
    assert (found["images"], record["found"]["on"]) == (3, "val")


@pytest.mark.parametrize("layers", ["fc", "all"])
def test_a_run_stopped_in_either_stage_ends_with_the_same_bytes(layers: str, home: Path, tmp_path: Path) -> None:
    assert layers in ("fc", "all")
    method = replace(METHOD, layers=layers, steps=6)
    straight, stopped = tmp_path / "straight" / "run", tmp_path / "stopped" / "run"
    made(home, straight, home / "other", method=method)
    for watch in (*(Watch(training=stopping(at)) for at in (3, 2)), Watch(stage=stop_testing)):  # classes, boxes, the test
        with pytest.raises(KeyboardInterrupt):
            made(home, stopped, home / "other", watch, method)
        assert not (stopped / "localizer.json").exists()
    made(home, stopped, home / "other", method=method)

    assert bytes_of(straight) == bytes_of(stopped)


def stop_testing(what: str, done: int, _total: int) -> None:
    if what == "testing" and done == 1:
        signal.raise_signal(signal.SIGINT)


def test_other_classes_are_learned_first_and_the_run_is_a_classifier(home: Path, tmp_path: Path) -> None:
    said: list[str] = []
    made(home, tmp_path / "run", home / "other", Watch(say=said.append))
    assert said[0] == "the classes are learned first: blue, green, red [cell]"
    assert any(line.startswith("classes learned: ") and line.endswith("of 3 validation images right") for line in said)
    network = load(tmp_path / "run" / "classifier")
    assert network.labels == ("blue", "green", "red [cell]")
    assert (tmp_path / "run" / "classifier" / "curves.png").is_file()
    lines = (tmp_path / "run" / "classes.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "path,label,split"
    assert lines[1] == f"{home / 'data' / '0.png'},blue,train"
    assert sum(line.endswith(",val") for line in lines) == 3


def test_one_class_alone_needs_no_classifier(tmp_path: Path, put_single: Make, home: Path) -> None:
    put_single(tmp_path / "data", 6, ("logo",))
    said: list[str] = []
    made(tmp_path, tmp_path / "run", home / "other", Watch(say=said.append))
    opened = open_localizer(tmp_path / "run")
    assert opened.classifier.labels == ("logo",)
    assert said[1].startswith("logo is the only class, so that there is nothing to tell apart")
    trunk = opened.classifier.classifier.state_dict()["trunk.conv1.weight"]
    assert torch.equal(trunk, load(home / "other").classifier.state_dict()["trunk.conv1.weight"])
    (guess,) = system_of([opened]).localizer(read_image(tmp_path / "data" / "0.png"))
    assert guess.probability == 1.0


def test_broken_images_and_classes_that_cannot_be_learned_are_named_once(
    tmp_path: Path, put_single: Make, home: Path
) -> None:
    put_single(tmp_path / "data", 12)
    lines = (tmp_path / "data" / "boxes.csv").read_text(encoding="utf-8").splitlines()
    extra = ["rare.png,purple,3,3,30,30,val", "bad.png,blue,3,3,30,30,train"]
    for name in ("rare.png", "bad.png"):
        (tmp_path / "data" / name).write_bytes((tmp_path / "data" / "0.png").read_bytes())
    (tmp_path / "data" / "boxes.csv").write_text("\n".join([*lines, *extra]), encoding="utf-8")
    splits = splits_of(tmp_path)
    (tmp_path / "data" / "bad.png").write_bytes((tmp_path / "data" / "bad.png").read_bytes()[:900])
    said: list[str] = []

    network = load(home / "start")
    assert classes_to_learn(splits) == ("blue", "green", "red [cell]")
    assert fits(network, splits)
    assert not fits(load(home / "other"), splits)
    (tmp_path / "run").mkdir()
    trained = train_boxes_in(tmp_path / "run", network, METHOD, 20, splits, seed=0, watch=Watch(say=said.append))

    assert len(said) == 2
    assert said[0].startswith("left out: ")
    assert "bad.png" in said[0]
    assert said[1] == f"left out: {tmp_path / 'data' / 'rare.png'}: no image of class purple is there to learn from"
    assert [result.images for _, result in trained.found] == [2, 2]


def test_a_folder_goes_on_with_the_images_that_it_began_with(home: Path, tmp_path: Path) -> None:
    made(home, tmp_path / "run", home / "start")
    splits = splits_of(home)
    fewer = replace(splits, train=replace(splits.train, images=splits.train.images[1:]))
    moved = replace(splits.train.images[0], boxes=splits.train.images[0].boxes + 1)
    other = replace(splits, train=replace(splits.train, images=(moved, *splits.train.images[1:])))
    for changed in (fewer, other):
        with pytest.raises(ValueError, match="began with other images or boxes"):
            train_boxes_in(
                tmp_path / "run", load(tmp_path / "run" / "classifier"), METHOD, 20, changed, seed=5, watch=Watch()
            )


def test_without_validation_images_nothing_is_measured(home: Path, tmp_path: Path) -> None:
    splits = splits_of(home)
    alone = replace(splits, val=replace(splits.val, images=()), origin="none")
    (tmp_path / "run").mkdir()
    trained = train_boxes_in(tmp_path / "run", load(home / "start"), METHOD, 20, alone, seed=0, watch=Watch())
    assert trained.found == ()
    assert json.loads((tmp_path / "run" / "localizer.json").read_text(encoding="utf-8"))["found"] == {}
