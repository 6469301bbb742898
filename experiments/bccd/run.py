"""Detectors side by side on BCCD: python experiments/bccd/run.py DATA WORK [NAME ...]

DATA: BCCD in VOC's layout. Each detector is trained into WORK/NAME (or taken up there) and tested on the 72 test images,
with its boxes moved and as they were proposed; result.json has a record of each, and pictures/ some photos with boxes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fourfold import verbs_detect
from fourfold.data.boxed import find_boxed
from fourfold.data.listing import read_item
from fourfold.detect.boxes_picture import boxes_sheet, side_by_side
from fourfold.detect.detector import without_refinement
from fourfold.detect.summary import DetectionEvaluation
from fourfold.detect_report import detection_record
from fourfold.detector_files import load_detector
from fourfold.detector_training import Watch, evaluate_detector
from fourfold.train.loop import Watchers

HERE = Path(__file__).parent
SHOWN = 6  # photos of the test part in a sheet
COMMON: Mapping[str, Any] = {"proposals": "thinned", "count": 3000}
RCNN: Mapping[str, Any] = {"method": "rcnn", "steps": 2000, "rate": 1e-2, "decay": 30, "count": 1500}
SPP: Mapping[str, Any] = {"method": "sppnet", "scales": (200,), "steps": 6000, "rate": 1e-2, "decay": 30}
RUNS: Mapping[str, Mapping[str, Any]] = {
    "rcnn": RCNN,
    "rcnn-paper-rate": {**RCNN, "steps": 1500, "rate": 1e-3},
    "modern": {"method": "modern", "scales": (200,), "steps": 1500},
    "sppnet": SPP,
    "sppnet-paper-lambda": {**SPP, "decay": 4000},
    "sppnet-softmax": {**SPP, "scores": "softmax"},
    "sppnet-no-tuning": {"method": "sppnet", "scales": (200,), "steps": 0, "decay": 30},
    "sppnet-5": {**SPP, "method": "sppnet-5", "scales": (140, 168, 200, 252, 350)},
    "rcnn-no-tuning": {"method": "rcnn", "steps": 0, "decay": 30, "count": 1500},
    "googlenet-style": {"method": "googlenet", "steps": 2000, "rate": 1e-2, "count": 1500},
}


def main() -> None:
    """Train and test those that are named, or all; records of others stay."""
    data, work, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or list(RUNS)
    path = HERE / "result.json"
    for name in names:
        record = run(name, data, work / name)
        others = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}  # now: two may run side by side
        path.write_text(json.dumps({**others, name: record}, indent=2) + "\n", encoding="utf-8")
        print(name, json.dumps(record["test"]["map_2007"]), flush=True)


def run(name: str, data: str, folder: Path) -> dict[str, Any]:
    """Train one detector and test it with its boxes moved, and not."""
    began = time.monotonic()
    is_done = (folder / "detector.json").exists()
    if not is_done:
        resume = (folder / "args.json").exists()
        if not resume:
            _take_proposals(folder)
        asked = {} if resume else {"data": data, **COMMON, **RUNS[name]}
        verbs_detect.train_detector(**asked, run=folder, resume=resume, watch=_watch(name, began))
        (folder / "minutes").write_text(f"{(time.monotonic() - began) / 60:.1f}")
    test = find_boxed(data, seed=0).test
    assert test is not None
    detector = load_detector(folder)
    moved = evaluate_detector(detector, test)
    _sheet(name, moved)
    told = {
        "args": {**COMMON, **RUNS[name]},
        "minutes": float((folder / "minutes").read_text()),
        "minutes_of_proposals": float((folder / "taken").read_text()) if (folder / "taken").exists() else None,
        "test": detection_record(moved),
        "deviations": json.loads((folder / "detector.json").read_text(encoding="utf-8"))["deviations"],
    }
    if detector.refine is not None:
        still = evaluate_detector(without_refinement(detector), test)
        told["test_without_regression"] = detection_record(still)
    return told


def _take_proposals(folder: Path) -> None:
    """Link what lies in WORK/proposals-KIND-COUNT, with the minutes that it took: another run's, not made again."""
    about = {**COMMON, **RUNS[folder.name]}
    made = folder.parent / f"proposals-{about['proposals']}-{about['count']}"
    if made.is_dir():
        (folder / "cache").mkdir(parents=True)
        for file in made.glob("*.safetensors"):
            os.link(file, folder / "cache" / file.name)
        shutil.copy(made / "minutes", folder / "taken")


def _sheet(name: str, found: DetectionEvaluation) -> None:
    (HERE / "pictures").mkdir(exist_ok=True)
    pictures, headings = [], []
    for index in range(0, len(found.images), len(found.images) // SHOWN)[:SHOWN]:
        image = found.images[index]
        pixels = read_item(image.item)
        pictures.append(side_by_side(pixels, image, found.sure(index), found.classes))
        headings.append(f"{Path(image.item.name).name}: annotated, found")
    boxes_sheet(pictures, headings, across=2).save(HERE / "pictures" / f"{name}.jpg", quality=80)


def _watch(name: str, began: float) -> Watch:
    seen = [""]

    def stage(what: str, done: int, total: int) -> None:
        if what != seen[0] or done == total:
            seen[0] = what
            print(f"{name} {time.monotonic() - began:.0f} s: {what} {done}/{total}", flush=True)

    def epoch(line: Any) -> None:
        print(f"{name} {time.monotonic() - began:.0f} s: {line}", flush=True)

    return Watch(stage, Watchers(epoch=epoch), lambda line: print(name, line, flush=True))


if __name__ == "__main__":
    main()
