"""Mini-batches of crops with the boxes of their objects, and the loss, for the training loop (VGG appendix A).

The paper says nothing of how crops are drawn, nor of objects that a crop cuts. Readings: crops and mirroring are those of
VGG 3.1 at one scale; a crop must show half as much of its object as any crop could; what is learned of an object that is
cut, `Method.is_cut` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from fourfold.boxes import clip, iou, rescale
from fourfold.data.annotated import Annotated
from fourfold.data.dice import Dice, generator_for
from fourfold.data.held import PIXELS_HELD, Held, bytes_of
from fourfold.data.listing import Broken, read_item
from fourfold.data.loader import Part
from fourfold.images import resize_shorter
from fourfold.localize.box_code import decode, encode, mirror_code
from fourfold.localize.method import Method
from fourfold.localize.regressor import BoxNetwork
from fourfold.localize.replies import RIGHT
from fourfold.parallel import Group
from fourfold.train.task import Task, freeze_norms

CHECKS = 10  # times that a training is checked (ours)
SHOWN = 0.5  # of the area of an object that a crop can show at most, which it must show (Reading)
TRIES = 10  # crops drawn before the one about the object's middle is taken (ours)
AT_ONCE, SMALL = 32, 64  # crops that go through a network together, where they have more pixels of side than SMALL


@dataclass(frozen=True, eq=False)
class Scaled:
    """Images of one object each, scaled to a shorter side, decoded when they are first asked for and held within bounds."""

    images: tuple[Annotated, ...]
    scale: int
    _held: Held[Tensor] = field(default_factory=lambda: Held(PIXELS_HELD, bytes_of))

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, index: int) -> Tensor:
        """uint8 (3,h,w) of one image. Raises ValueError for a file that cannot be read."""
        item = self.images[index].item
        return self._held.get(item.name, lambda: resize_shorter(read_item(item), self.scale))

    def box(self, index: int, size: tuple[int, int]) -> Tensor:
        """The edges (4,) of an image's object once it is scaled to `size` (height, width)."""
        image = self.images[index]
        return rescale(image.boxes, (image.height, image.width), size)[0]

    def label(self, index: int) -> int:
        """The class of an image's object."""
        return int(self.images[index].labels[0])


def scaled_images(images: Sequence[Annotated], scale: int) -> tuple[Scaled, tuple[Broken, ...]]:
    """The images that can be read, and why others cannot; each is decoded once, to find out.

    images: with one object each, as `located.largest` gives them. Raises ValueError where none can be read.
    """
    whole, kept, faults = Scaled(tuple(images), scale), [], []
    for index, image in enumerate(images):
        assert len(image) == 1, "one object in each image"
        try:
            whole.pixels(index)
            kept.append(image)
        except ValueError as error:
            faults.append(Broken(image.item.name, str(error)))
    if images and not kept:
        raise ValueError(f"none of the {len(images)} images can be read; the first: {faults[0].error}")
    return replace(whole, images=tuple(kept)), tuple(faults)


def crop_of(box: Tensor, height: int, width: int, size: int, draws: Sequence[Sequence[float]]) -> tuple[int, int]:
    """Top and left of a crop of `size` x `size` from an image, by the first pair of numbers in [0,1) that gives a good one.

    Good is a crop that shows SHOWN of the area of box (4,) that any crop could show. Where none is, the crop lies about the
    middle of the box, as far as the image allows.
    """
    left, top, right, bottom = box.tolist()
    most = min(right - left, size) * min(bottom - top, size)
    for down, across in draws:
        first, second = int(down * (height - size + 1)), int(across * (width - size + 1))
        wide = min(right, second + size) - max(left, second)
        high = min(bottom, first + size) - max(top, first)
        if max(wide, 0) * max(high, 0) >= SHOWN * most:
            return first, second
    places = zip((top + bottom, left + right), (height, width), strict=True)
    first, second = (min(max(round((both - size) / 2), 0), side - size) for both, side in places)
    return first, second


def target(box: Tensor, top: int, left: int, size: int, is_cut: bool) -> Tensor:
    """The code (4,) of box (4,) in a crop of the same image; `is_cut` of the part that it shows alone."""
    seen = box - box.new_tensor((left, top, left, top))
    return encode(clip(seen[None], size, size)[0] if is_cut else seen, box.new_tensor((0, 0, size, size)))


@dataclass(frozen=True)
class BoxPart(Part):
    """A part with the codes (n,4) of its crops' objects."""

    codes: Tensor


