"""The papers as values: `RECIPES` by the name that `fourfold train --recipe` takes."""

from fourfold.papers import alexnet, googlenet, modern, resnet, sppnet, vgg
from fourfold.train.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    "vgg": vgg.VGG,
    "vgg-paper-init": vgg.VGG_PAPER_INIT,
    "vgg-384": vgg.VGG_384,
    "vgg-jitter": vgg.VGG_JITTER,
    "resnet": resnet.RESNET,
    "resnet-cifar": resnet.CIFAR,
    "resnet-cifar-110": resnet.CIFAR_110,
    "resnet-cifar-cosine": resnet.CIFAR_COSINE,
    "googlenet": googlenet.GOOGLENET,
    "sppnet": sppnet.SPPNET,
    "sppnet-multi": sppnet.SPPNET_MULTI,
    "sppnet-random": sppnet.SPPNET_RANDOM,
    "alexnet": alexnet.ALEXNET,
    "modern": modern.MODERN,
    "modern-fine-tune": modern.MODERN_FINE_TUNE,
    "modern-cifar": modern.MODERN_CIFAR,
}
