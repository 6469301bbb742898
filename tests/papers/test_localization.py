"""VGG's localizers have the paper's numbers; the modern one has a length that follows from the data."""

from __future__ import annotations

import pytest
import torch

from fourfold.localize.regressor import with_boxes
from fourfold.networks import build
from fourfold.papers.localization import LOCALIZERS, localizer_named, modern_steps, scale_of
from fourfold.train.schedule import Progress

PAPER = [name for name in LOCALIZERS if name.startswith("vgg")]


def test_the_rows_of_tables_8_and_9_are_there() -> None:
    rows = {(each.per_class, each.layers, each.scale) for each in map(localizer_named, PAPER)}
    assert rows >= {(False, "fc", 384), (True, "fc", 384), (True, "all", 384), (True, "all", 256)}
    assert len(rows) == len(PAPER)


@pytest.mark.parametrize("name", PAPER)
def test_training_is_that_of_the_classifier_from_a_rate_of_a_thousandth(name: str) -> None:
    method = localizer_named(name)
    rates = [method.rate(Progress(step, method.steps)) for step in range(0, method.steps, 1000)]
    assert rates[0] == 1e-3
    assert sorted({float(f"{rate:.6g}") for rate in rates}) == [1e-6, 1e-5, 1e-4, 1e-3]
    assert (method.batch_size, method.momentum, method.weight_decay, method.steps) == (256, 0.9, 5e-4, 370_000)
    assert ("PCR" in method.source) == method.per_class
    assert ("fc" in method.source) == (method.layers == "fc")
    assert str(method.scale) in method.source


def test_a_name_that_is_none_gets_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no localizer 'vgg-pc'; closest are vgg-pcr.*there are modern, vgg-pcr, vgg-p"):
        localizer_named("vgg-pc")


@pytest.mark.parametrize(("classes", "parameters"), [(1000, 150_648_544), (1, 134_276_932)])
def test_vgg_d_has_the_parameters_of_its_last_layer(classes: int, parameters: int) -> None:
    with torch.device("meta"):
        found = with_boxes(build("vgg-d"), classes, "vgg-d")
    assert sum(each.numel() for each in found.parameters()) == parameters


@pytest.mark.parametrize(("size", "scale"), [(224, 384), (227, 384), (32, 55), (112, 192)])
def test_scales_are_in_proportion_to_the_input_size(size: int, scale: int) -> None:
    assert scale_of(localizer_named("vgg-pcr"), size) == scale


def test_the_modern_training_follows_the_data_within_bounds() -> None:
    steps = [modern_steps(images) for images in (1, 240, 1000, 2000, 10**6)]
    assert steps == sorted(steps)
    assert steps[3] == 2 * steps[2], "each image is seen as often"
    assert steps[0] == modern_steps(0)
    assert steps[4] == modern_steps(10**7)
