"""Fc layers made cheaper by leaving out what matters least of them (Fast R-CNN 3.1: truncated SVD)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fourfold.models.base import Classifier, sequential

EXTRA, TURNS = 16, 3  # of the randomised SVD: columns beyond the rank, and powers; the exact one takes ZF-5 a minute


def low_rank(classifier: Classifier, rank: int) -> Classifier:
    """A classifier whose fc layers have at most this rank; it shares all layers that stay.

    A layer of u x v weights becomes two, of rank x v (NAME_v, without bias) and u x rank (NAME_u), where that takes fewer
    multiply-adds. Raises ValueError for a rank below 1, and where no layer would gain.
    """
    if rank < 1:
        raise ValueError(f"a rank of {rank} leaves nothing of a layer; give 1 or more, such as 256")
    layers: dict[str, nn.Module] = {}
    for name, layer in classifier.head.fc.named_children():
        if isinstance(layer, nn.Linear) and rank * (layer.in_features + layer.out_features) < layer.weight.numel():
            layers[f"{name}_v"], layers[f"{name}_u"] = _halves(layer, rank)
        else:
            layers[name] = layer
    if len(layers) == len(classifier.head.fc):
        raise ValueError(f"no fc layer gets cheaper at a rank of {rank}; give a lower one, or leave it out")
    head = copy.copy(classifier.head)
    head._modules = {**classifier.head._modules, "fc": sequential(layers)}  # a shallow copy shares its dictionary
    said = (*classifier.deviations, f"fc layers of rank {rank} at most (Fast R-CNN 3.1)")
    made = Classifier(
        classifier.trunk, head, input_size=classifier.input_size, auxiliaries=classifier.auxiliaries, deviations=said
    )
    return made.train(classifier.training)


@torch.no_grad()
@torch.random.fork_rng(devices=[])  # the SVD is a randomised one, and new layers draw weights
def _halves(layer: nn.Linear, rank: int) -> tuple[nn.Linear, nn.Linear]:
    """Two layers in place of one: y = U (S V^T x) + b."""
    torch.manual_seed(0)
    left, right = _factors(layer.weight, rank)
    first = nn.Linear(layer.in_features, rank, bias=False)
    second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
    first.weight.copy_(right)
    second.weight.copy_(left)
    if layer.bias is not None:
        second.bias.copy_(layer.bias)
    needs = layer.weight.requires_grad
    return first.requires_grad_(needs), second.requires_grad_(needs)


def _factors(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Of (u,v), two matrices (u,rank) and (rank,v) whose product is about the nearest of that rank."""
    left, values, right = torch.svd_lowrank(weight, min(rank + EXTRA, *weight.shape), TURNS)
    return left[:, :rank], values[:rank, None] * right[:, :rank].T
