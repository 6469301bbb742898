"""AlexNet (Krizhevsky et al. 2012), the network of R-CNN, and Network in Network (1312.4400)."""

from __future__ import annotations

from torch import nn

from fourfold.models.base import Classifier, FlattenHead, MeanHead, fully_connected, sequential, widen
from fourfold.models.lrn import LocalResponseNorm


def alexnet(classes: int = 1000, *, groups: int = 2, width: float = 1.0) -> Classifier:
    """AlexNet for 227x227 images. `groups`: 2 as on its two GPUs, or 1 for ungrouped convolutions.

    The paper says 224, which gives no whole number of steps; 227 is the size of the authors' code.
    """
    c1, c2, c3, c5 = (widen(channels, width, groups) for channels in (96, 256, 384, 256))
    units = widen(4096, width)
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, c1, 11, stride=4),
        "relu1": nn.ReLU(inplace=True),
        "lrn1": alexnet_lrn(),
        "pool1": nn.MaxPool2d(3, stride=2),
        "conv2": nn.Conv2d(c1, c2, 5, padding=2, groups=groups),
        "relu2": nn.ReLU(inplace=True),
        "lrn2": alexnet_lrn(),
        "pool2": nn.MaxPool2d(3, stride=2),
        "conv3": nn.Conv2d(c2, c3, 3, padding=1),
        "relu3": nn.ReLU(inplace=True),
        "conv4": nn.Conv2d(c3, c3, 3, padding=1, groups=groups),
        "relu4": nn.ReLU(inplace=True),
        "conv5": nn.Conv2d(c3, c5, 3, padding=1, groups=groups),
        "relu5": nn.ReLU(inplace=True),
        "pool5": nn.MaxPool2d(3, stride=2),
    }
    head = FlattenHead(fully_connected(c5 * 6 * 6, units, units, classes), side=6)
    said = [
        (groups != 2, f"{groups} group(s) in conv2, conv4 and conv5, not 2"),
        (width != 1.0, f"{width:g} times as wide"),
    ]
    return Classifier(sequential(layers), head, input_size=227, deviations=[text for is_so, text in said if is_so])


def alexnet_lrn() -> LocalResponseNorm:
    """AlexNet 3.3: k=2, n=5, alpha=1e-4, beta=0.75; the printed formula does not divide alpha by n, the module does."""
    return LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


MLPCONVS = (  # NIN 4.1, from the authors' CIFAR-10 network: kernel, channels of the convolution and its two 1x1 layers
    (5, (192, 160, 96)),
    (5, (192, 192, 192)),
    (3, (192, 192, None)),  # the last layer has one map for each class
)


def nin(classes: int = 10, *, width: float = 1.0) -> Classifier:
    """Network in Network for 32x32 images: three mlpconv layers and the mean of one map per class, no fc layer."""
    layers: dict[str, nn.Module] = {}
    inputs = 3
    for stage, (kernel, channels) in enumerate(MLPCONVS, start=1):
        for number, count in enumerate(channels, start=1):
            outputs = widen(count, width) if count else classes
            side = kernel if number == 1 else 1
            name = f"conv{stage}" if number == 1 else f"cccp{2 * stage + number - 3}"  # the authors' names
            layers[name] = nn.Conv2d(inputs, outputs, side, padding=side // 2)
            layers[f"relu_{name}"] = nn.ReLU(inplace=True)
            inputs = outputs
        if stage < len(MLPCONVS):
            pool = nn.MaxPool2d if stage == 1 else nn.AvgPool2d
            layers[f"pool{stage}"] = pool(3, stride=2, ceil_mode=True)
            layers[f"drop{stage}"] = nn.Dropout(0.5)
    deviations = [] if width == 1.0 else [f"{width:g} times as wide"]
    return Classifier(sequential(layers), MeanHead(nn.Sequential(), side=8), input_size=32, deviations=deviations)
