"""RandAugment (1909.13719): a few operations drawn at random for every image, all of one magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.data import distort
from fourfold.data.dice import Dice

LEVELS = 30  # the magnitude that is strongest; as torchvision counts; 1909.13719 has 10 to 30
MID_GREY = 128  # where an image is moved away; the code of 1805.09501 has the mean of the data there

# 1909.13719 3 names these; how far each goes is from AutoAugment (1805.09501), which moves an image by at most 150 of
# 331 pixels. Amounts are in [-1, 1]: the magnitude with a random sign.
OPERATIONS: dict[str, distort.Change] = {
    "identity": lambda images, _: images,
    "autocontrast": lambda images, _: distort.autocontrast(images),
    "equalize": lambda images, _: distort.equalize(images),
    "rotate": lambda images, amounts: distort.rotate(images, 30 * amounts, MID_GREY),
    "solarize": lambda images, amounts: distort.solarize(images, 255 * (1 - amounts.abs())),
    "colour": lambda images, amounts: distort.saturation(images, 1 + 0.9 * amounts),
    "posterize": lambda images, amounts: distort.posterize(images, 8 - (4 * amounts.abs()).round()),
    "contrast": lambda images, amounts: distort.contrast(images, 1 + 0.9 * amounts),
    "brightness": lambda images, amounts: distort.brightness(images, 1 + 0.9 * amounts),
    "sharpness": lambda images, amounts: distort.sharpness(images, 1 + 0.9 * amounts),
    "shear x": lambda images, amounts: distort.shear_x(images, 0.3 * amounts, MID_GREY),
    "shear y": lambda images, amounts: distort.shear_y(images, 0.3 * amounts, MID_GREY),
    "translate x": lambda images, amounts: distort.translate(
        images, 150 / 331 * images.shape[3] * amounts, torch.zeros_like(amounts), MID_GREY
    ),
    "translate y": lambda images, amounts: distort.translate(
        images, torch.zeros_like(amounts), 150 / 331 * images.shape[2] * amounts, MID_GREY
    ),
}


@dataclass(frozen=True)
class RandAugment:
    """`count` operations one after the other, each drawn from OPERATIONS, of `magnitude` 0 to 30.

    Raises ValueError for a magnitude beyond that range.
    """

    magnitude: int = 9  # torchvision's; of 30
    count: int = 2  # 1909.13719: for ResNet-50 on ImageNet, with magnitude 9

    def __post_init__(self) -> None:
        if not 0 <= self.magnitude <= LEVELS:
            raise ValueError(f"magnitude {self.magnitude} is beyond what an operation does; choose 0 to {LEVELS}")

    def __call__(self, images: Tensor, dice: Dice) -> Tensor:
        images = images.clone()
        for _ in range(self.count):
            drawn = dice.integers(len(OPERATIONS), 1).flatten()
            amounts = (2 * dice.integers(2, 1).flatten() - 1) * (self.magnitude / LEVELS)
            for number, operation in enumerate(OPERATIONS.values()):
                distort.change_some(images, drawn == number, operation, amounts)
        return images
