"""What the papers that the four build on claim: batch norm, Glorot's initialisation, AlexNet."""

from __future__ import annotations

from fourfold.reproduce.claim import Claim, Table, amount, higher, times
from fourfold.reproduce.counted import Counted
from fourfold.reproduce.effort import CPU_VGG
from fourfold.reproduce.trained import Trained
from fourfold.train.initialise import Gaussian

SMALL = {"input_size": 32}
BN = {**SMALL, "batch_norm": True}
VAL = "val_error"
SMALL_NOTE = "VGG's recipe on images of 32x32, in place of the paper's networks"
FAST = 0.1  # ten times VGG's rate; the batch norm paper multiplies its rate by 5 and by 30

HIGH_RATES = Claim(
    name="batch-norm-rates",
    paper="Batch norm",
    section="3.3, 4.2",
    statement="Batch norm allows much higher learning rates: ten times VGG's ruins B without it, and not with it.",
    figures=Table(("rate x 5, x 30", "result"), (("with batch norm", "learns faster"), ("without", "diverges or stalls"))),
    arms={
        "plain": Trained("vgg-b", "vgg", SMALL),
        "plain, fast": Trained("vgg-b", "vgg", SMALL, rate=FAST),
        "batch norm": Trained("vgg-b", "vgg", BN),
        "batch norm, fast": Trained("vgg-b", "vgg", BN, rate=FAST),
    },
    contrasts=(
        higher(VAL, "plain, fast", "plain"),
        higher(VAL, "plain, fast", "batch norm, fast"),
        higher(VAL, "plain", "batch norm, fast"),
    ),
    effort=CPU_VGG,
    notes=(SMALL_NOTE,),
)

GLOROT = Claim(
    name="glorot-initialisation",
    paper="Glorot and Bengio",
    section="4.2",
    statement="Weights scaled by fan-in and fan-out let deep nets learn better than a small normal, alike in all layers.",
    figures=Table(("initialisation", "activations"), (("small and fixed", "shrink layer by layer"), ("Glorot", "kept"))),
    arms={
        "deviation 0.01": Trained("vgg-b", "vgg", SMALL, initialise=Gaussian(0.01)),
        "Glorot": Trained("vgg-b", "vgg", SMALL),
    },
    contrasts=(higher(VAL, "deviation 0.01", "Glorot"),),
    effort=CPU_VGG,
    notes=(SMALL_NOTE,),
)

ALEXNET = Claim(
    name="alexnet-parameters",
    paper="AlexNet",
    section="Abstract, 3.5",
    statement="AlexNet has 60 million parameters.",
    figures=Table(("net", "parameters, millions"), (("AlexNet", 60),)),
    arms={"AlexNet": Counted("alexnet")},
    contrasts=(amount("parameters", "AlexNet", 59e6, 61e6),),  # ours: a million, for the figure is a round one
)

NIN = Claim(
    name="nin-parameters",
    paper="Network in Network",
    section="3.2, 4",
    statement="1x1 layers and the mean in place of fc layers make a deep net with few parameters: a fraction of AlexNet's.",
    figures=Table(("net", "parameters"), (("Network in Network", "few"),)),
    arms={"AlexNet": Counted("alexnet"), "NIN for CIFAR-10": Counted("nin")},
    contrasts=(times("parameters", "AlexNet", "NIN for CIFAR-10", low=10.0),),  # ours: few is less than a tenth
    notes=("networks of two data sets; the paper prints no count for CIFAR-10",),
)

CLAIMS = (HIGH_RATES, GLOROT, ALEXNET, NIN)
