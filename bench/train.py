"""Training end to end, from images to updated weights: `fit` on a run folder against the plain PyTorch loop people copy.

    python bench/train.py --cifar FOLDER    # CIFAR-10 as FOLDER/train/CLASS/*.png

ResNet-20 on CIFAR-10 in batches of 128, and GoogLeNet with its auxiliary heads on JPEG photos of about 500 pixels, made
from examples/, in batches of 16 at 224 pixels. The plain loop: torchvision's transforms on Pillow images, a DataLoader with
two worker processes, NCHW, eager, SGD, `.item()` each step. It is given CIFAR's pixels in memory, as torchvision's CIFAR10
holds them, and the same networks as we have: ResNet-20 as most people write it, with a new map for every ReLU and addition,
and besides with ours, which are in place; GoogLeNet besides with torch's own LRN in place of ours, and as torchvision's
(batch norm, 3x3 for 5x5). Both sides crop and flip alike and draw their own random numbers. They take turns in each round;
the first steps are not timed. Throughput is also given as the share of what this machine does in matrix products.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torchvision
from machine import write_figures
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from fourfold.data.augment import Flip
from fourfold.data.crops import AreaCrop
from fourfold.data.examples import Examples, decode
from fourfold.data.folder import list_folder
from fourfold.data.loader import Source
from fourfold.data.photos import AHEAD, Photos
from fourfold.images import Pixels
from fourfold.models.lrn import LocalResponseNorm
from fourfold.models.resnet import Residual
from fourfold.networks import build
from fourfold.papers.googlenet import GOOGLENET
from fourfold.papers.resnet import CIFAR
from fourfold.train.loop import Settings, Watchers, fit
from fourfold.train.recipe import Recipe
from fourfold.verbs import explain

EXAMPLES = Path(__file__).parents[1] / "examples"
AUXILIARY = 0.3  # GoogLeNet 5
WORKERS = 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, on both sides; they do not matter for time
IMAGENET = Pixels(mean=tuple(255 * value for value in MEAN), std=tuple(255 * value for value in STD))
TASKS = {
    "resnet20": replace(CIFAR, batch_size=128),
    "googlenet": replace(  # the plain loop has flips and bilinear windows alone, and keeps no mean of the weights
        GOOGLENET, batch_size=16, augment=(Flip(),), crop=AreaCrop(interpolations=("bilinear",)), average=0.0
    ),
}
TARGETS = {"resnet20": 1.35, "googlenet": 1.2}


@dataclass(frozen=True)
class Length:
    """Mini-batches that are not timed, and those that are."""

    warm_up: int
    timed: int

    def rate(self, ends: list[float], batch: int) -> float:
        """Images a second, from the times at which all mini-batches ended."""
        return self.timed * batch / (ends[-1] - ends[-1 - self.timed])


class InMemory(Dataset[tuple[Tensor, int]]):
    """Arrays that become Pillow images when they are asked for: what torchvision's CIFAR10 does."""

    def __init__(self, examples: Examples, transform: Callable[[Image.Image], Tensor]) -> None:
        self.arrays = examples.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = examples.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


def ours(name: str, source: Source, length: Length) -> list[float]:
    """Train as `fourfold train` does; the times at which mini-batches ended. Nothing else here knows how `fit` is called."""
    recipe = replace(TASKS[name], steps=length.warm_up + length.timed)
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        fit(
            build(name),
            IMAGENET,
            recipe,
            source,
            None,
            Path(folder),
            settings=Settings(seed=0),
            watchers=Watchers(step=lambda _moment: ends.append(time.perf_counter())),
        )
    return ends


def plain(
    network: nn.Module, forward: Callable[[Tensor], list[Tensor]], data: Dataset, recipe: Recipe, length: Length
) -> list[float]:
    """The loop of the tutorials; the times at which mini-batches ended."""
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    loader = DataLoader(data, recipe.batch_size, shuffle=True, num_workers=WORKERS, drop_last=True)
    network.train()
    ends: list[float] = []
    for images, labels in itertools.islice(loader, length.warm_up + length.timed):
        main, *auxiliary = forward(images)
        loss = F.cross_entropy(main, labels)
        for scores in auxiliary:
            loss = loss + AUXILIARY * F.cross_entropy(scores, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
        (main.argmax(1) == labels).float().mean().item()
        ends.append(time.perf_counter())
    return ends


def plain_ours(
    name: str, data: Dataset, length: Length, change: Callable[[nn.Module], None] = lambda _network: None
) -> list[float]:
    """Our network, changed or not, in the plain loop and in PyTorch's own layout."""
    network = build(name)
    TASKS[name].initialise(network, torch.Generator().manual_seed(0))
    change(network)
    return plain(network, network.all_scores, data, TASKS[name], length)


def _as_commonly_written(network: nn.Module) -> None:
    """out = F.relu(bn(conv(x))), out = F.relu(out + shortcut(x))"""
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        elif isinstance(module, Residual):
            module.join = lambda outputs: F.relu(outputs[0] + outputs[1])


def _replace_lrn(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, LocalResponseNorm):
            setattr(module, name, nn.LocalResponseNorm(child.size, child.alpha, child.beta, child.k))
        else:
            _replace_lrn(child)


def plain_torchvision(data: Dataset, length: Length) -> list[float]:
    """torchvision's GoogLeNet in the plain loop."""
    network = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)
    return plain(network, lambda images: list(network(images)), data, TASKS["googlenet"], length)


