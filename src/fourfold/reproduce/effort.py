"""How much an experiment may cost: images, passes, seeds, and how wide networks are, at each budget."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.train.recipe import Budget

SMOKE, CPU, GPU, PAPER = "smoke", "cpu", "gpu", "paper"
BUDGETS = {
    SMOKE: "made images and tiny networks, seconds: shows that everything runs, and nothing else",
    CPU: "a part of CIFAR-10, narrow networks and few passes: minutes to hours on two cores",
    GPU: "all of CIFAR-10, the papers' widths, and their recipes at full length",
    PAPER: "ImageNet, as printed: gives the commands and their cost, and runs nothing",
}


@dataclass(frozen=True)
class Effort:
    """How far the trainings of an experiment go.

    train_images, val_images: at most so many of the data's. epochs: passes, or None for as many as the recipe's.
    batch_size: None for the recipe's.
    """

    train_images: int
    val_images: int
    epochs: float | None
    seeds: int
    batch_size: int | None = None

    @property
    def length(self) -> Budget:
        """For `Recipe.fitted`."""
        return Budget(epochs=self.epochs)


SMOKE_EFFORT = Effort(train_images=20, val_images=10, epochs=0.5, seeds=2, batch_size=10)
# ours: batches of 32 in place of 128 or 256 give several times as many updates of so few images
CPU_EFFORT = Effort(train_images=10_000, val_images=2_000, epochs=12, seeds=3, batch_size=32)
# ours: 9,375 updates; of 1,872 (10,000 images) deeper VGG nets had hardly left chance: 53 % of error with A, 80 with E
CPU_VGG = Effort(train_images=20_000, val_images=2_000, epochs=15, seeds=3, batch_size=32)
# ours: 9,360 updates; of 3,744 (12 epochs) ResNet-56, slow to begin, had not come up with ResNet-20: 33 for 31 % at epoch 9
CPU_RESNET = Effort(train_images=20_000, val_images=5_000, epochs=30, seeds=3, batch_size=64)
GPU_EFFORT = Effort(train_images=50_000, val_images=10_000, epochs=None, seeds=3)
