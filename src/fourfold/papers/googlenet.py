"""GoogLeNet (1409.4842) as a value; what its section 6 leaves open is from the BVLC replication in Caffe."""

from __future__ import annotations

from fourfold.data.augment import ColourShift, Flip, Photometric
from fourfold.data.crops import AreaCrop
from fourfold.images import mean_colour_pixels
from fourfold.papers.alexnet import IMAGES
from fourfold.train.initialise import Xavier
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Decay

STEPS = 10_000_000  # Reading: Caffe's limit, 250 epochs; no length is printed. Caffe's quick variant has 60 epochs
DECAY_STEPS = 320_000  # "every 8 epochs" (6), in Caffe's mini-batches of 32

GOOGLENET = Recipe(
    source="after GoogLeNet 6",
    images=IMAGES,
    batch_size=32,  # Reading: Caffe's; not printed
    steps=STEPS,
    rate=Decay(rate=0.01, every=DECAY_STEPS / STEPS, factor=0.96),  # 6; Reading: Caffe's first rate, none is printed
    initialise=Xavier(bias=0.2),  # Reading: Caffe's; not printed
    crop=AreaCrop(),  # 6: the recipe "verified to work very well after the competition"
    # 6 names Howard's photometric distortions, which Howard follows with AlexNet's shift of colour; Reading: flips, for
    # the test has them (7)
    augment=(Flip(), Photometric(), ColourShift()),
    pixels=mean_colour_pixels,  # 5: "zero mean"; Reading: of each channel, as in Caffe
    momentum=0.9,  # 6
    weight_decay=2e-4,  # Reading: Caffe's; not printed
    decays_all=False,  # Reading: Caffe's; biases do not decay
    average=0.9999,  # 6: Polyak averaging; Reading: a running mean over about a third of an epoch, no window is printed
    deviations=(
        "synchronous gradient descent in place of the asynchronous one of many machines",
        "one rate for weights and biases, where the replication in Caffe doubles that of biases",
    ),
)
