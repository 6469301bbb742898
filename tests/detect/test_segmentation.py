"""Segments are those of a slow restatement of the algorithm, and of images whose parts are plain to see."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fourfold.detect.segmentation import SIGMA, STEPS, blur, segment, sort_edges


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Spots of some pixels in grey levels far apart, with noise on them."""
    random = np.random.default_rng(seed)
    spots = np.kron(random.integers(0, 256, (-(-height // 5), -(-width // 6), 3)), np.ones((5, 6, 1)))[:height, :width]
    return np.clip(spots + random.normal(0, 12, (height, width, 3)), 0, 255).astype(np.float32)


def restated(image: np.ndarray, k: float, least: int) -> np.ndarray:
    """Felzenszwalb and Huttenlocher 2004 in words: every pair by rising weight, sets of pixels as Python sets."""
    height, width = image.shape[:2]
    smooth = blur(image, SIGMA)
    pairs = []
    for y in range(height):
        for x in range(width):
            for down, across in ((0, 1), (1, 0), (1, 1), (-1, 1)):
                if 0 <= y + down < height and x + across < width:
                    distance = float(np.linalg.norm(smooth[y, x] - smooth[y + down, x + across]))
                    pairs.append((np.floor(distance * STEPS + 0.5) / STEPS, (y, x), (y + down, x + across)))
    pairs.sort(key=lambda pair: pair[0])
    part = {(y, x): {(y, x)} for y in range(height) for x in range(width)}
    limit = {id(members): k for members in part.values()}
    for weight, one, other in pairs:
        if part[one] is not part[other] and weight <= min(limit[id(part[one])], limit[id(part[other])]):
            joined = part[one] | part[other]
            limit[id(joined)] = weight + k / len(joined)
            part.update(dict.fromkeys(joined, joined))
    for _, one, other in pairs:
        if part[one] is not part[other] and min(len(part[one]), len(part[other])) < least:
            joined = part[one] | part[other]
            part.update(dict.fromkeys(joined, joined))
    numbers: dict[int, int] = {}
    return np.array([[numbers.setdefault(id(part[y, x]), len(numbers)) for x in range(width)] for y in range(height)])


@pytest.mark.parametrize(
    ("k", "least", "seed"), [(20.0, 1, 0), (100.0, 1, 1), (300.0, 10, 2), (50.0, 30, 3), (5000.0, 1, 4)]
)
def test_segments_are_those_of_the_restatement(k: float, least: int, seed: int) -> None:
    image = noise(17, 23, seed)

    labels, count = segment(sort_edges(image), k, least)

    assert labels.tolist() == restated(image, k, least).tolist()
    assert count == labels.max() + 1


def test_the_blur_is_a_gaussian() -> None:
    image = noise(20, 31)

    expected = np.stack([ndimage.gaussian_filter(image[..., c], 1.3, mode="nearest", truncate=4.0) for c in range(3)], 2)

    assert blur(image, 1.3) == pytest.approx(expected, abs=2e-3 * 255)  # scipy cuts it off half a pixel earlier


def test_two_flat_halves_are_two_segments_and_a_flat_image_one() -> None:
    image = np.zeros((30, 40, 3), np.float32)
    flat, one = segment(sort_edges(image), 10, 1)
    image[:, 20:] = 200

    labels, two = segment(sort_edges(image), 10, 200)  # which the strips that the blur makes of the step do not reach

    assert (one, two) == (1, 2)
    assert not flat.any()
    assert (labels[:, :18] == 0).all()
    assert (labels[:, 22:] == 1).all()


def test_larger_k_gives_fewer_segments_from_the_same_edges() -> None:
    edges = sort_edges(noise(60, 60))

    counts = [segment(edges, k, 1)[1] for k in (10, 200, 4000)]

    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 3


def test_no_segment_is_smaller_than_asked_for() -> None:
    labels, _ = segment(sort_edges(noise(40, 50)), 10, 35)

    assert np.bincount(labels.ravel()).min() >= 35
