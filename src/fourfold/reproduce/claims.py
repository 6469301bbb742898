"""Every claim by name."""

from __future__ import annotations

from collections.abc import Mapping

from fourfold.networks import closest
from fourfold.reproduce import claims_background, claims_googlenet, claims_resnet, claims_sppnet, claims_vgg
from fourfold.reproduce.claim import Claim

CLAIMS: Mapping[str, Claim] = {
    claim.name: claim
    for claim in (
        *claims_vgg.CLAIMS,
        *claims_resnet.CLAIMS,
        *claims_googlenet.CLAIMS,
        *claims_sppnet.CLAIMS,
        *claims_background.CLAIMS,
    )
}


def claim_named(name: str) -> Claim:
    """A claim of CLAIMS. Raises ValueError for a name that there is not."""
    if name not in CLAIMS:
        raise ValueError(f"no claim {name!r}{closest(name, CLAIMS)}; `fourfold reproduce` lists all")
    return CLAIMS[name]
