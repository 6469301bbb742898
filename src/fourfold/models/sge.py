"""Spatial Group-wise Enhance (1905.09646), an option on ResNets: each group of channels gates its own positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class SpatialGroupEnhance(nn.Module):
    """Multiply each position by sigmoid(gamma * c + beta), c its similarity to the group's mean, normalised over positions.

    (N,C,h,w) -> the same shape; C must be a multiple of `groups`. gamma starts at 0 and beta at 1, so the gate starts
    at sigmoid(1) everywhere. The standard deviation is the unbiased one of the authors' code. Raises ValueError when
    the groups do not divide the channels.
    """

    def __init__(self, channels: int, groups: int = 64) -> None:
        super().__init__()
        if groups < 1 or channels % groups:
            raise ValueError(f"{groups} groups do not divide {channels} channels; choose a divisor, such as 8 or 16")
        self.groups = groups
        self.gamma = nn.Parameter(torch.zeros(groups))
        self.beta = nn.Parameter(torch.ones(groups))

    def forward(self, maps: Tensor) -> Tensor:
        count, channels, height, width = maps.shape
        grouped = maps.reshape(count, self.groups, channels // self.groups, height * width)
        similarity = (grouped * grouped.mean(3, keepdim=True)).sum(2)  # (N,G,hw)
        centred = similarity - similarity.mean(2, keepdim=True)
        normal = centred / (centred.std(2, keepdim=True) + EPSILON) if height * width > 1 else centred
        gate = torch.sigmoid(self.gamma[:, None] * normal + self.beta[:, None])
        return (grouped * gate.unsqueeze(2)).view_as(maps)
