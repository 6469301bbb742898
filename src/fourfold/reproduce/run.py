"""Measure a claim's arms seed by seed, or go on where that was stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from fourfold.data.splits import Splits, find_data
from fourfold.files import write_text
from fourfold.parallel import ALONE, Group
from fourfold.reproduce.claim import Arm, Claim, Measured, Scene
from fourfold.reproduce.effort import BUDGETS, CPU, GPU, GPU_EFFORT, PAPER, SMOKE, SMOKE_EFFORT, Effort
from fourfold.reproduce.made import made_splits, reduced
from fourfold.reproduce.record import Result, parse_measured
from fourfold.reproduce.trained import digest

Watch = Callable[[int, int, str], None]
"""Called with measurements done, measurements in all, and a note on what goes on."""


def scene_for(
    claim: Claim, budget: str, data: str | Path | None, folder: Path, seeds: int | None = None, group: Group = ALONE
) -> Scene:
    """Where a claim is measured at a budget. Raises ValueError for a budget or a number of seeds that cannot be."""
    effort = effort_of(claim, budget, seeds)
    return Scene(budget, effort, _images(claim, budget, data, effort), folder, group)


def effort_of(claim: Claim, budget: str, seeds: int | None = None) -> Effort:
    """How far an experiment goes. Raises ValueError where the budget is none, cannot answer this claim, or has no seeds."""
    if budget not in BUDGETS:
        raise ValueError(f"no budget {budget!r}; choose from {', '.join(BUDGETS)}")
    order = list(BUDGETS)
    if budget == PAPER or (budget != SMOKE and order.index(budget) < order.index(claim.least)):
        raise ValueError(f"{claim.name} cannot be run at the budget {budget}; choose {SMOKE} or {claim.least}")
    if seeds is not None and seeds < 1:
        raise ValueError(f"{seeds} seeds cannot be; choose 1 or more, 3 for an interval that says something")
    effort = {SMOKE: SMOKE_EFFORT, CPU: claim.effort, GPU: GPU_EFFORT}[budget]
    own = 1 if claim.is_exact else effort.seeds
    return replace(effort, seeds=seeds or own)


def measure_claim(claim: Claim, scene: Scene, watch: Watch = lambda _done, _all, _note: None) -> Result:
    """Measure every arm with every seed, seed by seed, so that arms that are timed take turns.

    What was measured before is read from the scene's folder, unless it is timed. Raises KeyboardInterrupt after Ctrl-C,
    with everything saved: the same call goes on.
    """
    seeds = range(scene.effort.seeds)
    total, done = len(seeds) * len(claim.arms), 0
    measured: dict[str, list[Measured]] = {name: [] for name in claim.arms}
    records = {name: arm.record(scene) for name, arm in claim.arms.items()}
    for seed in seeds:
        for name, arm in claim.arms.items():
            place = dataclasses.replace(scene, say=lambda line, done=done: watch(done, total, line))
            place.say(f"{name}, seed {seed}")
            measured[name].append(_measure(arm, records[name], place, 0 if arm.is_exact else seed))
            done += 1
            watch(done, total, name)
    return Result(
        claim=claim.name,
        budget=scene.budget,
        seeds=tuple(seeds),
        arms=records,
        measured={name: tuple(many) for name, many in measured.items()},
        data=_in_words(scene.splits),
        machine=machine(),
        seconds=round(sum(each.seconds for many in measured.values() for each in many), 1),
    )


def _measure(arm: Arm, record: dict[str, object], scene: Scene, seed: int) -> Measured:
    """Measure, or read what was measured of an arm with the same record."""
    if not arm.is_kept:
        return arm.measure(scene, seed)
    path = scene.folder / "measured" / f"{digest([record, seed])}.json"
    if path.is_file():
        try:
            return parse_measured(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            path.unlink()  # it can be had again
    found = arm.measure(scene, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(dataclasses.asdict(found)) + "\n")
    return found


def machine() -> dict[str, object]:
    """Processor and versions."""
    versions = {name: version(name) for name in ("fourfold", "torch", "numpy")}
    return {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())


def _images(claim: Claim, budget: str, data: str | Path | None, effort: Effort) -> Splits | None:
    if not claim.needs_images:
        return None
    if budget == SMOKE:
        return made_splits(effort)
    if data is None:
        raise ValueError(f"{claim.name} needs images; give --data, a folder of CIFAR-10 or one of class folders")
    return reduced(find_data(data, seed=0), effort)


def _in_words(splits: Splits | None) -> str:
    if splits is None:
        return "no images"
    return f"{len(splits.train):,} images to learn from, {len(splits.val):,} to test on ({splits.origin})"
