"""The papers' detectors by name: R-CNN (1311.2524), SPP-net 4, GoogLeNet 8, and what we would do today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fourfold.detect import box_regression, mining, sampling
from fourfold.detect.method import FineTuning, Method
from fourfold.detect.regions import PooledRegions, WarpedRegions
from fourfold.networks import closest
from fourfold.papers.protocols import scale_for
from fourfold.train.schedule import Cosine, Steps

DETECTION_SCALES = (480, 576, 688, 864, 1200)  # SPP-net 4.1; its release has 874 in place of 864
SINGLE_SCALE = (688,)  # SPP-net 4.1
MODERN_STEPS = 1500  # ours

RCNN = Method(
    source="R-CNN 2",
    regions=WarpedRegions(),
    tuning=FineTuning(
        steps=70_000,  # (code): the released network; 2.3 gives no length for VOC
        rate=Steps(1e-3, (20 / 70, 40 / 70, 60 / 70)),  # 2.3: 0.001; (code): a tenth of it every 20,000
        sampling=sampling.RCNN,  # 2.3
        layers="all",  # 2.3
    ),
    scores="svm",  # 2.3
    mining=mining.RCNN,
    ridge=box_regression.RCNN,  # appendix C
)

SPPNET = Method(
    source="SPP-net 4, one scale",
    regions=PooledRegions(SINGLE_SCALE),
    tuning=FineTuning(
        steps=300_000,  # 4.3: 250k and 50k
        rate=Steps(1e-4, (250 / 300,)),  # 4.3: 1e-4, then 1e-5
        sampling=sampling.SPPNET,  # 4.3
        layers="fc",  # 4.3
    ),
    scores="svm",  # 4.3
    mining=mining.SPPNET,
    ridge=box_regression.SPPNET,
)

SPPNET_5 = replace(SPPNET, source="SPP-net 4, five scales", regions=PooledRegions(DETECTION_SCALES))

GOOGLENET = replace(
    RCNN,
    source="GoogLeNet 8",
    scores="softmax",  # 8: regions are classified by the Inception network; Reading: by its softmax, as no SVMs are named
    ridge=None,  # 8: "we did not use bounding box regression due to lack of time"
    proposals="fast-x2",  # 8: superpixels twice as large, which halves the proposals; `+` adds MultiBox
    keeps_head=True,
)

MODERN = Method(
    source="ours, after Fast R-CNN (1504.08083)",
    regions=PooledRegions(SINGLE_SCALE),
    tuning=FineTuning(
        steps=MODERN_STEPS,
        rate=Cosine(0.003, warm_up=0.05),
        sampling=sampling.SPPNET,
        layers="all",
    ),
    scores="softmax",
    ridge=box_regression.Ridge(decay=30, overlap=0.4),
    proposals="thinned",
    deviations=("gradients go through the pooling of regions, so that all layers are tuned",),
)

DETECTORS: Mapping[str, Method] = {
    "modern": MODERN,
    "rcnn": RCNN,
    "sppnet": SPPNET,
    "sppnet-5": SPPNET_5,
    "googlenet": GOOGLENET,
}


def method_named(name: str, size: int, scales: Sequence[int] | None = None) -> Method:
    """A method of DETECTORS for networks that read size x size pixels: its scales in proportion, or those given.

    Raises ValueError for a name that there is not, and for scales that the method has no use for.
    """
    if name not in DETECTORS:
        raise ValueError(f"no method {name!r}{closest(name, DETECTORS)}; choose from {', '.join(DETECTORS)}")
    method = DETECTORS[name]
    if not isinstance(method.regions, PooledRegions):
        if scales is not None:
            raise ValueError(f"{name} warps each region to the network's size and has no scales; leave them out")
        return method
    if scales is None:
        chosen = tuple(scale_for(scale, size) for scale in method.regions.scales)
        note = f"scales {_words(chosen)}, in proportion to {size} pixels, not {_words(method.regions.scales)}"
    else:
        chosen, note = tuple(scales), f"scales {_words(tuple(scales))}, not {_words(method.regions.scales)}"
    if chosen == method.regions.scales:
        return method
    return replace(method, regions=replace(method.regions, scales=chosen), deviations=(*method.deviations, note))


def _words(scales: Sequence[int]) -> str:
    return ", ".join(map(str, scales))
