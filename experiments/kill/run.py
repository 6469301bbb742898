"""Kill training with SIGKILL at random moments, go on each time, and compare with a run that was left alone.

    python run.py                                      # 20 kills in one process, 20 in two; writes result.json
    python run.py --processes 1 --kills 6 --steps 150 --print    # prints instead

Every step is saved, so that many kills come while a state is written. torch is imported once and each run is a fork.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch._dynamo  # which the optimiser imports when it is first used: once here, not in every fork
from torch import nn

from fourfold.data.augment import Flip, PadCrop
from fourfold.data.examples import Examples
from fourfold.images import Pixels, channel_pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.parallel import joined
from fourfold.train import checkpoint, journal
from fourfold.train.initialise import He
from fourfold.train.loop import BEST, LAST, Settings, fit
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Plateau

RECIPE = Recipe(
    source="made",
    images=26,
    batch_size=4,
    steps=600,
    rate=Plateau(0.05, drops=2, patience=20),
    initialise=He(),
    augment=(PadCrop(2), Flip()),
    pixels=channel_pixels,
    momentum=0.9,
    weight_decay=1e-2,
    mixup=0.2,
    average=0.9,
)
FIRST_STATE, SURVIVOR = 60.0, 20.0  # seconds to wait at most: for a first state, for a process whose peer was killed
LONGEST = 0.15  # seconds that training goes on for before a kill


def made_examples(count: int) -> Examples:
    """Noise of three classes."""
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Examples(images, torch.randint(0, 3, (count,), generator=generator), ("a", "b", "c"))


def made_network() -> Classifier:
    """With batch norm and dropout, so that statistics and masks must come back too."""
    layers = {"conv": nn.Conv2d(3, 5, 3), "bn": nn.BatchNorm2d(5), "relu": nn.ReLU(inplace=True)}
    head = MeanHead(sequential({"drop": nn.Dropout(0.5), "fc": nn.Linear(5, 3)}), 6)
    return Classifier(sequential(layers), head, input_size=8)


def train(folder: Path, steps: int) -> None:
    """The run itself, or one process of it; every step is saved."""
    with joined("cpu") as group:
        fit(
            made_network(),
            Pixels((127.5,) * 3, (60.0,) * 3),
            replace(RECIPE, steps=steps),
            made_examples(26),
            made_examples(9),
            folder,
            settings=Settings(3, class_weights=(1.0, 0.5, 2.0), at_once=3, save_every=-1.0),
            group=group,
        )


def start(folder: Path, steps: int, processes: int) -> list[int]:
    """Fork the processes of a run; their ids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            _be(rank, processes, port, folder, steps)
        children.append(child)
    return children


def _be(rank: int, processes: int, port: int, folder: Path, steps: int) -> None:
    """What a fork does, without ever returning; one that lost its peer is silent about it."""
    code = 1
    try:
        with (folder / f".errors.{rank}").open("w", encoding="utf-8") as errors:
            os.dup2(errors.fileno(), 2)
        torch.set_num_threads(1)
        if processes > 1:
            told = {"RANK": rank, "WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in told.items()})
        train(folder, steps)
        code = 0
    except Exception as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def ended(child: int, seconds: float = 600.0) -> int | None:
    """The exit status of a child, minus the number of the signal that killed it; None if it goes on for longer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None


def kill(folder: Path, children: list[int], draw: random.Random) -> dict[str, object]:
    """Kill one or all of the processes, while a state is written or at any moment; what lay there then."""
    if draw.random() < 0.9:  # else perhaps even before this run has saved
        _wait_for_a_state(folder)
    time.sleep(draw.uniform(0, LONGEST))
    while_saving = draw.random() < 0.6
    if while_saving:
        _wait_for_a_temporary_file(folder)
        _spin(10 ** draw.uniform(-6, -2.5))  # a microsecond to three milliseconds
    victims = draw.choice([[rank] for rank in range(len(children))] + [list(range(len(children)))])
    for rank in victims:
        os.kill(children[rank], signal.SIGKILL)
    statuses = [ended(child, SURVIVOR) for child in children]
    for child, status in zip(children, statuses, strict=True):
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return {
        "while": "saving" if while_saving else "running",
        "killed": [rank for rank in victims if statuses[rank] == -signal.SIGKILL],
        "hung": statuses.count(None),
        **_left(folder),
    }


def _wait_for_a_state(folder: Path) -> None:
    state, until = folder / checkpoint.STATE, time.monotonic() + FIRST_STATE
    before = _stamp(state)
    while time.monotonic() < until and _stamp(state) in (None, before):
        time.sleep(0.0005)


def _stamp(file: Path) -> int | None:
    """When a file was written, None if it is not there: a run renames its state, so one look has to do."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _wait_for_a_temporary_file(folder: Path) -> None:
    until = time.monotonic() + 1
    while time.monotonic() < until and not any(name.endswith(".part") for name in os.listdir(folder)):  # noqa: PTH208 (fast)
        pass


def _spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def _left(folder: Path) -> dict[str, object]:
    """What the kill left: where training stands, and which files of the state; what was written by half goes away then."""
    halves = list(folder.glob(".*.part"))
    for half in halves:
        half.unlink()  # as `fourfold train --resume` does
    found = checkpoint.load(folder)
    names = sorted(path.name for path in folder.glob("state*"))
    return {"step": found.point.step if found else 0, "halves": len(halves), "files": names}


def numbers(folder: Path) -> list[dict[str, object]]:
    """The journal without seconds, which no clock repeats."""
    return [{**asdict(epoch), "seconds": None} for epoch in journal.read(folder)]


def compare(folder: Path, steps: int, processes: int, kills: int, seed: int) -> dict[str, object]:
    """One run left alone, one killed again and again, and whether they are the same."""
    whole, parts = folder / f"whole{processes}", folder / f"parts{processes}"
    whole.mkdir()
    parts.mkdir()
    alone = [ended(child) for child in start(whole, steps, processes)]
    draw = random.Random(seed)
    killed = [kill(parts, start(parts, steps, processes), draw) for _ in range(kills)]
    last = [ended(child) for child in start(parts, steps, processes)]
    same = {name: (whole / name).read_bytes() == (parts / name).read_bytes() for name in (checkpoint.STATE, BEST, LAST)}
    same[journal.JOURNAL] = numbers(whole) == numbers(parts)
    return {
        "processes": processes,
        "steps": steps,
        "kills": sum(bool(each["killed"]) for each in killed),
        "while_saving": sum(bool(each["killed"]) and each["while"] == "saving" for each in killed),
        "left_half_a_file": sum(each["halves"] != 0 for each in killed),
        "between_the_renames": sum(checkpoint.NEW in str(each["files"]) for each in killed),
        "hung": sum(each["hung"] != 0 for each in killed),
        "ends": [alone, last],
        "same": same,
        "each": killed,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, action="append", help="1 and 2 unless given")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--print", action="store_true", help="do not write result.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [compare(Path(folder), given.steps, count, given.kills, given.seed) for count in given.processes or [1, 2]]
    text = json.dumps({"seed": given.seed, "runs": runs}, indent=2) + "\n"
    if given.print:
        print(text)
    else:
        Path(__file__).with_name("result.json").write_text(text, encoding="utf-8")
        print(json.dumps([{name: value for name, value in run.items() if name != "each"} for run in runs], indent=2))


if __name__ == "__main__":
    main()
