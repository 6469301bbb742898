"""Hierarchies join the pairs that a slow restatement joins, whichever measures are added up."""

from __future__ import annotations

import numpy as np
import pytest

from fourfold.detect.grouping import Similarity, group
from fourfold.detect.region_features import Regions, measure, texture_bins
from fourfold.detect.segmentation import segment, sort_edges


def regions(seed: int, count: int = 25) -> Regions:
    """Made up, with sizes of which no two are equal; a chain of neighbours and as many pairs more."""
    random = np.random.default_rng(seed)
    corners = np.sort(random.integers(0, 400, (count, 2, 2)), 1)
    boxes = np.concatenate([corners[:, 0], corners[:, 1] + 1], 1).astype(np.int32)
    colour, texture = (random.dirichlet(np.ones(bins), count).astype(np.float32) for bins in (75, 240))
    chain = [(i, i + 1) for i in range(count - 1)]
    more = [tuple(sorted(random.choice(count, 2, replace=False))) for _ in range(count)]
    pairs = np.array(sorted({*chain, *more}), np.int32)
    sizes = random.uniform(100, 4000, count).astype(np.float32)
    return Regions(sizes, boxes, colour, texture, pairs, 160_000)


def restated(given: Regions, kinds: Similarity) -> list[list[int]]:
    """Uijlings 2013, Algorithm 1, with dictionaries."""
    size = {i: float(s) for i, s in enumerate(given.sizes)}
    box = {i: tuple(map(int, b)) for i, b in enumerate(given.boxes)}
    colour, texture = dict(enumerate(given.colour.astype(float))), dict(enumerate(given.texture.astype(float)))
    beside = {i: set() for i in size}
    for one, other in given.pairs.tolist():
        beside[one].add(other)
        beside[other].add(one)

    def around(one: int, other: int) -> tuple[int, int, int, int]:
        a, b = box[one], box[other]
        return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])

    def alike(one: int, other: int) -> float:
        x1, y1, x2, y2 = around(one, other)
        return (
            kinds.colour * np.minimum(colour[one], colour[other]).sum()
            + kinds.texture * np.minimum(texture[one], texture[other]).sum()
            + kinds.size * (1 - (size[one] + size[other]) / given.pixels)
            + kinds.fill * (1 - ((x2 - x1) * (y2 - y1) - size[one] - size[other]) / given.pixels)
        )

    order = [list(box[i]) for i in sorted(box)]
    while any(beside.values()):
        _, one, other = max((alike(a, b), a, b) for a in beside for b in beside[a] if a < b)
        new, total = len(order), size[one] + size[other]
        box[new] = around(one, other)
        colour[new] = (size[one] * colour[one] + size[other] * colour[other]) / total
        texture[new] = (size[one] * texture[one] + size[other] * texture[other]) / total
        size[new] = total
        beside[new] = (beside.pop(one) | beside.pop(other)) - {one, other}
        for each in beside.values():
            if each & {one, other}:
                each -= {one, other}
        for each in beside[new]:
            beside[each].add(new)
        order.append(list(box[new]))
    return order


@pytest.mark.parametrize(
    "kinds", [(1, 1, 1, 1), (0, 1, 1, 1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)], ids=str
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_boxes_are_those_of_the_restatement(seed: int, kinds: tuple[int, int, int, int]) -> None:
    given = regions(seed)

    found = group(given, Similarity(*map(bool, kinds)))

    assert found.tolist() == restated(given, Similarity(*map(bool, kinds)))
    assert len(found) == 2 * len(given.sizes) - 1


def test_the_last_box_is_the_whole_image_and_regions_come_first() -> None:
    image = np.random.default_rng(5).uniform(0, 255, (36, 48, 3)).astype(np.float32)
    given = measure(*segment(sort_edges(image), 60, 8), image, texture_bins(image))

    found = group(given, Similarity())

    assert found[: len(given.sizes)].tolist() == given.boxes.tolist()
    assert len(given.sizes) > 5
    assert found[-1].tolist() == [0, 0, 48, 36]


def test_a_single_region_is_its_own_hierarchy() -> None:
    alone = measure(np.zeros((5, 7), np.int32), 1, np.zeros((5, 7, 3), np.float32), np.zeros((5, 7, 3, 8), np.uint8))

    assert group(alone, Similarity()).tolist() == [[0, 0, 7, 5]]
