"""Coverage of objects by proposals, against a loop over all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.recall import best_overlaps, coverage

COUNTS = (0, 1, 3, 10, 25, 1000)


def image_of(boxes: Tensor, labels: Tensor, is_difficult: Tensor) -> Annotated:
    return Annotated(File(Path("photo.jpg")), 100, 100, boxes, labels, is_difficult)


def boxes_of(count: int, dice: torch.Generator) -> Tensor:
    low = torch.rand(count, 2, generator=dice) * 50
    return torch.cat((low, low + 5 + 40 * torch.rand(count, 2, generator=dice)), 1)


def random_case(seed: int) -> tuple[list[Tensor], list[Annotated]]:
    dice = torch.Generator().manual_seed(seed)
    images = []
    for _ in range(5):
        labels = torch.randint(0, 3, (4,), generator=dice)
        images.append(image_of(boxes_of(4, dice), labels, torch.rand(4, generator=dice) < 0.2))
    return [boxes_of(int(count), dice) for count in (30, 0, 7, 2, 40)], images


def overlap(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((each[2] - each[0]) * (each[3] - each[1]) for each in (one, other))
    return width * height / (areas - width * height)


@pytest.mark.parametrize("seed", range(4))
def test_recall_and_abo_equal_a_loop_over_objects(seed: int) -> None:
    proposals, images = random_case(seed)
    found = coverage(proposals, images, COUNTS)
    for column, count in enumerate(COUNTS):
        best: dict[int, list[float]] = {}
        for boxes, image in zip(proposals, images, strict=True):
            for row in range(len(image)):
                if not image.is_difficult[row]:
                    given = [overlap(image.boxes[row].tolist(), box) for box in boxes[:count].tolist()]
                    best.setdefault(int(image.labels[row]), []).append(max(given, default=0.0))
        every = [value for values in best.values() for value in values]
        for threshold in (0.3, 0.5, 0.7):
            share = sum(value >= threshold for value in every) / len(every)
            assert float(found.recall(threshold)[column]) == pytest.approx(share)
        means = {label: sum(values) / len(values) for label, values in best.items()}
        for label, mean in means.items():
            assert float(found.abo(label)[column]) == pytest.approx(mean)
        assert float(found.mabo()[column]) == pytest.approx(sum(means.values()) / len(means))
        assert float(found.proposals[column]) == pytest.approx(sum(min(count, len(boxes)) for boxes in proposals) / 5)
    assert found.recall(0.3)[-1] > found.recall(0.3)[1]


def test_the_classes_count_alike_in_mabo() -> None:
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    far = torch.tensor([[50.0, 0.0, 60.0, 10.0]])
    image = image_of(torch.cat((box, far, far)), torch.tensor([0, 1, 1]), torch.zeros(3, dtype=torch.bool))
    found = coverage([box], [image], [1])
    assert found.mabo().tolist() == [0.5]
    assert found.recall(0.5).tolist() == [pytest.approx(1 / 3)]
    assert found.abo(7).tolist() == [0]


def test_an_overlap_of_exactly_the_threshold_is_recalled() -> None:
    box, half = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[0.0, 0.0, 5.0, 10.0]])
    assert coverage([half], [image_of(box, torch.tensor([0]), torch.tensor([False]))], [1]).recall(0.5).tolist() == [1]


def test_more_proposals_never_cover_less() -> None:
    proposals, images = random_case(9)
    found = coverage(proposals, images, range(45))
    assert (found.overlaps.diff(dim=1) >= 0).all()


def test_no_objects_have_no_overlaps() -> None:
    assert best_overlaps(torch.zeros(3, 4), torch.zeros(0, 4), (1, 2)).shape == (0, 2)


def test_what_cannot_be_covered_is_refused() -> None:
    proposals, images = random_case(0)
    with pytest.raises(ValueError, match="proposals for 4 images, and 5 images"):
        coverage(proposals[:4], images, COUNTS)
    with pytest.raises(ValueError, match="give none below 0"):
        coverage(proposals, images, (3, -1))
    hidden = image_of(torch.zeros(1, 4), torch.tensor([0]), torch.tensor([True]))
    with pytest.raises(ValueError, match="no image has an object"):
        coverage([torch.zeros(0, 4)], [hidden], COUNTS)
