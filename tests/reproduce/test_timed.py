"""What is timed is done, and scaled to the whole; how long it takes is not tested."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fourfold.catalog import Network
from fourfold.detect.regions import PooledRegions, Regions, WarpedRegions
from fourfold.reproduce.claim import Scene
from fourfold.reproduce.effort import CPU_EFFORT, SMOKE_EFFORT
from fourfold.reproduce.timed import PHOTO, Answer, Describe, Forward, Timed, Work
from fourfold.reproduce.trained import digest

SMOKE = Scene("smoke", SMOKE_EFFORT, None, Path())
CPU = Scene("cpu", CPU_EFFORT, None, Path())


@dataclass(frozen=True)
class Counting(Work):
    """Notes what it is given, and takes no time."""

    times: float
    seen: list[tuple[Network, Tensor, bool]] = field(default_factory=list)

    def do(self, network: Network, photo: Tensor, is_small: bool) -> float:
        self.seen.append((network, photo, is_small))
        return self.times


def test_work_is_done_once_untimed_and_once_timed_on_a_photo_that_the_seed_decides() -> None:
    work = Counting(5.0)
    found = Timed("resnet20", work).measure(CPU, 1)
    again = Counting(1.0)
    Timed("resnet20", again).measure(CPU, 1)
    assert len(work.seen) == 2
    network, photo, is_small = work.seen[0]
    assert photo.shape == (3, *PHOTO)
    assert not is_small
    assert not network.classifier.training
    assert torch.equal(photo, again.seen[0][1])
    other = again.seen[0][0].classifier.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in network.classifier.state_dict().items())
    assert found.values["seconds"] == pytest.approx(5 * found.seconds)


def test_smoke_is_small_and_other_budgets_are_as_wide_as_printed() -> None:
    work = Counting(1.0)
    Timed("resnet20", work, {"shortcut": "A"}).measure(SMOKE, 0)
    Timed("resnet20", work, {"shortcut": "A"}).measure(CPU, 0)
    (small, photo, is_small), (large, _, _) = work.seen[0], work.seen[2]
    assert is_small
    assert photo.shape[1] < PHOTO[0]
    assert small.classifier.state_dict()["trunk.conv1.weight"].shape[0] == 1
    assert large.classifier.state_dict()["trunk.conv1.weight"].shape[0] == 16


def test_the_generator_of_others_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Timed("resnet20", Counting(1.0)).measure(CPU, 7)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("work", "whole"),
    [
        (Forward(images=3), 3.0),
        (Answer("ten-maps"), 1.0),
        (Describe(PooledRegions((120,))), 1.0),
        (Describe(WarpedRegions(), timed=500), 4.0),
        (Describe(PooledRegions((120,)), fc="relu7"), 1.0),
    ],
)
def test_every_work_can_be_done(work: Work, whole: float) -> None:
    seen = Counting(1.0)
    Timed("zf5-spp", seen).measure(SMOKE, 0)
    network, photo, _ = seen.seen[0]
    assert work.do(network, photo, True) == whole


def test_regions_are_described_as_many_as_asked() -> None:
    @dataclass(frozen=True)
    class Noting(Regions):
        boxes: list[Tensor]

        def pooled(self, network: Network, image: Tensor, boxes: Tensor) -> Tensor:  # noqa: ARG002
            self.boxes.append(boxes)
            return torch.zeros(len(boxes), 4)

        def check(self, network: Network) -> None: ...

    seen: list[Tensor] = []
    work = Counting(1.0)
    Timed("resnet20", work).measure(SMOKE, 0)
    network, photo, _ = work.seen[0]
    Describe(Noting(seen), timed=100).do(network, photo, False)
    Describe(Noting(seen), timed=100).do(network, photo, True)
    assert [len(boxes) for boxes in seen] == [100, 8]
    height, width = photo.shape[-2:]
    for boxes in seen:
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        assert (boxes >= 0).all()
        assert (boxes[:, [0, 2]] <= width).all()
        assert (boxes[:, [1, 3]] <= height).all()
        assert boxes[:, 2].max() > height, "boxes reach over the whole width"


def test_the_record_tells_arms_apart_and_is_not_kept() -> None:
    arms = [
        Timed("zf5", Forward()),
        Timed("zf5", Forward(2)),
        Timed("zf5", Answer("ten")),
        Timed("zf5-spp", Forward()),
        Timed("zf5", Forward(), {"levels": [2, 1]}),
        Timed("zf5-spp", Describe(WarpedRegions())),
        Timed("zf5-spp", Describe(WarpedRegions(), fc="relu7")),
        Timed("zf5-spp", Describe(PooledRegions())),
    ]
    assert len({digest(arm.record(CPU)) for arm in arms}) == len(arms)
    assert digest(arms[0].record(CPU)) != digest(arms[0].record(SMOKE))
    assert not arms[0].is_kept
    assert not arms[0].needs_images
