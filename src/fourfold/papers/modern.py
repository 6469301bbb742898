"""What later work made of the papers' training: not from the four papers, and measured against them."""

from __future__ import annotations

import dataclasses

from fourfold.data.augment import AlternateFlip, Erase, Flip, PadCrop
from fourfold.data.crops import AreaCrop
from fourfold.data.randaugment import RandAugment
from fourfold.data.sizes import Growing
from fourfold.images import channel_pixels
from fourfold.papers.alexnet import IMAGES
from fourfold.train.initialise import He
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Cosine

DEVIATIONS = (
    "the rate warms up and follows a cosine to zero, in place of drops by 10",
    "Nesterov momentum, and weight decay 5e-4 in place of 1e-4",
    "labels smoothed by 0.1, and a running mean of the weights",
    "mean and deviation of each channel in place of the per-pixel mean",
)
PHOTO_DEVIATIONS = (
    *DEVIATIONS,
    "biases and batch norms are not decayed",
    "windows of random area and aspect (GoogLeNet 6) in place of random scales",
    "RandAugment in place of shifts of colour",
)

MODERN = Recipe(
    source="after ResNet 3.4",
    images=IMAGES,
    batch_size=256,
    steps=90 * IMAGES // 256,
    rate=Cosine(rate=0.1, warm_up=0.05),
    initialise=He(),
    crop=AreaCrop(interpolations=("bilinear",)),
    augment=(Flip(), RandAugment(magnitude=9, count=2)),
    pixels=channel_pixels,
    momentum=0.9,
    weight_decay=5e-4,
    nesterov=True,
    decays_all=False,
    label_smoothing=0.1,
    average=0.999,
    deviations=(*PHOTO_DEVIATIONS, "90 epochs in place of 120"),
)

MODERN_FINE_TUNE = dataclasses.replace(
    MODERN,
    batch_size=32,
    steps=15 * IMAGES // 32,
    rate=Cosine(rate=0.01, warm_up=0.1),
    crop=AreaCrop(area=(0.35, 1.0), interpolations=("bilinear",)),
    augment=(Flip(), RandAugment(magnitude=5, count=1)),
    average=0.99,
    deviations=(
        *PHOTO_DEVIATIONS,
        "15 epochs in place of 120",
        "for weights that were trained before: a tenth of the rate, batches of 32",
    ),
)

MODERN_CIFAR = Recipe(
    source="after ResNet 4.2",
    images=50_000,
    batch_size=128,
    steps=54 * 390,
    rate=Cosine(rate=0.1, warm_up=0.05),
    initialise=He(),
    augment=(PadCrop(4), AlternateFlip(), Erase(8)),
    pixels=channel_pixels,
    momentum=0.9,
    weight_decay=5e-4,
    nesterov=True,
    sizes=Growing(start=0.75, until=0.45),
    label_smoothing=0.1,
    average=0.999,
    deviations=(
        *DEVIATIONS,
        "54 epochs in place of 164, the first 45 % of them on images of 24x24 pixels",
        "images are mirrored in every other epoch, in place of at random",
        "a square of 8x8 pixels is erased from every image",
    ),
)
