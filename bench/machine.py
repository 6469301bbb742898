"""What a figure was measured on, and one way to write figures down."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine() -> dict[str, object]:
    """Processor, cores, versions, and the load before: far above 0, other work took part of the cores."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    versions = {name: version(name) for name in ("torch", "numpy", "numba", "pillow")}
    load = round(os.getloadavg()[0], 2)
    return {"cpu": cpu, "cores": os.cpu_count(), "load": load, "python": platform.python_version(), **versions}


def write_figures(name: str, figures: dict[str, object]) -> None:
    """Write bench/NAME.json beside the scripts."""
    path = Path(__file__).with_name(f"{name}.json")
    path.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n", encoding="utf-8")