@dataclass(frozen=True, eq=False)
class CropFeed:
    """Mini-batches of random crops, half of them mirrored; an epoch is what lies between two checks.

    Mini-batch number `step` is a function of the seed and of `step` alone. Every image comes once before any comes again.
    """

    images: Scaled
    method: Method
    size: int
    seed: int

    def __len__(self) -> int:
        return max(1, self.method.steps // CHECKS)

    def epoch(self, epoch: int, start: int = 0, share: float = 0.0) -> Iterator[Part]:  # noqa: ARG002 (a Feed's)
        """See Feed."""
        for index in range(start, len(self)):
            yield from self.batch(epoch * len(self) + index)

    def batch(self, step: int) -> Iterator[BoxPart]:
        """The parts of one mini-batch."""
        count = self.method.batch_size
        generator = generator_for(self.seed, "crops", step)
        whole = Dice(generator, count, 0, count)
        draws, coins = whole.uniform(TRIES, 2).tolist(), whole.integers(2).bool().tolist()
        places = self._places(step)
        at_once = count if self.size <= SMALL else AT_ONCE
        for first in range(0, count, at_once):
            last = min(first + at_once, count)
            shown = [self._shown(places[row], draws[row], coins[row]) for row in range(first, last)]
            labels = torch.tensor([self.images.label(place) for place in places[first:last]])
            crops, codes = (torch.stack(each) for each in zip(*shown, strict=True))
            yield BoxPart(crops, labels, Dice(generator, count, first, last), last == count, codes)

    def _places(self, step: int) -> list[int]:
        """The images of a mini-batch, which may go from one turn of all images to the next."""
        count, numbers = self.method.batch_size, len(self.images)
        wanted = range(step * count, (step + 1) * count)
        turns = {turn: self._turn(turn) for turn in {number // numbers for number in wanted}}
        return [turns[number // numbers][number % numbers] for number in wanted]

    def _turn(self, turn: int) -> list[int]:
        return torch.randperm(len(self.images), generator=generator_for(self.seed, "order", turn)).tolist()

    def _shown(self, place: int, draws: list[list[float]], is_mirrored: bool) -> tuple[Tensor, Tensor]:
        pixels = self.images.pixels(place)
        height, width = pixels.shape[1:]
        box = self.images.box(place, (height, width))
        top, left = crop_of(box, height, width, self.size, draws)
        crop = pixels[:, top : top + self.size, left : left + self.size]
        code = target(box, top, left, self.size, self.method.is_cut)
        return (crop.flip(-1), mirror_code(code)) if is_mirrored else (crop, code)


@dataclass(frozen=True, eq=False)
class BoxTask(Task):
    """Crops by the box of their object; wrong is one whose box overlaps the true one by no more than a half.

    start: says of the network what its outputs mean. val: images to check on by their central crop; None for no check.
    """

    start: BoxNetwork
    method: Method
    images: int
    val: Scaled | None

    def module(self, network: nn.Module) -> nn.Module:
        """See Task."""
        return network

    def loss(self, module: nn.Module, part: Part) -> tuple[Tensor, float]:
        """See Task; half the squared distance of the four numbers, as Caffe's EuclideanLoss, whose name the paper gives it.

        Of a network with four numbers for each class, the true class's alone are trained.
        """
        freeze_norms(module)
        loss, wrong = self._losses(module, part)
        return loss / self.method.batch_size, wrong

    @torch.inference_mode()
    def check(self, network: nn.Module, group: Group) -> tuple[float, float] | None:
        """See Task."""
        if self.val is None or not len(self.val):
            return None
        was_training = network.training
        network.eval()
        loss = wrong = 0.0
        for index in range(len(self.val)):
            more = self._losses(network, central_part(self.val, index, self._size, self.method.is_cut).to(group.device))
            loss, wrong = loss + more[0].item(), wrong + more[1]
        network.train(was_training)
        return loss / len(self.val), wrong / len(self.val)

    def identity(self) -> list[object]:
        """See Task."""
        return [self.images, self.start.scale, self.start.labels]

    @property
    def _size(self) -> int:
        return self.start.classifier.input_size

    def _losses(self, module: nn.Module, part: Part) -> tuple[Tensor, float]:
        """The sum of the losses, and how many are wrong."""
        assert isinstance(part, BoxPart), "a CropFeed gives such parts"
        outputs = module(self.start.pixels(part.images))
        codes = part.codes.to(outputs.device)
        if self.start.per_class:
            outputs = outputs.view(len(outputs), -1, 4)[torch.arange(len(outputs), device=outputs.device), part.labels]
        frame = codes.new_tensor((0.0, 0.0, 1.0, 1.0))
        overlaps = iou(decode(outputs.detach(), frame), decode(codes, frame)).diagonal()
        return (outputs - codes).square().sum() / 2, (overlaps <= RIGHT).sum().item()

    def tensors(self) -> dict[str, Tensor]:
        """See Task."""
        return self.start.pixels.tensors()


def central_part(images: Scaled, index: int, size: int, is_cut: bool) -> BoxPart:
    """The central crop of one image, with the code of its object."""
    pixels = images.pixels(index)
    height, width = pixels.shape[1:]
    top, left = round((height - size) / 2), round((width - size) / 2)
    code = target(images.box(index, (height, width)), top, left, size, is_cut)
    crop = pixels[:, top : top + size, left : left + size]
    return BoxPart(crop[None], torch.tensor([images.label(index)]), Dice(generator_for(0), 1, 0, 1), True, code[None])
