"""Compiled loops behave as Python does, and are compiled in memory where nothing can be kept on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from fourfold.compiled import compiled


def test_a_compiled_loop_gives_what_python_gives() -> None:
    def total(values: np.ndarray) -> float:
        found = 0.0
        for value in values:
            found += value * value
        return found

    values = np.arange(10.0)

    assert compiled(total)(values) == total(values) == 285


def test_division_by_zero_is_that_of_ieee_754() -> None:
    def share(one: float, other: float) -> float:
        return one / other

    assert compiled(share)(1.0, 0.0) == np.inf


def test_without_a_place_for_a_cache_it_is_compiled_in_memory(tmp_path: Path) -> None:
    code = (
        "import numba; real = numba.njit\n"
        "def njit(*functions, **options):\n"
        "    if options.pop('cache', False): raise RuntimeError('cannot cache function: no locator available for file')\n"
        "    return real(*functions, **options)\n"
        "from fourfold.compiled import compiled\n"
        "numba.njit = njit\n"
        "plus = compiled(lambda x: x + 1)\n"
        "numba.njit = real\n"
        "print(plus(2))"
    )
    (tmp_path / "code.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "code.py"], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3"
