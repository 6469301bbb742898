"""The papers' test protocols by name, for a network of any input size.

The papers state scales for inputs of 224 pixels; for a network of another input size they are in proportion. Where a paper
says S, the training scale, its 256 is meant; other scales can be given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fourfold.catalog import Network
from fourfold.data.crops import INPUT
from fourfold.evaluate.crops import Crops
from fourfold.evaluate.map_views import MapViews
from fourfold.evaluate.protocol import Average, Protocol
from fourfold.evaluate.views import CENTRE, GRID, NINE, TEN, TEN_WHOLE, THREE_SQUARES
from fourfold.evaluate.whole import Dense, FullImage
from fourfold.images import view_scale
from fourfold.networks import closest

Scales = tuple[int, ...]
ALL = "all"


@dataclass(frozen=True)
class Named:
    """Where a protocol is from, its scales for inputs of 224 pixels, and how it is made from scales and an input size."""

    source: str
    scales: Scales
    make: Callable[[Scales, int], Protocol]


PROTOCOLS: Mapping[str, Named] = {
    "single": Named("ResNet Figure 4", (256,), lambda scales, size: Crops(scales, size, CENTRE, are_mirrored=False)),
    "ten": Named("AlexNet 4.1, ResNet 3.4", (256,), lambda scales, size: Crops(scales, size, TEN)),
    "ten-whole": Named("SPP-net 3.1", (256,), lambda scales, size: Crops(scales, size, TEN_WHOLE)),
    "dense": Named("VGG Table 3, S = 256", (256,), Dense),
    "dense-places": Named("VGG Table 3, S = 256", (256,), lambda scales, size: Dense(scales, size, softmax_first=True)),
    "dense3": Named("VGG Table 4, S in [256; 512]", (256, 384, 512), Dense),
    "dense3-fixed": Named("VGG Table 4, S = 256", (224, 256, 288), Dense),
    "dense5": Named("ResNet 3.4", (224, 256, 384, 480, 640), Dense),
    "grid50": Named("VGG 3.2", (256,), lambda scales, size: Crops(scales, size, GRID)),
    "grid150": Named("VGG Table 5", (256, 384, 512), lambda scales, size: Crops(scales, size, GRID)),
    "crops144": Named("GoogLeNet 7", (256, 288, 320, 352), lambda scales, size: Crops(scales, size, THREE_SQUARES)),
    "crops144-max": Named(
        "GoogLeNet 7",
        (256, 288, 320, 352),
        lambda scales, size: Crops(scales, size, THREE_SQUARES, combine="max"),
    ),
    "full": Named("SPP-net Table 3", (256,), FullImage),
    "ten-maps": Named("SPP-net 3.1.2", (256,), lambda scales, size: MapViews(scales, size, TEN_WHOLE)),
    "views96": Named(
        "SPP-net 3.1.3",
        (224, 256, 300, 360, 448, 560),
        lambda scales, size: MapViews(scales, size, NINE),
    ),
    "views98": Named(
        "SPP-net Table 4",
        (224, 256, 300, 360, 448, 560),
        lambda scales, size: MapViews(scales, size, NINE, whole_at=_whole_at(scales, size)),
    ),
}


def protocol_named(name: str, size: int, scales: Sequence[int] | None = None) -> Protocol:
    """A protocol of PROTOCOLS for networks that read size x size pixels; names joined by + give the mean of theirs.

    scales: shorter sides in pixels, in place of the paper's; for every part of the name. Raises ValueError for a name that
    there is not, and for a scale smaller than `size`.
    """
    parts = [part.strip() for part in name.split("+")]
    for part in parts:
        if part not in PROTOCOLS:
            raise ValueError(f"no protocol {part!r}{closest(part, PROTOCOLS)}; choose from {', '.join(PROTOCOLS)}")
    made = tuple(PROTOCOLS[part].make(_scales(part, size, scales), size) for part in parts)
    return made[0] if len(made) == 1 else Average(made)


def names_for(network: Network) -> list[str]:
    """The names of PROTOCOLS that the network can be asked by, in their order."""
    size = network.classifier.input_size
    return [name for name in PROTOCOLS if _takes(network, protocol_named(name, size))]


def scale_for(scale: int, size: int) -> int:
    """A paper's scale for another input size, in proportion; 227 pixels are AlexNet's 224."""
    return scale if size in (INPUT, 227) else round(scale * size / INPUT)


def _scales(name: str, size: int, given: Sequence[int] | None) -> Scales:
    if given is not None:
        return tuple(given)
    if name == "single":
        return (view_scale(size),)
    return tuple(max(size, scale_for(scale, size)) for scale in PROTOCOLS[name].scales)


def _whole_at(scales: Scales, size: int) -> int:
    """Of the scales the one that the full image has: 256, or of other scales the nearest to it."""
    return min(scales, key=lambda scale: abs(scale - scale_for(256, size)))


def _takes(network: Network, protocol: Protocol) -> bool:
    try:
        protocol.check(network)
    except ValueError:
        return False
    return True