def make_photos(folder: Path, count: int) -> None:
    """JPEG photos of 500 pixels on the longer side, in a folder for each of the examples."""
    for path in sorted(EXAMPLES.glob("*.jpg")):
        with Image.open(path) as image:
            photo = image.convert("RGB")
        photo.thumbnail((520, 520))
        (folder / path.stem).mkdir()
        for number in range(-(-count // 8)):  # every copy is cut a little differently
            left, top = number % 20, number // 20 % 20
            cut = photo.crop((left, top, photo.width - 20 + left, photo.height - 20 + top))
            cut.save(folder / path.stem / f"{number:04d}.jpg", quality=90)


def matrix_peak() -> float:
    """The most float32 operations a second in a product of square matrices of 2048 to 4096."""
    best = 0.0
    for size in (2048, 3072, 4096):
        left, right = torch.randn(size, size), torch.randn(size, size)
        for _ in range(4):
            start = time.perf_counter()
            torch.matmul(left, right)
            best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def compare(name: str, sides: dict[str, Callable[[], list[float]]], rounds: int, length: Length) -> dict[str, object]:
    """Images a second of all sides, in turns, and by how much the first is faster than each other."""
    batch, operations = TASKS[name].batch_size, 6 * explain(name).multiply_adds  # forward, and two times that backward
    rates: dict[str, list[float]] = {side: [] for side in sides}
    peaks = []
    for turn in range(rounds):
        peaks.append(matrix_peak())
        for side, run in sides.items():
            rates[side].append(length.rate(run(), batch))
            print(f"{name}, round {turn + 1}: {side:28} {rates[side][-1]:8.1f} images/s", flush=True)
    peak = statistics.median(peaks)
    first, *others = sides
    figures: dict[str, object] = {
        "batch": batch,
        "rounds": rounds,
        "steps": {"not timed": length.warm_up, "timed": length.timed},
        "threads": torch.get_num_threads(),
        "matrix_product_gflops": round(peak / 1e9, 1),
        "images_per_second": {side: _spread(values) for side, values in rates.items()},
        "share_of_matrix_product": {
            side: round(statistics.median(values) * operations / peak, 3) for side, values in rates.items()
        },
        "times_faster": {
            side: _spread([mine / theirs for mine, theirs in zip(rates[first], rates[side], strict=True)]) for side in others
        },
        "target": TARGETS[name],
    }
    for side, ratio in figures["times_faster"].items():  # type: ignore[union-attr]
        print(f"{name}: {ratio['median']:.2f}x {side} ({ratio['min']:.2f} to {ratio['max']:.2f}; target {TARGETS[name]})")
    return figures


def _spread(values: Iterable[float]) -> dict[str, float]:
    values = list(values)
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def cifar(folder: Path, rounds: int, length: Length) -> dict[str, object]:
    """ResNet-20 on CIFAR-10."""
    examples, _ = decode(list_folder(folder / "train"), 32)
    steps = [transforms.RandomCrop(32, 4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    data = InMemory(examples, transforms.Compose([*steps, transforms.Normalize(MEAN, STD)]))
    sides = {
        "fourfold": lambda: ours("resnet20", examples, length),
        "plain loop": lambda: plain_ours("resnet20", data, length, _as_commonly_written),
        "plain loop, our network": lambda: plain_ours("resnet20", data, length),
    }
    return compare("resnet20", sides, rounds, length)


def photos(rounds: int, length: Length) -> dict[str, object]:
    """GoogLeNet on photos. There are more than all steps take, so that both sides read ahead to the end."""
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    batch = TASKS["googlenet"].batch_size
    with tempfile.TemporaryDirectory() as name:
        make_photos(Path(name), (length.warm_up + length.timed + 2) * batch + AHEAD)
        crop = TASKS["googlenet"].crop
        assert crop is not None
        source = Photos(list_folder(Path(name)), crop, WORKERS)
        data = torchvision.datasets.ImageFolder(name, transforms.Compose([*steps, transforms.Normalize(MEAN, STD)]))
        sides = {
            "fourfold": lambda: ours("googlenet", source, length),
            "plain loop, same network": lambda: plain_ours("googlenet", data, length),
            "plain loop, torch's LRN": lambda: plain_ours("googlenet", data, length, _replace_lrn),
            "plain loop, torchvision's": lambda: plain_torchvision(data, length),
        }
        return compare("googlenet", sides, rounds, length)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training against the plain PyTorch loop; writes bench/train.json.")
    parser.add_argument("--cifar", type=Path, required=True, help="folder with train/CLASS/*.png")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="timed mini-batches of ResNet-20 in a round")
    parser.add_argument("--photo-steps", type=int, default=8, help="timed mini-batches of GoogLeNet in a round")
    parser.add_argument("--only", choices=TASKS, help="leave the other task's figures as they are in train.json")
    given = parser.parse_args()
    runs: dict[str, Callable[[], dict[str, object]]] = {
        "resnet20": lambda: cifar(given.cifar, given.rounds, Length(12, given.steps)),
        "googlenet": lambda: photos(given.rounds, Length(4, given.photo_steps)),
    }
    kept = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8")) if given.only else {}
    figures: dict[str, object] = {
        name: kept[name] if given.only not in (None, name) else run() for name, run in runs.items()
    }
    write_figures("train", figures)


if __name__ == "__main__":
    main()
