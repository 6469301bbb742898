"""SPP-net (1406.4729) as values: one size, two that alternate, or one drawn for each epoch."""

from __future__ import annotations

import dataclasses

from fourfold.data.augment import ColourShift, Flip
from fourfold.data.crops import CornerCrop
from fourfold.data.sizes import Alternate, RandomSize
from fourfold.images import mean_image_pixels
from fourfold.papers.alexnet import IMAGES, INITIALISE, PATIENCE
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Plateau

EPOCHS = 70  # SPP-net 3.1.1: for ZF-5; the other nets of Table 1 have 90

SPPNET = Recipe(
    source="SPP-net 3.1, one size",
    images=IMAGES,
    batch_size=128,  # Reading: AlexNet 5, whose practice 3.1 follows; not printed
    steps=EPOCHS * IMAGES // 128,
    rate=Plateau(rate=0.01, drops=2, patience=PATIENCE),  # 3.1: divided by 10 (twice) when the error plateaus
    initialise=INITIALISE,  # Reading: AlexNet 5; the authors' detection code has the same
    crop=CornerCrop(256),
    augment=(Flip(), ColourShift()),  # 3.1: "horizontal flipping and color altering"
    pixels=mean_image_pixels,
    momentum=0.9,  # Reading: AlexNet 5; not printed
    weight_decay=5e-4,  # Reading: AlexNet 5; not printed
)

SPPNET_MULTI = dataclasses.replace(
    SPPNET, source="SPP-net 2.3 and 3.1, sizes 224 and 180 by turns", sizes=Alternate(other=180 / 224)
)

SPPNET_RANDOM = dataclasses.replace(
    SPPNET, source="SPP-net 3.1.3, a size from 180 to 224 for each epoch", sizes=RandomSize(low=180 / 224)
)
