"""VGG (1409.1556) as values. C, D and E of Table 3 are `vgg`, then, from its weights, `vgg-384`, then `vgg-jitter`."""

from __future__ import annotations

import dataclasses

from fourfold.data.augment import ColourShift, Flip
from fourfold.data.crops import ScaleCrop
from fourfold.images import mean_colour_pixels
from fourfold.papers.alexnet import IMAGES, PATIENCE
from fourfold.train.initialise import Gaussian, Glorot
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Plateau

VGG = Recipe(
    source="VGG 3.1, S = 256",
    images=IMAGES,
    batch_size=256,
    steps=370_000,  # "stopped after 370K iterations (74 epochs)"
    rate=Plateau(rate=0.01, drops=3, patience=PATIENCE),
    initialise=Glorot(),  # found after the submission: it makes pre-training on a shallower net needless
    crop=ScaleCrop(256, 256),
    augment=(Flip(), ColourShift()),
    pixels=mean_colour_pixels,
    momentum=0.9,
    weight_decay=5e-4,  # Reading: of biases too, for nothing is excepted
)

VGG_PAPER_INIT = dataclasses.replace(
    VGG,
    source="VGG 3.1, S = 256, random weights of variance 0.01",
    # "variance 10^-2"; many ports have a standard deviation of 0.01, which is not printed. So A is trained; the deeper
    # nets take layers of it besides, by `from_shallower`
    initialise=Gaussian(0.1),
)

VGG_384 = dataclasses.replace(
    VGG,
    source="VGG 3.1, S = 384, from the weights of S = 256",
    starts_from="vgg",
    rate=Plateau(rate=1e-3, drops=3, patience=PATIENCE),  # "a smaller initial learning rate of 10^-3"
    crop=ScaleCrop(384, 384),  # Reading: as long as from scratch, for no other length is printed
)

VGG_JITTER = dataclasses.replace(
    VGG_384,  # Reading: the rate of S = 384, the other net that is not trained from scratch; none is printed for this one
    source="VGG 3.1, S from 256 to 512, from the weights of S = 384",
    starts_from="vgg-384",
    crop=ScaleCrop(256, 512),
)
