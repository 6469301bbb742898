"""VGG's localizers (1409.1556, appendix A) by name, and what later work would make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fourfold.localize.method import Method
from fourfold.networks import closest
from fourfold.papers.protocols import scale_for
from fourfold.papers.vgg import VGG
from fourfold.train.schedule import Cosine, Steps

VGG_PCR = Method(
    source="VGG appendix A, PCR, all layers, S = 384",
    per_class=True,  # Table 8: better than SCR
    layers="all",  # Table 8: better than the fc layers alone
    scale=384,
    # Reading: the whole object's box. Of a photo scaled to 384 x 512, a crop of 224 shows a quarter, so that no box within
    # the central crop overlaps an object of half the photo by more than half; Table 8's 33 % with such crops could hardly be
    is_cut=False,
    steps=VGG.steps,  # Reading: "training [...] is similar to that of the classification ConvNets"
    # "an initial learning rate of 10^-3"; Reading: divided by 10 three times, as in VGG 3.1, at fixed shares of the training
    rate=Steps(1e-3, (0.5, 0.75, 0.9)),
    batch_size=VGG.batch_size,
    momentum=VGG.momentum,
    weight_decay=VGG.weight_decay,
)
VGG_PCR_FC = replace(VGG_PCR, source="VGG appendix A, PCR, fc layers, S = 384", layers="fc")
VGG_SCR_FC = replace(VGG_PCR_FC, source="VGG appendix A, SCR, fc layers, S = 384", per_class=False)
VGG_SCR = replace(VGG_PCR, source="VGG appendix A, SCR, all layers, S = 384", per_class=False)  # not in Table 8
VGG_PCR_256 = replace(VGG_PCR, source="VGG appendix A, PCR, all layers, S = 256", scale=256)  # Table 9

MODERN = Method(
    source="after VGG appendix A, PCR, all layers",
    per_class=True,
    layers="all",
    scale=256,  # the photos' shorter side as classifiers see it: most of an object lies in one crop
    is_cut=False,
    steps=1000,
    rate=Cosine(0.03, 0.05),
    batch_size=32,
    momentum=0.9,
    weight_decay=5e-4,
    nesterov=True,
    decays_all=False,
    average=0.99,
    deviations=(
        "the rate warms up and follows a cosine to zero, in place of drops by 10",
        "Nesterov momentum, and a running mean of the weights; biases and batch norms are not decayed",
        "batches of 32 images, not 256",
    ),
)
SEEN, FEWEST, MOST = 40, 300, 3000

LOCALIZERS: Mapping[str, Method] = {
    "modern": MODERN,
    "vgg-pcr": VGG_PCR,
    "vgg-pcr-fc": VGG_PCR_FC,
    "vgg-scr": VGG_SCR,
    "vgg-scr-fc": VGG_SCR_FC,
    "vgg-pcr-256": VGG_PCR_256,
}


def localizer_named(name: str) -> Method:
    """A localizer's method by name. Raises ValueError for a name that does not exist."""
    if name not in LOCALIZERS:
        raise ValueError(f"no localizer {name!r}{closest(name, LOCALIZERS)}; there are {', '.join(LOCALIZERS)}")
    return LOCALIZERS[name]


def modern_steps(images: int) -> int:
    """Mini-batches of MODERN's training on so many images: each is seen SEEN times, within bounds."""
    return min(MOST, max(FEWEST, images * SEEN // MODERN.batch_size))


def scale_of(method: Method, size: int) -> int:
    """The shorter side, in pixels, of a method's images for networks that read size x size pixels: in proportion."""
    return max(size, scale_for(method.scale, size))
