"""A training job: the arguments that a user gave, completed by a plan, kept in the run folder so that it can be resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from fourfold import catalog
from fourfold.catalog import ModelEntry
from fourfold.data.dice import generator_for
from fourfold.data.sizes import own_size
from fourfold.data.splits import Splits, find_data
from fourfold.models.base import Classifier, FlattenHead
from fourfold.networks import ALIASES, NETWORKS, build
from fourfold.papers import RECIPES
from fourfold.parallel import Group
from fourfold.plan import Plan, check_names, choose, look_at
from fourfold.train.initialise import from_shallower
from fourfold.train.loop import Settings
from fourfold.train.recipe import Budget, Recipe
from fourfold.train.tracking import check_trackers
from fourfold.training import (
    AT_ONCE,
    Material,
    Trained,
    Watching,
    begin,
    begun,
    class_weights,
    images_within,
    prepare,
    refuse_old,
    refuse_other,
    start_from,
    train_run,
    whole_path,
)

VGGS = {name for name in (*NETWORKS, *ALIASES) if name.startswith("vgg")}  # a deeper one takes VGG 3.1's seven layers
SMALL = 64  # pixels of side: a whole mini-batch of such images fits into memory
FREE = ("minutes", "trackers")  # what a run that is resumed may be told anew; all else only as it was


@dataclass(frozen=True)
class Arguments:
    """What a user said about a run; None, or no options, where nothing was said. Kept as args.json."""

    data: str | None = None
    model: str | None = None
    recipe: str | None = None
    start: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    epochs: float | None = None
    images: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    rate: float | None = None
    at_once: int | None = None
    balance: bool | None = None
    seed: int | None = None
    validate_every: int | None = None
    patience: int | None = None
    trackers: tuple[str, ...] | None = None

    def placed(self) -> Arguments:
        """With whole paths, so that a run can be resumed from any folder."""
        return replace(self, data=whole_path(self.data), start=whole_path(self.start))

    def completed(self, plan: Plan) -> Arguments:
        """With what the plan has chosen, so that the run can be resumed without choosing again."""
        return replace(
            self,
            model=plan.model,
            recipe=plan.recipe,
            start=plan.start,
            options=dict(plan.options),
            epochs=plan.budget.epochs,
            images=plan.budget.images,
        )


def run_training(
    given: Arguments, folder: Path, *, workers: int, resume: bool, watching: Watching, group: Group
) -> Trained | None:
    """Train as the arguments say, or go on with the run in the folder; see `verbs.train`."""
    if workers < 1:
        raise ValueError(f"{workers} workers cannot read images; choose 1 or more")
    arguments = _resumed(given.placed(), folder) if resume else given
    if arguments.data is None:
        raise ValueError("no data given; give a folder with one folder of images for each class")
    seed = arguments.seed or 0
    if not resume:
        refuse_old(folder)
        check_names(arguments.recipe, arguments.model, arguments.options)
    splits = find_data(arguments.data, seed=seed)
    reasons: tuple[str, ...] = ()
    if not resume:
        arguments, reasons = _planned(arguments, splits)
    network, entry, start = _network(arguments, splits.train.classes)
    settings = _settings(arguments, network, splits)
    _fitted(arguments, len(splits.train), settings)  # what is wrong with it is said before all images are read
    check_trackers(arguments.trackers or ())
    watching.say(f"{len(splits.train):,} images of {len(splits.train.classes)} classes; validated on {splits.origin}")
    for reason in reasons:
        watching.say(reason)
    plain = RECIPES[str(arguments.recipe)]
    material = prepare(splits, network, plain, start.pixels if start else None, workers, watching)
    for broken in material.broken:
        watching.say(f"left out: {broken.error}")
    arguments = group.from_first(_timed(arguments, network, plain, material, settings, watching, group))
    recipe = _fitted(arguments, len(material.train), settings)
    if not resume and group.is_first:
        begin(folder, asdict(arguments.placed()))
    group.from_first(None)  # the others wait until the folder is there
    name = None if start is None else start.entry.name
    return train_run(
        network,
        entry,
        recipe,
        splits,
        material,
        folder,
        settings=settings,
        start=name,
        trackers=arguments.trackers or (),
        watching=watching,
        group=group,
    )


def _resumed(given: Arguments, folder: Path) -> Arguments:
    """The run's own arguments; what is given again must say the same."""
    kept = begun(folder)
    known = {item.name for item in fields(Arguments)}
    try:
        told: dict[str, Any] = {key: value for key, value in kept.items() if key in known}
        arguments = Arguments(**{**told, "trackers": tuple(told["trackers"]) if told.get("trackers") else None})
    except TypeError as error:
        raise ValueError(f"{folder} holds arguments that cannot be read ({error}); start another run") from error
    refuse_other(folder, given, arguments, known - {*FREE})
    return arguments


