"""The recipe of AlexNet 4.1 and 5 as the paper prints it."""

from __future__ import annotations

import pytest
import torch

from fourfold.data.crops import CentralCrop
from fourfold.papers.alexnet import ALEXNET
from fourfold.train.initialise import Gaussian
from fourfold.train.schedule import Progress


def test_the_numbers_of_the_paper() -> None:
    assert (ALEXNET.batch_size, ALEXNET.momentum, ALEXNET.weight_decay) == (128, 0.9, 5e-4)
    assert ALEXNET.epochs == pytest.approx(90, abs=0.01)
    assert ALEXNET.initialise == Gaussian(0.01, ones=("conv2", "conv4", "conv5", "fc6", "fc7"))


def test_the_rate_falls_three_times_by_ten_while_the_error_stands_still() -> None:
    curve = [ALEXNET.rate(Progress(0, ALEXNET.steps, val_errors=(0.4,) * count)) for count in range(91)]

    assert sorted({round(rate, 9) for rate in curve}) == [0.00001, 0.0001, 0.001, 0.01]
    assert curve[0] == 0.01


def test_windows_are_of_the_central_square_and_images_are_flipped_and_their_colours_shifted() -> None:
    assert ALEXNET.crop == CentralCrop(256)
    assert [type(step).__name__ for step in ALEXNET.augment] == ["Flip", "ColourShift"]


def test_the_mean_of_every_pixel_is_subtracted() -> None:
    images = torch.randint(0, 256, (9, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    values = ALEXNET.pixels(images)(images)

    torch.testing.assert_close(values, (images.double() - images.double().mean(0)).float(), rtol=0, atol=1e-4)
