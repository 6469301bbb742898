"""Test the bundled ResNet-20 on CIFAR-10 and write result.json: `python run.py DATA`, DATA/test/<class>/*.png."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fourfold import report, verbs
from fourfold.catalog import DEFAULT

PAPER_ERROR = 8.75  # ResNet Table 6, ResNet-20
NEEDED = 91.0  # per cent, what this project asks of the weights it ships


def main() -> None:
    record = report.evaluation_record(verbs.evaluate(DEFAULT, sys.argv[1]))
    log = (Path(__file__).with_name("log.jsonl")).read_text(encoding="utf-8").splitlines()
    epochs = [json.loads(line) for line in log]
    record["test_error"] = round(100 - record["top1"], 3)
    record["paper_test_error"] = PAPER_ERROR
    record["is_good_enough"] = record["top1"] >= NEEDED
    record["epochs"] = len(epochs)
    record["last_train_error"] = round(100 * epochs[-1]["train_error"], 3)
    Path(__file__).with_name("result.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
