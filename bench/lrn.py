"""Time local response normalisation against torch's, in turns within one process, and write bench/lrn.json.

Run `python bench/lrn.py [rounds]` on a machine that does nothing else: each figure is the median of so many rounds (11).
"""

from __future__ import annotations

import functools
import statistics
import sys
import time
from collections.abc import Callable

import torch
from machine import write_figures
from torch import Tensor, nn

from fourfold.models.lrn import LocalResponseNorm

SHAPES = ((1, 96, 172, 230), (16, 192, 56, 56))  # after conv1 of ZF-5 at 688 x 917; GoogLeNet's lrn2 in a batch of 16
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
FORMULA = (5, 5e-4, 0.75, 2.0)  # AlexNet 3.3
ROUNDS = 11


def forward(layer: nn.Module, maps: Tensor) -> None:
    with torch.inference_mode():
        layer(maps)


def forward_and_backward(layer: nn.Module, maps: Tensor) -> None:
    maps.grad = None
    out = layer(maps)
    out.backward(maps.detach())


def convolution_around(layer: nn.Module, maps: Tensor) -> None:
    """A convolution, the layer, a convolution: shows whether the threads of the layer get in the way of torch's."""
    channels = maps.shape[1]
    convolve = nn.Conv2d(channels, channels, 3, padding=1)
    with torch.inference_mode():
        convolve(layer(convolve(maps)))


def medians(calls: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Milliseconds of each call; the calls take turns, so that a slow moment of the machine meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn > 0:  # the first turn compiles
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def compile_seconds(maps: Tensor) -> dict[str, float]:
    """Seconds of the first call and of the first backward; a second run of this script reads numba's cache instead."""
    start = time.perf_counter()
    out = LocalResponseNorm(*FORMULA)(maps.requires_grad_())
    middle = time.perf_counter()
    out.sum().backward()
    return {"forward": middle - start, "backward": time.perf_counter() - middle}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    first = compile_seconds(torch.randn(2, 32, 40, 50))
    layers = {"torch": nn.LocalResponseNorm(*FORMULA), "fourfold": LocalResponseNorm(*FORMULA)}
    rows = []
    for shape in SHAPES:
        for layout, order in LAYOUTS.items():
            for work in (forward, forward_and_backward, convolution_around):
                if work is convolution_around and shape[0] > 1:
                    continue
                maps = torch.randn(shape).contiguous(memory_format=order).requires_grad_()
                calls = {name: functools.partial(work, layer, maps) for name, layer in layers.items()}
                if work is convolution_around:
                    calls["nothing"] = functools.partial(work, nn.Identity(), maps)
                figures = medians(calls, rounds)
                rows.append({"shape": shape, "layout": layout, "work": work.__name__, "median_ms": figures})
                faster = figures["torch"] / figures["fourfold"]
                shown = "  ".join(f"{name} {value:8.2f} ms" for name, value in figures.items())
                print(f"{shape!s:20} {layout}  {work.__name__:22} {shown}  {faster:5.1f}x")
    print("first calls:", first)
    write_figures("lrn", {"rounds": rounds, "first_call_seconds": first, "rows": rows})


if __name__ == "__main__":
    main()
