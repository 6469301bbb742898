"""Augmentation steps for a batch of equally large images: uint8 (N,3,H,W), dice -> uint8 (N,3,h,w).

Every image draws its own numbers, and all of a batch's numbers come from its dice, so a batch depends only on
(seed, epoch, batch), never on threads, on how many processes share it, or on where training was resumed. The images
given are never changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fourfold.data.dice import Dice
from fourfold.data.distort import brightness, change_some, contrast, saturation, shift_colour

Augment = Callable[[Tensor, Dice], Tensor]

# Eigenvalues and eigenvectors (rows R, G, B; a column each) of the covariance of ImageNet's RGB values on [0, 1]. Not
# printed in AlexNet; these are the ones that ports since fb.resnet.torch have in common.
COLOUR_VALUES = (0.2175, 0.0188, 0.0045)
COLOUR_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


@dataclass(frozen=True)
class PadCrop:
    """Pad every side by `padding` pixels of `value`, then cut the original size at a random place (ResNet 4.2)."""

    padding: int = 4
    value: int = 0

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        count, _, height, width = images.shape
        padded = F.pad(images, (self.padding,) * 4, value=self.value)
        reach = 2 * self.padding + 1
        tops, lefts = dice.integers(reach, 2).unbind(1)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (N,3,reach,reach,H,W)
        return windows[torch.arange(count), :, tops, lefts]


@dataclass(frozen=True)
class Flip:
    """Mirror each image left to right with probability one half."""

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        is_flipped = dice.integers(2, 1, 1, 1).bool()
        return torch.where(is_flipped, images.flip(3), images)


@dataclass(frozen=True)
class AlternateFlip:
    """Mirror half of the images in one epoch and the other half in the next; not from the papers, where chance decides."""

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        return torch.where(dice.turns()[:, None, None, None], images.flip(3), images)


@dataclass(frozen=True)
class ColourShift:
    """Add to all pixels of an image the same multiple of the principal components of RGB (AlexNet 4.1).

    The multiple is N(0, std squared) times the eigenvalue. Reading: values are scaled to [0, 1] for that, as an eigenvalue
    grows with the square of the scale; on [0, 255] the printed formula would shift by hundreds of grey levels. The first
    component then deviates by 5.5 grey levels; with roots of eigenvalues, as in the authors' code, it would be 11.9.
    """

    std: float = 0.1  # AlexNet 4.1
    values: tuple[float, ...] = COLOUR_VALUES
    vectors: tuple[tuple[float, ...], ...] = COLOUR_VECTORS

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        amounts = dice.normal(3) * self.std * torch.tensor(self.values) * 255
        # not a matrix product, whose sums may be ordered by the size of the batch
        return shift_colour(images, (amounts[:, None] * torch.tensor(self.vectors)).sum(2))


def measured_colour_shift(images: Tensor) -> ColourShift:
    """ColourShift with the components of these images, uint8 (N,3,H,W), in place of ImageNet's."""
    values = images.transpose(0, 1).flatten(1).double() / 255
    eigenvalues, eigenvectors = torch.linalg.eigh(torch.cov(values))
    return ColourShift(values=tuple(eigenvalues.flip(0).tolist()), vectors=tuple(map(tuple, eigenvectors.flip(1).tolist())))


@dataclass(frozen=True)
class Photometric:
    """Change brightness, contrast and saturation in random order, each by a factor drawn from [low, high).

    Howard (1312.5402), cited by GoogLeNet 6. Reading: the range 0.5 to 1.5 and the use of Pillow are from his text, not
    from GoogLeNet's, which names the distortions only.
    """

    low: float = 0.5
    high: float = 1.5

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        orders = dice.uniform(3).argsort(1)  # every order of the three is as likely
        factors = self.low + (self.high - self.low) * dice.uniform(3)
        images = images.clone()
        for place in range(3):
            for number, change in enumerate((brightness, contrast, saturation)):
                change_some(images, orders[:, place] == number, change, factors[:, number])
        return images


@dataclass(frozen=True)
class Erase:
    """Paint over a square of `side` pixels about a random pixel; it may reach beyond the edge (Cutout, 1708.04552).

    value: mid-grey, for the paper's zero is the mean of the normalised pixels.
    """

    side: int
    value: int = 128

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        height, width = images.shape[-2:]
        rows = self._covers(dice.integers(height, 1), height)[:, None, :, None]
        columns = self._covers(dice.integers(width, 1), width)[:, None, None, :]
        return torch.where(rows & columns, torch.tensor(self.value, dtype=torch.uint8), images)

    def _covers(self, middles: Tensor, length: int) -> Tensor:
        """bool (N, length), from `side` // 2 before the middle on."""
        offsets = torch.arange(length) - middles + self.side // 2
        return (offsets >= 0) & (offsets < self.side)
