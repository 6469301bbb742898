"""Training that was stopped, killed, refused or has failed, against training that went through."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from fourfold.data.augment import Flip, PadCrop
from fourfold.data.examples import Examples
from fourfold.images import Pixels, channel_pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.train.checkpoint import STATE
from fourfold.train.initialise import He
from fourfold.train.loop import LOG, Moment, fit
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Steps

DROP = Steps(0.05, (0.5,))
HALF = Pixels(mean=(127.5,) * 3, std=(60.0,) * 3)


def made_recipe(steps: int = 20, rate: Callable[[int, int], float] = DROP) -> Recipe:
    return Recipe("made", 24, 4, steps, rate, He(), (PadCrop(2), Flip()), channel_pixels, momentum=0.9, weight_decay=1e-2)


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


def run(folder: Path, recipe: Recipe, *, stop: int = 0, signal_number: int = signal.SIGINT, seed: int = 3) -> Classifier:
    """Fit a fresh network in the folder; the signal comes while step `stop` is being watched."""
    network = tiny()

    def watch(moment: Moment) -> None:
        if moment.step == stop:
            os.kill(os.getpid(), signal_number)

    fit(network, HALF, recipe, made_examples(), made_examples(9), folder, seed=seed, watch=watch)
    return network


def log_of(folder: Path) -> list[dict]:
    """log.jsonl without the seconds, which no clock repeats."""
    lines = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.parametrize("stops", [(1, 5, 6, 14), (12, 13, 19), (20,)], ids=["mid-epoch", "end of epoch", "last step"])
def test_a_run_stopped_and_resumed_equals_one_that_was_not(tmp_path: Path, stops: tuple[int, ...]) -> None:
    recipe, whole, parts = made_recipe(), tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    expected = run(whole, recipe).state_dict()

    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            run(parts, recipe, stop=stop)
    actual = run(parts, recipe).state_dict()

    assert all(torch.equal(actual[name], value) for name, value in expected.items())
    assert (parts / STATE).read_bytes() == (whole / STATE).read_bytes()  # weights, statistics, momentum and place
    assert log_of(parts) == log_of(whole)
    assert [line["step"] for line in log_of(whole)] == [6, 12, 18, 20]  # 26 images are six batches of four


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_at_hand_with_its_state_saved(tmp_path: Path, number: int) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, made_recipe(), stop=9, signal_number=number)

    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    steps: list[int] = []
    fit(tiny(), HALF, made_recipe(), made_examples(), None, tmp_path, seed=3, watch=lambda moment: steps.append(moment.step))
    assert steps == list(range(10, 21))


KILLER = textwrap.dedent("""
    # Import once, then fork a run, kill it at a random moment, and let the next one go on; every step is saved.
    import importlib.util, os, random, signal, sys, time
    from pathlib import Path
    import torch._dynamo  # which the optimiser imports when it is first used: once here, not in every fork
    from fourfold.train import loop

    spec = importlib.util.spec_from_file_location("runs", sys.argv[1])
    runs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runs)
    loop.SAVE_EVERY = -1.0
    folder, kills, draw = Path(sys.argv[2]), 0, random.Random(5)
    state = folder / "state.safetensors"
    for attempt in range(6):
        before = state.stat().st_mtime_ns if state.exists() else 0
        child = os.fork()
        if child == 0:
            try:
                runs.run(folder, runs.made_recipe(90))
            finally:
                os._exit(0)
        if attempt < 5:
            while not state.exists() or state.stat().st_mtime_ns == before:
                time.sleep(0.0005)
            time.sleep(draw.uniform(0, 0.04))
            os.kill(child, signal.SIGKILL)
        kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    print(kills)
""")


def test_a_run_killed_at_random_moments_and_resumed_equals_one_that_was_not(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    run(whole, made_recipe(90))

    command = [sys.executable, "-c", KILLER, __file__, str(parts)]
    killer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    assert int(killer.stdout) >= 3  # of 5, should the machine be too busy to kill in time
    assert (parts / STATE).read_bytes() == (whole / STATE).read_bytes()
    assert log_of(parts) == log_of(whole)


@pytest.mark.parametrize("tail", ['{"epoch": 2, "st', '{"epoch": 2, "step": 12}\n'], ids=["half a line", "a line too many"])
def test_what_the_log_holds_beyond_the_state_is_written_anew(tmp_path: Path, tail: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    run(whole, made_recipe())
    with pytest.raises(KeyboardInterrupt):
        run(parts, made_recipe(), stop=11)
    with (parts / LOG).open("a", encoding="utf-8") as file:
        file.write(tail)  # as a kill between the line and the checkpoint leaves it

    run(parts, made_recipe())

    assert log_of(parts) == log_of(whole)


@pytest.mark.parametrize("other", ["recipe", "seed", "number of images", "classes", "network"])
def test_a_folder_with_another_run_is_refused_and_left_as_it_is(tmp_path: Path, other: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, made_recipe(), stop=8)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    examples = made_examples()
    if other == "classes":
        examples = Examples(examples.images, examples.labels, ("x", "y", "z"))
    elif other == "number of images":
        examples = made_examples(27)
    network, recipe = tiny(6 if other == "network" else 5), made_recipe(21 if other == "recipe" else 20)

    with pytest.raises(ValueError, match="choose another run folder") as caught:
        fit(network, HALF, recipe, examples, None, tmp_path, seed=4 if other == "seed" else 3)

    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def burst(step: int, _steps: int) -> float:
    return 0.05 if step < 7 else 1e38


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, made_recipe(rate=burst), stop=5)
    before = (tmp_path / STATE).read_bytes()

    with pytest.raises(
        ValueError, match=r"the loss is (nan|inf) after 8 steps at a learning rate of 1e\+38; train with a lower"
    ):
        run(tmp_path, made_recipe(rate=burst))

    assert (tmp_path / STATE).read_bytes() == before


def test_what_must_be_the_same_to_resume_is_written_with_the_state(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, made_recipe(), stop=1)

    with safe_open(tmp_path / STATE, framework="pt") as file:
        point = json.loads(file.metadata()["point"])
    recipe, *rest = json.loads(point["identity"])
    words = "source batch_size steps rate initialise augment pixels momentum weight_decay nesterov deviations"
    assert list(recipe) == words.split()
    assert rest[:3] == [3, 26, ["a", "b", "c"]]
    assert re.fullmatch("[0-9a-f]{16}", rest[3])


def test_a_network_that_differs_in_what_no_shape_shows_cannot_take_up_a_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, made_recipe(), stop=3)
    before = (tmp_path / STATE).read_bytes()

    with pytest.raises(ValueError, match="another network"):
        fit(tiny(padding=1), HALF, made_recipe(), made_examples(), made_examples(9), tmp_path, seed=3)

    assert (tmp_path / STATE).read_bytes() == before
