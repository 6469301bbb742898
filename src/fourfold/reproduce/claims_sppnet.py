"""What SPP-net (1406.4729) claims."""

from __future__ import annotations

from fourfold.detect.regions import PooledRegions, WarpedRegions
from fourfold.models.sppnet import PYRAMID_30
from fourfold.reproduce.asked import Asked
from fourfold.reproduce.claim import Claim, Table, alike, higher, times
from fourfold.reproduce.counted import Counted
from fourfold.reproduce.timed import Answer, Describe, Timed
from fourfold.reproduce.trained import Trained

PAPER = "SPP-net"
VAL, ERROR = "val_error", "error"
SMALL_NOTE = "ZF-5 for images of 32x32, whose last map has 8x8 cells; scales are in proportion to the paper's 224"
BINS_NOTE = "the flat net pools 9 cells there, so pyramids are {3, 2, 1} of 14 bins for 50, and {2, 1} of 5 for 30"
FLAT = Trained("zf5", "sppnet", {"input_size": 32})
PYRAMID = {"input_size": 32, "levels": [3, 2, 1]}
FEWER = {"input_size": 32, "levels": [2, 1]}
SINGLE, MULTI = Trained("zf5", "sppnet", PYRAMID), Trained("zf5", "sppnet-multi", PYRAMID)
FULL_SINGLE, FULL_MULTI = Trained("overfeat7-spp", "sppnet"), Trained("overfeat7-spp", "sppnet-multi")

LEVELS = Claim(
    name="sppnet-pyramid",
    paper=PAPER,
    section="3.1.1, Table 2",
    statement="Pooling at several levels helps, and not by more parameters: a pyramid with fewer of them helps as well.",
    figures=Table(
        ("ZF-5", "top-1 error %", "top-5 error %"),
        (("no pyramid", 35.99, 14.76), ("50 bins", 34.98, 14.14), ("30 bins, fewer parameters", 35.06, 14.04)),
    ),
    arms={
        "flat": FLAT,
        "pyramid": SINGLE,
        "fewer bins": Trained("zf5", "sppnet", FEWER),
        "flat at 224": Counted("zf5"),
        "30 bins at 224": Counted("zf5", {"levels": list(PYRAMID_30)}),
    },
    contrasts=(
        higher(VAL, "flat", "pyramid"),
        higher(VAL, "flat", "fewer bins"),
        higher("parameters", "flat at 224", "30 bins at 224"),
    ),
    on_imagenet={
        "flat": Trained("zf5", "sppnet"),
        "50 bins": Trained("zf5-spp", "sppnet"),
        "30 bins": Trained("zf5", "sppnet", {"levels": list(PYRAMID_30)}),
    },
    notes=(SMALL_NOTE, BINS_NOTE),
)

MULTI_SIZE = Claim(
    name="sppnet-multi-size",
    paper=PAPER,
    section="3.1.2, Table 2",
    statement="Training at two sizes by turns is better than at one.",
    figures=Table(("Overfeat-7 with SPP", "top-1 error %", "top-5 error %"), (("one", 30.36, 11.12), ("two", 29.68, 10.95))),
    arms={"one": SINGLE, "two": MULTI},
    contrasts=(higher(VAL, "one", "two"),),
    on_imagenet={"one": FULL_SINGLE, "two": FULL_MULTI},
    notes=(SMALL_NOTE,),
)

RANDOM_SIZE = Claim(
    name="sppnet-random-size",
    paper=PAPER,
    section="3.1.2",
    statement="A size drawn for each epoch lies between one size and two by turns.",
    figures=Table(
        ("Overfeat-7 with SPP", "top-1 error %", "top-5 error %"),
        (("one", 30.36, 11.12), ("random", 30.06, 10.96), ("two", 29.68, 10.95)),
    ),
    arms={"one": SINGLE, "random": Trained("zf5", "sppnet-random", PYRAMID), "two": MULTI},
    contrasts=(higher(VAL, "one", "random"), higher(VAL, "random", "two")),
    on_imagenet={"one": FULL_SINGLE, "random": Trained("overfeat7-spp", "sppnet-random"), "two": FULL_MULTI},
    notes=(SMALL_NOTE,),
)

FULL_IMAGE = Claim(
    name="sppnet-full-image",
    paper=PAPER,
    section="3.1.3, Table 3",
    statement="The full image as one view is better than its central crop, although training saw crops.",
    figures=Table(
        ("top-1 error %", "crop", "full image"),
        (("ZF-5, one size", 38.01, 37.55), ("ZF-5, two sizes", 37.57, 37.07),
         ("Overfeat-7, one size", 33.18, 32.72), ("Overfeat-7, two sizes", 32.57, 31.25)),
    ),
    arms={
        "one size, crop": Asked((SINGLE,), "single", (256,)),
        "one size, full": Asked((SINGLE,), "full"),
        "two sizes, crop": Asked((MULTI,), "single", (256,)),
        "two sizes, full": Asked((MULTI,), "full"),
    },
    contrasts=(higher(ERROR, "one size, crop", "one size, full"), higher(ERROR, "two sizes, crop", "two sizes, full")),
    on_imagenet={
        "one size, crop": Asked((Trained("zf5-spp", "sppnet"),), "single"),
        "one size, full": Asked((Trained("zf5-spp", "sppnet"),), "full"),
        "two sizes, crop": Asked((Trained("zf5-spp", "sppnet-multi"),), "single"),
        "two sizes, full": Asked((Trained("zf5-spp", "sppnet-multi"),), "full"),
    },
    notes=(SMALL_NOTE, "figures from memory: the paper's table is a picture"),
)  # fmt: skip

