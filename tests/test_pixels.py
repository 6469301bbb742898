"""Normalisation follows the hand-written formula, and images from memory are checked before they are used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor

from fourfold.images import Pixels, channel_pixels, check_image, mean_image_pixels

MEAN, STD = (120.5, 110.25, 99.0), (60.0, 50.0, 40.0)


def noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_each_channel_is_centred_and_scaled_by_its_own_numbers() -> None:
    images = noise(2, 3, 5, 7)

    values = Pixels(mean=MEAN, std=STD)(images)

    expected = (images.numpy() - np.array(MEAN).reshape(3, 1, 1)) / np.array(STD).reshape(3, 1, 1)
    assert values.dtype == torch.float32
    assert values.numpy() == pytest.approx(expected, abs=1e-5)  # float32 against float64


def test_values_are_laid_out_with_channels_last() -> None:
    assert Pixels(mean=MEAN)(noise(2, 3, 5, 7)).is_contiguous(memory_format=torch.channels_last)


def test_bgr_weights_get_blue_first_and_numbers_in_that_order() -> None:
    image = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 6)

    values = Pixels(mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0), order="BGR")(image)

    assert values[0, :, 2, 5].tolist() == [(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 8]


def test_without_numbers_values_stay_what_they_are() -> None:
    images = noise(2, 3, 5, 7)

    assert torch.equal(Pixels()(images), images.float())


def test_a_mean_image_is_subtracted_pixel_by_pixel_and_replaces_the_mean() -> None:
    images, mean_image = noise(2, 3, 5, 7), noise(3, 5, 7).float().flip(2)

    values = Pixels(mean=MEAN, std=STD, mean_image=mean_image)(images)

    expected = (images[1, 2, 4, 3] - mean_image[2, 4, 3]) / STD[2]
    assert values[1, 2, 4, 3].item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize(("height", "width"), [(10, 14), (3, 4), (5, 14)])
def test_a_mean_image_is_warped_to_the_size_of_the_images(height: int, width: int) -> None:
    images, mean_image = noise(2, 3, height, width), noise(3, 5, 7).float()

    values = Pixels(mean_image=mean_image)(images)

    expected = images - reference.resize(mean_image, [height, width], antialias=True)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-4)  # the same sums in float32, at up to 255


def test_channel_statistics_are_those_of_numpy() -> None:
    images = noise(5000, 3, 4, 5)  # more than are summed at once
    images[:, 1] //= 3

    pixels = channel_pixels(images)

    assert pixels.mean == pytest.approx(images.numpy().mean((0, 2, 3)), abs=5e-4)  # rounded to three places
    assert pixels.std == pytest.approx(images.numpy().std((0, 2, 3)), abs=5e-4)
    assert pixels.mean_image is None


def test_images_of_one_colour_do_not_divide_by_zero() -> None:
    assert channel_pixels(torch.full((2, 3, 4, 5), 77, dtype=torch.uint8)).std == (1.0, 1.0, 1.0)


def test_the_mean_image_is_that_of_numpy_and_has_no_scale() -> None:
    images = noise(4099, 3, 4, 5)

    pixels = mean_image_pixels(images)

    assert pixels.mean_image is not None
    assert pixels.mean_image.numpy() == pytest.approx(images.numpy().mean(0), abs=1e-4)  # float32 of values up to 255
    assert pixels.std == (1.0, 1.0, 1.0)


def test_an_array_and_the_tensor_of_the_same_image_agree() -> None:
    array = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)

    tensor = check_image(array)

    assert tensor.shape == (3, 4, 6)
    assert tensor[2, 3, 5].item() == array[3, 5, 2]
    assert torch.equal(check_image(tensor), tensor)


def test_arrays_with_negative_strides_are_taken() -> None:
    array = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)

    assert torch.equal(check_image(array[:, ::-1]), check_image(array).flip(2))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"shape \(8, 8\); give an array \(H,W,3\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"shape \(1, 8, 8, 3\)"),
        (np.zeros((8, 9, 4), np.uint8), r"shape \(4, 8, 9\); expected \(3, H, W\)"),
        (torch.zeros(8, 9, 3, dtype=torch.uint8), r"shape \(8, 9, 3\); expected \(3, H, W\)"),
        (torch.zeros(2, 3, 8, 9, dtype=torch.uint8), r"shape \(2, 3, 8, 9\); expected \(3, H, W\)"),
        (torch.zeros(3, 8, 9), "float32; give uint8 values of 0 to 255"),
        (np.zeros((8, 9, 3)), "float64; give uint8"),
        (np.zeros((8, 9, 3), object), "object; give uint8"),
        (torch.zeros(3, 3, 9, dtype=torch.uint8), "9x3 pixels; each side must have at least 4"),
        (torch.zeros(3, 4, 201, dtype=torch.uint8), "201x4 pixels; one side may be at most 50 times the other"),
    ],
)
def test_images_in_memory_of_another_kind_are_refused_in_words(image: Tensor | np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_image(image)
