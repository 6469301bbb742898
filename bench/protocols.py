"""Test protocols that share the network's maps, against the same views each shown by itself; writes bench/protocols.json.

    python bench/protocols.py --json

One photo of 500x375, random weights, one process. SPP-net's 96 views (`views96`, zf5-spp): pooled from the maps of six
scales; the same 96 cut out and shown in batches, as our `Crops` does; and one at a time, each with its own resize, as people
write it. VGG's dense evaluation against its multi-crop evaluation at the same scales (`dense` and `grid50`, `dense3` and
`grid150`, vgg-d). The sides take turns in each round, and the first round is not timed. Beside each ratio of times stands
that of the multiply-adds, counted from the sizes of maps alone: what could be had at best if all were equally fast.

Views on maps see what lies around them where crops see padding, so that the two do not agree exactly; how far they do is
counted on all photos of examples/. With random weights that says little of accuracy.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torchvision.transforms.v2.functional as transforms
from machine import write_figures
from torch import Tensor, nn

from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.evaluate.crops import Crops
from fourfold.evaluate.protocol import Protocol
from fourfold.evaluate.views import NINE
from fourfold.images import read_image, resize
from fourfold.models.base import Classifier
from fourfold.networks import build
from fourfold.papers.protocols import PROTOCOLS, protocol_named
from fourfold.train.initialise import He

EXAMPLES = Path(__file__).parents[1] / "examples"
SIZE = 224  # the side of the papers' crops
PHOTO = (375, 500)  # height and width of a usual photo of ImageNet
TARGETS = {"views96": 8.0, "dense": 3.0, "dense3": 3.0}  # times faster than the crops
SIX = PROTOCOLS["views96"].scales


def make(name: str, width: float) -> Network:
    """A network with random weights of a size with which its answers differ."""
    classifier = build(name, width=width)
    He()(classifier, torch.Generator().manual_seed(0))
    classifier = classifier.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    labels = tuple(map(str, range(1000)))
    return Network(classifier, PIXELS["imagenet"], labels, ModelEntry(name=name, network=name))


@torch.inference_mode()
def one_by_one(network: Network, protocol: Crops, image: Tensor) -> Tensor:
    """The loop that people write: for each view scale the photo, cut, mirror, ask; posteriors (1,K) averaged."""
    total = torch.zeros(1, len(network.labels))
    views = protocol.views(image.shape[1], image.shape[2])
    for view in views:
        scaled = transforms.resize(image, [min(view.scaled)], antialias=True)
        crop = transforms.crop(scaled, view.top, view.left, view.height, view.width)
        shown = transforms.hflip(crop) if view.is_mirrored else crop
        total += network.classifier(network.pixels(shown[None])).softmax(1)
    return total / len(views)


def seconds(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round but the first; the calls take turns, so that a slow moment meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, call in sides.items():
            start = time.perf_counter()
            call()
            if turn > 0:
                times[name].append(time.perf_counter() - start)
                print(f"round {turn}: {name:32} {times[name][-1]:8.3f} s", flush=True)
    return times


def trunk_costs(classifier: Classifier, height: int, width: int) -> tuple[int, tuple[int, int]]:
    """Multiply-adds of the trunk on one image of height x width, and the rows and columns of its map."""
    counted = [0]

    def count(layer: nn.Module, _given: object, maps: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        counted[0] += layer.weight.numel() * maps.shape[2] * maps.shape[3]

    hooks = [layer.register_forward_hook(count) for layer in classifier.trunk.modules() if isinstance(layer, nn.Conv2d)]
    maps = classifier.trunk(torch.empty(1, 3, height, width, device="meta"))
    for hook in hooks:
        hook.remove()
    return counted[0], (maps.shape[2], maps.shape[3])


def fc_costs(classifier: Classifier) -> int:
    """Multiply-adds of the fc layers for one view."""
    return sum(layer.weight.numel() for layer in classifier.head.fc if isinstance(layer, nn.Linear))


def costs(name: str, width: float, protocol: Protocol, *, fc_for_each: str) -> int:
    """Multiply-adds of a protocol on the photo.

    fc_for_each: "crop" where every view runs the whole network, "view" where views share their scale's maps, and "place"
    where the fc layers run at every place of a map.
    """
    with torch.device("meta"):
        classifier = build(name, width=width).eval()
    fc, views = fc_costs(classifier), protocol.views(*PHOTO)
    if fc_for_each == "crop":
        return len(views) * (trunk_costs(classifier, SIZE, SIZE)[0] + fc)
    maps = {(view.scaled, view.is_mirrored) for view in views}
    total = len(views) * fc if fc_for_each == "view" else 0
    for (height, width_), _ in maps:
        trunk, (rows, columns) = trunk_costs(classifier, height, width_)
        side = classifier.head.side
        total += trunk + (fc * (rows - side + 1) * (columns - side + 1) if fc_for_each == "place" else 0)
    return total


def agreement(network: Network, one: Protocol, other: Protocol, images: Sequence[Tensor]) -> dict[str, float]:
    """How far two protocols agree on images: share of the same first class, and differences of posteriors."""
    ours, theirs = one(network, images), other(network, images)
    logs = torch.stack([ours.log().flatten(), theirs.log().flatten()])
    return {
        "images": len(images),
        "same_top1": round((ours.argmax(1) == theirs.argmax(1)).float().mean().item(), 4),
        "top1_in_the_others_top5": round(
            (ours.argmax(1)[:, None] == theirs.topk(5).indices).any(1).float().mean().item(), 4
        ),
        "largest_difference_of_posteriors": (ours - theirs).abs().max().item(),
        "largest_posterior": theirs.max().item(),
        "correlation_of_log_posteriors": round(torch.corrcoef(logs)[0, 1].item(), 4),
    }


def compare(title: str, sides: dict[str, tuple[Callable[[], object], int]], rounds: int, target: float) -> dict[str, object]:
    """Times and multiply-adds of the first side against each other; sides hold a call and its multiply-adds."""
    times = seconds({f"{title}: {name}": call for name, (call, _) in sides.items()}, rounds)
    medians = {name: statistics.median(times[f"{title}: {name}"]) for name in sides}
    first, *others = sides
    ratios = {
        name: {
            "times_faster": _spread(
                [theirs / mine for mine, theirs in zip(times[f"{title}: {first}"], times[f"{title}: {name}"], strict=True)]
            ),
            "times_fewer_multiply_adds": round(sides[name][1] / sides[first][1], 2),
        }
        for name in others
    }
    for name, ratio in ratios.items():
        print(f"{first} against {name}: {ratio['times_faster']}, by multiply-adds {ratio['times_fewer_multiply_adds']}")
    return {
        "median_seconds": {name: round(value, 4) for name, value in medians.items()},
        "giga_multiply_adds": {name: round(count / 1e9, 2) for name, (_, count) in sides.items()},
        "against": ratios,
        "target": target,
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


def views(photo: Tensor, others: Sequence[Tensor], width: float, rounds: int) -> dict[str, object]:
    """SPP-net's 96 views on maps, and the same cut out."""
    name = "zf5-spp"
    network = make(name, width)
    maps, crops = protocol_named("views96", SIZE), Crops(SIX, SIZE, NINE)
    assert maps.views(*PHOTO) == crops.views(*PHOTO)
    one_at_a_time = functools.partial(one_by_one, network, crops, photo)
    torch.testing.assert_close(crops(network, [photo]), one_at_a_time(), rtol=0, atol=1e-4)
    cost = costs(name, width, crops, fc_for_each="crop")
    sides: dict[str, tuple[Callable[[], object], int]] = {
        "views96": (lambda: maps(network, [photo]), costs(name, width, maps, fc_for_each="view")),
        "crops in batches": (lambda: crops(network, [photo]), cost),
        "crops one by one": (one_at_a_time, cost),
    }
    figures = compare(name, sides, rounds, TARGETS["views96"])
    agreed = agreement(network, maps, crops, others)
    print("views96 and crops:", agreed)
    return {"network": name, "width": width, "views": len(maps.views(*PHOTO)), **figures, "agreement": agreed}


