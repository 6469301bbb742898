"""ResNet-20 on CIFAR-10 by `modern-cifar`: python experiments/resnet20-modern/run.py DATA WORK

DATA: CIFAR-10 as PNG, train/<class>/ and test/<class>/. Trains into WORK (or goes on there), tests the last weights on the
10,000 test images under the single view, and writes result.json, metrics.csv, recipe.json and curves.png here.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch

from fourfold import report, verbs
from fourfold.train import journal

HERE = Path(__file__).parent
WANTED = 92.0  # per cent, within an hour on two cores


def main() -> None:
    """Train, test, record. Nothing is chosen by the test images: the weights are those of the last step."""
    data, work = sys.argv[1], Path(sys.argv[2])
    if not (work / "entry.json").exists():
        resume = (work / "args.json").exists()
        asked = {} if resume else {"data": data, "model": "resnet20", "recipe": "modern-cifar", "validate_every": 6}
        verbs.train(**asked, run=work, resume=resume)
    record = report.evaluation_record(verbs.evaluate(work, data))
    lines = journal.read(work)
    record |= {
        "minutes": round(sum(line.seconds for line in lines) / 60, 1),
        "is_good_enough": record["top1"] >= WANTED,
        "epochs": len(lines),
        "last_train_error": round(100 * lines[-1].train_error, 3),
        "torch": torch.__version__,
    }
    for name in ("metrics.csv", "recipe.json", "curves.png"):
        shutil.copy(work / name, HERE / name)
    (HERE / "result.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
