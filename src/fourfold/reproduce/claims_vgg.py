"""What VGG (1409.1556) claims."""

from __future__ import annotations

from collections.abc import Mapping

from fourfold.reproduce.asked import Asked
from fourfold.reproduce.claim import Claim, Table, amount, higher, no_lower, times
from fourfold.reproduce.counted import Counted
from fourfold.reproduce.effort import CPU_VGG
from fourfold.reproduce.timed import Forward, Timed
from fourfold.reproduce.trained import Trained
from fourfold.train.initialise import Gaussian

PAPER = "VGG"
SMALL = {"input_size": 32}
SMALL_NOTE = "images of 32x32, for which fc6 and fc7 have 512 units; crops and scales are in proportion to the paper's 224"
JITTER_NOTE = "jitter is learned from scratch at the first rate of VGG 3.1, not from the weights of S = 384"
NETS = {
    "A": "vgg-a", "A-LRN": "vgg-a-lrn", "B": "vgg-b", "B-shallow": "vgg-b-shallow", "C": "vgg-c", "D": "vgg-d", "E": "vgg-e",
}  # fmt: skip
VAL, ERROR = "val_error", "error"
RATE = 0.01  # VGG 3.1
SATURATED = 0.5  # points, ours: half of what B to C or C to D gain, 0.6 and 1.1

_ROWS = (
    ("A", 29.6, 10.4), ("A-LRN", 29.7, 10.5), ("B", 28.7, 9.9), ("C", 28.1, 9.4), ("D", 27.0, 8.8), ("E", 27.3, 9.0),
)  # fmt: skip


def _table3(*names: str) -> Table:
    """VGG Table 3, S = Q = 256."""
    rows = tuple(row for row in _ROWS if row[0] in names)
    return Table(("net", "top-1 error %", "top-5 error %"), rows)


def _small(*names: str) -> dict[str, Trained]:
    return {name: Trained(NETS[name], "vgg", SMALL) for name in names}


def _full(*names: str) -> dict[str, Trained]:
    return {name: Trained(NETS[name], "vgg") for name in names}


def _jittered(name: str) -> Trained:
    return Trained(NETS[name], "vgg-jitter", SMALL, rate=RATE)


def _full_jittered(name: str) -> Trained:
    return Trained(NETS[name], "vgg-jitter")


LRN = Claim(
    name="vgg-lrn",
    paper=PAPER,
    section="2.1, 4.1, Table 3",
    statement="Local response normalisation does not improve on A, and costs time.",
    figures=_table3("A", "A-LRN"),
    arms={
        **_small("A", "A-LRN"),
        "A, forward": Timed("vgg-a", Forward()),
        "A-LRN, forward": Timed("vgg-a-lrn", Forward()),
    },
    # 1.4 points: what normalisation gains in AlexNet 3.3
    contrasts=(no_lower(VAL, "A-LRN", "A", by=1.4), times("seconds", "A-LRN, forward", "A, forward")),
    on_imagenet=_full("A", "A-LRN"),
    effort=CPU_VGG,
    notes=(SMALL_NOTE,),
)

DEPTH = Claim(
    name="vgg-depth",
    paper=PAPER,
    section="4.1, Table 3",
    statement="The error falls with depth from 11 layers to 16, and saturates at 19.",
    figures=_table3("A", "B", "D", "E"),
    arms=_small("A", "B", "D", "E"),
    contrasts=(higher(VAL, "A", "B"), higher(VAL, "B", "D"), no_lower(VAL, "E", "D", by=SATURATED)),
    on_imagenet=_full("A", "B", "D", "E"),
    effort=CPU_VGG,
    notes=(SMALL_NOTE,),
)