def dense(name: str, pair: tuple[str, str], photo: Tensor, width: float, rounds: int) -> dict[str, object]:
    """VGG's dense evaluation, and its grid of crops at the same scales."""
    network = make(name, width)
    whole, grid = (protocol_named(each, SIZE) for each in pair)
    sides: dict[str, tuple[Callable[[], object], int]] = {
        pair[0]: (lambda: whole(network, [photo]), costs(name, width, whole, fc_for_each="place")),
        pair[1]: (lambda: grid(network, [photo]), costs(name, width, grid, fc_for_each="crop")),
    }
    figures = compare(name, sides, rounds, TARGETS[pair[0]])
    agreed = agreement(network, whole, grid, [photo])
    print(f"{pair[0]} and {pair[1]}:", agreed)
    return {"network": name, "width": width, "crops": len(grid.views(*PHOTO)), **figures, "agreement": agreed}


def main() -> None:
    parser = argparse.ArgumentParser(description="Views on shared maps against crops.")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    parser.add_argument("--grid-rounds", type=int, default=3, help="timed rounds of dense3 and grid150, which take longest")
    parser.add_argument("--vgg", default="vgg-d", choices=("vgg-a", "vgg-d", "vgg-e"))
    parser.add_argument("--width", type=float, default=1.0, help="of the networks; below 1 for a trial alone")
    parser.add_argument("--json", action="store_true", help="write bench/protocols.json")
    given = parser.parse_args()
    others = [read_image(path) for path in sorted(EXAMPLES.glob("*.jpg"))]
    photo = resize(others[0], *PHOTO)
    figures: dict[str, object] = {
        "photo": {"height": PHOTO[0], "width": PHOTO[1]},
        "threads": torch.get_num_threads(),
        "rounds": {"views96": given.rounds, "dense": given.rounds, "dense3": given.grid_rounds},
        "views96": views(photo, others, given.width, given.rounds),
        "dense": dense(given.vgg, ("dense", "grid50"), photo, given.width, given.rounds),
        "dense3": dense(given.vgg, ("dense3", "grid150"), photo, given.width, given.grid_rounds),
    }
    if given.json:
        write_figures("protocols", figures)


if __name__ == "__main__":
    main()
