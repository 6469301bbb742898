"""Copies are found however they were made, distinct photos are not, and the search equals comparing every pair."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageEnhance
from torch import Tensor

from fourfold.data.duplicates import close_pairs, exact_pairs, fingerprint, near_pairs


def scene(seed: int, height: int = 120, width: int = 160) -> Tensor:
    """Soft blobs of colour: like a photo, most of it is low frequencies. uint8 (3,H,W)."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand((1, 3, 6, 8), generator=generator) * 255
    smooth = torch.nn.functional.interpolate(rough, (height, width), mode="bicubic").clamp(0, 255)
    return (smooth[0] + 6 * torch.randn((3, height, width), generator=generator)).clamp(0, 255).byte()


def changed(image: Tensor, change: Callable[[Pillow.Image], Pillow.Image]) -> Tensor:
    after = change(Pillow.fromarray(image.permute(1, 2, 0).numpy())).convert("RGB")
    return torch.from_numpy(np.array(after)).permute(2, 0, 1)


def as_jpeg(image: Pillow.Image) -> Pillow.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Pillow.open(file)


COPIES: dict[str, Callable[[Pillow.Image], Pillow.Image]] = {
    "compressed again": as_jpeg,
    "half as large": lambda image: image.resize((80, 60)),
    "squeezed": lambda image: image.resize((100, 100)),
    "grey": lambda image: image.convert("L"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "cut by 1 %": lambda image: image.crop((2, 1, 158, 119)),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES.keys())
def test_a_changed_copy_is_near_and_not_exact(change: Callable[[Pillow.Image], Pillow.Image]) -> None:
    images = [scene(0), scene(1), scene(2), changed(scene(1), change)]
    prints = [fingerprint(image) for image in images]

    assert [(one, other) for one, other, _ in near_pairs(prints)] == [(1, 3)]
    assert exact_pairs([one.digest for one in prints]) == []


def test_distinct_mirrored_and_turned_images_are_not_near() -> None:
    images = [scene(seed) for seed in range(60)]
    images += [scene(0).flip(2), scene(1).flip(1), scene(2).rot90(2, (1, 2))]

    assert near_pairs([fingerprint(image) for image in images]) == []


def test_equal_pixels_are_exact_and_only_the_first_is_compared_further() -> None:
    images = [scene(0), scene(1), scene(0).clone(), changed(scene(0), as_jpeg), scene(0)]
    prints = [fingerprint(image) for image in images]

    assert exact_pairs([one.digest for one in prints]) == [(0, 2), (0, 4)]
    assert [(one, other) for one, other, _ in near_pairs(prints)] == [(0, 3)]


def test_one_other_pixel_and_another_shape_of_equal_bytes_are_not_exact() -> None:
    image = scene(0, 6, 8)
    other = image.clone()
    other[2, 5, 7] ^= 1

    digests = [fingerprint(one).digest for one in (image, other, image.reshape(3, 8, 6))]
    assert exact_pairs(digests) == []


def test_flat_images_are_not_near_each_other() -> None:
    flat = [torch.full((3, 40, 40), value, dtype=torch.uint8) for value in (0, 90, 255)]

    assert near_pairs([fingerprint(image) for image in flat]) == []
    assert near_pairs([]) == []


def test_the_correlation_is_that_of_numpy() -> None:
    prints = [fingerprint(scene(1)), fingerprint(changed(scene(1), COPIES["cut by 1 %"]))]

    ((_, _, alike),) = near_pairs(prints)
    assert alike == pytest.approx(np.corrcoef(prints[0].small, prints[1].small)[0, 1], abs=1e-5)


def test_the_small_copy_is_what_pillow_makes_of_it() -> None:
    image = scene(5)
    expected = changed(image, lambda photo: photo.convert("L").resize((16, 16), Pillow.Resampling.BILINEAR))[0]

    assert np.abs(fingerprint(image).small.reshape(16, 16).astype(int) - expected.numpy().astype(int)).max() <= 2  # rounding


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(0, 12))
def test_the_search_in_bands_equals_comparing_every_pair(seed: int, count: int, distance: int) -> None:
    draw = np.random.default_rng(seed)
    bits = draw.integers(0, 2**64, count, dtype=np.uint64)
    for place in range(1, count):  # most are copies of another with some bits turned
        if draw.random() < 0.7:
            turned = draw.choice(64, draw.integers(0, 16), replace=False)
            bits[place] = bits[draw.integers(place)] ^ np.uint64(sum(1 << int(bit) for bit in turned))

    pairs = close_pairs(bits, distance)

    numbers = [int(value) for value in bits]
    assert pairs.tolist() == [
        [i, j] for i, j in combinations(range(count), 2) if (numbers[i] ^ numbers[j]).bit_count() <= distance
    ]


def test_a_film_ends_the_search_before_it_fills_the_memory() -> None:
    bits = np.zeros(2000, dtype=np.uint64)  # 1,999,000 pairs

    assert 100_000 <= len(close_pairs(bits, 8)) < 110_000


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagehash", None)

    with pytest.raises(ValueError, match="needs the library imagehash; install it: pip install 'fourfold"):
        fingerprint(scene(0))
