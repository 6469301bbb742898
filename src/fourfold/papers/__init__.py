"""The papers as values: `RECIPES` by the name that `fourfold train --recipe` takes."""

from fourfold.papers import resnet
from fourfold.train.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    "resnet-cifar": resnet.CIFAR,
    "resnet-cifar-cosine": resnet.CIFAR_COSINE,
}
