"""AlexNet (Krizhevsky et al. 2012) as a value, and what the later papers take from it."""

from __future__ import annotations

from fourfold.data.augment import ColourShift, Flip
from fourfold.data.crops import CentralCrop
from fourfold.images import mean_image_pixels
from fourfold.train.initialise import Gaussian
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Plateau

IMAGES = 1_281_167  # AlexNet 2 rounds to 1.2 million; the size of the ILSVRC-2012 training set, which all papers here share
PATIENCE = 5  # Reading: no paper says how long a plateau is; five passes outlast the noise between two validations
INITIALISE = Gaussian(0.01, ones=("conv2", "conv4", "conv5", "fc6", "fc7"))  # AlexNet 5; the hidden fc layers are fc6, fc7

ALEXNET = Recipe(
    source="AlexNet 4.1 and 5",
    images=IMAGES,
    batch_size=128,  # 5
    steps=90 * IMAGES // 128,  # 5: "roughly 90 cycles through the training set"
    rate=Plateau(rate=0.01, drops=3, patience=PATIENCE),  # 5: "reduced three times prior to termination", by 10 each
    initialise=INITIALISE,
    crop=CentralCrop(256),  # 2: the central 256x256; 4.1: random 224x224 of it
    augment=(Flip(), ColourShift()),  # 4.1
    pixels=mean_image_pixels,  # 2: "subtracting the mean activity over the training set from each pixel"
    momentum=0.9,  # 5
    weight_decay=5e-4,  # 5; Reading: of biases too, for nothing is excepted
)
