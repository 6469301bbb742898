"""What to train when the user has not said: network, start, recipe, size and length, from the data, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from fourfold import catalog
from fourfold.data.listing import Broken, Listing, read_in_order
from fourfold.networks import build, closest
from fourfold.papers import RECIPES
from fourfold.train.recipe import Budget

SAMPLE = 48  # images whose size is looked at
SMALL_SIDE = 48  # pixels: shorter sides up to this are what CIFAR's networks see whole
MANY = 20_000  # images from which small networks learn more than a start elsewhere would give
IMAGENET_START, CIFAR_START = "resnet18-imagenet", "resnet20-cifar10"
FINE_TUNED_IMAGES, SCRATCH_IMAGES = 20_000, 100_000  # seen in all; chosen to take minutes on two cores, not tuned
FEWEST, MOST = 15, 100  # epochs
OWN_LENGTH = ("modern", "modern-fine-tune", "modern-cifar")  # recipes without a paper's length on other data


@dataclass(frozen=True)
class Facts:
    """What the data is like: training images, classes, and the median shorter side in pixels of a sample."""

    images: int
    classes: int
    side: int


@dataclass(frozen=True)
class Plan:
    """What will be trained, and why: one sentence for each choice that was made for the user."""

    model: str
    options: Mapping[str, object]
    start: str | None
    recipe: str
    budget: Budget
    reasons: tuple[str, ...] = field(default=())


def look_at(listing: Listing) -> Facts:
    """Facts of the training images. Raises ValueError when no image of the sample can be read."""
    step = max(1, len(listing) // SAMPLE)
    images = [image for image in read_in_order(listing.items[::step]) if not isinstance(image, Broken)]
    if not images:
        tried = len(listing.items[::step])
        raise ValueError(f"none of the {tried} images tried can be read; `fourfold data check` says why")
    sides = sorted(min(image.shape[-2:]) for image in images)
    return Facts(len(listing), len(listing.classes), sides[len(sides) // 2])


def check_names(recipe: str | None, model: str | None, options: Mapping[str, object]) -> None:
    """Raises ValueError for a recipe, a network or an option of it that there is not; needs no data and no memory."""
    if recipe is not None and recipe not in RECIPES:
        raise ValueError(f"no recipe {recipe!r}{closest(recipe, RECIPES)}; recipes are {', '.join(RECIPES)}")
    if model is not None:
        with torch.device("meta"):
            build(model, **options)


def choose(
    facts: Facts,
    *,
    model: str | None = None,
    options: Mapping[str, object] | None = None,
    start: str | None = None,
    recipe: str | None = None,
    budget: Budget | None = None,
) -> Plan:
    """Complete what the user has said; a budget of None is chosen. Raises ValueError for names that are not known."""
    check_names(recipe, model, options or {})
    reasons: list[str] = []
    asked = dict(options or {})
    if model is None and start is None and recipe in (None, *OWN_LENGTH):
        model, start, more = _network(facts, recipe, reasons)
        asked = {**more, **asked}
    elif start is not None and model is None:
        model, more = _of_start(start)
        asked = {**more, **asked}
        reasons.append(f"network {model}: the one that {start} holds")
    elif model is None:
        model = "resnet20"
        reasons.append("network resnet20: the recipe names none")
    if recipe is None:
        recipe = _recipe(facts, model, start, reasons)
    if budget is None:
        budget = _budget(facts, start, recipe, reasons) if recipe in OWN_LENGTH else Budget()
    return Plan(model, asked, start, recipe, budget, tuple(reasons))


def _network(facts: Facts, recipe: str | None, reasons: list[str]) -> tuple[str, str | None, dict[str, object]]:
    if facts.side <= SMALL_SIDE and (facts.images >= MANY or recipe == "modern-cifar"):
        reasons.append(f"network resnet20 from scratch: {facts.images:,} images of about {facts.side} pixels suffice")
        return "resnet20", None, {}
    if facts.side > SMALL_SIDE and catalog.is_here(IMAGENET_START):
        reasons.append(f"network resnet18 at 224x224, starting from {IMAGENET_START}: those weights are in the cache")
        return "resnet18", IMAGENET_START, {}
    size = 32 if facts.side <= SMALL_SIDE else 64
    reasons.append(
        f"network resnet20 at {size}x{size}, starting from {CIFAR_START}: {facts.images:,} images of about {facts.side} "
        "pixels are few to start from nothing, and those weights come with fourfold"
    )
    if size == 64:
        reasons.append(
            f"with a network connection, --from {IMAGENET_START} (47 MB) is slower and better on photos; once it is in the "
            "cache it is chosen by itself"
        )
    return "resnet20", CIFAR_START, {} if size == 32 else {"input_size": size}


def _of_start(start: str) -> tuple[str, dict[str, object]]:
    entry = catalog.entry_of(start) or catalog.load(start).entry
    return entry.network, {key: value for key, value in entry.options.items() if key != "classes"}


def _recipe(facts: Facts, model: str, start: str | None, reasons: list[str]) -> str:
    if start is not None:
        reasons.append("recipe modern-fine-tune: a low rate, for weights that know something already")
        return "modern-fine-tune"
    if facts.side <= SMALL_SIDE:
        reasons.append(f"recipe modern-cifar: made for {model} on small images")
        return "modern-cifar"
    reasons.append("recipe modern: random windows, label smoothing, a mean of the weights, from scratch")
    return "modern"


def _budget(facts: Facts, start: str | None, recipe: str, reasons: list[str]) -> Budget:
    seen = FINE_TUNED_IMAGES if start is not None else SCRATCH_IMAGES
    own = RECIPES[recipe].epochs if recipe == "modern-cifar" and facts.images >= MANY else 0
    epochs = float(own or min(MOST, max(FEWEST, round(seen / facts.images))))
    reasons.append(f"{epochs:.0f} epochs: {epochs * facts.images:,.0f} images in all")
    return Budget(epochs=epochs)
