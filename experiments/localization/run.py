"""VGG's localization (appendix A) on made images: python experiments/localization/run.py DATA WORK

DATA: what make.py made. WORK holds the classifiers `vgg` and `vgg-384` (see README.md), and all that is made here: each
network that gives boxes is trained once into WORK/METHOD-SEED, and what each system says of the test images is kept beside
it, so that a run which was stopped goes on. Writes result.json, in the form of Tables 8 and 9.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fourfold import catalog, keep_memory
from fourfold.catalog import Network
from fourfold.data.annotated import Annotated
from fourfold.data.boxed import find_boxed_parts
from fourfold.data.dice import generator_for
from fourfold.data.located import largest
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.whole import Dense
from fourfold.files import write_text
from fourfold.localize.heatmap import ByHeat
from fourfold.localize.localizer import Localizer
from fourfold.localize.locate import Boxer, CentralCrop, Everywhere, Locate
from fourfold.localize.method import Method
from fourfold.localize.regressor import BoxNetwork, box_network, tuned
from fourfold.localize.replies import RIGHT
from fourfold.localize.tuning import BoxTask, CropFeed, Scaled, scaled_images
from fourfold.papers.localization import LOCALIZERS, scale_of
from fourfold.papers.protocols import scale_for
from fourfold.train.loop import LAST, Settings, Watchers, learn
from fourfold.weights import read_weights

HERE = Path(__file__).parent
SEEDS = (0, 1)
STEPS, BATCH, RATE = 800, 64, 1e-2
METHODS = ("vgg-scr-fc", "vgg-pcr-fc", "vgg-scr", "vgg-pcr", "vgg-pcr-256")
TESTED = 1000  # test images: every second one
RESAMPLES = 10_000
Found = dict[str, np.ndarray]
"""Of each test image: "given", the IoU for the true class; and whether guesses are right ("top1", "top5", "class1")."""


def main() -> None:
    """Train what is missing, ask, and write down."""
    keep_memory()
    data, work = Path(sys.argv[1]), Path(sys.argv[2])
    parts = find_boxed_parts(data / "boxes.csv")
    test = largest(parts["test"]).images
    test = test[:: len(test) // TESTED]
    starts = {scale: catalog.load(work / name) for scale, name in ((384, "vgg-384"), (256, "vgg"))}
    methods = {name: at_length(LOCALIZERS[name]) for name in METHODS}
    scales = {method.scale: scale_of(method, starts[method.scale].classifier.input_size) for method in methods.values()}
    images = largest(parts["train"]).images
    train = {scale: scaled_images(images, side)[0] for scale, side in scales.items()}
    made = {
        (name, seed): trained(work / f"{name}-{seed}", starts[method.scale], method, train[method.scale], seed)
        for seed in SEEDS
        for name, method in methods.items()
    }
    asked = {}
    for seed in SEEDS:
        for name, locate in systems({each: made[each, seed] for each in METHODS}, starts).items():
            asked[name, seed] = replies(work / "found" / f"{name}-{seed}.csv", locate, classes(starts), test)
    for name, locate in by_heat(starts).items():
        asked[name, 0] = replies(work / "found" / f"{name}.csv", locate, classes(starts), test)
    result = {"tested": len(test), "steps": STEPS, "batch": BATCH, "rate": RATE, "seeds": len(SEEDS), **summary(asked)}
    write_text(HERE / "result.json", json.dumps(result, indent=2) + "\n")


def at_length(method: Method) -> Method:
    """A method of the length that this experiment affords."""
    return method.with_steps(STEPS, BATCH).at_rate(RATE)


def trained(folder: Path, start: Network, method: Method, train: Scaled, seed: int) -> BoxNetwork:
    """The network that gives boxes, trained or taken up."""
    generator = generator_for(seed, "start")
    network = box_network(start, per_class=method.per_class, scale=train.scale, generator=generator)
    if not (folder / LAST).exists():
        folder.mkdir(parents=True, exist_ok=True)
        tuned(network.classifier, method.layers)
        began = time.monotonic()
        task, feed = BoxTask(network, method, len(train), None), CropFeed(train, method, start.classifier.input_size, seed)
        watch = Watchers(epoch=lambda line: print(folder.name, f"{time.monotonic() - began:.0f} s", line, flush=True))
        learn(network.classifier, task, method, feed, folder, settings=Settings(seed, keeps_best=False), watchers=watch)
    network.classifier.load_state_dict(read_weights(folder / LAST))
    network.classifier.eval().requires_grad_(False)
    return network


def classes(starts: Mapping[int, Network]) -> Predictor:
    """The best classification system here: both networks over whole images, averaged."""
    members = [
        Member(network, Dense((scale_for(scale, network.classifier.input_size),), network.classifier.input_size))
        for scale, network in starts.items()
    ]
    return Predictor(tuple(members))


def systems(boxes: Mapping[str, BoxNetwork], starts: Mapping[int, Network]) -> dict[str, Locate]:
    """What Tables 8 and 9 compare."""
    size = starts[384].classifier.input_size
    at = {scale: scale_for(scale, size) for scale in (256, 352, 384)}
    large = Boxer(boxes["vgg-pcr"], starts[384], (at[384],))
    both = Boxer(boxes["vgg-pcr"], starts[384], (at[352], at[384]))
    small = Boxer(boxes["vgg-pcr-256"], starts[256], (at[256],))
    central: dict[str, Locate] = {f"central {name}": CentralCrop(network) for name, network in boxes.items()}
    dense = {"256": (small,), "384": (large,), "352+384": (both,), "fusion": (small, both)}
    return central | {f"dense {name}": Everywhere(boxers) for name, boxers in dense.items()}


def by_heat(starts: Mapping[int, Network]) -> dict[str, Locate]:
    """Boxes that were learned from no box."""
    return {f"heat {scale}": ByHeat(each, scale_for(scale, each.classifier.input_size)) for scale, each in starts.items()}


def replies(path: Path, locate: Locate, predictor: Predictor, test: tuple[Annotated, ...]) -> Found:
    """What a system says of the test images, asked or read."""
    if not path.exists():
        began, localizer = time.monotonic(), Localizer(predictor, locate)
        rows = ["given,top1,top5,class1"]
        for index, image in enumerate(test):
            reply = localizer.reply(index, image)
            assert not reply.error, reply.error
            right = (reply.is_right(1), reply.is_right(5), reply.is_class_right(1))
            rows.append(f"{reply.given_overlap:.5f},{','.join(str(int(each)) for each in right)}")
        path.parent.mkdir(exist_ok=True)
        write_text(path, "\n".join(rows) + "\n")
        print(path.stem, f"{time.monotonic() - began:.0f} s", flush=True)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    return {name: np.array([float(line[name]) for line in lines]) for name in lines[0]}


def summary(asked: Mapping[tuple[str, int], Found]) -> dict[str, object]:
    """Errors in per cent with intervals, and the differences that the paper claims."""
    names = dict.fromkeys(name for name, _ in asked)
    seen = {name: [found for (each, _), found in asked.items() if each == name] for name in names}
    table = {
        name: {
            "given_class": spread([100 * (each["given"] <= RIGHT) for each in found]),
            "top1": spread([100 * (1 - each["top1"]) for each in found]),
            "top5": spread([100 * (1 - each["top5"]) for each in found]),
            "overlap": spread([each["given"] for each in found]),
            "classification": spread([100 * (1 - each["class1"]) for each in found]),
        }
        for name, found in seen.items()
    }
    return {"systems": table, "claims": {text: claim(seen, *about) for text, about in CLAIMS.items()}}


CLAIMS = {  # the system that is claimed to have the higher error, the lower one, and the error
    "PCR is better than SCR, fc layers (Table 8)": ("central vgg-scr-fc", "central vgg-pcr-fc", "given"),
    "PCR is better than SCR, all layers (not in the paper)": ("central vgg-scr", "central vgg-pcr", "given"),
    "tuning all layers is better than the fc layers, PCR (Table 8)": ("central vgg-pcr-fc", "central vgg-pcr", "given"),
    "tuning all layers is better than the fc layers, SCR (not in the paper)": (
        "central vgg-scr-fc", "central vgg-scr", "given",
    ),
    "whole images are better than the central crop, labels predicted (A.2)": ("central vgg-pcr", "dense 384", "top5"),
    "whole images are better than the central crop, class given (not in the paper)": (
        "central vgg-pcr", "dense 384", "given",
    ),
    "S = 384 is better than S = 256 (Table 9)": ("dense 256", "dense 384", "top5"),
    "two scales are better than one (Table 9)": ("dense 384", "dense 352+384", "top5"),
    "the fusion is better than S = 384 alone (Table 9)": ("dense 352+384", "dense fusion", "top5"),
    "boxes learned from boxes are better than class maps (ours)": ("heat 384", "dense 384", "given"),
}  # fmt: skip


def claim(seen: Mapping[str, list[Found]], worse: str, better: str, error: str) -> dict[str, object]:
    """By how many points the error is lower, with its interval; confirmed or contradicted where that leaves out 0."""

    def wrong(found: Found) -> np.ndarray:
        return 100.0 * (found["given"] <= RIGHT if error == "given" else 1 - found[error])

    pairs = max(len(seen[worse]), len(seen[better]))
    gains = [wrong(seen[worse][at % len(seen[worse])]) - wrong(seen[better][at % len(seen[better])]) for at in range(pairs)]
    found = spread(gains)
    low, high = found["interval"]
    verdict = "confirmed" if low > 0 else "contradicted" if high < 0 else "not shown"
    return {"error": error, "lower_by": found["mean"], "interval": found["interval"], "verdict": verdict}


def spread(rows: list[np.ndarray]) -> dict[str, Any]:
    """The mean over seeds and images, of each seed, and its 95 % interval by resampling both seeds and images."""
    values, dice = np.stack(rows), np.random.default_rng(0)
    seeds, images = values.shape
    means = []
    for _ in range(RESAMPLES):
        drawn = values[dice.integers(seeds, size=seeds)].mean(0)
        means.append(drawn[dice.integers(images, size=images)].mean())
    low, high = np.percentile(means, (2.5, 97.5))
    return {
        "mean": round(float(values.mean()), 3),
        "of_each_seed": [round(float(each), 3) for each in values.mean(1)],
        "interval": [round(float(low), 3), round(float(high), 3)],
    }


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else torch.get_num_threads())
    main()
