"""Networks bound to their protocols, and the average of several: one predictor, whatever the number of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.catalog import Network
from fourfold.evaluate.protocol import Protocol


@dataclass(frozen=True, eq=False)
class Member:
    """A network and how it is asked."""

    network: Network
    protocol: Protocol


@dataclass(frozen=True, eq=False)
class Predictor:
    """One or several networks, each under its own protocol and with its own pixels; posteriors averaged (GoogLeNet 7).

    Their classes must be the same; another order of them is put right by name. Raises ValueError where classes differ, where
    a network cannot be asked by its protocol, and where there is no member.
    """

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("no model is given; name one or several")
        for member in self.members:
            member.protocol.check(member.network)
            if differ := set(member.network.labels) ^ set(self.labels):
                raise ValueError(
                    f"{self.members[0].network.entry.name} and {member.network.entry.name} differ in the classes "
                    f"{', '.join(sorted(differ)[:5])}; an ensemble needs the same classes of all"
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the first member."""
        return self.members[0].network.labels

    @property
    def model(self) -> str:
        """The names of the networks."""
        return " + ".join(member.network.entry.name for member in self.members)

    @property
    def protocol(self) -> str:
        """What is done, in words; said once if all members are asked alike."""
        return "; ".join(dict.fromkeys(str(member.protocol) for member in self.members))

    def __call__(self, images: Sequence[Tensor]) -> Tensor:
        """uint8 (3,H,W) images of any sizes -> float32 posteriors (N,K)."""
        given = [member.protocol(member.network, images)[:, self._order(member)] for member in self.members]
        return given[0] if len(given) == 1 else torch.stack(given).mean(0)

    def refusal(self, image: Tensor) -> str | None:
        """Why an image uint8 (3,H,W) cannot be asked about, in one line, or None."""
        try:
            for member in self.members:
                member.protocol.views(image.shape[-2], image.shape[-1])
        except ValueError as error:
            return str(error)
        return None

    def _order(self, member: Member) -> list[int]:
        index_of = {label: index for index, label in enumerate(member.network.labels)}
        return [index_of[label] for label in self.labels]
