"""Sizes, boxes, histograms and neighbours of regions are what a loop over their pixels finds."""

from __future__ import annotations

import numpy as np
import pytest

from fourfold.detect.region_features import COLOUR_BINS, ORIENTATIONS, TEXTURE_BINS, measure, texture_bins

LABELS = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [3, 3, 2, 1]], np.int32)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (*LABELS.shape, 3)).astype(np.float32)


def test_sizes_boxes_and_pairs_by_hand() -> None:
    regions = measure(LABELS, 4, image(), texture_bins(image()))

    assert regions.sizes.tolist() == [3, 4, 3, 2]
    assert regions.boxes.tolist() == [[0, 0, 2, 2], [2, 0, 4, 3], [1, 1, 3, 3], [0, 2, 2, 3]]
    assert regions.pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [2, 3]]
    assert regions.pixels == 12


def test_histograms_count_the_pixels_of_a_region_and_sum_to_one() -> None:
    seen = image(1)
    textures = texture_bins(seen)

    regions = measure(LABELS, 4, seen, textures)

    for label in range(4):
        inside = np.equal(LABELS, label)
        colour = [np.histogram(seen[inside][:, c], COLOUR_BINS, (0, 256))[0] for c in range(3)]
        texture = [
            np.bincount(textures[inside][:, c, d], minlength=TEXTURE_BINS) for c in range(3) for d in range(ORIENTATIONS)
        ]
        assert regions.colour[label] == pytest.approx(np.concatenate(colour) / (3 * inside.sum()), abs=1e-6)
        assert regions.texture[label] == pytest.approx(np.concatenate(texture) / (24 * inside.sum()), abs=1e-6)
    assert regions.colour.sum(1) == pytest.approx(np.ones(4))
    assert regions.texture.sum(1) == pytest.approx(np.ones(4))


def test_the_top_of_the_range_is_in_the_last_bin() -> None:
    white = np.full((*LABELS.shape, 3), 255, np.float32)

    regions = measure(LABELS, 4, white, texture_bins(white))

    assert regions.colour[0].reshape(3, COLOUR_BINS)[:, -1] == pytest.approx([1 / 3] * 3)


def test_a_step_to_the_right_is_seen_in_that_direction_alone_and_a_step_back_in_the_opposite_one() -> None:
    seen = np.zeros((20, 40, 3), np.float32)
    seen[:, 10:25] = 100

    bins = texture_bins(seen)

    assert bins[10, 10, 0, 0] == bins[10, 25, 0, 4] == TEXTURE_BINS - 1  # rising and falling
    assert bins[10, 10, 0, 4] == bins[10, 25, 0, 0] == 0
    assert bins[10, 10, 0, 2] == bins[10, 10, 0, 6] == 0  # nothing changes downwards
    assert bins[10, 10, 0, 1] > 0  # the slanted ones see some of it
    assert bins[10, 10, 0, 7] > 0 or bins[10, 10, 0, 3] > 0
    assert not bins[10, 18].any()


def test_textures_of_a_turned_image_are_turned() -> None:
    seen = np.random.default_rng(3).uniform(0, 255, (24, 24, 3)).astype(np.float32)

    turned = texture_bins(np.ascontiguousarray(seen.transpose(1, 0, 2)))

    upright = texture_bins(seen)
    swapped = upright[..., [2, 1, 0, 7, 6, 5, 4, 3]].transpose(1, 0, 2, 3)  # right and down change places
    assert (np.abs(turned.astype(int) - swapped.astype(int)) <= 1).all()  # sums in another order may cross a bin's edge
    assert (turned == swapped).mean() > 0.999
