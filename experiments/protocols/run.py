"""Test protocols x networks on labelled images: posteriors of each, and what averaging them does.

python experiments/protocols/run.py DATA CACHE OUT.json NAME=RUN [NAME=RUN ...] [--few N] [--costly N]

DATA: a folder of class folders, or one with test/. CACHE keeps the posteriors of each network under each protocol, so that
a run goes on where it stopped. The protocols in COSTLY see the first N images of a fixed shuffle (--costly); --few limits
all. Combinations (crops and dense, ensembles) are means of the kept posteriors.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fourfold.data.listing import Listing, read_in_order
from fourfold.data.splits import find_test
from fourfold.evaluate.metrics import calibration, top_k_hits, wilson
from fourfold.evaluate.predictor import Predictor
from fourfold.files import write_whole
from fourfold.papers.protocols import protocol_named
from fourfold.verbs import load, predictor, protocol_names

CHUNK = 250  # images between two savings
COSTLY = {"dense3", "dense5", "grid50", "grid150", "crops144", "crops144-max", "views96", "views98"}
BOTH = "grid150+dense3"  # VGG Table 5


def posteriors(asked: Predictor, listing: Listing, path: Path, count: int, what: str) -> Tensor:
    """Posteriors (N,K) of the first images, `count` or as many as are kept in `path` already."""
    have = load_file(path)["posteriors"] if path.is_file() else torch.zeros(0, len(asked.labels))
    while len(have) < count:
        images = list(read_in_order(listing.items[len(have) : min(len(have) + CHUNK, count)]))
        have = torch.cat([have, asked([image for image in images if isinstance(image, Tensor)])])
        write_whole(path, functools.partial(save_file, {"posteriors": have}))
        print(f"\r{what} {len(have)}/{count} ", end="", file=sys.stderr, flush=True)
    return have


def mean(given: Sequence[Tensor]) -> Tensor:
    """The mean of posteriors of the same images, of which some were shown more than others."""
    return torch.stack([each[: min(map(len, given))] for each in given]).mean(0)


def row(given: Tensor, truth: Tensor, base: Tensor) -> dict[str, object]:
    """Accuracy, and how it differs from that of `base` on the same images, with a 95 % interval of the paired difference."""
    count = len(given)
    labels, right, before = truth[:count], given.argmax(1) == truth[:count], base[:count].argmax(1) == truth[:count]
    gained, lost = int((right & ~before).sum()), int((~right & before).sum())
    half = 1.96 * math.sqrt(max(0.0, gained + lost - (gained - lost) ** 2 / count)) / count
    interval = wilson(int(right.sum()), count)
    return {
        "images": count,
        "top1": round(100 * int(right.sum()) / count, 2),
        "top1_interval": [round(interval.low, 2), round(interval.high, 2)],
        "top5": round(100 * top_k_hits(given, labels, 5) / count, 2),
        "calibration_error": round(calibration(given.max(1).values, right).error, 4),
        "against_base": round(100 * (gained - lost) / count, 2),
        "against_base_interval": [round(100 * ((gained - lost) / count + sign * half), 2) for sign in (-1, 1)],
    }


def measure(names: dict[str, str], data: str, cache: Path, few: int | None, costly: int) -> dict[str, object]:
    """Every network under every protocol, then the combinations."""
    models = {name: load(path) for name, path in names.items()}
    listing, part = find_test(data, next(iter(models.values())).labels)
    order = torch.randperm(len(listing), generator=torch.Generator().manual_seed(0)).tolist()[:few]
    listing = listing.take(order)
    index_of = {label: index for index, label in enumerate(next(iter(models.values())).labels)}
    truth = torch.tensor([index_of[listing.classes[label]] for label in listing.labels])
    found: dict[str, dict[str, Tensor]] = {}
    results: dict[str, object] = {}
    for name, model in models.items():
        found[name], rows = {}, {}
        size = model.network.classifier.input_size
        for protocol in protocol_names(model):
            count = min(len(listing), costly if protocol in COSTLY else len(listing))
            asked = predictor(model, protocol)
            path = cache / f"{name}.{protocol}.safetensors"
            given = posteriors(asked, listing, path, count, f"{name} {protocol}")
            found[name][protocol] = given
            views = len(protocol_named(protocol, size).views(size, size))
            rows[protocol] = {**row(given, truth, found[name]["single"]), "views": views, "does": asked.protocol}
        pair = [found[name][part] for part in BOTH.split("+")]
        rows[BOTH] = row(mean(pair), truth, found[name]["single"])
        results[name] = rows
        print(file=sys.stderr)
    return {"part": part, "images": len(listing), "networks": results, "ensembles": ensembles(found, truth)}


def ensembles(found: dict[str, dict[str, Tensor]], truth: Tensor) -> dict[str, object]:
    """Every set of two networks or more under the protocols that all have; the base is the best member of the set."""
    rows: dict[str, object] = {}
    shared = [name for name in next(iter(found.values())) if all(name in each for each in found.values())]
    for protocol in shared:
        for count in range(2, len(found) + 1):
            for members in combinations(found, count):
                given = [found[name][protocol] for name in members]
                shown = min(map(len, given))
                best = max(given, key=lambda each: int((each[:shown].argmax(1) == truth[:shown]).sum()))
                rows[f"{' + '.join(members)}, {protocol}"] = row(mean(given), truth, best)
    return rows


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("cache", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--few", type=int)
    parser.add_argument("--costly", type=int, default=10**9)
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    names = dict(each.split("=", 1) for each in given.networks)
    result = measure(names, given.data, given.cache, given.few, given.costly)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
