"""ResNet (1512.03385) as values."""

from __future__ import annotations

import dataclasses

from fourfold.data.augment import ColourShift, Flip, PadCrop
from fourfold.data.crops import ScaleCrop
from fourfold.images import channel_pixels, mean_image_pixels
from fourfold.papers.alexnet import IMAGES, PATIENCE
from fourfold.train.initialise import He
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Cosine, Plateau, Steps, WarmUntil

RESNET = Recipe(
    source="ResNet 3.4",
    images=IMAGES,  # 4.1: 1.28 million
    batch_size=256,
    steps=600_000,  # "up to 60 x 10^4 iterations"
    rate=Plateau(rate=0.1, drops=2, patience=PATIENCE),  # "divided by 10 when the error plateaus"; Figure 4 shows two falls
    initialise=He(),
    crop=ScaleCrop(256, 480),
    augment=(Flip(), ColourShift()),
    pixels=mean_image_pixels,
    momentum=0.9,
    weight_decay=1e-4,  # Reading: of biases and batch norms too, for nothing is excepted
)

CIFAR = Recipe(
    source="ResNet 4.2",
    images=50_000,
    batch_size=128,
    steps=64_000,
    rate=Steps(rate=0.1, at=(32_000 / 64_000, 48_000 / 64_000)),
    initialise=He(),
    augment=(PadCrop(4), Flip()),
    pixels=mean_image_pixels,
    momentum=0.9,
    weight_decay=1e-4,
)

CIFAR_110 = dataclasses.replace(
    CIFAR,
    source="ResNet 4.2, 110 layers",
    # Reading: the training error is known after each epoch, the first of which ends at 390 of "about 400" mini-batches
    rate=WarmUntil(rate=0.01, then=CIFAR.rate, error=0.8),
)

CIFAR_COSINE = Recipe(  # not the paper's: reaches its accuracy in three eighths of its steps
    source="after ResNet 4.2",
    images=50_000,
    batch_size=128,
    steps=24_000,
    rate=Cosine(rate=0.1, warm_up=0.05),
    initialise=He(),
    augment=(PadCrop(4), Flip()),
    pixels=channel_pixels,
    momentum=0.9,
    weight_decay=5e-4,
    nesterov=True,
    deviations=(
        "24,000 mini-batches in place of 64,000",
        "the rate warms up and follows a cosine to zero, in place of two drops by 10",
        "weight decay 5e-4 in place of 1e-4, and Nesterov momentum",
        "mean and deviation of each channel in place of the per-pixel mean",
    ),
)
