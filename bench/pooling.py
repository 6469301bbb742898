"""Spatial pyramid pooling of many windows of one map, four ways; writes bench/pooling.json.

    python bench/pooling.py --json

2,000 random windows of 256 maps of 43 x 58 cells (what SPP-net's 688 pixels make of a photo of 4:3), 50 bins each. Beside
ours: roi_pool of torchvision, once for each level; a table of the maxima of all 2^a x 2^b cells, so that a bin is four
look-ups, in torch; and each window cut out and pooled by itself, as people write it, which is timed on a tenth of them and
scaled. The sides take turns in each round, and the first round is not timed. All give the same numbers, but for a few bins
of roi_pool, whose edges are rounded in float32.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from machine import write_figures
from torch import Tensor
from torchvision.ops import roi_pool

from fourfold.detect.pooling import pool_windows
from fourfold.memory import keep_memory
from fourfold.models.base import pyramid_pool

CHANNELS, HEIGHT, WIDTH = 256, 43, 58
LEVELS = (6, 3, 2, 1)  # SPP-net 4.1
TENTH = 10  # of the windows, one is pooled by itself
TARGET = 5.0  # times as fast as roi_pool


def random_windows(count: int) -> Tensor:
    """int64 (R,4), whose edges are anywhere on the map."""
    dice = torch.Generator().manual_seed(0)
    rows, columns = (torch.randint(side, (count, 2), generator=dice).sort(1).values for side in (HEIGHT, WIDTH))
    return torch.stack((rows[:, 0], rows[:, 1] + 1, columns[:, 0], columns[:, 1] + 1), 1)


def by_torchvision(maps: Tensor, windows: Tensor) -> Tensor:
    """A call for each level; its boxes name their last cells."""
    top, bottom, left, right = windows.float().unbind(1)
    boxes = torch.stack((torch.zeros_like(top), left, top, right - 1, bottom - 1), 1)
    return torch.cat([roi_pool(maps[None], boxes, level, 1.0).flatten(1) for level in LEVELS], 1)


def by_cutting(maps: Tensor, windows: Tensor) -> Tensor:
    """One window after the other."""
    return torch.cat(
        [pyramid_pool(maps[None, :, top:bottom, left:right], LEVELS) for top, bottom, left, right in windows.tolist()]
    )


def by_table(maps: Tensor, windows: Tensor) -> Tensor:
    """Maxima of 2^a x 2^b cells for all a and b, channels last; a bin is the maximum of four that cover it."""
    tables = [[maps.permute(1, 2, 0).contiguous()]]
    while 2 ** len(tables) <= HEIGHT:
        tables.append([_doubled(tables[-1][0], 2 ** (len(tables) - 1), 0)])
    for row in tables:
        while 2 ** len(row) <= WIDTH:
            row.append(_doubled(row[-1], 2 ** (len(row) - 1), 1))
    flat = torch.stack([torch.stack(row) for row in tables]).flatten(0, 3)
    return torch.cat([_look_up(flat, len(tables[0]), windows, level) for level in LEVELS], 1)


def _doubled(table: Tensor, step: int, dim: int) -> Tensor:
    """Each cell with the one `step` further on, or, at the end, alone."""
    out = table.clone()
    count = table.shape[dim] - step
    torch.maximum(table.narrow(dim, 0, count), table.narrow(dim, step, count), out=out.narrow(dim, 0, count))
    return out


def _look_up(flat: Tensor, columns: int, windows: Tensor, level: int) -> Tensor:
    """One level, (R, C * level squared)."""
    bins = torch.arange(level)
    top, bottom, left, right = (edge[:, None] for edge in windows.unbind(1))
    (first, end), (start, stop) = (
        (low + bins * (far - low) // level, low - (-(bins + 1) * (far - low) // level))
        for low, far in ((top, bottom), (left, right))
    )
    a, b = (end - first).double().log2().floor().long(), (stop - start).double().log2().floor().long()
    best = None
    for row in (first, end - 2**a):
        for column in (start, stop - 2**b):
            table = a[:, :, None] * columns + b[:, None, :]
            index = (table * HEIGHT + row[:, :, None]) * WIDTH + column[:, None, :]
            found = flat[index.flatten()]
            best = found if best is None else torch.maximum(best, found)
    assert best is not None
    return best.view(len(windows), level * level, -1).transpose(1, 2).flatten(1)


def main() -> None:
    """Time the four in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds")
    parser.add_argument("--json", action="store_true", help="write bench/pooling.json")
    given = parser.parse_args()
    keep_memory()  # for all sides
    maps = torch.randn(CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    last = maps[None].contiguous(memory_format=torch.channels_last)[0]
    windows = random_windows(given.windows)
    sides: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: pool_windows(last, windows, LEVELS),
        "torchvision's roi_pool": lambda: by_torchvision(maps, windows),
        "a table in torch": lambda: by_table(maps, windows),
        "one by one": lambda: by_cutting(maps, windows[::TENTH]),
    }
    pooled = {name: call() for name, call in sides.items()}
    assert torch.equal(pooled["ours"], pooled["a table in torch"])
    assert torch.equal(pooled["ours"][::TENTH], pooled["one by one"])
    same = (pooled["ours"] == pooled["torchvision's roi_pool"]).double().mean().item()
    del pooled
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(given.rounds + 1):
        for name, call in sides.items():
            began = time.perf_counter()
            call()
            if turn > 0:
                scale = TENTH if name == "one by one" else 1
                times[name].append(scale * (time.perf_counter() - began))
    ratios = [theirs / mine for mine, theirs in zip(times["ours"], times["torchvision's roi_pool"], strict=True)]
    milliseconds = {
        name: {"median": round(1000 * statistics.median(values), 1), "min": round(1000 * min(values), 1)}
        for name, values in times.items()
    }
    faster = round(statistics.median(ratios), 1)
    for name, row in milliseconds.items():
        print(f"{name:24} {row['median']:8.1f} ms, at best {row['min']:8.1f}")
    print(f"{faster} times as fast as roi_pool, which gives the same in {100 * same:.2f} % of the bins")
    assert faster >= TARGET, f"{faster} times as fast as roi_pool; wanted {TARGET}"
    if given.json:
        figures = {
            "maps": [CHANNELS, HEIGHT, WIDTH],
            "windows": given.windows,
            "levels": list(LEVELS),
            "threads": torch.get_num_threads(),
            "rounds": given.rounds,
            "milliseconds": milliseconds,
            "times_faster_than_roi_pool": faster,
            "same_as_roi_pool": round(same, 4),
            "target": TARGET,
        }
        write_figures("pooling", figures)


if __name__ == "__main__":
    main()
