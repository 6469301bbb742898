"""`fourfold detect` on one photo, from the command line and in a process that has begun; writes bench/detect.json.

    python bench/detect.py --json

One photo of 500x375, 20 classes, random weights, 2,000 proposals of Selective Search: ZF-5 at one scale of 688 (SPP-net 4.1)
as it is and with fc layers of rank 256 (Fast R-CNN 3.1), and the small trunk of the bundled ResNet-20 at a scale of 200, as
`train-detector` makes it, with the proposals of its default. `cold`: a new process of the command line each time, imports
included. `warm`: in Python, after a first call; of it `propose`, and `rest` for features, scores and suppression. The sides
take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from machine import write_figures
from torch import Tensor

from fourfold import verbs_detect
from fourfold.catalog import PIXELS
from fourfold.detect.detector import Finder
from fourfold.detector_files import DetectorEntry, write_detector_entry
from fourfold.images import read_image, resize
from fourfold.memory import keep_memory
from fourfold.models.sppnet import PYRAMID_50, SMALL_FC_WIDTH
from fourfold.networks import build
from fourfold.train.initialise import He
from fourfold.weights import save_weights

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTO = (375, 500)
RANK = 256
CLASSES = tuple(f"class {number}" for number in range(20))  # as many as PASCAL VOC
NETWORKS: Mapping[str, tuple[str, Mapping[str, object], int, str]] = {
    "zf5": ("zf5-spp", {}, 688, "fast"),
    "small": ("resnet20", {"levels": list(PYRAMID_50), "units": SMALL_FC_WIDTH}, 200, "thinned"),
    "small, fast proposals": ("resnet20", {"levels": list(PYRAMID_50), "units": SMALL_FC_WIDTH}, 200, "fast"),
}
COLD = "import sys; from fourfold.cli import main; main()"


def write(folder: Path, network: str, options: Mapping[str, object], scale: int, proposals: str) -> Path:
    """A detector with random weights in a folder."""
    folder.mkdir()
    given = {**options, "classes": len(CLASSES) + 1}
    classifier = build(network, **given)
    He()(classifier, torch.Generator().manual_seed(0))
    save_weights(folder / "weights.safetensors", classifier.state_dict())
    pixels = PIXELS["imagenet"]
    about = {"name": folder.name, "network": network, "options": given, "licence": "yours"}
    about |= {"pixels": {"mean": list(pixels.mean), "std": list(pixels.std), "order": pixels.order}}
    (folder / "entry.json").write_text(json.dumps({**about, "classes": [*CLASSES, "background"]}), encoding="utf-8")
    suppress = {"iou": 0.3, "per_class": 100}
    least = (0.9,) * len(CLASSES)
    regions = {"pooled": {"scales": [scale]}}
    entry = DetectorEntry("made", regions, proposals, 2000, "softmax", False, suppress, least, {})
    write_detector_entry(folder, entry)
    return folder


def cold(photo: Path, folder: Path, *words: str) -> float:
    """Seconds of one command."""
    began = time.perf_counter()
    command = [sys.executable, "-c", COLD, "detect", str(photo), "--model", str(folder), *words]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def warm(finder: Finder, photo: Tensor) -> tuple[float, float]:
    """Seconds to propose, and for the rest."""
    seen = finder.look(photo)
    assert len(seen.proposals) > 1000
    return seen.propose_seconds, seen.seconds


def figures(photo: Path, folders: Mapping[str, Path], rounds: int) -> dict[str, object]:
    """Medians of all sides."""
    sides: dict[str, tuple[Path, tuple[str, ...]]] = {name: (folder, ()) for name, folder in folders.items()}
    sides[f"zf5, rank {RANK}"] = (folders["zf5"], ("--low-rank", str(RANK)))
    finders = {
        name: verbs_detect.detector(folder, low_rank=RANK if words else None) for name, (folder, words) in sides.items()
    }
    pixels = read_image(photo)
    parts: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    colds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, (folder, words) in sides.items():
            found, whole = warm(finders[name], pixels), cold(photo, folder, *words)
            if turn:
                parts[name].append(found)
                colds[name].append(whole)
            print(f"round {turn}: {name:24} {found[0]:.3f} + {found[1]:.3f} s; cold {whole:.2f} s", flush=True)
    result: dict[str, object] = {}
    for name in sides:
        propose, rest = (round(statistics.median(column), 3) for column in zip(*parts[name], strict=True))
        both = round(statistics.median(map(sum, parts[name])), 3)
        result[name] = {"propose": propose, "rest": rest, "warm": both, "cold": round(statistics.median(colds[name]), 2)}
    return result


def main() -> None:
    """Time all sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds; one more comes before them")
    parser.add_argument("--json", action="store_true", help="write bench/detect.json")
    given = parser.parse_args()
    keep_memory()
    with tempfile.TemporaryDirectory() as place:
        photo = Path(place) / "photo.png"
        pixels = resize(read_image(sorted(EXAMPLES.glob("*.jpg"))[0]), *PHOTO)
        from PIL import Image

        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(photo)
        folders = {name: write(Path(place) / name, *about) for name, about in NETWORKS.items()}
        found = figures(photo, folders, given.rounds)
    for name, row in found.items():
        print(name, row)
    if given.json:
        write_figures("detect", {"rounds": given.rounds, "threads": torch.get_num_threads(), "seconds": found})


if __name__ == "__main__":
    main()
