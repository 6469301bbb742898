"""Arms that are trained: a network under a paper's recipe, as far as the budget goes.

A training lies in runs/DIGEST of the scene's folder, where the digest is of all that decides its outcome: so claims share
trainings, one that was stopped goes on, and `fourfold classify --model` opens it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fourfold import catalog, runs
from fourfold.catalog import ENTRY, ModelEntry, Network
from fourfold.data.dice import generator_for
from fourfold.data.listing import Listing
from fourfold.files import write_text
from fourfold.networks import build
from fourfold.papers import RECIPES
from fourfold.reproduce.claim import Arm, Measured, Scene
from fourfold.reproduce.effort import CPU, SMOKE
from fourfold.train import journal
from fourfold.train.initialise import Initialise, from_shallower
from fourfold.train.loop import Moment, Settings, Watchers, fit
from fourfold.train.recipe import Recipe
from fourfold.training import Watching, prepare

NARROW = {"width": 0.25}  # ours, at cpu: a sixteenth of the multiply-adds
TINY = {"width": 0.0625}  # ours, at smoke
DIVERGED = "diverged.txt"
NOT_A_NUMBER = "the loss is"  # how `train/step.py` begins to say that training has diverged


@dataclass(frozen=True)
class Trained(Arm):
    """A network trained from scratch by the recipe of this name; measured by its errors.

    cpu, smoke: options of the network at these budgets. rate: the highest learning rate, and initialise: a rule, in place of
    the recipe's. shallow: the training whose layers it begins with (VGG 3.1).
    """

    network: str
    recipe: str
    options: Mapping[str, object] = field(default_factory=dict)
    cpu: Mapping[str, object] = field(default_factory=lambda: dict(NARROW))
    smoke: Mapping[str, object] = field(default_factory=lambda: dict(TINY))
    rate: float | None = None
    initialise: Initialise | None = None
    shallow: Trained | None = None

    def options_in(self, scene: Scene) -> dict[str, object]:
        """Of the network, as far as the budget goes."""
        more = {SMOKE: self.smoke, CPU: self.cpu}.get(scene.budget, {})
        return {**self.options, **more, "classes": len(scene.data.train.classes)}

    def recipe_in(self, scene: Scene) -> Recipe:
        """The paper's recipe, with what this arm changes, stretched to the budget."""
        recipe = RECIPES[self.recipe] if self.rate is None else RECIPES[self.recipe].at_rate(self.rate)
        if self.initialise is not None:
            note = f"initialised by {self.initialise}"
            recipe = dataclasses.replace(recipe, initialise=self.initialise, deviations=(*recipe.deviations, note))
        effort = scene.effort
        return recipe.fitted(len(scene.data.train), budget=effort.length, batch_size=effort.batch_size)

    def record(self, scene: Scene) -> dict[str, object]:
        """See Arm."""
        return {
            "trained": self.network,
            "options": self.options_in(scene),
            "by": self.recipe,
            "recipe": self.recipe_in(scene).description(),
            "shallow": None if self.shallow is None else self.shallow.record(scene),
            "data": fingerprint(scene.data.train, scene.data.val),
        }

    def measure(self, scene: Scene, seed: int) -> Measured:
        """train_error and val_error: those of the last epoch, in per cent; train_loss and val_loss; diverged, 0 or 1.

        The training error is the mean over the epoch's mini-batches as they were augmented, as in ResNet Figures 4 and 6.
        A training whose loss stopped being a number has the errors of guessing.
        """
        folder = self.run(scene, seed)
        epochs = journal.read(folder) if (folder / journal.JOURNAL).exists() else []
        curves = {
            "training": tuple((float(each.step), 100 * each.train_error) for each in epochs),
            "validation": tuple((float(each.step), 100 * each.val_error) for each in epochs if each.val_error is not None),
        }
        seconds = sum(each.seconds for each in epochs)
        if (folder / DIVERGED).exists():
            classes = len(scene.data.train.classes)
            guessing, loss = 100 * (1 - 1 / classes), math.log(classes)
            values = {"train_error": guessing, "val_error": guessing, "train_loss": loss, "val_loss": loss, "diverged": 1.0}
            return Measured(values, curves, seconds)
        last = epochs[-1]
        assert last.val_error is not None, "the last epoch is always validated"
        assert last.val_loss is not None, "the last epoch is always validated"
        values = {
            "train_error": 100 * last.train_error,
            "val_error": 100 * last.val_error,
            "train_loss": last.train_loss,
            "val_loss": last.val_loss,
            "diverged": 0.0,
        }
        return Measured(values, curves, seconds)

    def opened(self, scene: Scene, seed: int) -> Network:
        """The trained network. Raises ValueError where training has diverged."""
        folder = self.run(scene, seed)
        if (folder / DIVERGED).exists():
            raise ValueError(f"{self.network} diverged with seed {seed}, so it cannot be asked; see {folder / DIVERGED}")
        return catalog.load(folder)

    def run(self, scene: Scene, seed: int) -> Path:
        """The folder of the training, which is done, or gone on with, where it is not there whole."""
        folder = scene.folder / "runs" / digest([self.record(scene), seed])
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not (folder / ENTRY).exists() and not (folder / DIVERGED).exists():
                self._train(scene, seed, folder)
        return folder

    def _train(self, scene: Scene, seed: int, folder: Path) -> None:
        recipe, options, splits = self.recipe_in(scene), self.options_in(scene), scene.data
        classifier = build(self.network, **options)
        material = prepare(splits, classifier, recipe, None, scene.workers, Watching())
        if material.broken:
            raise ValueError(f"{material.broken[0].error}; an experiment needs all images: mend or remove it")
        recipe.initialise(classifier, generator_for(seed))
        if self.shallow is not None:
            begun = self.shallow.run(scene, seed)
            if (begun / DIVERGED).exists():
                write_text(folder / DIVERGED, f"{self.shallow.network}, whose layers it begins with, has diverged\n")
                return
            from_shallower(classifier, catalog.load(begun).classifier)

        def step(moment: Moment) -> None:
            scene.say(f"{self.network}, seed {seed}: step {moment.step:,} of {moment.steps:,}, loss {moment.loss:.3f}")

        settings, watchers = Settings(seed=seed, keeps_best=False), Watchers(step=step)
        try:
            fit(classifier, material.pixels, recipe, material.train, material.val, folder,
                settings=settings, watchers=watchers, group=scene.group, initialise=False)  # fmt: skip
        except ValueError as error:
            if not str(error).startswith(NOT_A_NUMBER):
                raise
            write_text(folder / DIVERGED, f"{error}\n")
            return
        kept = Network(
            classifier.cpu(), material.pixels, splits.train.classes, ModelEntry(folder.name, self.network, options)
        )
        runs.write_record(
            folder, kept, recipe=f"{recipe.source}, seed {seed}", protocol="not asked yet", accuracy={},
            deviations=recipe.deviations,
        )  # fmt: skip


def digest(value: object) -> str:
    """A short name for a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8")).hexdigest()[:20]


def fingerprint(*listings: Listing) -> str:
    """Of names, labels and classes, wherever the files lie."""
    told = [[[Path(item.name).name for item in each.items], each.labels, each.classes] for each in listings]
    return digest(told)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process trains in the folder: claims that run side by side may share trainings."""
    with (folder / "lock").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