ANY_SIZE = Claim(
    name="sppnet-any-size",
    paper=PAPER,
    section="2.2, 2.3",
    statement="A net with a pyramid takes images of any size with the same parameters: fc6 reads 50 bins at 180 and at 224.",
    figures=Table(("input", "bins"), (("224", 50), ("180", 50))),
    arms={
        "224": Counted("zf5-spp"),
        "180": Counted("zf5-spp", size=180),
        "448": Counted("zf5-spp", size=448),
    },
    contrasts=(alike("parameters", "180", "224", 0.5), alike("parameters", "448", "224", 0.5)),
)

MAP_VIEWS = Claim(
    name="sppnet-map-views",
    paper=PAPER,
    section="3.1.3",
    statement="Ten views pooled from the maps of the image are as good as ten crops, to 0.1 % of top-5 error, and cheaper.",
    figures=Table(("ten views", "top-5 error against crops"), (("on maps", "within 0.1 %"),)),
    arms={
        "crops": Asked((SINGLE,), "ten-whole"),
        "maps": Asked((SINGLE,), "ten-maps"),
        "crops, time": Timed("zf5-spp", Answer("ten-whole")),
        "maps, time": Timed("zf5-spp", Answer("ten-maps")),
    },
    # ours: one point of top-1 error among ten classes, of whose small maps borders are a greater part
    contrasts=(alike(ERROR, "maps", "crops", 1.0), times("seconds", "crops, time", "maps, time")),
    on_imagenet={"crops": Asked((FULL_MULTI,), "ten-whole"), "maps": Asked((FULL_MULTI,), "ten-maps")},
    notes=(SMALL_NOTE,),
)

MANY_VIEWS = Claim(
    name="sppnet-views",
    paper=PAPER,
    section="3.1.3, Table 4",
    statement="96 views at six scales are better than ten, and two full-image views more are better still.",
    figures=Table(
        ("Overfeat-7, two sizes", "top-5 error %"), (("10 views", 10.95), ("96 views", 9.36), ("96 + 2 views", 9.14))
    ),
    arms={
        "10 views": Asked((MULTI,), "ten-whole"),
        "96 views": Asked((MULTI,), "views96"),
        "96 + 2 views": Asked((MULTI,), "views98"),
    },
    contrasts=(higher(ERROR, "10 views", "96 views"), higher(ERROR, "96 views", "96 + 2 views")),
    on_imagenet={
        "10 views": Asked((FULL_MULTI,), "ten-whole"),
        "96 views": Asked((FULL_MULTI,), "views96"),
        "96 + 2 views": Asked((FULL_MULTI,), "views98"),
    },
    notes=(SMALL_NOTE, "top-1 errors, for there are ten classes only"),
)

_ONE, _FIVE = PooledRegions((688,)), PooledRegions((480, 576, 688, 864, 1200))  # SPP-net 4.1
_TIMED = 128  # boxes that R-CNN warps; its time grows with their number
DETECTION = Claim(
    name="sppnet-detection-speed",
    paper=PAPER,
    section="4.3, Table 10",
    statement="Features of 2,000 regions are had 24 to 102 times faster than R-CNN's.",
    figures=Table(
        ("ZF-5, times faster than R-CNN", "convolutions", "in all"), (("1 scale", 270, 102), ("5 scales", 49, 38))
    ),
    arms={
        "R-CNN": Timed("zf5-spp", Describe(WarpedRegions(), _TIMED, fc="relu7")),
        "1 scale": Timed("zf5-spp", Describe(_ONE, fc="relu7")),
        "5 scales": Timed("zf5-spp", Describe(_FIVE, fc="relu7")),
        "R-CNN, convolutions": Timed("zf5-spp", Describe(WarpedRegions(), _TIMED)),
        "1 scale, convolutions": Timed("zf5-spp", Describe(_ONE)),
        "5 scales, convolutions": Timed("zf5-spp", Describe(_FIVE)),
    },
    contrasts=(
        times("seconds", "R-CNN", "1 scale", low=24),
        times("seconds", "R-CNN", "5 scales", low=24),
        times("seconds", "R-CNN, convolutions", "1 scale, convolutions", low=24),
        times("seconds", "R-CNN, convolutions", "5 scales, convolutions", low=24),
    ),
    notes=("on a processor, where fc layers cost more against convolutions than on a GPU; random boxes of one made photo",),
)

CLAIMS = (LEVELS, MULTI_SIZE, RANDOM_SIZE, FULL_IMAGE, ANY_SIZE, MAP_VIEWS, MANY_VIEWS, DETECTION)