def _planned(arguments: Arguments, splits: Splits) -> tuple[Arguments, tuple[str, ...]]:
    """Choose what the user has not, and the reasons."""
    asked = [name for name in ("epochs", "images", "minutes") if getattr(arguments, name) is not None]
    if len(asked) > 1:
        raise ValueError(f"a budget is in {' or '.join(asked)}, not in both; leave one out")
    plan = choose(
        look_at(splits.train),
        model=arguments.model,
        options=arguments.options,
        start=arguments.start,
        recipe=arguments.recipe,
        budget=Budget(epochs=arguments.epochs, images=arguments.images) if asked else None,
    )
    return arguments.completed(plan), plan.reasons


def _network(arguments: Arguments, names: Sequence[str]) -> tuple[Classifier, ModelEntry, catalog.Network | None]:
    """The network to train, its record, and the weights that it starts from, if any."""
    recipe = RECIPES[str(arguments.recipe)]
    if recipe.starts_from and arguments.start is None:
        raise ValueError(
            f"recipe {arguments.recipe} goes on from a run of recipe {recipe.starts_from}; give that with --from RUN"
        )
    if "classes" in arguments.options:
        raise ValueError("the number of classes comes from the data; leave out the option classes")
    options = {**arguments.options, "classes": len(names)}
    network = build(str(arguments.model), **options)
    if recipe.sizes is not own_size and isinstance(network.head, FlattenHead):
        raise ValueError(
            f"recipe {arguments.recipe} shows images of several sizes, and the fc layers of {arguments.model} read one; "
            "take another recipe, or a network with a global mean or a pyramid"
        )
    entry = ModelEntry(name="", network=str(arguments.model), options=options, deviations=network.deviations)
    if arguments.start is None:
        return network, entry, None
    start = catalog.load(arguments.start)
    recipe.initialise(network, generator_for(arguments.seed or 0))
    if VGGS.issuperset({entry.network, start.entry.network}) and entry.network != start.entry.network:
        from_shallower(network, start.classifier)
    else:
        start_from(network, start)
    return network, entry, start


def _settings(arguments: Arguments, network: Classifier, splits: Splits) -> Settings:
    at_once = AT_ONCE if network.input_size > SMALL else None
    labels = splits.train.labels
    return Settings(
        seed=arguments.seed or 0,
        validate_every=1 if arguments.validate_every is None else arguments.validate_every,
        keeps_best=not splits.val_is_test,
        at_once=at_once if arguments.at_once is None else arguments.at_once,
        class_weights=class_weights(labels, len(splits.train.classes)) if arguments.balance else (),
    )


def _timed(
    arguments: Arguments,
    network: Classifier,
    recipe: Recipe,
    material: Material,
    settings: Settings,
    watching: Watching,
    group: Group,
) -> Arguments:
    """Minutes turned into a number of images, once: a run that is resumed has its number already."""
    if arguments.minutes is None or arguments.images is not None:
        return arguments
    fitted = recipe.fitted(len(material.train), batch_size=arguments.batch_size)
    images = images_within(arguments.minutes, network, fitted, material, settings, group)
    watching.say(f"{arguments.minutes:g} minutes: {images:,} images, by the time that the first mini-batches take")
    return replace(arguments, images=images)


def _fitted(arguments: Arguments, images: int, settings: Settings) -> Recipe:
    """The recipe for so many images and the budget, with what these settings change about it."""
    budget = Budget(epochs=arguments.epochs, images=arguments.images)
    recipe = RECIPES[str(arguments.recipe)].fitted(images, budget=budget, batch_size=arguments.batch_size)
    recipe = recipe if arguments.rate is None else recipe.at_rate(arguments.rate)
    recipe = recipe if arguments.patience is None else recipe.with_patience(arguments.patience)
    notes = ["images are weighted so that all classes count alike"] if settings.class_weights else []
    if settings.at_once is not None and settings.at_once < recipe.batch_size:
        notes.append(f"mini-batches go through the network {settings.at_once} images at a time, and batch norms see those")
    return replace(recipe, deviations=(*recipe.deviations, *notes))
