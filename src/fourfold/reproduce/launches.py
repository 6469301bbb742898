"""The papers' own experiments on ImageNet: the commands that run them, and what they would cost. Nothing is run here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fourfold.explain import explain
from fourfold.networks import build
from fourfold.papers import RECIPES
from fourfold.papers.protocols import protocol_named
from fourfold.reproduce.asked import APART, Asked
from fourfold.reproduce.claim import Arm, Claim
from fourfold.reproduce.timed import PHOTO
from fourfold.reproduce.trained import Trained

PROCESSES = 8  # a GPU each
RATE = 5e13  # FLOP/s of each, ours: a twentieth of an H100's dense bfloat16, as convolutions of small batches reach
FLOPS = 2  # a multiply-add is two
PASSES = 3  # forward, and backward twice: to the inputs and to the weights
VAL_IMAGES = 50_000  # of ILSVRC 2012


@dataclass(frozen=True)
class Launch:
    """A command, and how many floating point operations it takes; seed: that of a training, or of a plan's round."""

    arm: str
    seed: int
    command: str
    flops: float

    @property
    def hours(self) -> float:
        """On PROCESSES devices that reach RATE each."""
        return self.flops / (PROCESSES * RATE) / 3600


def launches(claim: Claim, data: str, folder: Path, seeds: int = 1) -> list[Launch]:
    """What the paper's experiment takes, in the order in which it must be run; what arms share is there once.

    data: ImageNet, as `fourfold train` takes it. Raises ValueError where the paper has no experiment on ImageNet.
    """
    if not claim.on_imagenet:
        raise ValueError(f"{claim.name} has no experiment on ImageNet; the paper's own is the budget gpu, or a count")
    found = [
        launch
        for seed in range(seeds)
        for name, arm in claim.on_imagenet.items()
        for launch in _of_arm(name, arm, seed, data, folder)
    ]
    once: dict[str, Launch] = {}
    for launch in found:
        once.setdefault(launch.command, launch)
    return list(once.values())


def _of_arm(name: str, arm: Arm, seed: int, data: str, folder: Path) -> Iterator[Launch]:
    if isinstance(arm, Trained):
        yield from _trainings(name, arm, seed, data, folder)
    else:
        assert isinstance(arm, Asked), "what runs on ImageNet is trained or asked"
        yield from _asked(name, arm, seed, data, folder)


def _trainings(name: str, arm: Trained, seed: int, data: str, folder: Path) -> Iterator[Launch]:
    """The training, behind those whose weights it begins with."""
    before = arm.shallow
    if before is None and RECIPES[arm.recipe].starts_from:
        before = Trained(arm.network, RECIPES[arm.recipe].starts_from, arm.options)
    words = ["train", data, "--model", arm.network, "--recipe", arm.recipe, "--seed", str(seed)]
    if before is not None:
        yield from _trainings(name, before, seed, data, folder)
        words += ["--from", str(_run(before, seed, folder))]
    for key, value in arm.options.items():
        words += ["-o", f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"]
    recipe = RECIPES[arm.recipe]
    seen = recipe.steps * recipe.batch_size
    flops = FLOPS * PASSES * _multiply_adds(arm.network, arm.options) * seen
    command = f"torchrun --nproc-per-node {PROCESSES} -m fourfold -- "
    yield Launch(name, seed, command + shlex.join([*words, "--run", str(_run(arm, seed, folder))]), flops)


def _asked(name: str, arm: Asked, seed: int, data: str, folder: Path) -> Iterator[Launch]:
    runs, flops = [], 0.0
    for number in range(arm.each):
        for one in arm.trained:
            own = seed + APART * number
            yield from _trainings(name, one, own, data, folder)
            runs.append(str(_run(one, own, folder)))
            flops += FLOPS * VAL_IMAGES * _multiply_adds(one.network, one.options) * _views(arm, one)
    words = ["evaluate", *runs, data, "--split", "val", "--protocol", arm.protocol]
    if arm.scales is not None:
        words += ["--scales", ",".join(map(str, arm.scales))]
    words += ["--out", str(folder / f"{'+'.join(Path(run).name for run in runs)}-{arm.protocol}"[:200])]
    yield Launch(name, seed, f"torchrun --nproc-per-node {PROCESSES} -m fourfold -- {shlex.join(words)}", flops)


def _run(arm: Trained, seed: int, folder: Path) -> Path:
    told = "".join(f"-{key}={value}" for key, value in arm.options.items()).translate(str.maketrans("", "", " []"))
    return folder / f"{arm.network}{told}-{arm.recipe}{'-from-A' if arm.shallow else ''}-{seed}"


def _multiply_adds(network: str, options: Mapping[str, object]) -> int:
    return _facts(network, json.dumps(options))[0]


def _views(arm: Asked, one: Trained) -> float:
    """How many images of the network's own size the views of a usual photo amount to."""
    size = _facts(one.network, json.dumps(one.options))[1]
    views = protocol_named(arm.protocol, size, arm.scales).views(*PHOTO)
    return sum(view.height * view.width for view in views) / size**2


@cache
def _facts(network: str, options: str) -> tuple[int, int]:
    """Multiply-adds and the side of the input: counting them takes a while, and plans ask for the same ones often."""
    told = explain(network, lambda: build(network, **json.loads(options)))
    return told.multiply_adds, told.input_size
