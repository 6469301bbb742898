"""Spatial pyramid pooling of many windows of one map (SPP-net 4.1), and its gradient: kernels compiled by numba.

Maps are cut into blocks of channels, so that a block of all cells stays in a core's cache while every window is pooled from
it, and the innermost loop is a maximum over neighbours in memory. A level whose bins are unions of another's, as those of 3,
2 and 1 are of 6, is pooled from that one's bins: floor(2i*w/6) is floor(i*w/3), and bins leave no gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from fourfold.compiled import compiled
from fourfold.detect.threads import share
from fourfold.models.base import pyramid_pool
from fourfold.shapes import expect

BLOCK = 64  # channels: 43 x 58 cells of them are 0.6 MiB of float32, which about fits a second-level cache


def pool_windows(maps: Tensor, windows: Tensor, levels: Sequence[int]) -> Tensor:
    """Max-pool windows of maps into n x n bins for each level; each row is `pyramid_pool` of one window (SPP-net 2.2, 4.1).

    maps: (C,h,w) float in any memory layout; windows: int64 (R,4), the half-open cells top, bottom, left, right. Returns
    (R, C * sum of n squared) of the maps' dtype. Differentiable: the gradient of a maximum goes to its first cell, row by
    row. A bin with a NaN is NaN. Raises ValueError on windows that are empty or leave the map, or no levels.
    """
    expect(maps, "C h w", name="maps")
    _check_windows(windows, maps.shape[1], maps.shape[2])
    if not levels or min(levels) < 1:
        raise ValueError(f"pyramid levels are {tuple(levels)}; give one or more whole numbers of at least 1")
    if maps.device.type != "cpu" or maps.dtype not in {torch.float32, torch.float64}:
        return _plain(maps, windows, levels)
    return cast(Tensor, RegionPool.apply(maps, windows, tuple(levels)))


def _check_windows(windows: Tensor, height: int, width: int) -> None:
    expect(windows, "R 4", name="windows")
    if windows.dtype != torch.int64:
        raise ValueError(f"windows are {windows.dtype}; give them as int64, the cells top, bottom, left, right")
    top, bottom, left, right = windows.unbind(1)
    wrong = (top < 0) | (top >= bottom) | (bottom > height) | (left < 0) | (left >= right) | (right > width)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"window {row} is {windows[row].tolist()}; give top < bottom and left < right, half-open, "
            f"within {height}x{width} cells"
        )


def _plain(maps: Tensor, windows: Tensor, levels: Sequence[int]) -> Tensor:
    """One window after the other, for maps that the kernels do not read."""
    rows = [pyramid_pool(maps[None, :, top:bottom, left:right], levels) for top, bottom, left, right in windows.tolist()]
    return torch.cat([maps.new_empty(0, len(maps) * sum(level * level for level in levels)), *rows])


class RegionPool(torch.autograd.Function):
    """The kernels as one differentiable operation; `pool_windows` checks what it is given."""

    @staticmethod
    def forward(maps: Tensor, windows: Tensor, levels: tuple[int, ...]) -> Tensor:
        blocks, plan, places = _blocks(maps), _plan(levels), windows.numpy()
        # numpy asks the system for huge pages: touching 100 MB of small ones takes longer than pooling
        out = np.empty((len(windows), len(maps) * sum(level * level for level in levels)), blocks.dtype)
        share(len(windows), lambda first, end: _pool(blocks, places[first:end], plan, len(maps), out[first:end]))
        return torch.from_numpy(out)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, tuple[int, ...]], output: Tensor) -> None:  # noqa: ARG004 (torch's name)
        maps, windows, ctx.levels = inputs
        ctx.save_for_backward(maps, windows)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator has no names)
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, None, None]:
        (maps, windows), (grad,) = ctx.saved_tensors, grads
        blocks, levels = _blocks(maps), np.array(ctx.levels)
        places, given, out = windows.numpy(), grad.contiguous().numpy(), np.zeros_like(blocks)
        # parts of the channels, not of the windows: no two threads add to one cell
        share(len(blocks), lambda first, end: _spread(blocks, places, levels, len(maps), given, out, first, end))
        flat = torch.from_numpy(out).permute(0, 3, 1, 2).flatten(0, 1)
        return flat[: len(maps)].contiguous(), None, None


def _blocks(maps: Tensor) -> np.ndarray:
    """Maps (C,h,w) as (blocks,h,w,BLOCK); zeros fill the last block."""
    channels, height, width = maps.shape
    blocks = maps.new_zeros(-(-channels // BLOCK), height, width, BLOCK)
    filled = channels // BLOCK
    blocks[:filled] = maps[: filled * BLOCK].detach().unflatten(0, (filled, BLOCK)).permute(0, 2, 3, 1)
    if filled < len(blocks):
        blocks[filled, :, :, : channels % BLOCK] = maps[filled * BLOCK :].detach().permute(1, 2, 0)
    return blocks.numpy()


def _plan(levels: Sequence[int]) -> np.ndarray:
    """Levels from fine to coarse, int64 (L,4): level, the row it is pooled from (-1: the map), first bin here and in P."""
    bins = [level * level for level in levels]
    rows: list[tuple[int, int, int, int]] = []
    for index in sorted(range(len(levels)), key=lambda index: -levels[index]):
        finer = [row for row, (level, *_) in enumerate(rows) if level % levels[index] == 0]
        start = rows[-1][2] + rows[-1][0] ** 2 if rows else 0
        rows.append((levels[index], finer[-1] if finer else -1, start, sum(bins[:index])))
    return np.array(rows, np.int64)


@compiled
def _pool(blocks: np.ndarray, windows: np.ndarray, plan: np.ndarray, channels: int, out: np.ndarray) -> None:
    """Pool all windows (R,4) from each block in turn into out (R,P)."""
    last, size, pitch = plan[-1], blocks[0].size, blocks.shape[2]
    bins = np.empty((last[2] + last[0] * last[0]) * BLOCK, blocks.dtype)
    tall = np.empty(max(pitch, plan[0, 0]) * BLOCK, blocks.dtype)
    cells = blocks.reshape(-1)
    for block in range(len(blocks)):
        before = block * BLOCK
        for row in range(len(windows)):
            top, bottom, left, right = windows[row]
            for level, parent, start, place in plan:
                own = bins[start * BLOCK : (start + level * level) * BLOCK]
                if parent < 0:
                    corner = block * size + (top * pitch + left) * BLOCK
                    _maxima(cells[corner:], pitch, bottom - top, right - left, level, tall, own)
                else:
                    side, first = plan[parent, 0], plan[parent, 2]
                    _maxima(bins[first * BLOCK :], side, side, side, level, tall, own)
                _transpose(own, min(BLOCK, channels - before), out[row, channels * place + before * level * level :])


@compiled
def _maxima(cells: np.ndarray, pitch: int, height: int, width: int, level: int, tall: np.ndarray, out: np.ndarray) -> None:
    """The maxima of height x width cells, rows of which lie `pitch` cells apart, in level x level bins.

    For each row of bins first down the columns, into `tall`, then across.
    """
    for i in range(level):
        first, end = i * height // level, -(-(i + 1) * height // level)
        _most(cells, first * pitch * BLOCK, pitch * BLOCK, end - first, tall, 0, width * BLOCK)
        for j in range(level):
            first, end = j * width // level, -(-(j + 1) * width // level)
            _most(tall, first * BLOCK, BLOCK, end - first, out, (i * level + j) * BLOCK, BLOCK)


@compiled
def _most(source: np.ndarray, start: int, step: int, count: int, out: np.ndarray, place: int, length: int) -> None:
    """out[place + k] = the maximum of source[start + n * step + k] over n below count, for each k below length.

    Two or four rows in one pass, of which some may be the same: passes cost more than maxima. Indices are unsigned, as
    signed ones are looked at for being negative, and arrays cut out for each row would be counted as references.
    np.maximum, because LLVM makes stores under a mask of `max` and of conditions, which take three times as long.
    """
    own, size, last = np.uint64(place), np.uint64(length), count - 1
    a, b = np.uint64(start), np.uint64(start + min(1, last) * step)
    if count <= 2:
        for k in range(size):
            out[own + k] = np.maximum(source[a + k], source[b + k])
        return
    c, d = np.uint64(start + 2 * step), np.uint64(start + min(3, last) * step)
    for k in range(size):
        out[own + k] = np.maximum(np.maximum(source[a + k], source[b + k]), np.maximum(source[c + k], source[d + k]))
    for n in range(4, count, 2):
        a, b = np.uint64(start + n * step), np.uint64(start + min(n + 1, last) * step)
        for k in range(size):
            out[own + k] = np.maximum(out[own + k], np.maximum(source[a + k], source[b + k]))


@compiled
def _transpose(bins: np.ndarray, channels: int, out: np.ndarray) -> None:
    """The bins of each channel one after the other. Read along memory: gathered loads take four times as long."""
    count = len(bins) // BLOCK
    for k in range(count):
        for c in range(channels):
            out[c * count + k] = bins[k * BLOCK + c]


@compiled
def _spread(
    blocks: np.ndarray,
    windows: np.ndarray,
    levels: np.ndarray,
    channels: int,
    grad: np.ndarray,
    out: np.ndarray,
    first: int,
    end: int,
) -> None:
    """Add grad (R,P) to the first largest cell of each bin, for the blocks first up to end."""
    best, where = np.empty(BLOCK, blocks.dtype), np.empty(BLOCK, np.int64)
    for block in range(first, end):
        cells, given = blocks[block], out[block].reshape(-1, BLOCK)
        before = block * BLOCK
        for row in range(len(windows)):
            place = 0
            for level in levels:
                for k in range(level * level):
                    _first_largest(cells, windows[row], level, k, best, where)
                    for c in range(min(BLOCK, channels - before)):
                        given[where[c], c] += grad[row, place + (before + c) * level * level + k]
                place += channels * level * level


@compiled
def _first_largest(cells: np.ndarray, window: np.ndarray, level: int, k: int, best: np.ndarray, where: np.ndarray) -> None:
    """The maximum of bin k of a window for each channel, and the cell y * w + x where it is met first, row by row."""
    top, bottom, left, right = window
    height, width, (i, j) = bottom - top, right - left, divmod(k, level)
    first, start = top + i * height // level, left + j * width // level
    best[:] = cells[first, start]
    where[:] = first * cells.shape[1] + start
    for y in range(first, top - (-(i + 1) * height // level)):
        for x in range(start, left - (-(j + 1) * width // level)):
            for c in range(BLOCK):
                if cells[y, x, c] > best[c]:
                    best[c], where[c] = cells[y, x, c], y * cells.shape[1] + x
