"""result.json: everything that was measured for a claim, and how; nothing that follows from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fourfold.files import write_text
from fourfold.reproduce.claim import Measured
from fourfold.reproduce.effort import BUDGETS

RESULT = "result.json"
RECORDED = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Result:
    """A claim's experiment at one budget.

    seeds: those of each arm's measurements, in order. arms: what each is, with its recipe. measured: of each arm, one for
    each seed. data: the images in words. machine: processor, versions.
    seconds: of all measurements together, whenever they were made.
    """

    claim: str
    budget: str
    seeds: tuple[int, ...]
    arms: Mapping[str, Mapping[str, object]]
    measured: Mapping[str, tuple[Measured, ...]]
    data: str
    machine: Mapping[str, object]
    seconds: float


def write(result: Result, path: Path) -> None:
    """Write result.json; infinite numbers have no place in it."""
    write_text(path, json.dumps(asdict(result), indent=1, allow_nan=False) + "\n")


def read(path: Path) -> Result:
    """Read it back. Raises ValueError where it is missing, or not what `write` writes."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        result = _parse(told)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; run the claim to make it") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}); restore it, or run the claim again"
        ) from error
    return result


def recorded(claim: str, folder: Path = RECORDED) -> Result | None:
    """The result that came with the package, or None."""
    path = folder / f"{claim}.json"
    return read(path) if path.is_file() else None


def _parse(told: dict) -> Result:
    measured = {arm: tuple(map(parse_measured, many)) for arm, many in told["measured"].items()}
    seeds = tuple(told["seeds"])
    if told["budget"] not in BUDGETS or set(told["arms"]) != set(measured):
        raise ValueError("its budget or its arms are not known")
    if not all(isinstance(seed, int) for seed in seeds) or not all(len(many) == len(seeds) for many in measured.values()):
        raise ValueError("an arm lacks the measurement of a seed")
    return Result(
        claim=str(told["claim"]),
        budget=told["budget"],
        seeds=seeds,
        arms={str(arm): dict(record) for arm, record in told["arms"].items()},
        measured=measured,
        data=str(told["data"]),
        machine=dict(told["machine"]),
        seconds=float(told["seconds"]),
    )


def parse_measured(told: dict) -> Measured:
    """A Measured as JSON holds it. Raises ValueError, KeyError or TypeError for what is none."""
    values = {str(name): float(value) for name, value in told["values"].items()}
    if not all(map(math.isfinite, values.values())):
        raise ValueError("a value is not a number")
    curves = {str(name): tuple((float(x), float(y)) for x, y in points) for name, points in told["curves"].items()}
    return Measured(values, curves, float(told["seconds"]))
