"""Trainings: shared, resumed bit for bit, told apart by all that decides their outcome, and measured as they were."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fourfold import catalog
from fourfold.data.dice import generator_for
from fourfold.networks import build
from fourfold.papers import RECIPES
from fourfold.reproduce.claim import Scene
from fourfold.reproduce.effort import SMOKE_EFFORT, Effort
from fourfold.reproduce.made import made_splits
from fourfold.reproduce.trained import Trained, digest, fingerprint
from fourfold.train import journal
from fourfold.train.initialise import Gaussian
from fourfold.train.schedule import Progress

EFFORT = Effort(train_images=40, val_images=20, epochs=3, seeds=2, batch_size=10)
TINY = {"width": 0.25}
ARM = Trained("resnet20", "resnet-cifar", smoke=TINY)


def scene_in(folder: Path, effort: Effort = EFFORT, budget: str = "smoke") -> Scene:
    return Scene(budget, effort, made_splits(effort), folder)


def test_what_is_measured_is_what_the_journal_says(tmp_path: Path) -> None:
    scene = scene_in(tmp_path)
    found = ARM.measure(scene, 3)
    epochs = journal.read(ARM.run(scene, 3))
    assert [epoch.step for epoch in epochs] == [4, 8, 12]
    assert found.values["train_error"] == 100 * epochs[-1].train_error
    assert found.values["val_error"] == 100 * (epochs[-1].val_error or 0)
    assert found.values["diverged"] == 0
    assert found.curves["training"] == tuple((float(epoch.step), 100 * epoch.train_error) for epoch in epochs)
    assert found.curves["validation"] == tuple((float(epoch.step), 100 * (epoch.val_error or 0)) for epoch in epochs)


def test_the_errors_are_those_of_the_network_that_is_kept(tmp_path: Path) -> None:
    scene = scene_in(tmp_path)
    network = ARM.opened(scene, 0)
    images = torch.stack([item.content() for item in scene.data.val.items])  # type: ignore[misc]
    guesses = network.classifier(network.pixels(images)).argmax(1)
    wrong = (guesses != torch.tensor(scene.data.val.labels)).double().mean().item()
    assert ARM.measure(scene, 0).values["val_error"] == pytest.approx(100 * wrong)
    assert network.labels == scene.data.train.classes


def test_a_training_that_is_there_is_not_done_again(tmp_path: Path) -> None:
    scene = scene_in(tmp_path)
    said: list[str] = []
    first = ARM.measure(scene, 0)
    again = ARM.measure(replace(scene, say=said.append), 0)
    assert again == first
    assert said == []
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = ARM.measure(scene_in(tmp_path / "whole"), 0)
    scene = scene_in(tmp_path / "cut")

    def cut(line: str) -> None:
        if "step 7 " in line:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        ARM.measure(replace(scene, say=cut), 0)
    said: list[str] = []
    resumed = ARM.measure(replace(scene, say=said.append), 0)
    assert [line.partition(":")[2].split()[1] for line in said][-1] == "12"
    assert 0 < len(said) <= 5
    assert resumed.values == whole.values
    assert resumed.curves == whole.curves
    own, other = (catalog.load(ARM.run(scene_in(tmp_path / name), 0)).classifier for name in ("cut", "whole"))
    assert all(torch.equal(a, b) for a, b in zip(own.state_dict().values(), other.state_dict().values(), strict=True))


def test_all_that_decides_the_outcome_is_in_the_record(tmp_path: Path) -> None:
    scene = scene_in(tmp_path)
    others = [
        replace(ARM, network="resnet32"),
        replace(ARM, options={"shortcut": "B"}),
        replace(ARM, recipe="resnet-cifar-110"),
        replace(ARM, rate=0.05),
        replace(ARM, initialise=Gaussian(0.01)),
        replace(ARM, shallow=ARM),
        replace(ARM, smoke={"width": 0.5}),
    ]
    records = [digest(arm.record(scene)) for arm in (ARM, *others)]
    records.append(digest(ARM.record(scene_in(tmp_path, replace(EFFORT, epochs=2)))))
    records.append(digest(ARM.record(scene_in(tmp_path, replace(EFFORT, batch_size=8)))))
    records.append(digest(ARM.record(scene_in(tmp_path, replace(EFFORT, train_images=30)))))
    assert len(set(records)) == len(others) + 4
    assert digest(ARM.record(scene)) == digest(ARM.record(scene_in(tmp_path / "elsewhere")))
    assert ARM.run(scene, 0) != ARM.run(scene, 1)


def test_budgets_make_networks_narrow_and_recipes_short(tmp_path: Path) -> None:
    arm = Trained("vgg-a", "vgg", {"input_size": 32}, cpu={"width": 0.5})
    assert arm.options_in(scene_in(tmp_path, budget="smoke"))["width"] == 0.0625
    assert arm.options_in(scene_in(tmp_path, budget="cpu"))["width"] == 0.5
    assert "width" not in arm.options_in(scene_in(tmp_path, budget="gpu"))
    assert arm.options_in(scene_in(tmp_path, budget="gpu"))["classes"] == 10
    recipe = arm.recipe_in(scene_in(tmp_path))
    assert (recipe.batch_size, recipe.steps) == (10, 12)
    assert recipe.crop == RECIPES["vgg"].crop
    whole = arm.recipe_in(scene_in(tmp_path, replace(EFFORT, epochs=None, batch_size=None)))
    assert whole.steps == pytest.approx(74 * 4, abs=4)  # 74 epochs (VGG 3.1) of 40 images in batches of a quarter
    fast = replace(arm, rate=0.5, initialise=Gaussian(0.25)).recipe_in(scene_in(tmp_path))
    assert fast.rate(Progress(0, 10)) == 0.5
    assert fast.initialise == Gaussian(0.25)
    assert sum("0.5" in line or "Gaussian" in line for line in fast.deviations) == 2


def test_a_training_that_diverges_has_the_errors_of_guessing(tmp_path: Path) -> None:
    arm = Trained("vgg-a", "vgg", {"input_size": 32}, rate=1e9)
    scene = scene_in(tmp_path)
    found = arm.measure(scene, 0)
    assert found.values["diverged"] == 1
    assert found.values["val_error"] == found.values["train_error"] == pytest.approx(90)
    assert arm.measure(scene, 0) == found
    with pytest.raises(ValueError, match="vgg-a diverged with seed 0"):
        arm.opened(scene, 0)
    deeper = Trained("vgg-b", "vgg", {"input_size": 32}, shallow=arm)
    assert deeper.measure(scene, 0).values["diverged"] == 1


STILL = 1e-30  # a learning rate at which the weights stay what they were at the start, to the last bit


def test_a_deeper_vgg_begins_with_the_layers_of_the_shallower(tmp_path: Path) -> None:
    shallow = Trained("vgg-a", "vgg", {"input_size": 32})
    deep = Trained("vgg-b", "vgg", {"input_size": 32}, rate=STILL, shallow=shallow)
    scene = scene_in(tmp_path)
    theirs, ours = (arm.opened(scene, 0).classifier.state_dict() for arm in (shallow, deep))
    for name in ("trunk.conv1_1.weight", "trunk.conv3_2.weight", "head.fc.fc6.weight", "head.fc.fc8.weight"):
        assert torch.equal(ours[name], theirs[name])
    assert not torch.equal(ours["trunk.conv5_1.weight"], theirs["trunk.conv5_1.weight"])
    begun = build("vgg-b", **deep.options_in(scene))
    RECIPES["vgg"].initialise(begun, generator_for(0))
    assert torch.equal(ours["trunk.conv5_1.weight"], begun.state_dict()["trunk.conv5_1.weight"])


def test_the_seed_decides_the_weights_at_the_start(tmp_path: Path) -> None:
    still = replace(ARM, rate=STILL)
    for seed in (0, 1):
        begun = build("resnet20", **ARM.options_in(scene_in(tmp_path)))
        RECIPES["resnet-cifar"].initialise(begun, generator_for(seed))
        weights = still.opened(scene_in(tmp_path), seed).classifier.state_dict()
        assert torch.equal(weights["trunk.conv1.weight"], begun.state_dict()["trunk.conv1.weight"])


def test_a_fingerprint_is_of_names_and_labels_and_not_of_places() -> None:
    data = made_splits(SMOKE_EFFORT)
    assert fingerprint(data.train) == fingerprint(made_splits(SMOKE_EFFORT).train)
    assert fingerprint(data.train) != fingerprint(data.val)
    assert fingerprint(data.train, data.val) != fingerprint(data.val, data.train)
    turned = replace(data.train, labels=data.train.labels[::-1])
    assert fingerprint(turned) != fingerprint(data.train)


def test_errors_other_than_divergence_are_passed_on(tmp_path: Path) -> None:
    """Another run's state in the folder."""
    scene = scene_in(tmp_path)
    state = ARM.run(scene, 0) / "state.safetensors"
    other = replace(ARM, rate=0.05)
    folder = tmp_path / "runs" / digest([other.record(scene), 0])
    folder.mkdir()
    shutil.copy(state, folder)
    with pytest.raises(ValueError, match="holds a run with another network, recipe, seed or data"):
        other.measure(scene, 0)
