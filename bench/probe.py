"""`fourfold probe` on 1,000 photos of ten classes, beside scikit-learn's own pipeline on the same vectors.

    python bench/probe.py CIFAR [--json]

CIFAR: CIFAR-10 as test/<class>/*.png. Of each class 100 images are taken (80 are learned from, 20 measured on) and stored as
they are, and once more enlarged to sides of 96 to 224 pixels, for SPP-net's pyramid on images of any size. Seconds are those
of the whole command line in a new process, its start included, the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import write_figures
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVC

from fourfold import features

EACH, TRAIN = 100, 80
KINDS = {"svm": LinearSVC, "logistic": LogisticRegression}
PYRAMID = ("--layer", "conv4_3", "--pooling", "4,2,1")


def made(cifar: Path, out: Path, sides: tuple[int, int] | None) -> Path:
    """A folder of 1,000 images; with `sides` enlarged, and width and height drawn by themselves."""
    dice = random.Random(0)
    for folder in sorted((cifar / "test").iterdir()):
        for number, file in enumerate(dice.sample(sorted(folder.glob("*.png")), EACH)):
            place = out / ("train" if number < TRAIN else "test") / folder.name / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(file) as image:
                size = image.size if sides is None else (dice.randint(*sides), dice.randint(*sides))
                image.resize(size, Image.Resampling.BICUBIC).save(place)
    return out


def asked(folder: Path, *options: str) -> tuple[float, dict[str, Any]]:
    """Seconds and the answer of one process."""
    began = time.perf_counter()
    line = [sys.executable, "-m", "fourfold", "probe", str(folder), "--json", *options]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return time.perf_counter() - began, json.loads(said)


def by_scikit_learn(folder: Path, kind: str) -> float:
    """Accuracy in per cent of scikit-learn's pipeline on the same vectors, its C by the same five parts."""
    train, test = (features(folder, split=split, normalise=False) for split in ("train", "test"))
    costs = {"C": [0.01, 0.1, 1.0, 10.0, 100.0]}
    search = GridSearchCV(KINDS[kind](max_iter=10_000), costs, cv=StratifiedKFold(5, shuffle=True, random_state=0))
    pipeline = make_pipeline(Normalizer(), search).fit(train.matrix.numpy(), train.truth)
    return 100 * float(pipeline.score(test.matrix.numpy(), test.truth))


def main() -> None:
    """Make the folders and time them in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="write bench/probe.json")
    given = parser.parse_args()
    found: dict[str, Any] = {"rounds": given.rounds}
    with tempfile.TemporaryDirectory() as place:
        small, large = made(given.cifar, Path(place) / "small", None), made(given.cifar, Path(place) / "large", (96, 224))
        sides = {"svm": (small, ()), "logistic": (small, ("--kind", "logistic")), "pyramid of any size": (large, PYRAMID)}
        runs: dict[str, list[tuple[float, dict[str, Any]]]] = {name: [] for name in sides}
        for _ in range(given.rounds):
            for name, (folder, options) in sides.items():
                runs[name].append(asked(folder, *options))
        for name, rows in runs.items():
            seconds = round(statistics.median(seconds for seconds, _ in rows), 2)
            found[name] = {"seconds": seconds, "accuracy": rows[0][1]["accuracy"], "interval": rows[0][1]["interval"]}
        for kind in KINDS:
            found[kind]["scikit_learn"] = round(by_scikit_learn(small, kind), 3)
    print(json.dumps(found, indent=2))
    if given.json:
        write_figures("probe", found)


if __name__ == "__main__":
    main()
