"""The kernels of local response normalisation, compiled by numba at the first call, and how they are run on threads.

They see flat arrays and a Tiling; tensors, layouts and gradients are the business of lrn.py.
"""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    import numba


Window = tuple[int, int]  # channels before and after a value's own
Constants = tuple[float, float, float]  # k, alpha/size and beta, of the type of the maps


class Tiling(NamedTuple):
    """How maps are cut into tiles of rows that are contiguous in memory; a tile holds all channels of its pixels.

    NCHW: a row is `full` pixels of one channel. NHWC: a row is one pixel. In the scratch, rows lie `pitch` apart, and the
    next channel lies `step` further on, so that one loop over all cells sums the windows in either layout.
    """

    tiles: int
    blocks: int  # tiles of one image (NCHW), or of all (NHWC)
    full: int  # pixels of a tile; the last of an image has fewer
    pixels: int  # pixels of one image (NCHW), or of all (NHWC)
    channels: int
    image: int  # elements from one image to the next
    pitch: int
    step: int


def launch(kernel: Callable[..., None], chunks: int, *arguments: Any) -> None:
    """Run a kernel on as many threads as there are chunks, or on the caller's where more would be unsafe."""
    if torch.get_num_threads() == 1:  # also in a forked worker, where GNU OpenMP ends the process
        return _jit(kernel, False)(*arguments, 1)
    from numba import config, get_num_threads, set_num_threads
    from numba.np.ufunc.parallel import threading_layer

    given = get_num_threads()  # starts numba's threads, which decides the threading layer
    if threading_layer() == "workqueue":  # two calls at a time, ours or another module's, abort the process
        return _jit(kernel, False)(*arguments, 1)
    # As many threads as torch: the two may share one OpenMP pool, and a pool is rebuilt when its size changes.
    set_num_threads(min(chunks, config.NUMBA_NUM_THREADS))  # pyright: ignore[reportAttributeAccessIssue]
    try:
        _jit(kernel, True)(*arguments, chunks)
    finally:
        set_num_threads(given)


_ONE_AT_A_TIME = threading.Lock()


def _jit(kernel: Callable[..., None], parallel: bool) -> Callable[..., None]:
    with _ONE_AT_A_TIME:  # functools.cache lets threads that come first together compile a kernel each
        return _compiled(kernel, parallel)


@functools.cache
def _compiled(kernel: Callable[..., None], parallel: bool) -> Callable[..., None]:
    global numba  # noqa: PLW0603 (the kernels name numba.prange; importing it above would slow every start)
    import numba

    # Numba's cache on disk keeps no options: without a name of its own, the serial kernel would load as the parallel one.
    twin = types.FunctionType(kernel.__code__, globals(), kernel.__name__)
    twin.__qualname__ = f"{kernel.__name__}_{'parallel' if parallel else 'serial'}"
    # error_model: a check for division by zero in the inner loop would keep it from being vectorised.
    options = {"parallel": parallel, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return numba.njit(cache=True, **options)(twin)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(**options)(twin)  # no directory can be written: compile in each process


def forward(maps: np.ndarray, out: np.ndarray, tiling: Tiling, window: Window, constants: Constants, chunks: int) -> None:
    """out = maps / energy^beta, tile by tile."""
    tiles, blocks, full, pixels, channels, image, pitch, step = tiling
    (before, after), (k, rate, beta) = window, constants
    cells = (full if step == 1 else channels) * pitch
    for chunk in numba.prange(chunks):
        squares = np.zeros(cells + (before + after) * step, maps.dtype)
        sums = np.empty(cells, maps.dtype)
        for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
            count = min(full, pixels - tile % blocks * full)
            rows, length, stride = (count, channels, channels) if step == 1 else (channels, count, pixels)
            start = tile // blocks * image + tile % blocks * full * (channels if step == 1 else 1)
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                own = squares[before * step + row * pitch :][:length]
                for i in range(length):
                    own[i] = values[i] * values[i]
            for i in range(cells):
                sums[i] = squares[i]
            for tap in range(1, before + after + 1):
                shifted = squares[tap * step :]
                for i in range(cells):
                    sums[i] += shifted[i]
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                target = out[start + row * stride :][:length]
                energy = sums[row * pitch :][:length]
                if beta == 0.75:
                    for i in range(length):
                        root = np.sqrt(k + rate * energy[i])
                        target[i] = values[i] / (root * np.sqrt(root))
                else:
                    for i in range(length):
                        target[i] = values[i] / (k + rate * energy[i]) ** beta


def backward(  # noqa: PLR0912
    maps: np.ndarray, grad: np.ndarray, out: np.ndarray, tiling: Tiling, window: Window, constants: Constants, chunks: int
) -> None:
    """out = the gradient at maps, where grad is that at the output: own share, less what a value adds to its windows."""
    tiles, blocks, full, pixels, channels, image, pitch, step = tiling
    (before, after), (k, rate, beta) = window, constants
    one = maps.dtype.type(1)  # a literal would be float64, and the inner loops with it
    pull = maps.dtype.type(2) * beta * rate
    cells = (full if step == 1 else channels) * pitch
    for chunk in numba.prange(chunks):
        padded = np.zeros(cells + (before + after) * step, maps.dtype)  # squares, seen by the windows
        shares = np.zeros(cells + (before + after) * step, maps.dtype)  # seen by the windows mirrored
        sums = np.empty(cells, maps.dtype)
        factors = np.empty(cells, maps.dtype)
        for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
            count = min(full, pixels - tile % blocks * full)
            rows, length, stride = (count, channels, channels) if step == 1 else (channels, count, pixels)
            start = tile // blocks * image + tile % blocks * full * (channels if step == 1 else 1)
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                own = padded[before * step + row * pitch :][:length]
                for i in range(length):
                    own[i] = values[i] * values[i]
            for i in range(cells):
                sums[i] = padded[i]
            for tap in range(1, before + after + 1):
                shifted = padded[tap * step :]
                for i in range(cells):
                    sums[i] += shifted[i]
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                slopes = grad[start + row * stride :][:length]
                energy = sums[row * pitch :][:length]
                factor = factors[row * pitch :][:length]
                own = shares[after * step + row * pitch :][:length]
                for i in range(length):
                    total = k + rate * energy[i]
                    if beta == 0.75:
                        root = np.sqrt(total)
                        factor[i] = one / (root * np.sqrt(root))
                    else:
                        factor[i] = total**-beta
                    own[i] = slopes[i] * values[i] * factor[i] / total
            for i in range(cells):
                sums[i] = shares[i]
            for tap in range(1, before + after + 1):
                shifted = shares[tap * step :]
                for i in range(cells):
                    sums[i] += shifted[i]
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                slopes = grad[start + row * stride :][:length]
                target = out[start + row * stride :][:length]
                factor = factors[row * pitch :][:length]
                spread = sums[row * pitch :][:length]
                for i in range(length):
                    target[i] = slopes[i] * factor[i] - pull * values[i] * spread[i]
