"""What MultiBox learns: sizes of priors from boxes, objects matched to priors, and the loss.

From the paper (Erhan et al. 2014, from memory): k-means for the priors, matching each object to one prior of its own so that
the distances are least in sum, and the loss. What is ours is marked.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ALPHA = 0.3  # what location counts against confidence (Erhan 2014, from memory)
ROUNDS = 100  # of k-means at most (ours)


def prior_sizes(boxes: Tensor, count: int) -> Tensor:
    """Widths and heights (count,2) that stand for those of boxes (R,4), smallest area first, by k-means on their logarithms.

    Logarithms (ours), as a code is relative to its prior. The means begin at even steps through the boxes by area. Raises
    ValueError where there are fewer boxes than sizes wanted.
    """
    if len(boxes) < count:
        raise ValueError(f"{len(boxes)} objects cannot give {count} sizes of priors; annotate more or ask for fewer sizes")
    sides = (boxes[:, 2:] - boxes[:, :2]).double().log()
    sides = sides[sides.sum(1).argsort(stable=True)]
    means = sides[((torch.arange(count) + 0.5) / count * len(sides)).long()]
    for _ in range(ROUNDS):
        nearest = torch.cdist(sides, means).argmin(1)
        moved = [sides[nearest == row].mean(0) if (nearest == row).any() else means[row] for row in range(count)]
        if torch.equal(torch.stack(moved), means):
            break
        means = torch.stack(moved)
    return means[means.sum(1).argsort(stable=True)].exp().float()


def matched_priors(boxes: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Objects and priors that are matched, int64 (M,) both: to each of boxes (S,4) one of the priors `own` (R,4) to itself.

    Of all ways to match, the one whose squared distances between edges are least in sum (the paper's matching of priors:
    predictions do not count, so that each prior learns objects of its own place). M = min(S, R).
    """
    from scipy.optimize import linear_sum_assignment

    costs = (boxes.double()[:, None] - own.double()).square().sum(2)
    objects, rows = linear_sum_assignment(costs.numpy())
    return torch.from_numpy(objects).long(), torch.from_numpy(rows).long()


def multibox_loss(outputs: Tensor, matched: Tensor, codes: Tensor) -> Tensor:
    """The paper's loss, summed over images: of every prior's confidence, and ALPHA / 2 of the squared errors of location.

    outputs: (N,R,5) as MultiBoxNet gives them. matched: int64 (M,2), the image and the prior that an object is matched to.
    codes: (M,4), where its box lies, over SPREAD.
    """
    images, rows = matched.unbind(1)
    wanted = torch.zeros_like(outputs[..., 0])
    wanted[images, rows] = 1
    confidence = F.binary_cross_entropy_with_logits(outputs[..., 0], wanted, reduction="sum")
    return confidence + ALPHA / 2 * (outputs[images, rows, 1:] - codes).square().sum()
