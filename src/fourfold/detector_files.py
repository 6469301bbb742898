"""A detector in a folder: detector.json beside the network's files, svm.safetensors and boxes.safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from fourfold import catalog
from fourfold.catalog import ENTRY, Network
from fourfold.detect.box_regression import BoxRegression
from fourfold.detect.detector import BACKGROUND, Detector, Score, Softmax, SvmScore
from fourfold.detect.proposals import First, proposer_named
from fourfold.detect.propose import Propose
from fourfold.detect.regions import PooledRegions, Regions, WarpedRegions
from fourfold.detect.suppress import Suppress
from fourfold.detect.svm import LinearSvms
from fourfold.files import holds, write_text
from fourfold.weights import read_weights

DETECTOR, SVMS, BOXES = "detector.json", "svm.safetensors", "boxes.safetensors"


@dataclass(frozen=True)
class DetectorEntry:
    """What detector.json says: all of a detector but its tensors, and what is known of it.

    regions: {"pooled": {"scales": [...]}} or {"warped": {"context": 16}}. scores: "svm" or "softmax". refines: whether boxes
    are moved. found: results on validation images. deviations: from the paper.
    """

    method: str
    regions: Mapping[str, Mapping[str, Any]]
    proposals: str
    count: int
    scores: str
    refines: bool
    suppress: Mapping[str, Any]
    thresholds: tuple[float, ...]
    found: Mapping[str, Any]
    deviations: tuple[str, ...] = ()


def is_detector(source: str | Path) -> bool:
    """Whether a folder holds a detector."""
    return holds(source, DETECTOR)


def write_detector_entry(folder: Path, entry: DetectorEntry) -> None:
    """Write detector.json, which makes the folder a detector; so it is written last."""
    write_text(folder / DETECTOR, json.dumps(asdict(entry), indent=2) + "\n")


def read_detector_entry(folder: Path) -> DetectorEntry:
    """Raises ValueError where the folder holds no detector, or its file is damaged."""
    path = folder / DETECTOR
    if not folder.exists():
        hint = (
            " That is the name of a classifier: `fourfold classify` takes it."
            if str(folder) in catalog.weight_names()
            else ""
        )
        raise ValueError(f"no folder {folder}; give one that `fourfold train-detector` made.{hint}")
    if not path.is_file():
        hint = " It holds a classifier: `fourfold classify` takes that." if (folder / ENTRY).is_file() else ""
        raise ValueError(f"{folder} holds no detector, for it has no {DETECTOR}; train one with train-detector.{hint}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        entry = DetectorEntry(**record)
        lists = {"thresholds": tuple(map(float, entry.thresholds)), "deviations": tuple(map(str, entry.deviations))}
        return replace(entry, **lists)
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it or train again") from error


def load_detector(source: str | Path, *, proposals: str | None = None, count: int | None = None) -> Detector:
    """The detector in a folder; `proposals` and `count` ask for others than it was trained with.

    Raises ValueError where there is none, or one of its files is damaged.
    """
    folder = Path(source)
    entry = read_detector_entry(folder)
    network = catalog.load(folder)
    try:
        regions, suppress = regions_from(entry.regions), Suppress(**entry.suppress)
        if network.labels[-1] != BACKGROUND or len(entry.thresholds) not in (0, len(network.labels) - 1):
            raise ValueError(f"{len(entry.thresholds)} thresholds for the classes {', '.join(network.labels)}")
        if entry.scores not in ("svm", "softmax") or not isinstance(entry.count, int):
            raise ValueError(f"scores by {entry.scores!r} of {entry.count!r} proposals")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / DETECTOR} is damaged ({error}); restore it or train again") from error
    regions.check(network)
    return Detector(
        network,
        propose_as(entry.proposals if proposals is None else proposals, entry.count if count is None else count),
        regions,
        _score(entry, folder, network),
        _tensors(folder / BOXES, BoxRegression.from_tensors, network) if entry.refines else None,
        suppress,
        entry.thresholds,
        folder.resolve().name,
    )


def propose_as(proposals: str, count: int) -> Propose:
    """The likeliest `count` proposals of a kind given by name."""
    return First(proposer_named(proposals), count)


def regions_record(regions: Regions) -> dict[str, dict[str, Any]]:
    """Regions as detector.json has them."""
    if isinstance(regions, PooledRegions):
        return {"pooled": {"scales": list(regions.scales)}}
    assert isinstance(regions, WarpedRegions), "there are two kinds of regions"
    return {"warped": {"context": regions.context}}


def regions_from(record: Mapping[str, Mapping[str, Any]]) -> Regions:
    """The inverse of `regions_record`. Raises ValueError or TypeError for what it never writes."""
    ((kind, fields),) = record.items()
    if kind == "pooled":
        return PooledRegions(tuple(fields["scales"]))
    if kind == "warped":
        return WarpedRegions(**fields)
    raise ValueError(f"no regions of kind {kind!r}")


def _score(entry: DetectorEntry, folder: Path, network: Network) -> Score:
    if entry.scores == "softmax":
        return Softmax()
    return SvmScore(_tensors(folder / SVMS, LinearSvms.from_tensors, network))


Made = TypeVar("Made", LinearSvms, BoxRegression)


def _tensors(path: Path, make: Callable[[Mapping[str, Tensor]], Made], network: Network) -> Made:
    tensors = read_weights(path)
    try:
        made = make(tensors)
        if len(made.weights) != len(network.labels) - 1:
            raise ValueError(f"it is of {len(made.weights)} classes, the network of {len(network.labels) - 1}")
        return made
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it or train again") from error
