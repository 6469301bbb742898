"""Training that was stopped, killed, damaged, refused or has failed, against training that went through."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from fourfold.data.augment import AlternateFlip, Flip, PadCrop
from fourfold.data.examples import Examples
from fourfold.data.sizes import RandomSize
from fourfold.images import Pixels, channel_pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.train import journal
from fourfold.train.checkpoint import BEFORE, NEW, STATE
from fourfold.train.initialise import He
from fourfold.train.journal import JOURNAL, Epoch
from fourfold.train.loop import BEST, LAST, Moment, Settings, Watchers, fit
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Plateau, Progress, Steps

KILLER = Path(__file__).parents[2] / "experiments" / "kill" / "run.py"
HALF = Pixels(mean=(127.5,) * 3, std=(60.0,) * 3)
MADE = Recipe("made", 24, 4, 20, Steps(0.05, (0.5,)), He(), (PadCrop(2), Flip()), channel_pixels, 0.9, 1e-2)
ALL = replace(
    MADE,
    rate=Plateau(0.05, drops=2, patience=1),
    augment=(PadCrop(2), AlternateFlip()),
    sizes=RandomSize(0.6),
    decays_all=False,
    label_smoothing=0.1,
    mixup=0.3,
    average=0.9,
)
SETTINGS = Settings(3)
ALL_SETTINGS = Settings(3, validate_every=2, at_once=3, class_weights=(1.0, 0.5, 2.0))


def made_examples(count: int = 26) -> Examples:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Examples(images, torch.randint(0, 3, (count,), generator=generator), ("a", "b", "c"))


def tiny(channels: int = 5, padding: int = 0) -> Classifier:
    """Batch norm and dropout, so that running statistics and random masks must come back after a resume."""
    layers = {
        "conv": nn.Conv2d(3, channels, 3, padding=padding),
        "bn": nn.BatchNorm2d(channels),
        "relu": nn.ReLU(inplace=True),
    }
    head = MeanHead(sequential({"drop": nn.Dropout(0.5), "fc": nn.Linear(channels, 3)}), 6)
    return Classifier(sequential(layers), head, input_size=8)


def run(
    folder: Path,
    recipe: Recipe = MADE,
    settings: Settings = SETTINGS,
    *,
    stop: int = 0,
    number: int = signal.SIGINT,
) -> Classifier:
    """Fit a fresh network in the folder; the signal comes while step `stop` is being watched."""
    network = tiny()

    def watch(moment: Moment) -> None:
        if moment.step == stop:
            os.kill(os.getpid(), number)

    watchers = Watchers(step=watch)
    fit(network, HALF, recipe, made_examples(), made_examples(9), folder, settings=settings, watchers=watchers)
    return network


def stopped(
    folder: Path, stop: int, recipe: Recipe = MADE, settings: Settings = SETTINGS, number: int = signal.SIGINT
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(folder, recipe, settings, stop=stop, number=number)


def journal_of(folder: Path) -> list[Epoch]:
    """Without the seconds, which no clock repeats."""
    return [replace(epoch, seconds=0.0) for epoch in journal.read(folder)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """For a run left alone, and for one in parts."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    return tmp_path / "whole", tmp_path / "parts"


def check_equal(whole: Path, parts: Path) -> None:
    assert (parts / STATE).read_bytes() == (whole / STATE).read_bytes()  # weights, statistics, momentum, mean and place
    assert (parts / BEST).read_bytes() == (whole / BEST).read_bytes()
    assert (parts / LAST).read_bytes() == (whole / LAST).read_bytes()
    assert journal_of(parts) == journal_of(whole)


@pytest.mark.parametrize("stops", [(1, 5, 7, 14), (11, 17, 19), (6, 18), (20,)], ids=["within", "ends", "after", "last"])
@pytest.mark.parametrize(("recipe", "settings"), [(MADE, SETTINGS), (ALL, ALL_SETTINGS)], ids=["plain", "everything"])
def test_a_run_stopped_and_resumed_equals_one_that_was_not(
    folders: tuple[Path, Path], stops: tuple[int, ...], recipe: Recipe, settings: Settings
) -> None:
    whole, parts = folders
    expected = run(whole, recipe, settings).state_dict()

    for stop in stops:
        stopped(parts, stop, recipe, settings)
    actual = run(parts, recipe, settings).state_dict()

    assert all(torch.equal(actual[name], value) for name, value in expected.items())
    check_equal(whole, parts)
    assert [line.step for line in journal_of(whole)] == [6, 12, 18, 20]  # 26 images are six batches of four


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_next_step_with_its_state_saved(tmp_path: Path, number: int) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    stopped(tmp_path, 9, number=number)

    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    steps: list[int] = []
    watchers = Watchers(step=lambda moment: steps.append(moment.step))
    fit(tiny(), HALF, MADE, made_examples(), made_examples(9), tmp_path, settings=SETTINGS, watchers=watchers)
    assert steps == list(range(11, 21))  # the signal came when step 9 was done, and step 10 asked all processes about it


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    run(tmp_path, ALL)
    before = {name: content for name, content in files_of(tmp_path).items() if name != BEFORE}
    watchers = Watchers(step=lambda moment: pytest.fail(f"step {moment.step} was done again"))

    fit(tiny(), HALF, ALL, made_examples(), made_examples(9), tmp_path, settings=SETTINGS, watchers=watchers)

    assert {name: content for name, content in files_of(tmp_path).items() if name != BEFORE} == before