KERNELS = Claim(
    name="vgg-kernels",
    paper=PAPER,
    section="4.1, Table 3",
    statement="At equal depth, 3x3 filters (D) are better than 1x1 (C): spatial context matters.",
    figures=_table3("C", "D"),
    arms=_small("C", "D"),
    contrasts=(higher(VAL, "C", "D"),),
    on_imagenet=_full("C", "D"),
    effort=CPU_VGG,
    notes=(SMALL_NOTE,),
)

NON_LINEARITY = Claim(
    name="vgg-non-linearity",
    paper=PAPER,
    section="4.1, Table 3",
    statement="Additional non-linearity helps: C, which is B with three 1x1 layers (as in Network in Network), beats B.",
    figures=_table3("B", "C"),
    arms=_small("B", "C"),
    contrasts=(higher(VAL, "B", "C"),),
    on_imagenet=_full("B", "C"),
    effort=CPU_VGG,
    notes=(SMALL_NOTE,),
)

SMALL_FILTERS = Claim(
    name="vgg-small-filters",
    paper=PAPER,
    section="4.1",
    statement="Two 3x3 layers are better than one 5x5: the shallow net's top-1 error is 7 % higher than B's.",
    figures=Table(("net", "top-1 error against B, %"), (("B-shallow", 7.0),)),
    arms=_small("B", "B-shallow"),
    contrasts=(higher(VAL, "B-shallow", "B"),),
    on_imagenet=_full("B", "B-shallow"),
    effort=CPU_VGG,
    notes=(SMALL_NOTE,),
)

JITTER = Claim(
    name="vgg-jitter",
    paper=PAPER,
    section="4.1, Table 3",
    statement="Scale jitter at training helps, even if a single scale is used at test time.",
    figures=Table(
        ("D", "Q", "top-1 error %", "top-5 error %"), (("S = 256", 256, 27.0, 8.8), ("S in [256; 512]", 384, 25.6, 8.1))
    ),
    arms={
        "S = 256": Asked((Trained("vgg-d", "vgg", SMALL),), "dense", (256,)),
        "S in [256; 512]": Asked((_jittered("D"),), "dense", (384,)),
    },
    contrasts=(higher(ERROR, "S = 256", "S in [256; 512]"),),
    on_imagenet={
        "S = 256": Asked((Trained("vgg-d", "vgg"),), "dense", (256,)),
        "S in [256; 512]": Asked((_full_jittered("D"),), "dense", (384,)),
    },
    effort=CPU_VGG,
    notes=(SMALL_NOTE, JITTER_NOTE),
)

MULTI_SCALE = Claim(
    name="vgg-multi-scale",
    paper=PAPER,
    section="4.2, Tables 3 and 4",
    statement="Testing at several scales is better than at one.",
    figures=Table(
        ("D, S in [256; 512]", "top-1 error %", "top-5 error %"), (("384", 25.6, 8.1), ("256, 384, 512", 24.8, 7.5))
    ),
    arms={"384": Asked((_jittered("D"),), "dense", (384,)), "256, 384, 512": Asked((_jittered("D"),), "dense3")},
    contrasts=(higher(ERROR, "384", "256, 384, 512"),),
    on_imagenet={
        "384": Asked((_full_jittered("D"),), "dense", (384,)),
        "256, 384, 512": Asked((_full_jittered("D"),), "dense3"),
    },
    effort=CPU_VGG,
    notes=(SMALL_NOTE, JITTER_NOTE),
)


def _evaluations(trained: Trained) -> dict[str, Asked]:
    protocols = {"dense": "dense3", "multi-crop": "grid150", "both": "grid150+dense3"}
    return {name: Asked((trained,), protocol) for name, protocol in protocols.items()}


