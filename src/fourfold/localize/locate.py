"""Where an object of a given class is: from one central crop, or from all windows of whole images (VGG appendix A)."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.boxes import clip, no_boxes, rescale
from fourfold.catalog import Network
from fourfold.evaluate.protocol import check_scales, in_words, scaled_sizes
from fourfold.images import centre_crop, resize, resize_shorter
from fourfold.localize.box_code import decode
from fourfold.localize.merge import LIMIT, merge
from fourfold.localize.regressor import BoxNetwork


class Locate(abc.ABC):
    """An image and classes -> one box for each class, wherever an object of it would be."""

    @property
    @abc.abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The classes that can be asked for."""

    @abc.abstractmethod
    def __call__(self, image: Tensor, labels: Sequence[int]) -> Tensor:
        """uint8 (3,H,W), indices into `labels` -> boxes float32 (n,4) in pixels of the image, cut to it.

        Raises ValueError for an image that cannot be asked about.
        """


@dataclass(frozen=True, eq=False)
class CentralCrop(Locate):
    """The box that a network gives for the central crop, of images scaled as those that it learned from (protocol 1)."""

    network: BoxNetwork

    @property
    def labels(self) -> tuple[str, ...]:
        """See Locate."""
        return self.network.labels

    def __call__(self, image: Tensor, labels: Sequence[int]) -> Tensor:
        """See Locate."""
        size = self.network.classifier.input_size
        scaled = resize_shorter(image, self.network.scale)
        with torch.inference_mode():
            outputs = self.network.classifier(self.network.pixels(centre_crop(scaled, size)[None]))
        height, width = scaled.shape[1:]
        top, left = round((height - size) / 2), round((width - size) / 2)  # as centre_crop
        frame = torch.tensor([left, top, left + size, top + size]).float()
        codes = [self.network.codes_for(outputs, label)[0] for label in labels]
        boxes = decode(torch.stack(codes), frame) if codes else no_boxes()
        return clip(rescale(boxes, (height, width), (image.shape[1], image.shape[2])), *image.shape[1:])

    def __str__(self) -> str:
        return f"central crop of shorter side {self.network.scale}"


@dataclass(frozen=True, eq=False)
class Boxer:
    """A network that gives boxes, one that says how sure each window is of a class, and the scales Q that both look at.

    Their windows must be the same, as they are where one was made from the other. Raises ValueError where they, or the
    classes, are not, and for scales that cannot be.
    """

    network: BoxNetwork
    rater: Network
    scales: tuple[int, ...]

    def __post_init__(self) -> None:
        mine, other = self.network.classifier, self.rater.classifier
        check_scales(self.scales, mine.input_size)
        if self.rater.labels != self.network.labels:
            raise ValueError(
                f"{self.rater.entry.name} has other classes than the network that gives boxes; use its own start"
            )
        windows = [(each.input_size, each.head.side, each.field.stride) for each in (mine, other)]
        if windows[0] != windows[1]:
            raise ValueError(
                f"{self.rater.entry.name} looks at other windows than the network that gives boxes; use its own start"
            )


@dataclass(frozen=True, eq=False)
class Seen:
    """What a boxer saw at one scale: outputs (P,4 or 4K) and posteriors (P,K) of windows (P,4) in pixels of the image."""

    network: BoxNetwork
    outputs: Tensor
    posteriors: Tensor
    windows: Tensor

    def boxes_for(self, label: int) -> Tensor:
        """The box (P,4) of a class that each window gives."""
        return decode(self.network.codes_for(self.outputs, label), self.windows)


@dataclass(frozen=True, eq=False)
class Everywhere(Locate):
    """The networks as convolutions over whole images: a box from each window, merged, the best by class scores (protocol 2).

    Boxes of all scales and networks are merged together, and a merged box is rated by the sum of the posteriors that its
    windows have for the class. limit: see `merge`. Raises ValueError for boxers of different classes, or none.
    """

    boxers: tuple[Boxer, ...]
    limit: float = LIMIT

    def __post_init__(self) -> None:
        if not self.boxers:
            raise ValueError("no network that gives boxes is named; name one or several")
        if any(each.network.labels != self.labels for each in self.boxers):
            raise ValueError("the networks that give boxes have different classes; use networks of one data set")

    @property
    def labels(self) -> tuple[str, ...]:
        """See Locate."""
        return self.boxers[0].network.labels

    def __call__(self, image: Tensor, labels: Sequence[int]) -> Tensor:
        """See Locate."""
        seen = [each for boxer in self.boxers for each in look(boxer, image)]
        found = torch.zeros(len(labels), 4)
        for row, label in enumerate(labels):
            boxes = clip(torch.cat([each.boxes_for(label) for each in seen]), *image.shape[1:])
            found[row] = merge(boxes, torch.cat([each.posteriors[:, label] for each in seen]), self.limit).boxes[0]
        return found

    def __str__(self) -> str:
        return "; and ".join(f"dense over {in_words(each.scales)}" for each in self.boxers) + "; boxes merged"


def look(boxer: Boxer, image: Tensor) -> list[Seen]:
    """What a boxer sees of an image uint8 (3,H,W) at each of its scales. Raises ValueError where that is too large."""
    height, width = image.shape[1:]
    return [_look_at(boxer, image, resize(image, *size)) for size in scaled_sizes(height, width, boxer.scales)]


@torch.inference_mode()
def _look_at(boxer: Boxer, image: Tensor, scaled: Tensor) -> Seen:
    classifier = boxer.network.classifier
    outputs = classifier.dense(boxer.network.pixels(scaled[None]))
    posteriors = boxer.rater.classifier.dense(boxer.rater.pixels(scaled[None])).softmax(1)
    windows = windows_of(outputs.shape[2], outputs.shape[3], classifier.field.stride, classifier.input_size)
    whole = rescale(windows, (scaled.shape[1], scaled.shape[2]), (image.shape[1], image.shape[2]))
    return Seen(boxer.network, outputs[0].flatten(1).T, posteriors[0].flatten(1).T, whole)


def windows_of(rows: int, columns: int, stride: int, size: int) -> Tensor:
    """The windows float32 (P,4) that a dense map of rows x columns stands for, row by row, in pixels of the scaled image.

    A window of the map that begins `stride` pixels further sees what the network would see of a crop that does, but for
    padding: so the first begins at the image's corner, wherever the receptive fields of its cells lie.
    """
    top, left = torch.meshgrid(torch.arange(rows) * stride, torch.arange(columns) * stride, indexing="ij")
    return torch.stack((left, top, left + size, top + size), -1).view(-1, 4).float()
