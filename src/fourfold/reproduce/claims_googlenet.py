"""What GoogLeNet (1409.4842) claims."""

from __future__ import annotations

from fourfold.reproduce.asked import Asked
from fourfold.reproduce.claim import Claim, Table, amount, higher, times
from fourfold.reproduce.counted import Counted
from fourfold.reproduce.timed import Forward, Timed
from fourfold.reproduce.trained import Trained

PAPER = "GoogLeNet"
RECIPE = "googlenet"
SMALL = {"input_size": 32}
SMALL_NOTE = "images of 32x32, for which the stem is lighter; crops and scales are in proportion to the paper's 224"
VAL, ERROR = "val_error", "error"
FEW = 3  # networks of an ensemble on small images, in place of seven
NET = Trained(RECIPE, RECIPE, SMALL)
FULL = Trained(RECIPE, RECIPE)

REDUCTIONS = Claim(
    name="googlenet-reductions",
    paper=PAPER,
    section="4, Figure 2",
    statement="1x1 reductions before the large filters save the greater part of the compute.",
    figures=Table(("5x5 branch of 3a", "multiply-adds, millions"), (("naive", 120.4), ("reduced", 12.4))),
    arms={
        "naive, 5x5 of 3a": Counted("googlenet-naive", part="inception_3a.branch5"),
        "reduced, 5x5 of 3a": Counted(RECIPE, part="inception_3a.branch5"),
        "naive": Counted("googlenet-naive"),
        "reduced": Counted(RECIPE),
        "naive, forward": Timed("googlenet-naive", Forward()),
        "reduced, forward": Timed(RECIPE, Forward()),
    },
    contrasts=(
        times("multiply_adds", "naive, 5x5 of 3a", "reduced, 5x5 of 3a", low=2.0),  # ours: the greater part is a half
        times("multiply_adds", "naive", "reduced", low=2.0),
        times("seconds", "naive, forward", "reduced, forward", low=2.0),
    ),
    notes=("the paper's table has the sums of its reduced modules only; those of the naive ones are ours",),
)

PARAMETERS = Claim(
    name="googlenet-parameters",
    paper=PAPER,
    section="1",
    statement="GoogLeNet has 12 times fewer parameters than AlexNet.",
    figures=Table(("net", "parameters"), (("AlexNet over GoogLeNet", 12),)),
    arms={"AlexNet": Counted("alexnet"), "GoogLeNet": Counted(RECIPE)},
    contrasts=(times("parameters", "AlexNet", "GoogLeNet", 11.5, 12.5),),
    notes=("the filters of the paper's own Table 1 are counted, without auxiliary heads",),
)

BUDGET = Claim(
    name="googlenet-budget",
    paper=PAPER,
    section="1, Table 1",
    statement="It keeps to 1.5 billion multiply-adds at inference.",
    figures=Table(("net", "multiply-adds, billions"), (("GoogLeNet", 1.5),)),
    arms={"GoogLeNet": Counted(RECIPE)},
    contrasts=(amount("multiply_adds", "GoogLeNet", 1.4e9, 1.6e9),),  # ours: a tenth, as conv1's row of Table 1 is odd
)

DEPTH = Claim(
    name="googlenet-depth",
    paper=PAPER,
    section="5, Table 1",
    statement="It is 22 layers deep, counting those with parameters.",
    figures=Table(("net", "layers with parameters"), (("GoogLeNet", 22),)),
    arms={"GoogLeNet": Counted(RECIPE)},
    contrasts=(amount("depth", "GoogLeNet", 21.5, 22.5),),
)

AUXILIARY = Claim(
    name="googlenet-auxiliary",
    paper=PAPER,
    section="5",
    statement="Auxiliary classifiers at training help.",
    figures=Table(("auxiliary heads", "effect"), (("two, weighed 0.3", "combat vanishing gradients, and regularise"),)),
    arms={"without": Trained(RECIPE, RECIPE, {**SMALL, "auxiliaries": False}), "with": NET},
    contrasts=(higher(VAL, "without", "with"),),
    on_imagenet={"without": Trained(RECIPE, RECIPE, {"auxiliaries": False}), "with": FULL},
    notes=(SMALL_NOTE,),
)

AVERAGE_POOLING = Claim(
    name="googlenet-average-pooling",
    paper=PAPER,
    section="5",
    statement="The mean of the last maps in place of an fc layer over all their cells improved top-1 accuracy by 0.6 %.",
    figures=Table(("mean against fc", "top-1 accuracy, points"), (("gain", 0.6),)),
    arms={"fc": Trained(RECIPE, RECIPE, {**SMALL, "levels": [4]}), "mean": NET},
    contrasts=(higher(VAL, "fc", "mean"),),
    on_imagenet={"fc": Trained(RECIPE, RECIPE, {"levels": [7]}), "mean": FULL},
    notes=(SMALL_NOTE, "a pyramid of 4x4 bins on 4x4 cells (7x7 at 224) is an fc layer over all cells"),
)


def _grid(net: Trained, many: int) -> dict[str, Asked]:
    return {
        f"{models} x {crops}": Asked((net,), protocol, each=models)
        for models in (1, many)
        for crops, protocol in ((1, "single"), (10, "ten"), (144, "crops144"))
    }


CROPS = Claim(
    name="googlenet-crops",
    paper=PAPER,
    section="7, Table 3",
    statement="More crops and more models both lower the error.",
    figures=Table(
        ("models x crops", "cost", "top-5 error %"),
        (("1 x 1", 1, 10.07), ("1 x 10", 10, 9.15), ("1 x 144", 144, 7.89),
         ("7 x 1", 7, 8.09), ("7 x 10", 70, 7.62), ("7 x 144", 1008, 6.67)),
    ),
    arms=_grid(NET, FEW),
    contrasts=(
        higher(ERROR, "1 x 1", "1 x 10"),
        higher(ERROR, "1 x 10", "1 x 144"),
        higher(ERROR, "1 x 1", f"{FEW} x 1"),
        higher(ERROR, "1 x 144", f"{FEW} x 144"),
    ),
    on_imagenet=_grid(FULL, 7),
    notes=(SMALL_NOTE, f"{FEW} models in place of 7, and top-1 errors, for there are ten classes only"),
)  # fmt: skip

AVERAGING = Claim(
    name="googlenet-averaging",
    paper=PAPER,
    section="7",
    statement="The mean over crops is better than their maximum.",
    figures=Table(("of 144 crops", "result"), (("maximum", "inferior"), ("mean", "best"))),
    arms={"maximum": Asked((NET,), "crops144-max"), "mean": Asked((NET,), "crops144")},
    contrasts=(higher(ERROR, "maximum", "mean"),),
    on_imagenet={"maximum": Asked((FULL,), "crops144-max"), "mean": Asked((FULL,), "crops144")},
    notes=(SMALL_NOTE,),
)

CLAIMS = (REDUCTIONS, PARAMETERS, BUDGET, DEPTH, AUXILIARY, AVERAGE_POOLING, CROPS, AVERAGING)
