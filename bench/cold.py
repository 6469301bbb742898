"""Wall time of cold commands: `fourfold --help` and `fourfold classify` of one photo, each in a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import write_figures

ROUNDS = 7
PHOTO = Path(__file__).parents[1] / "examples" / "cat.jpg"
COMMANDS = {
    "help": ["--help"],
    "models": ["models"],
    "explain vgg-d": ["explain", "vgg-d"],
    "classify": ["classify", str(PHOTO)],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "fourfold", *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):  # in turn, so that a slow minute of the machine hits all alike
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    figures = {
        name: {"median": round(statistics.median(t), 3), "min": round(min(t), 3), "max": round(max(t), 3), "n": ROUNDS}
        for name, t in times.items()
    }
    for name, figure in figures.items():
        print(f"{name:15} median {figure['median']:.2f} s, {figure['min']:.2f} to {figure['max']:.2f}")
    write_figures("cold", {"seconds": figures})


if __name__ == "__main__":
    main()
