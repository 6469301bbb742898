"""Loops compiled by numba at the first call, with Python's lock let go; kept on disk where a folder can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator. Sums may be fused with products; otherwise numbers behave as IEEE 754 says, division by zero included."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(**options)(function)  # no folder can be written: compile in each process
