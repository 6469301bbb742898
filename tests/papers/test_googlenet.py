"""The recipe of GoogLeNet 6, with Caffe's numbers where the paper has none."""

from __future__ import annotations

import pytest

from fourfold.data.crops import AreaCrop
from fourfold.papers.googlenet import GOOGLENET
from fourfold.train.initialise import Xavier
from fourfold.train.schedule import Progress

EPOCH = 1_281_167 / 32  # mini-batches


@pytest.mark.parametrize(("epoch", "falls"), [(0, 0), (7.9, 0), (8.1, 1), (15.9, 1), (16.1, 2), (100, 12), (249.7, 31)])
def test_the_rate_falls_by_four_per_cent_every_eight_epochs(epoch: float, falls: int) -> None:
    rate = GOOGLENET.rate(Progress(round(epoch * EPOCH), GOOGLENET.steps))

    assert rate == pytest.approx(0.01 * 0.96**falls, rel=1e-12)


@pytest.mark.parametrize(("step", "falls"), [(319_999, 0), (320_000, 1), (639_999, 1), (640_000, 2), (9_920_000, 31)])
def test_caffes_320_000_mini_batches_are_the_eight_epochs(step: int, falls: int) -> None:
    assert GOOGLENET.rate(Progress(step, 10_000_000)) == pytest.approx(0.01 * 0.96**falls, rel=1e-12)


def test_the_numbers_of_the_paper_and_of_caffe() -> None:
    assert GOOGLENET.momentum == 0.9
    assert (GOOGLENET.batch_size, GOOGLENET.steps, GOOGLENET.weight_decay) == (32, 10_000_000, 2e-4)
    assert GOOGLENET.epochs == pytest.approx(250, abs=0.5)
    assert GOOGLENET.initialise == Xavier(bias=0.2)
    assert not GOOGLENET.decays_all
    assert 0.99 < GOOGLENET.average < 1  # Polyak


def test_windows_have_eight_to_a_hundred_per_cent_of_the_area_and_one_of_four_interpolations() -> None:
    assert GOOGLENET.crop == AreaCrop(
        area=(0.08, 1.0), aspect=(0.75, 4 / 3), interpolations=("bilinear", "area", "nearest", "cubic")
    )
    assert {type(step).__name__ for step in GOOGLENET.augment} == {"Flip", "Photometric", "ColourShift"}


def test_what_cannot_be_as_in_the_paper_is_said() -> None:
    text = " ".join(GOOGLENET.deviations)

    assert "synchronous" in text
    assert "asynchronous" in text
    assert "biases" in text
