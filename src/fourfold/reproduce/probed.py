"""Arms that are looked into: gradients and responses, layer by layer, of trained networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.catalog import Network
from fourfold.data.examples import Examples, decode
from fourfold.reproduce.claim import Arm, Measured, Scene
from fourfold.reproduce.trained import Trained

IMAGES = 250  # that a network is looked into with, all of them together: batch norms see a whole batch

Probe = Callable[[Network, Examples], Measured]


@dataclass(frozen=True)
class Probed(Arm):
    """A trained network, looked into by `probe` with images that it has not learned from."""

    trained: Trained
    probe: Probe

    def record(self, scene: Scene) -> dict[str, object]:
        """See Arm."""
        return {"probed": self.trained.record(scene), "probe": self.probe.__name__}

    def measure(self, scene: Scene, seed: int) -> Measured:
        """What the probe gives."""
        network = self.trained.opened(scene, seed)
        val = scene.data.val
        every = max(1, len(val) // IMAGES)  # evenly over the classes, which may come one after the other
        chosen = val.take(range(0, len(val), every)[:IMAGES])
        scene.say(f"{self.trained.network}, seed {seed}: {self.probe.__name__}")
        examples, broken = decode(chosen, network.classifier.input_size)
        if broken:
            raise ValueError(f"{broken[0].error}; an experiment needs all images: mend or remove it")
        return self.probe(network, examples)


def responses(network: Network, examples: Examples) -> Measured:
    """mean_std: of each 3x3 layer's responses the standard deviation, behind batch norm and before ReLU or addition, and of
    those the mean over the layers (ResNet Figure 7). The curve "responses" has them by layer.
    """
    found: list[float] = []
    handles = [
        layer.register_forward_hook(lambda _layer, _given, output: found.append(output.std().item()))
        for name, layer in network.classifier.trunk.named_modules()
        if isinstance(layer, nn.BatchNorm2d) and ".shortcut." not in name
    ]
    try:
        with torch.inference_mode():
            network.classifier(network.pixels(examples.images))
    finally:
        for handle in handles:
            handle.remove()
    return Measured({"mean_std": sum(found) / len(found)}, {"responses": _by_layer(found)})


def gradients(network: Network, examples: Examples) -> Measured:
    """first_to_last: the norm of the loss's gradient in the first convolution over that in the last; least: the smallest
    norm of any convolution over the largest. The curve "gradient" has the norms by layer (ResNet 4.1: they do not vanish).
    """
    classifier = network.classifier
    layers = [layer for layer in classifier.trunk.modules() if isinstance(layer, nn.Conv2d)]
    classifier.train().requires_grad_(True)
    try:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)  # dropout
            loss = F.cross_entropy(classifier(network.pixels(examples.images)), examples.labels)
        grads = torch.autograd.grad(loss, [layer.weight for layer in layers])
    finally:
        classifier.eval().requires_grad_(False)
    norms = [_norm(grad) for grad in grads]
    return Measured(
        {"first_to_last": norms[0] / norms[-1], "least": min(norms) / max(norms)}, {"gradient": _by_layer(norms)}
    )


def _norm(gradient: Tensor) -> float:
    return gradient.norm().item()


def _by_layer(numbers: list[float]) -> tuple[tuple[float, float], ...]:
    return tuple((float(layer), number) for layer, number in enumerate(numbers, start=1))
