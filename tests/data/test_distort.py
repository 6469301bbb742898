"""Every change of colour and shape against Pillow, image by image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from fourfold.data import distort

FACTORS = (0.0, 0.1, 0.5, 0.93, 1.0, 1.37, 1.5, 1.9)
Pillow = Callable[[Image.Image, float], Image.Image]


def photos(count: int, height: int = 37, width: int = 53) -> Tensor:
    """Smooth images with noise, of different brightness and range in each image and channel."""
    generator = torch.Generator().manual_seed(height)
    coarse = torch.rand(count, 3, 4, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    grain = 0.1 * torch.rand(smooth.shape, generator=generator)
    return (255 * (smooth + grain).clamp(0, 1)).to(torch.uint8)


def noise(count: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def by_pillow(images: Tensor, amounts: Tensor, change: Pillow) -> Tensor:
    out = []
    for image, amount in zip(images, amounts.tolist(), strict=True):
        changed = change(Image.fromarray(image.permute(1, 2, 0).numpy()), amount)
        out.append(torch.from_numpy(np.array(changed)).permute(2, 0, 1))
    return torch.stack(out)


@pytest.mark.parametrize(
    ("change", "enhance"),
    [
        (distort.brightness, ImageEnhance.Brightness),
        (distort.contrast, ImageEnhance.Contrast),
        (distort.saturation, ImageEnhance.Color),
        (distort.sharpness, ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_pillows_rounded_where_it_cuts_off(change: distort.Change, enhance: Callable) -> None:
    images = torch.cat([photos(8), noise(8, 37, 53)])
    factors = torch.tensor(FACTORS * 2)

    ours = change(images, factors)
    theirs = by_pillow(images, factors, lambda image, factor: enhance(image).enhance(factor))

    off = ours.int() - theirs.int()
    assert ours.dtype == torch.uint8
    assert set(off.unique().tolist()) <= {-1, 0, 1}  # Pillow cuts off the fraction, and rounds what it blends with
    assert (off < 0).double().mean() < 0.02
    assert torch.equal(ours[4], images[4])  # factor 1


@pytest.mark.parametrize(
    ("change", "operation"), [(distort.autocontrast, ImageOps.autocontrast), (distort.equalize, ImageOps.equalize)]
)
def test_stretching_is_pillows(change: Callable[[Tensor], Tensor], operation: Callable) -> None:
    flat = torch.full((1, 3, 37, 53), 77, dtype=torch.uint8)
    two = flat.clone()
    two[:, :, :5] = 200
    images = torch.cat([photos(6), photos(4) // 3 + 20, flat, two])

    off = change(images).int() - by_pillow(images, torch.zeros(len(images)), lambda image, _: operation(image)).int()

    allowed = {0} if change is distort.equalize else {0, 1}  # Pillow cuts off the fraction
    assert set(off.unique().tolist()) <= allowed
    assert torch.equal(change(flat), flat)


def test_an_image_too_small_to_spread_stays() -> None:
    images = noise(4, 9, 9)  # 81 pixels for 255 steps

    theirs = by_pillow(images, torch.zeros(4), lambda image, _: ImageOps.equalize(image))

    assert torch.equal(theirs, images)
    assert torch.equal(distort.equalize(images), theirs)


def test_posterize_and_solarize_are_pillows() -> None:
    images = noise(9, 20, 30)
    bits, thresholds = torch.arange(9.0), torch.linspace(0, 256, 9)

    theirs = by_pillow(images[1:], bits[1:], lambda image, n: ImageOps.posterize(image, int(n)))

    assert torch.equal(distort.posterize(images, bits), torch.cat([torch.zeros_like(images[:1]), theirs]))
    assert torch.equal(
        distort.solarize(images, thresholds),
        by_pillow(images, thresholds, lambda image, n: ImageOps.solarize(image, int(n))),
    )


def test_a_shift_of_colour_is_added_to_all_pixels_and_stays_in_range() -> None:
    images = torch.tensor([[0, 100], [128, 255], [3, 250]], dtype=torch.uint8).view(1, 3, 1, 2).repeat(2, 1, 1, 1)

    shifted = distort.shift_colour(images, torch.tensor([[10.4, -200.0, 4.6], [-1.0, 0.0, 300.0]]))

    assert shifted.flatten(2).tolist() == [[[10, 110], [0, 55], [8, 255]], [[0, 99], [128, 255], [255, 255]]]


def moved(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    kind, nearest = Image.Transform.AFFINE, Image.Resampling.NEAREST
    return image.transform(image.size, kind, matrix, nearest, fillcolor=(128,) * 3)


@pytest.mark.parametrize(
    ("change", "operation", "amounts"),
    [
        (distort.rotate, lambda im, a: im.rotate(a, fillcolor=(128,) * 3), (-30.0, -7.3, 0.0, 1.0, 13.7, 30.0, 90.0, 180.0)),
        (distort.shear_x, lambda im, a: moved(im, (1, a, 0, 0, 1, 0)), (-0.3, -0.11, 0.0, 0.07, 0.3)),
        (distort.shear_y, lambda im, a: moved(im, (1, 0, 0, a, 1, 0)), (-0.3, -0.11, 0.0, 0.07, 0.3)),
    ],
    ids=["rotate", "shear x", "shear y"],
)
def test_turning_and_shearing_are_pillows(change: Callable, operation: Pillow, amounts: tuple[float, ...]) -> None:
    images = noise(len(amounts), 37, 53)  # noise: a pixel beside the right one shows

    ours, theirs = change(images, torch.tensor(amounts), 128), by_pillow(images, torch.tensor(amounts), operation)

    same = (ours == theirs).all(1).double().mean((1, 2))
    assert same.min() > 0.995  # a place on the border of two pixels may fall to either
    assert torch.equal(ours[amounts.index(0.0)], images[amounts.index(0.0)])


def test_moving_is_by_whole_pixels_and_leaves_the_fill_behind() -> None:
    images = noise(4, 9, 11)
    right, down = torch.tensor([3.0, -2.9, 0.0, 20.0]), torch.tensor([0.0, 0.0, -4.2, 1.0])

    out = distort.translate(images, right, down, 7)

    expected = torch.full_like(images, 7)
    expected[0, :, :, 3:] = images[0, :, :, :-3]
    expected[1, :, :, :-2] = images[1, :, :, 2:]
    expected[2, :, :-4] = images[2, :, 4:]
    assert torch.equal(out, expected)


def test_only_the_chosen_images_change() -> None:
    images = photos(5)
    before, chosen = images.clone(), torch.tensor([True, False, False, True, False])

    distort.change_some(images, chosen, distort.brightness, torch.tensor([0.5, 9.0, 9.0, 0.0, 9.0]))

    assert torch.equal(images[[1, 2, 4]], before[[1, 2, 4]])
    assert not images[3].any()
    assert torch.equal(images[:1], distort.brightness(before[:1], torch.tensor([0.5])))
    distort.change_some(images, torch.zeros(5, dtype=torch.bool), distort.brightness, torch.zeros(5))
    assert images[0].any()
