"""Selective Search and MultiBox, alone and together, on BCCD: python experiments/proposals/run.py DATA WORK

DATA: BCCD in VOC's layout. Trains MultiBox into WORK (or goes on there) on the train part, then asks every proposer about
the test part; result.json has recall and best overlaps against the number of boxes, recall.png their curves.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fourfold import catalog
from fourfold.data.annotated import Annotations
from fourfold.data.boxed import find_boxed
from fourfold.data.listing import read_item
from fourfold.detect.multibox_training import MultiBoxRecipe, train_multibox
from fourfold.detect.proposals import PROPOSERS, THINNED, First, Thinned, Union
from fourfold.detect.propose import Propose
from fourfold.detect.recall import Coverage, coverage
from fourfold.detect.recall_picture import recall_curves
from fourfold.train import journal
from fourfold.train.loop import Moment, Watchers

HERE = Path(__file__).parent
COUNTS = (10, 30, 100, 200, 300, 500, 1000, 2000, 100_000)  # the last: all there are
ADDED = 200  # boxes of MultiBox (GoogLeNet 8)
RECIPE = MultiBoxRecipe(steps=320)


def main() -> None:
    """Train, ask, record."""
    data, work = sys.argv[1], Path(sys.argv[2])
    splits = find_boxed(data, seed=0)
    assert splits.test is not None, "BCCD has a test part"
    watchers = Watchers(_watch, lambda line: print(line, flush=True))
    multibox = train_multibox(splits, work, catalog.load(catalog.DEFAULT), RECIPE, seed=0, watchers=watchers)
    if "train" in sys.argv[3:]:
        return
    found = {name: covered(propose, splits.test) for name, propose in proposers(multibox).items()}
    recall_curves({name: each for name, (each, _) in found.items()}, HERE / "recall.png")
    lines = journal.read(work)
    record = {
        "images": len(splits.test),
        "trained_on": len(splits.train),
        "recipe": RECIPE.description(),
        "minutes": round(sum(line.seconds for line in lines) / 60, 1),
        "missed_on_val": [line.val_error for line in lines],
        "torch": torch.__version__,
        "proposers": {name: told(each, seconds) for name, (each, seconds) in found.items()},
    }
    (HERE / "result.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record["proposers"], indent=2))


def _watch(moment: Moment) -> None:
    if moment.step % 20 == 0:
        print(f"{moment.step}/{moment.steps}: loss {moment.loss:.3f}, wrong {moment.error:.3f}", flush=True)


def proposers(multibox: Propose) -> Mapping[str, Propose]:
    """Those that are compared, by name."""
    distinct = Thinned(multibox, THINNED)
    added = First(distinct, ADDED)
    return {
        "Selective Search": PROPOSERS["fast"],
        "Selective Search x2": PROPOSERS["fast-x2"],
        "MultiBox": multibox,
        "MultiBox, thinned": distinct,
        "x2 + 200 MultiBox": Union((PROPOSERS["fast-x2"], added)),
        "Selective Search + 200 MultiBox": Union((PROPOSERS["fast"], added)),
    }


def covered(propose: Propose, part: Annotations) -> tuple[Coverage, float]:
    """How the objects of a part are covered, and seconds for an image."""
    boxes, seconds = [], 0.0
    for image in part.images:
        pixels = read_item(image.item)
        began = time.process_time()
        boxes.append(propose(pixels, image.item.name))
        seconds += time.process_time() - began
    return coverage(boxes, part.images, COUNTS), seconds / len(part)


def told(each: Coverage, seconds: float) -> dict[str, Any]:
    """A proposer's numbers."""

    def percent(values: torch.Tensor) -> list[float]:
        return [round(100 * value, 2) for value in values.tolist()]

    return {
        "counts": list(each.counts),
        "boxes": [round(value, 1) for value in each.proposals.tolist()],
        "recall": percent(each.recall(0.5)),
        "recall_at_0.7": percent(each.recall(0.7)),
        "abo": percent(each.overlaps.mean(0)),
        "mabo": percent(each.mabo()),
        "objects": len(each.labels),
        "cpu_seconds": round(seconds, 4),
    }


if __name__ == "__main__":
    main()
