"""R-CNN's features against SPP-net's on one photo; writes bench/regions.json.

    python bench/regions.py --json

One photo of 500x375 with 2,000 boxes of Selective Search (random ones where it finds fewer). Networks have random weights
and a spatial pyramid, so that both ways feed the same fc layers: `WarpedRegions` in batches, and `PooledRegions` at one
scale and at five (SPP-net 4.1). Convolutions and pooling alone, and with fc6 and fc7. R-CNN runs on a part of the boxes, and
its time is scaled to all of them, because it grows with their number: `rcnn_boxes` says how many ran. The sides take turns
in each round, and the first round is not timed. `shares` says where the time of five scales goes, by kind of layer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import write_figures
from torch import Tensor, nn

from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.detect.pooling import pool_windows
from fourfold.detect.regions import PooledRegions, Regions, WarpedRegions, levels_of, windows_of
from fourfold.detect.selective_search import FAST
from fourfold.images import read_image, resize, scaled_size
from fourfold.memory import keep_memory
from fourfold.models.sppnet import PYRAMID_50
from fourfold.networks import build
from fourfold.train.initialise import He

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTO = (375, 500)  # height and width of a usual photo of PASCAL VOC
BOXES = 2000  # R-CNN 2.1
ONE, FIVE = (688,), (480, 576, 688, 864, 1200)  # SPP-net 4.1
RCNN_BOXES = {"zf5-spp": 256, "vgg-d": 64}
PAPER = {"one conv": 270, "one all": 102, "five conv": 49, "five all": 38}  # times as fast on a GPU: SPP-net Table 10


def make(name: str, width: float) -> Network:
    """A network with a pyramid and random weights, for 20 classes and the background."""
    given = {} if name.endswith("-spp") else {"levels": list(PYRAMID_50)}
    classifier = build(name, classes=21, width=width, **given)
    He()(classifier, torch.Generator().manual_seed(0))
    classifier = classifier.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return Network(classifier, PIXELS["imagenet"], tuple(map(str, range(21))), ModelEntry(name=name, network=name))


def boxes_of(photo: Tensor) -> Tensor:
    """BOXES boxes (R,4): the first of Selective Search, and random ones where there are too few."""
    found = FAST(photo)[:BOXES]
    dice = torch.Generator().manual_seed(0)
    corners = torch.rand(BOXES - len(found), 2, 2, generator=dice) * torch.tensor(PHOTO[::-1])
    return torch.cat([found, torch.cat([corners.amin(1), corners.amax(1)], 1)])


def seconds(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median over all rounds but the first; the sides take turns, so that a slow moment meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, call in sides.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
            print(f"round {turn}: {name:40} {times[name][-1]:8.3f} s", flush=True)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def with_fc(network: Network, regions: Regions, photo: Tensor, boxes: Tensor) -> Tensor:
    """The features that SVMs read."""
    return network.classifier.head.features(regions.pooled(network, photo, boxes), "relu7")


def compare(name: str, photo: Tensor, boxes: Tensor, width: float, rounds: int) -> dict[str, object]:
    """R-CNN and SPP-net at one scale and at five."""
    network = make(name, width)
    part = boxes[torch.randperm(BOXES, generator=torch.Generator().manual_seed(1))[: RCNN_BOXES[name]]]
    ways: dict[str, tuple[Regions, Tensor]] = {
        "rcnn": (WarpedRegions(), part),
        "one": (PooledRegions(ONE), boxes),
        "five": (PooledRegions(FIVE), boxes),
    }
    sides: dict[str, Callable[[], object]] = {}
    for way, (regions, given) in ways.items():
        sides[f"{way} conv"] = lambda regions=regions, given=given: regions.pooled(network, photo, given)
        sides[f"{way} all"] = lambda regions=regions, given=given: with_fc(network, regions, photo, given)
    times = seconds({f"{name} {side}": call for side, call in sides.items()}, rounds)
    scaled = {side: times[f"{name} {side}"] * (BOXES / len(part) if side.startswith("rcnn") else 1) for side in sides}
    faster = {
        f"{way} {what}": round(scaled[f"rcnn {what}"] / scaled[f"{way} {what}"], 1)
        for way in ("one", "five")
        for what in ("conv", "all")
    }
    found = {"seconds": {side: round(value, 3) for side, value in scaled.items()}, "times_faster_than_rcnn": faster}
    print(name, found)
    bounds = {"one": areas_allow(network, ONE), "five": areas_allow(network, FIVE)}
    shared = shares(network, photo, boxes)
    return {"rcnn_boxes": len(part), "width": width, **found, "areas_allow": bounds, "shares": shared}


@torch.inference_mode()
def shares(network: Network, photo: Tensor, boxes: Tensor) -> dict[str, float]:
    """Seconds of five scales, once more after a warm run: changes of size, each kind of layer, and windows."""
    spent: dict[str, float] = {}

    def timed(kind: str, call: Callable[[], Tensor]) -> Tensor:
        began = time.perf_counter()
        result = call()
        spent[kind] = spent.get(kind, 0.0) + time.perf_counter() - began
        return result

    def layer(each: nn.Module, maps: Tensor) -> Tensor:
        return timed(type(each).__name__, lambda: each(maps))

    regions = PooledRegions(FIVE)
    chosen = timed("choice of scales", lambda: regions.chosen(network, boxes, PHOTO))
    for turn in range(2):
        spent.clear()
        for index, (scale, given) in enumerate(zip(FIVE, regions.maps(network, photo), strict=True)):
            scaled = timed("resize", lambda scale=scale: resize(photo, *scaled_size(*PHOTO, scale)))
            maps = timed("pixels", lambda scaled=scaled: network.pixels(scaled[None]))
            for each in network.classifier.trunk:
                maps = layer(each, maps)
            own, field = boxes[chosen == index], network.classifier.field
            windows = timed("windows", lambda own=own, given=given, field=field: windows_of(own, given, field))
            timed("pooling", lambda maps=maps, windows=windows: pool_windows(maps[0], windows, levels_of(network)))
        print(f"turn {turn}:", {kind: round(value, 3) for kind, value in spent.items()})
    return {kind: round(value, 4) for kind, value in spent.items()}


def areas_allow(network: Network, scales: tuple[int, ...]) -> float:
    """How many times as many pixels R-CNN convolves: more cannot be gained by sharing maps alone."""
    sizes = [scaled_size(*PHOTO, scale) for scale in scales]
    return round(BOXES * network.classifier.input_size**2 / sum(height * width for height, width in sizes), 1)


def main() -> None:
    """Compare for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds")
    parser.add_argument("--networks", nargs="+", default=list(RCNN_BOXES), choices=list(RCNN_BOXES))
    parser.add_argument("--width", type=float, default=1.0, help="of the networks; below 1 for a trial alone")
    parser.add_argument("--json", action="store_true", help="write bench/regions.json")
    given = parser.parse_args()
    keep_memory()  # for all sides
    photo = resize(read_image(sorted(EXAMPLES.glob("*.jpg"))[0]), *PHOTO)
    boxes = boxes_of(photo)
    figures: dict[str, object] = {
        "photo": {"height": PHOTO[0], "width": PHOTO[1]},
        "boxes": BOXES,
        "scales": {"one": ONE, "five": FIVE},
        "threads": torch.get_num_threads(),
        "rounds": given.rounds,
        "times_faster_in_the_paper": PAPER,
        "networks": {name: compare(name, photo, boxes, given.width, given.rounds) for name in given.networks},
    }
    if given.json:
        write_figures("regions", figures)


if __name__ == "__main__":
    main()