MULTI_CROP = Claim(
    name="vgg-multi-crop",
    paper=PAPER,
    section="4.3, Table 5",
    statement="Multiple crops are slightly better than dense evaluation; the two are complementary, and both together best.",
    figures=Table(
        ("D, S in [256; 512]", "top-1 error %", "top-5 error %"),
        (("dense", 24.8, 7.5), ("multi-crop", 24.6, 7.5), ("both", 24.4, 7.2)),
    ),
    arms=_evaluations(_jittered("D")),
    contrasts=(
        higher(ERROR, "dense", "multi-crop"),
        higher(ERROR, "dense", "both"),
        higher(ERROR, "multi-crop", "both"),
    ),
    on_imagenet=_evaluations(_full_jittered("D")),
    effort=CPU_VGG,
    notes=(SMALL_NOTE, JITTER_NOTE),
)


def _fused(nets: Mapping[str, Trained]) -> dict[str, Asked]:
    alone = {name: Asked((net,), "dense3") for name, net in nets.items()}
    return {**alone, "D & E": Asked(tuple(nets.values()), "dense3")}


ENSEMBLE = Claim(
    name="vgg-ensemble",
    paper=PAPER,
    section="4.4, Tables 4 and 6",
    statement="The mean of the posteriors of two networks is better than either network.",
    figures=Table(
        ("dense, S in [256; 512]", "top-1 error %", "top-5 error %"),
        (("D", 24.8, 7.5), ("E", 24.8, 7.5), ("D & E", 24.0, 7.1)),
    ),
    arms=_fused({"D": _jittered("D"), "E": _jittered("E")}),
    contrasts=(higher(ERROR, "D", "D & E"), higher(ERROR, "E", "D & E")),
    on_imagenet=_fused({"D": _full_jittered("D"), "E": _full_jittered("E")}),
    effort=CPU_VGG,
    notes=(SMALL_NOTE, JITTER_NOTE),
)

_NORMAL = Gaussian(0.01)  # Reading: many ports'; the printed variance of 0.01 makes the loss of small images overflow
INITIALISATION = Claim(
    name="vgg-initialisation",
    paper=PAPER,
    section="3.1",
    statement="Bad initialisation stalls deep nets; layers of a trained A prevent that, and Glorot's rule needs none.",
    figures=Table(("way", "of D"), (("random", "can stall"), ("from A", "learns"), ("Glorot", "learns without A"))),
    arms={
        "random": Trained("vgg-d", "vgg", SMALL, initialise=_NORMAL),
        "from A": Trained(
            "vgg-d", "vgg", SMALL, initialise=_NORMAL, shallow=Trained("vgg-a", "vgg", SMALL, initialise=_NORMAL)
        ),
        "Glorot": Trained("vgg-d", "vgg", SMALL),
    },
    contrasts=(higher(VAL, "random", "from A"), higher(VAL, "random", "Glorot")),
    on_imagenet={
        "random": Trained("vgg-d", "vgg-paper-init"),
        "from A": Trained("vgg-d", "vgg-paper-init", shallow=Trained("vgg-a", "vgg-paper-init")),
        "Glorot": Trained("vgg-d", "vgg"),
    },
    effort=CPU_VGG,
    notes=(SMALL_NOTE, "random weights have a deviation of 0.01, not a variance of 0.01"),
)

_MILLIONS = {"A": 133, "B": 133, "C": 134, "D": 138, "E": 144}  # VGG Table 2
PARAMETERS = Claim(
    name="vgg-parameters",
    paper=PAPER,
    section="2.3, Table 2",
    statement="In spite of their depth the nets have 133 to 144 million parameters.",
    figures=Table(("net", "parameters, millions"), tuple(_MILLIONS.items())),
    arms={name: Counted(NETS[name]) for name in _MILLIONS},
    contrasts=tuple(
        amount("parameters", name, (millions - 0.5) * 1e6, (millions + 0.5) * 1e6) for name, millions in _MILLIONS.items()
    ),
)

CLAIMS = (
    LRN, DEPTH, KERNELS, NON_LINEARITY, SMALL_FILTERS, JITTER, MULTI_SCALE, MULTI_CROP, ENSEMBLE, INITIALISATION, PARAMETERS,
)  # fmt: skip
