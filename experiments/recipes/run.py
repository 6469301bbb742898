"""Every recipe learns: each trains a network of its paper, made small, on blood cells, on two cores.

    python experiments/recipes/run.py CELLS WORK [NAME ...]

CELLS: BCCD's cells cut out along their boxes, 200 of each class in train/ and 80 in val/ (cells.py makes them). Runs lie in
WORK and are resumed where they stopped; result.json and curves/ are written here.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from fourfold import verbs
from fourfold.train import journal
from fourfold.training import Watching

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Trial:
    """One recipe on a network that two cores can train in minutes; everything else is the recipe's own."""

    recipe: str
    model: str
    options: dict[str, object] = field(default_factory=dict)
    epochs: float = 20
    start: str | None = None
    batch_size: int | None = 32
    rate: float | None = None
    validate_every: int = 1


TRIALS = {
    "vgg": Trial("vgg", "vgg-a", {"input_size": 64, "width": 0.25}, 30),
    "vgg-paper-init": Trial("vgg-paper-init", "vgg-a", {"input_size": 64, "width": 0.25}, 30),
    "vgg-paper-init-slow": Trial("vgg-paper-init", "vgg-a", {"input_size": 64, "width": 0.25}, 30, rate=1e-4),
    "vgg-384": Trial("vgg-384", "vgg-a", {"input_size": 64, "width": 0.25}, 10, start="vgg"),
    "vgg-jitter": Trial("vgg-jitter", "vgg-a", {"input_size": 64, "width": 0.25}, 10, start="vgg-384"),
    "resnet": Trial("resnet", "resnet20", {"input_size": 64}, 20),
    "resnet-cifar-110": Trial("resnet-cifar-110", "resnet110", {"width": 0.5}, 10),
    "googlenet": Trial("googlenet", "googlenet", {"input_size": 64, "width": 0.25}, 40),
    "sppnet": Trial("sppnet", "zf5-spp", {"input_size": 64, "width": 0.5}, 40, validate_every=5),
    "sppnet-multi": Trial("sppnet-multi", "zf5-spp", {"input_size": 64, "width": 0.5}, 40, validate_every=5),
    "sppnet-random": Trial("sppnet-random", "zf5-spp", {"input_size": 64, "width": 0.5}, 40, validate_every=5),
    "alexnet": Trial("alexnet", "alexnet", {}, 10, batch_size=16, rate=0.004, validate_every=5),
    "modern": Trial("modern", "resnet20", {"input_size": 64}, 20),
    "modern-fine-tune": Trial("modern-fine-tune", "resnet20", {"input_size": 64}, 10, start="resnet20-cifar10"),
}


def run(name: str, trial: Trial, cells: Path, work: Path) -> dict[str, object]:
    """Train, or go on, and say what came of it: the first and last epoch tell whether anything was learned."""
    folder = work / name
    began = time.monotonic()
    start = str(work / trial.start) if trial.start in TRIALS else trial.start
    done = verbs.train(
        cells,
        trial.model,
        run=folder,
        recipe=trial.recipe,
        start=start,
        options=trial.options,
        epochs=trial.epochs,
        batch_size=trial.batch_size,
        rate=trial.rate,
        validate_every=trial.validate_every,
        resume=(folder / "args.json").exists(),
        watching=Watching(say=lambda line: print(f"{name}: {line}", flush=True)),
    )
    assert done is not None
    lines = journal.read(folder)
    (HERE / "curves").mkdir(exist_ok=True)
    shutil.copy(folder / "curves.png", HERE / "curves" / f"{name}.png")
    recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    return {
        "network": trial.model,
        "options": trial.options,
        "start": trial.start,
        "steps": recipe["steps"],
        "batch_size": recipe["batch_size"],
        "top1": round(done.top1, 2),
        "images": done.images,
        "first_train_loss": round(lines[0].train_loss, 4),
        "last_train_loss": round(lines[-1].train_loss, 4),
        "first_val_error": lines[0].val_error,
        "last_val_error": lines[-1].val_error,
        "deviations": recipe["deviations"],
        "seconds": round(sum(line.seconds for line in lines), 1) or round(time.monotonic() - began, 1),
    }


def main() -> None:
    """Run the trials named, or all, and add them to result.json."""
    cells, work, *names = sys.argv[1:]
    path = HERE / "result.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in names or TRIALS:
        try:
            results[name] = run(name, TRIALS[name], Path(cells), Path(work))
        except ValueError as error:  # such as a loss that is no number: that is a result, too
            results[name] = {"network": TRIALS[name].model, "failed": str(error)}
        path.write_text(json.dumps({**results, "torch": torch.__version__}, indent=2) + "\n", encoding="utf-8")
        print(name, results[name].get("top1", results[name].get("failed")), flush=True)


if __name__ == "__main__":
    main()
