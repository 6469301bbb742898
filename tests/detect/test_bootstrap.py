"""Images drawn anew: against data sets that really hold images several times, and where the answer is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect import bootstrap
from fourfold.detect.bootstrap import Ranking, drawings, interval, redrawn_maps
from fourfold.detect.detections import Detections
from fourfold.detect.summary import DetectionEvaluation
from fourfold.detect.voc_ap import voc_scores

CLASSES = 3


def random_case(seed: int, count: int = 7) -> tuple[list[Detections], list[Annotated]]:
    """Objects, one in six of them difficult; near hits of most, of some twice, and others; no two scores are equal."""
    dice = torch.Generator().manual_seed(seed)
    found, images = [], []
    for _ in range(count):
        objects = int(torch.randint(0, 5, (1,), generator=dice))
        low = torch.rand(objects, 2, generator=dice) * 200
        boxes = torch.cat((low, low + 20 + 60 * torch.rand(objects, 2, generator=dice)), 1)
        labels = torch.randint(0, CLASSES, (objects,), generator=dice)
        is_difficult = torch.rand(objects, generator=dice) < 1 / 6
        images.append(Annotated(File(Path("photo.jpg")), 300, 400, boxes, labels, is_difficult))
        hit = torch.cat((torch.arange(objects), torch.arange(objects // 2), torch.arange(objects)))
        shift = torch.randn(len(hit), 2, generator=dice).repeat(1, 2) * 8
        guessed = labels[hit].clone()
        guessed[-objects // 2 :] = torch.randint(0, CLASSES, (len(guessed[-objects // 2 :]),), generator=dice)
        found.append(Detections(boxes[hit] + shift, guessed, torch.rand(len(hit), generator=dice)))
    return found, images


def rankings_of(found: list[Detections], images: list[Annotated]) -> tuple[Ranking, ...]:
    return DetectionEvaluation("net", "", tuple("abc"), tuple(images), tuple(found)).rankings


@pytest.mark.parametrize("most_cells", [1, 50, 4_000_000])
def test_drawn_data_sets_score_as_if_their_images_were_there_that_often(
    most_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "MOST_CELLS", most_cells)
    different = set()
    for seed in range(12):
        found, images = random_case(seed)
        times = drawings(len(images), 8, torch.Generator().manual_seed(seed))
        values = redrawn_maps(rankings_of(found, images), times)
        for row, counts in enumerate(times.int().tolist()):
            taken = [index for index, count in enumerate(counts) for _ in range(count)]
            wanted = voc_scores([found[index] for index in taken], [images[index] for index in taken], CLASSES)
            assert values[:, row].tolist() == pytest.approx([wanted.map_2007, wanted.map_2010], abs=1e-12)
            different.add(round(wanted.map_2010, 6))
    assert len(different) > 80


def test_each_image_once_scores_as_the_data_set_itself() -> None:
    for seed in range(5):
        found, images = random_case(seed)
        scores = voc_scores(found, images, CLASSES)
        values = redrawn_maps(rankings_of(found, images), torch.ones(1, len(images), dtype=torch.float64))
        assert values[:, 0].tolist() == pytest.approx([scores.map_2007, scores.map_2010], abs=1e-12)


def test_where_no_object_is_drawn_there_is_no_number() -> None:
    ranking = Ranking(torch.tensor([True]), torch.tensor([0]), torch.tensor([1.0, 0.0], dtype=torch.float64))
    values = redrawn_maps([ranking], torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64))
    assert values[:, 0].tolist() == pytest.approx([1, 1])
    assert values[:, 1].isnan().all()


def test_a_class_that_is_never_found_counts_as_nothing() -> None:
    one = torch.ones(1, dtype=torch.float64)
    rankings = [
        Ranking(torch.tensor([True]), torch.tensor([0]), one),
        Ranking(torch.zeros(0, dtype=torch.bool), torch.zeros(0, dtype=torch.int64), one),
    ]
    assert redrawn_maps(rankings, torch.ones(1, 1, dtype=torch.float64)).tolist() == [[pytest.approx(0.5)]] * 2


def test_drawings_are_of_the_right_size_and_draw_all_images_alike() -> None:
    times = drawings(20, 5000, torch.Generator().manual_seed(1))
    assert times.shape == (5000, 20)
    assert times.sum(1).unique().tolist() == [20]
    # a count is binomial with mean 1 and variance 0.95: five standard errors of the mean of 5,000
    assert (times.mean(0) - 1).abs().max() < 5 * (0.95 / 5000) ** 0.5
    assert (times.var(0) - 0.95).abs().max() < 0.15


def test_the_same_generator_draws_the_same() -> None:
    first, second, other = (drawings(9, 4, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert (first == second).all()
    assert not (first == other).all()


def test_an_interval_holds_the_middle_95_of_a_hundred() -> None:
    values = torch.arange(1001, dtype=torch.float64)[torch.randperm(1001, generator=torch.Generator().manual_seed(0))]
    assert interval(values) == pytest.approx((25, 975))
    assert interval(torch.cat((values, torch.full((99,), torch.nan)))) == pytest.approx((25, 975))
    assert interval(torch.full((3,), torch.nan)) is None


def test_95_of_a_hundred_intervals_or_nearly_so_hold_the_truth() -> None:
    """Of a class whose detections are right by chance: its AP over very many images lies in the interval of a few."""

    def ranking(images: int, dice: torch.Generator) -> Ranking:
        """Three objects an image, of which detections with scores find some, and as many that are wrong."""
        is_right = torch.rand(images * 4, generator=dice) < 0.6
        scores = torch.rand(images * 4, generator=dice) + 0.5 * is_right
        order = scores.argsort(descending=True)
        positives = torch.full((images,), 4.0, dtype=torch.float64)
        return Ranking(is_right[order], torch.arange(images).repeat_interleave(4)[order], positives)

    dice = torch.Generator().manual_seed(0)
    truth = redrawn_maps([ranking(20_000, dice)], torch.ones(1, 20_000, dtype=torch.float64))[1, 0]
    held = 0
    for _ in range(100):
        low, high = interval(redrawn_maps([ranking(60, dice)], drawings(60, 200, dice))[1]) or (0, 0)
        held += low <= truth <= high
    assert 86 <= held < 100  # the percentile interval of a few images is a little narrow; 86: four standard errors
