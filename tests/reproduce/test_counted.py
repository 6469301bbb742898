"""Counts of whole networks and of parts, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fourfold.networks import build
from fourfold.reproduce.claim import Scene
from fourfold.reproduce.counted import Counted, depth_of
from fourfold.reproduce.effort import SMOKE_EFFORT

SCENE = Scene("smoke", SMOKE_EFFORT, None, Path())


def test_the_5x5_branch_of_3a_costs_what_the_paper_says() -> None:
    """120.4 and 12.4 million: 28 x 28 cells, 192 inputs, 32 filters of 5x5, or 16 of 1x1 before them (GoogLeNet 2)."""
    naive = Counted("googlenet-naive", part="inception_3a.branch5").measure(SCENE, 0).values
    reduced = Counted("googlenet", part="inception_3a.branch5").measure(SCENE, 0).values
    assert naive["multiply_adds"] == 28 * 28 * 25 * 192 * 32
    assert reduced["multiply_adds"] == 28 * 28 * (192 * 16 + 25 * 16 * 32)
    assert reduced["parameters"] == 192 * 16 + 16 + 25 * 16 * 32 + 32


def test_options_and_sizes_count() -> None:
    whole = Counted("zf5").measure(SCENE, 0).values
    assert whole["parameters"] == 62_357_608
    assert Counted("zf5", {"levels": [4, 3, 2, 1]}).measure(SCENE, 0).values["parameters"] == 56_066_152
    at_224, at_180 = (Counted("zf5-spp", size=size).measure(SCENE, 0).values for size in (224, 180))
    assert at_224["parameters"] == at_180["parameters"]
    assert at_224["multiply_adds"] > at_180["multiply_adds"]
    assert Counted("googlenet").measure(SCENE, 0).values["auxiliary_parameters"] == 3_188_840 + 3_190_888


@pytest.mark.parametrize(
    ("network", "depth"),
    [("vgg-a", 11), ("vgg-b", 13), ("vgg-d", 16), ("vgg-e", 19), ("googlenet", 22), ("alexnet", 8)]
    + [(f"resnet{depth}", depth) for depth in (18, 34, 50, 101, 152, 20, 110)]
    + [("plain20", 20), ("plain34", 34)],
)
def test_the_depth_is_the_name(network: str, depth: int) -> None:
    with torch.device("meta"):
        built = build(network)
    assert depth_of(built.trunk) + depth_of(built.head) == depth


def test_the_record_tells_arms_apart_and_is_the_same_at_every_budget() -> None:
    arms = [Counted("zf5"), Counted("zf5", size=180), Counted("zf5", part="conv1"), Counted("zf5", {"width": 0.5})]
    records = [str(arm.record(SCENE)) for arm in arms]
    assert len(set(records)) == 4
    assert Counted("zf5").is_exact
    assert not Counted("zf5").needs_images