@pytest.mark.parametrize(("processes", "kills", "steps"), [(1, 6, 60), (2, 3, 30)])
def test_a_run_killed_at_random_moments_and_resumed_equals_one_that_was_not(processes: int, kills: int, steps: int) -> None:
    numbers = ["--processes", str(processes), "--kills", str(kills), "--steps", str(steps), "--seed", str(processes)]
    command = [sys.executable, str(KILLER), *numbers, "--print"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, env=environment)
    (found,) = json.loads(done.stdout)["runs"]

    assert found["kills"] >= kills // 2  # should the machine be too busy to kill in time
    assert found["ends"] == [[0] * processes] * 2
    assert found["hung"] == 0
    assert found["same"] == {STATE: True, BEST: True, LAST: True, JOURNAL: True}


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "gone", "gone, and the new one by half"])
@pytest.mark.parametrize("stop", [4, 6, 11])
def test_a_damaged_state_goes_on_from_the_one_before_and_ends_the_same(
    folders: tuple[Path, Path], stop: int, damage: str
) -> None:
    whole, parts = folders
    run(whole, ALL)
    stopped(parts, stop, ALL, replace(SETTINGS, save_every=-1.0))  # so that there are states of two steps
    state = (parts / STATE).read_bytes()
    if damage in ("cut", "empty", "garbage"):
        (parts / STATE).write_bytes({"cut": state[: len(state) // 2], "empty": b"", "garbage": state[::-1]}[damage])
    else:  # killed between the two renames, the new file lost
        (parts / STATE).unlink()
        (parts / NEW).write_bytes(state[:99] if "half" in damage else b"")

    steps: list[int] = []
    watchers = Watchers(step=lambda moment: steps.append(moment.step))
    fit(tiny(), HALF, ALL, made_examples(), made_examples(9), parts, settings=SETTINGS, watchers=watchers)

    assert steps == list(range(stop + 1, 21))  # the last state is of step stop + 1, the one before of `stop`
    check_equal(whole, parts)


def test_two_damaged_states_are_said_in_one_line_and_left_alone(tmp_path: Path) -> None:
    stopped(tmp_path, 8, settings=replace(SETTINGS, save_every=-1.0))
    for name in (STATE, BEFORE):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:200])
    before = files_of(tmp_path)

    with pytest.raises(ValueError, match="remove them to start this run again") as caught:
        run(tmp_path)

    assert "\n" not in str(caught.value)
    assert str(tmp_path / STATE) in str(caught.value)
    assert str(tmp_path / BEFORE) in str(caught.value)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("tail", ["2,1", "2,12,0.05,1.0,0.5,1.0,0.5,0.1\n"], ids=["half a line", "a line too many"])
def test_what_the_journal_holds_beyond_the_state_is_written_anew(folders: tuple[Path, Path], tail: str) -> None:
    whole, parts = folders
    run(whole)
    stopped(parts, 10)
    with (parts / JOURNAL).open("a", encoding="utf-8") as file:
        file.write(tail)  # as a kill between the line and the checkpoint leaves it

    run(parts)

    assert journal_of(parts) == journal_of(whole)


def test_a_journal_without_a_state_is_begun_anew(folders: tuple[Path, Path]) -> None:
    whole, parts = folders
    run(whole)
    (parts / JOURNAL).write_bytes((whole / JOURNAL).read_bytes())  # as a kill before the first checkpoint leaves it

    run(parts)

    assert journal_of(parts) == journal_of(whole)


@pytest.mark.parametrize("other", ["recipe", "seed", "number of images", "classes", "network", "padding"])
def test_a_folder_with_another_run_is_refused_and_left_as_it_is(tmp_path: Path, other: str) -> None:
    stopped(tmp_path, 8)
    before = files_of(tmp_path)
    examples = made_examples(27 if other == "number of images" else 26)
    if other == "classes":
        examples = Examples(examples.images, examples.labels, ("x", "y", "z"))
    network = tiny(6 if other == "network" else 5, 1 if other == "padding" else 0)  # a padding is no shape of a weight
    recipe = replace(MADE, steps=21) if other == "recipe" else MADE
    settings = Settings(4) if other == "seed" else SETTINGS

    with pytest.raises(ValueError, match="another network, recipe, seed or data; choose another run folder") as caught:
        fit(network, HALF, recipe, examples, made_examples(9), tmp_path, settings=settings)

    assert "\n" not in str(caught.value)
    assert files_of(tmp_path) == before


def burst(progress: Progress) -> float:
    return 0.05 if progress.step < 7 else 1e38


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    recipe = replace(MADE, rate=burst)
    stopped(tmp_path, 5, recipe)
    before = (tmp_path / STATE).read_bytes()

    with pytest.raises(
        ValueError, match=r"the loss is (nan|inf) after 8 steps at a learning rate of 1e\+38; train with a lower"
    ):
        run(tmp_path, recipe)

    assert (tmp_path / STATE).read_bytes() == before


def test_what_must_be_the_same_to_resume_is_written_with_the_state(tmp_path: Path) -> None:
    stopped(tmp_path, 1)

    with safe_open(tmp_path / STATE, framework="pt") as file:
        point = json.loads(file.metadata()["point"])
    recipe, *rest = json.loads(point["identity"])
    words = (
        "source images batch_size steps rate initialise augment pixels momentum weight_decay nesterov crop sizes decays_all "
        "label_smoothing mixup average patience starts_from deviations"
    )
    assert list(recipe) == words.split()
    assert rest[:3] == [3, 26, ["a", "b", "c"]]
    assert re.fullmatch("[0-9a-f]{16}", rest[3])
