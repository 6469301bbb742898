"""Selective Search, ours against OpenCV's, on photos whose longer side is scaled to 500 pixels; writes bench/proposals.json.

    python bench/proposals.py COCO128 --json

COCO128: a folder with YOLO labels. All methods search a photo one after the other, so that a slow moment meets all. The fast
mode, GoogLeNet's larger segments and our thinned one on all photos, the quality mode, which takes seconds, on the first 16.
Recall: objects that one of the first boxes overlaps by half. OpenCV's needs opencv-contrib-python-headless.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from machine import write_figures
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.boxed import find_boxed
from fourfold.data.listing import to_image
from fourfold.detect.proposals import PROPOSERS
from fourfold.detect.recall import Coverage, coverage
from fourfold.detect.selective_search import FAST, QUALITY, SelectiveSearch
from fourfold.images import resize

LONGER = 500  # pixels, as in PASCAL VOC
COUNTS = (100, 300, 1000, 2000, 3000, 20_000)

Search = Callable[[Tensor], Tensor]
Figures = dict[str, dict[str, object]]


def scaled(each: Annotated) -> tuple[Tensor, Annotated]:
    """The image with its longer side scaled to LONGER, and its boxes with it."""
    image = to_image(each.item.content(), each.item.name)
    share = LONGER / max(image.shape[1:])
    small = resize(image, round(image.shape[1] * share), round(image.shape[2] * share))
    sides = torch.tensor([small.shape[2] / image.shape[2], small.shape[1] / image.shape[1]] * 2)
    return small, replace(each, height=small.shape[1], width=small.shape[2], boxes=each.boxes * sides)


def opencv(mode: str) -> Search:
    """OpenCV's search as one calls it; it reads BGR and gives x y w h."""
    import cv2  # pyright: ignore[reportMissingImports]

    def search(image: Tensor) -> Tensor:
        found = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        found.setBaseImage(np.ascontiguousarray(image.permute(1, 2, 0).numpy()[..., ::-1]))
        found.switchToSelectiveSearchFast() if mode == "fast" else found.switchToSelectiveSearchQuality()
        boxes = torch.from_numpy(found.process()).float()
        return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)

    return search


def figures(found: Coverage, seconds: list[float]) -> dict[str, object]:
    """Recall, best overlap and number of boxes at each count, and seconds an image."""
    return {
        "counts": list(found.counts),
        "boxes": [round(value, 1) for value in found.proposals.tolist()],
        "recall": [round(100 * value, 2) for value in found.recall(0.5).tolist()],
        "abo": [round(100 * value, 2) for value in found.overlaps.mean(0).tolist()],
        "mabo": [round(100 * value, 2) for value in found.mabo().tolist()],
        "seconds": {"mean": round(statistics.mean(seconds), 4), "median": round(statistics.median(seconds), 4)},
    }


def race(methods: Mapping[str, Search], pairs: Sequence[tuple[Tensor, Annotated]]) -> tuple[Figures, float]:
    """Figures of every method on the photos; and how many times as fast as the last the first is, median over photos."""
    found: dict[str, list[Tensor]] = {name: [] for name in methods}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for method in methods.values():
        method(pairs[0][0])  # compiles
    for image, _ in pairs:
        for name, method in methods.items():
            began = time.perf_counter()
            found[name].append(method(image))
            seconds[name].append(time.perf_counter() - began)
    images = [annotated for _, annotated in pairs]
    result = {name: figures(coverage(boxes, images, COUNTS), seconds[name]) for name, boxes in found.items()}
    ours, *_, theirs = seconds.values()
    return result, statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def main() -> None:
    """Search every photo with every method in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--quality-images", type=int, default=16, help="photos for the quality modes, which take seconds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    pairs = [scaled(each) for each in find_boxed(given.data, seed=0).train.images[: given.images]]
    fast: dict[str, Search] = {
        "fast": FAST,
        "fast, sides of 20 pixels at least": SelectiveSearch(smallest=20),
        "fast-x2": PROPOSERS["fast-x2"],
        "thinned": PROPOSERS["thinned"],
        "OpenCV fast": opencv("fast"),
    }
    quality: dict[str, Search] = {"quality": QUALITY, "OpenCV quality": opencv("quality")}
    result: dict[str, object] = {}
    for mode, methods, photos in (("fast", fast, pairs), ("quality", quality, pairs[: given.quality_images])):
        if not photos:
            continue
        rows, ratio = race(methods, photos)
        for name, row in rows.items():
            print(name, row)
        print(f"{mode}: {ratio:.2f} times as fast as OpenCV's, median over {len(photos)} photos")
        result[mode] = {"photos": len(photos), "times_faster": round(ratio, 2), "methods": rows}
    if given.json:
        write_figures("proposals", result)


if __name__ == "__main__":
    main()
