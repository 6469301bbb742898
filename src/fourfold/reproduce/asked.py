"""Arms that are asked: trained networks, one or several together, under a paper's test protocol."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.runner import evaluate
from fourfold.papers.protocols import protocol_named, scale_for
from fourfold.reproduce.claim import Arm, Measured, Scene
from fourfold.reproduce.trained import Trained

APART = 1000  # between the seeds of networks that are asked together, so that no two experiments' seeds meet


@dataclass(frozen=True)
class Asked(Arm):
    """The mean posterior of `trained` networks, `each` of every one with other seeds, under the protocol of this name.

    scales: shorter sides for inputs of 224 pixels, in place of the protocol's; in proportion for other networks.
    """

    trained: tuple[Trained, ...]
    protocol: str
    scales: tuple[int, ...] | None = None
    each: int = 1

    def record(self, scene: Scene) -> dict[str, object]:
        """See Arm."""
        told = [one.record(scene) for one in self.trained]
        return {"asked": told, "protocol": self.protocol, "scales": self.scales, "each": self.each}

    def measure(self, scene: Scene, seed: int) -> Measured:
        """error and error5: top-1 and top-5, in per cent; views: of an image, by all networks."""
        members = []
        for number in range(self.each):
            for one in self.trained:
                network = one.opened(scene, seed + APART * number)
                size = network.classifier.input_size
                scales = None if self.scales is None else [max(size, scale_for(scale, size)) for scale in self.scales]
                members.append(Member(network, protocol_named(self.protocol, size, scales)))
        scene.say(f"{self.protocol}, seed {seed}")
        found = evaluate(Predictor(tuple(members)), scene.data.val)
        values = {"error": 100 - found.top1, "error5": 100 - found.top5, "views": float(found.views)}
        return Measured(values, seconds=found.seconds)
