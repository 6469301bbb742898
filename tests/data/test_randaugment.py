"""RandAugment's operations, their strengths and their frequencies, against torchvision's on Pillow images."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import autoaugment as theirs

from fourfold.data.dice import dice_for
from fourfold.data.randaugment import OPERATIONS, RandAugment

NAMES = {  # torchvision's
    "identity": "Identity",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
    "rotate": "Rotate",
    "solarize": "Solarize",
    "colour": "Color",
    "posterize": "Posterize",
    "contrast": "Contrast",
    "brightness": "Brightness",
    "sharpness": "Sharpness",
    "shear x": "ShearX",
    "shear y": "ShearY",
    "translate x": "TranslateX",
    "translate y": "TranslateY",
}
HEIGHT, WIDTH = 40, 53


def photo() -> Tensor:
    """(1,3,H,W): lopsided and coloured, so that every operation changes it in its own way."""
    generator = torch.Generator().manual_seed(4)
    coarse = torch.rand(1, 3, 3, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear")
    return (30 + 170 * smooth + 20 * torch.rand(smooth.shape, generator=generator)).to(torch.uint8)


def by_torchvision(image: Tensor, name: str, magnitude: int, sign: int) -> Tensor:
    space = theirs.RandAugment()._augmentation_space(31, (HEIGHT, WIDTH))
    assert set(space) == set(NAMES.values())
    magnitudes, is_signed = space[NAMES[name]]
    strength = float(magnitudes[magnitude]) if magnitudes.ndim else 0.0
    pillow: Any = Image.fromarray(image[0].permute(1, 2, 0).numpy())
    fill = [128.0] * 3
    amount = sign * strength if is_signed else strength
    changed = theirs._apply_op(pillow, NAMES[name], amount, InterpolationMode.NEAREST, fill)
    return torch.from_numpy(np.array(changed)).permute(2, 0, 1)[None]


def agreement(ours: Tensor, other: Tensor) -> float:
    """Share of the pixels that differ by one grey level at most: Pillow cuts off the fraction."""
    return float(((ours.int() - other.int()).abs().amax(1) <= 1).double().mean())


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("magnitude", [0, 1, 9, 15, 22, 30])
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_operation_is_torchvisions_of_the_same_magnitude(name: str, magnitude: int, sign: int) -> None:
    image = photo()
    amounts = torch.tensor([sign * magnitude / 30])
    # torchvision moves right and shears left where positive; a sign is drawn at random, so ours may be the other one

    either = [OPERATIONS[name](image, turn * amounts) for turn in (1, -1)]
    agreed = max(agreement(ours, by_torchvision(image, name, magnitude, sign)) for ours in either)

    assert agreed > 0.99  # a place on the border of two pixels may fall to either


def test_the_fourteen_operations_are_drawn_equally_often_and_so_are_their_signs() -> None:
    image, draws = photo(), 14 * 700
    by_bytes: dict[bytes, str] = {}
    for (name, operation), sign in product(OPERATIONS.items(), (-1, 1)):
        by_bytes[operation(image, torch.tensor([sign * 0.9])).numpy().tobytes()] = f"{name} {sign}"
    unsigned = {"identity", "autocontrast", "equalize", "solarize", "posterize"}
    assert len(by_bytes) == 28 - len(unsigned)

    images = RandAugment(27, 1)(image.expand(draws, -1, -1, -1), dice_for(draws, 0))

    drawn = [by_bytes[out.numpy().tobytes()] for out in images]
    names, counts = np.unique(drawn, return_counts=True)
    expected = [700 if name.rsplit(" ", 1)[0] in unsigned else 350 for name in names]
    assert len(names) == len(by_bytes)
    assert stats.chisquare(counts, expected).pvalue > 1e-3  # the seed is fixed


def test_two_operations_follow_one_another_and_are_drawn_anew() -> None:
    images = photo().expand(200, -1, -1, -1)

    once, twice = RandAugment(27, 1)(images, dice_for(200, 3)), RandAugment(27, 2)(images, dice_for(200, 3))
    never = RandAugment(27, 0)(images, dice_for(200, 3))

    assert torch.equal(never, images)
    assert len({image.numpy().tobytes() for image in once}) <= 23
    assert len({image.numpy().tobytes() for image in twice}) > 80  # of 23 * 23, drawn 200 times


def test_magnitude_nought_changes_only_what_has_no_magnitude() -> None:
    images = photo().expand(300, -1, -1, -1)

    out = RandAugment(0, 1)(images, dice_for(300, 5))

    assert len({image.numpy().tobytes() for image in out}) == 3  # as it is, autocontrast, equalize; no value reaches 255


@pytest.mark.parametrize("magnitude", [-1, 31])
def test_a_magnitude_beyond_the_strongest_is_refused(magnitude: int) -> None:
    with pytest.raises(ValueError, match=rf"magnitude {magnitude} is beyond what an operation does; choose 0 to 30"):
        RandAugment(magnitude)
