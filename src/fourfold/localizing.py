"""Images in, boxes out: how localizers and classifiers are asked where things are, and what they say of many images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fourfold.catalog import Network
from fourfold.data.annotated import Annotated, Annotations
from fourfold.data.located import largest
from fourfold.detect.boxes_picture import marked_picture
from fourfold.draw import heatmap_over
from fourfold.evaluate.crops import Crops, single_view
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.views import CENTRE
from fourfold.evaluate.whole import Dense
from fourfold.images import view_scale
from fourfold.localize.heatmap import ByHeat
from fourfold.localize.localizer import GUESSES, Localizer
from fourfold.localize.locate import Boxer, CentralCrop, Everywhere
from fourfold.localize.replies import Edges, LocationReply
from fourfold.localize.summary import LocalizationEvaluation
from fourfold.localizer_files import Opened
from fourfold.networks import closest
from fourfold.sources import Failure, Source, read_each

if TYPE_CHECKING:
    from PIL import Image as Pillow

DENSE, CENTRAL, HEAT, ALL = "dense", "central", "heat", "all"
PROTOCOLS = (DENSE, CENTRAL, HEAT)
AHEAD = 4


@dataclass(frozen=True, eq=False)
class System:
    """A localizer with its name, and the class maps of its first classifier, which can be drawn."""

    localizer: Localizer
    model: str
    maps: ByHeat

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        return self.localizer.labels

    @property
    def words(self) -> str:
        """What is done."""
        return f"boxes: {self.localizer.locate}; classes: {self.localizer.predictor.protocol}"


@dataclass(frozen=True)
class Spot:
    """A class, its probability, 0..1, and where it is: x1 y1 x2 y2 in pixels of the photo."""

    label: str
    index: int
    probability: float
    box: Edges


@dataclass(frozen=True, eq=False)
class Located:
    """What a localizer says of one image uint8 (3,H,W): the likeliest classes first, each with its box.

    heat: the class map (h,w) of the likeliest class, where it was asked for.
    """

    source: str
    top: tuple[Spot, ...]
    model: str
    protocol: str
    image: Tensor
    heat: Tensor | None = None

    def plot(self) -> Pillow.Image:
        """The image with its boxes, their classes and probabilities; over the class map where there is one."""
        image = self.image
        if self.heat is not None:
            top, left = (round(side / cells / 2) for side, cells in zip(image.shape[1:], self.heat.shape, strict=True))
            image = heatmap_over(image, (self.heat / self.heat.max().clamp(min=1e-6)).clamp(0, 1), top, left)
        boxes = torch.tensor([spot.box for spot in self.top]).view(-1, 4)
        words = [f"{spot.label} {spot.probability:.2f}" for spot in self.top]
        return marked_picture(image, boxes, [spot.index for spot in self.top], words)


def system_of(parts: Sequence[Opened | Network], protocol: str | None = None, scales: Sequence[int] | None = None) -> System:
    """Localizers or a classifier as they are asked under a protocol.

    dense: boxes and classes from all windows of whole images (VGG appendix A, protocol 2), boxes of several localizers
    merged together. central: both from the central crop of one localizer (protocol 1). heat: the box about the class map of
    one network, which may be any classifier. By default dense for localizers, heat for a classifier. scales: shorter sides
    in pixels; by default those that the networks learned from. Raises ValueError for what does not go together.
    """
    trained = [part for part in parts if isinstance(part, Opened)]
    name = protocol or (DENSE if trained else HEAT)
    if name not in PROTOCOLS:
        raise ValueError(
            f"no protocol {name!r} of localization{closest(name, PROTOCOLS)}; choose from {', '.join(PROTOCOLS)}"
        )
    if len(trained) not in (0, len(parts)):
        raise ValueError("localizers and classifiers cannot be asked together; give one kind")
    if name != DENSE and len(parts) > 1:
        raise ValueError(f"{len(parts)} networks cannot give one box by protocol {name}; give one, or localizers and dense")
    if not trained:
        (network,) = parts
        assert isinstance(network, Network), "what is no localizer is a classifier"
        return _classifier(network, name, scales)
    if name == DENSE:
        return _dense(trained, scales)
    return _central(trained[0], scales) if name == CENTRAL else _heat(trained[0], scales)


def protocols_of(parts: Sequence[Opened | Network], asked: str | None) -> list[str]:
    """The protocols that a user names: one, several with commas between, or "all" that the networks can be asked by."""
    if asked == ALL:
        return [HEAT] if not isinstance(parts[0], Opened) else list(PROTOCOLS) if len(parts) == 1 else [DENSE]
    names = [DENSE if isinstance(parts[0], Opened) else HEAT] if asked is None else asked.split(",")
    return list(dict.fromkeys(name.strip() for name in names))


def localize_each(
    asked: System, sources: Sequence[Source | Failure], top: int = 1, *, with_heat: bool = False
) -> Iterator[Located | Failure]:
    """One Located or Failure for each source that `sources.find` has found, in order, decoding ahead.

    Raises ValueError for a `top` that is not 1 to 5.
    """
    if not 1 <= top <= GUESSES:
        raise ValueError(f"top is {top}; ask for 1 to {GUESSES} classes")
    for source, image in read_each(sources, AHEAD):
        yield image if isinstance(image, Failure) else _located(asked, source, image, top, with_heat=with_heat)


def evaluate_system(
    asked: System, part: Annotations, watch: Callable[[int, int], None] = lambda _done, _all: None
) -> LocalizationEvaluation:
    """Ask about annotated images, by the largest object of each; images without an object are left out.

    An image that cannot be used, be it for its file or for a class that the localizer does not know, has a reply that says
    so. Raises ValueError where none can be used.
    """
    whole = largest(part)
    if not len(whole):
        raise ValueError("no image has an object that can be located; give data with boxes that are not difficult")
    known = whole.relabelled(asked.labels)
    began, replies = time.monotonic(), []
    for index, image in enumerate(known.images):
        replies.append(_reply(asked, index, image, part.classes[int(whole.images[index].labels[0])]))
        watch(index + 1, len(known))
    return LocalizationEvaluation(asked.model, asked.words, asked.labels, tuple(replies), time.monotonic() - began)


def _reply(asked: System, index: int, image: Annotated, name: str) -> LocationReply:
    if int(image.labels[0]) < 0:
        left, top, right, bottom = image.boxes[0].tolist()
        error = f"{image.item.name}: its object is of class {name}, which {asked.model} does not know"
        return LocationReply(index, image.item.name, -1, (left, top, right, bottom), error=error)
    return asked.localizer.reply(index, image)


def _located(asked: System, source: str, image: Tensor, top: int, *, with_heat: bool) -> Located | Failure:
    try:
        guesses = asked.localizer(image)[:top]
        labels = [asked.maps.labels.index(asked.labels[guesses[0].label])]
        heat = asked.maps.maps(image, labels)[0] if with_heat else None
    except ValueError as error:
        return Failure(source, f"{source}: {error}")
    spots = tuple(Spot(asked.labels[each.label], each.label, each.probability, each.box) for each in guesses)
    return Located(source, spots, asked.model, asked.words, image, heat)


def _dense(trained: Sequence[Opened], scales: Sequence[int] | None) -> System:
    boxers = tuple(Boxer(each.boxes, each.classifier, tuple(scales or (each.boxes.scale,))) for each in trained)
    locate, model = Everywhere(boxers), " + ".join(each.name for each in trained)
    return System(Localizer(_dense_classes(trained, scales), locate), model, _maps(trained[0]))


def _dense_classes(trained: Sequence[Opened], scales: Sequence[int] | None) -> Predictor:
    members = [
        Member(each.classifier, Dense(tuple(scales or (each.boxes.scale,)), each.classifier.classifier.input_size))
        for each in trained
    ]
    return Predictor(tuple(members))


def _central(opened: Opened, scales: Sequence[int] | None) -> System:
    if scales is not None:
        raise ValueError("the central crop is taken at the scale that a localizer learned from; leave out the scales")
    size = opened.classifier.classifier.input_size
    crop = Crops((opened.boxes.scale,), size, CENTRE, are_mirrored=False)
    predictor = Predictor((Member(opened.classifier, crop),))
    return System(Localizer(predictor, CentralCrop(opened.boxes)), opened.name, _maps(opened))


def _heat(opened: Opened, scales: Sequence[int] | None) -> System:
    maps = _maps(opened) if scales is None else replace(_maps(opened), scale=_one(scales))
    return System(Localizer(_dense_classes([opened], scales), maps), opened.name, maps)


def _classifier(network: Network, protocol: str, scales: Sequence[int] | None) -> System:
    """Classes as `fourfold classify` has them, from the single view; maps at its scale, which was best (LOG)."""
    name, size = network.entry.name, network.classifier.input_size
    if protocol != HEAT:
        raise ValueError(
            f"{name} is a classifier, which gives no boxes by protocol {protocol}; take heat, or train-localizer"
        )
    maps = ByHeat(network, view_scale(size) if scales is None else _one(scales))
    return System(Localizer(Predictor((Member(network, single_view(size)),)), maps), name, maps)


def _maps(opened: Opened) -> ByHeat:
    return ByHeat(opened.classifier, opened.boxes.scale)


def _one(scales: Sequence[int]) -> int:
    if len(scales) != 1:
        raise ValueError(f"class maps are made at one scale, and {len(scales)} are given; give one")
    return scales[0]
