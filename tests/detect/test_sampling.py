"""Matches and mini-batches of regions, against loops and counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fourfold.boxes import no_boxes
from fourfold.data.annotated import Annotated
from fourfold.data.listing import File
from fourfold.detect.sampling import RCNN, SPPNET, Matches, Pools, Sampling, class_overlaps, match, with_objects


def image_of(boxes: Tensor, labels: list[int], is_difficult: list[bool]) -> Annotated:
    flags = torch.tensor(is_difficult, dtype=torch.bool)
    return Annotated(File(Path("photo.jpg")), 70, 90, boxes, torch.tensor(labels, dtype=torch.int64), flags)


def boxes_of(count: int, dice: torch.Generator) -> Tensor:
    low = torch.rand(count, 2, generator=dice) * 40
    return torch.cat((low, low + 5 + 25 * torch.rand(count, 2, generator=dice)), 1)


def overlap(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((each[2] - each[0]) * (each[3] - each[1]) for each in (one, other))
    return width * height / (areas - width * height)


def matches_of(overlaps: list[float], labels: list[int] | None = None, difficult: list[float] | None = None) -> Matches:
    found = torch.tensor(overlaps, dtype=torch.float64)
    known = torch.tensor(labels if labels is not None else [3] * len(overlaps), dtype=torch.int64)
    hard = torch.tensor(difficult if difficult is not None else [0.0] * len(overlaps), dtype=torch.float64)
    return Matches(found, torch.where(found > 0, 0, -1), torch.where(found > 0, known, -1), hard)


def made_pools(sampling: Sampling, sizes: tuple[int, ...] = (300, 0, 500, 1, 900)) -> tuple[Pools, list[Matches]]:
    dice = torch.Generator().manual_seed(5)
    matches = [matches_of(torch.rand(size, generator=dice).tolist(), [size % 7] * size) for size in sizes]
    return sampling.pools(matches), matches


def test_the_papers_numbers() -> None:
    assert (RCNN.foreground, RCNN.background, RCNN.share, RCNN.batch_size) == ((0.5, 1.0), (0.0, 0.5), 0.25, 128)
    assert (SPPNET.foreground, SPPNET.background, SPPNET.share, SPPNET.batch_size) == ((0.5, 1.0), (0.1, 0.5), 0.25, 128)


def test_matches_equal_a_loop_over_boxes_and_objects() -> None:
    dice = torch.Generator().manual_seed(0)
    image = image_of(boxes_of(5, dice), [4, 0, 2, 0, 1], [False, True, False, False, True])
    boxes = torch.cat((boxes_of(80, dice), torch.tensor([[80.0, 60.0, 90.0, 70.0]])))
    found, by_class = match(boxes, image), class_overlaps(boxes, image, 6)
    for row, box in enumerate(boxes.tolist()):
        each = [overlap(box, other) for other in image.boxes.tolist()]
        easy = [value if not image.is_difficult[index] else 0.0 for index, value in enumerate(each)]
        best = max(range(5), key=lambda index: easy[index]) if max(easy) > 0 else -1
        assert float(found.overlaps[row]) == pytest.approx(max(easy))
        assert int(found.objects[row]) == best
        assert int(found.labels[row]) == (int(image.labels[best]) if best >= 0 else -1)
        assert float(found.difficult[row]) == pytest.approx(max(each[1], each[4]))
        wanted = [
            max((v for v, k in zip(each, image.labels.tolist(), strict=True) if k == c), default=0.0) for c in range(6)
        ]
        assert by_class[row].tolist() == pytest.approx(wanted)
    assert {-1, 0, 2, 3} == set(found.objects.tolist())


def test_no_objects_and_no_boxes_match_nothing() -> None:
    bare = image_of(no_boxes(), [], [])
    boxes = torch.tensor([[0.0, 0.0, 9.0, 5.0], [1.0, 1.0, 2.0, 2.0]])
    found = match(boxes, bare)
    assert (found.overlaps.tolist(), found.objects.tolist(), found.labels.tolist()) == ([0, 0], [-1, -1], [-1, -1])
    assert class_overlaps(boxes, bare, 3).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert len(match(no_boxes(), image_of(boxes, [1, 0], [False, True]))) == 0
    assert class_overlaps(no_boxes(), image_of(boxes, [1, 0], [False, True]), 3).shape == (0, 3)


def test_candidates_are_the_objects_that_are_not_difficult_and_the_proposals() -> None:
    boxes, proposals = boxes_of(3, torch.Generator().manual_seed(1)), boxes_of(2, torch.Generator().manual_seed(2))
    image = image_of(boxes, [0, 1, 1], [False, True, False])
    assert torch.equal(with_objects(proposals, image), torch.cat((boxes[[0, 2]], proposals)))
    assert match(with_objects(proposals, image), image).overlaps[:2].tolist() == [1, 1]


def test_the_ranges_of_overlap_include_and_leave_out_their_ends() -> None:
    matches = [matches_of([0.0, 0.05, 0.1, 0.3]), matches_of([0.4999, 0.5, 0.75, 1.0])]
    pools = SPPNET.pools(matches)
    assert pools.starts.tolist() == [0, 4, 8]
    assert pools.foreground.tolist() == [5, 6, 7]
    assert pools.background.tolist() == [2, 3, 4]
    assert RCNN.pools(matches).background.tolist() == [0, 1, 2, 3, 4]
    assert Sampling(foreground=(0.6, 0.8)).pools(matches).foreground.tolist() == [6]
    assert Sampling(foreground=(0.0, 1.0)).pools(matches).foreground.tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_boxes_on_difficult_objects_are_neither_foreground_nor_background() -> None:
    pools = RCNN.pools([matches_of([0.0, 0.0, 0.2, 0.7], difficult=[0.9, 0.4, 0.5, 0.9])])
    assert pools.foreground.tolist() == [3]
    assert pools.background.tolist() == [1]


def test_a_mini_batch_is_32_of_foreground_and_96_of_background_all_different() -> None:
    pools, matches = made_pools(SPPNET)
    for step in range(50):
        drawn = pools.draw(3, step)
        assert len(drawn) == 128
        assert len(set(zip(drawn.images.tolist(), drawn.rows.tolist(), strict=True))) == 128
        overlaps = torch.tensor(
            [float(matches[image].overlaps[row]) for image, row in zip(drawn.images, drawn.rows, strict=True)]
        )
        assert (overlaps[:32] >= 0.5).all()
        assert ((overlaps[32:] >= 0.1) & (overlaps[32:] < 0.5)).all()
        assert drawn.labels[:32].tolist() == [(300, 0, 500, 1, 900)[image] % 7 for image in drawn.images[:32].tolist()]
        assert (drawn.labels[32:] == -1).all()
        assert drawn.targets(20).tolist() == [*drawn.labels[:32].tolist(), *[20] * 96]


def test_targets_are_classes_from_0_and_the_last_column_for_background() -> None:
    drawn = Sampling(batch_size=4, share=0.5).pools([matches_of([0.9, 0.9, 0.2, 0.2], [0, 0, 0, 0])]).draw(0, 0)
    assert drawn.targets(5).tolist() == [0, 0, 5, 5]


def test_a_mini_batch_follows_from_seed_and_step_alone() -> None:
    pools, matches = made_pools(SPPNET)
    one, same = pools.draw(1, 7), SPPNET.pools(matches).draw(1, 7)
    assert torch.equal(one.rows, same.rows)
    assert torch.equal(one.images, same.images)
    assert not torch.equal(one.rows, pools.draw(1, 8).rows)
    assert not torch.equal(one.rows, pools.draw(2, 7).rows)
    assert torch.equal(pools.draw_by_image(2, 1, 7).rows, pools.draw_by_image(2, 1, 7).rows)
    assert not torch.equal(pools.draw_by_image(2, 1, 7).rows, pools.draw_by_image(2, 2, 7).rows)


@pytest.mark.parametrize("few", [20, 400])
def test_over_ten_thousand_draws_every_candidate_comes_equally_often(few: int) -> None:
    """Both ways to choose: of few candidates by permutation, of many by throwing again."""
    pools = Sampling(batch_size=8, share=0.25).pools(
        [matches_of([0.9] * few), matches_of([0.2] * 15), matches_of([0.3] * 15)]
    )
    counts: Counter[tuple[int, int]] = Counter()
    for step in range(10_000):
        drawn = pools.draw(11, step)
        counts.update(zip(drawn.images.tolist(), drawn.rows.tolist(), strict=True))
    assert len(counts) == few + 30
    for (image, _), count in counts.items():
        share = 2 / few if image == 0 else 6 / 30
        assert abs(count - 10_000 * share) < 5 * (10_000 * share * (1 - share)) ** 0.5  # five standard deviations


def test_where_a_kind_has_few_they_are_repeated_evenly_and_where_it_has_none_the_other_fills_in() -> None:
    few = SPPNET.pools([matches_of([0.9] * 5 + [0.2] * 40)]).draw(0, 0)
    counts = Counter(few.rows.tolist())
    assert sorted(counts[row] for row in range(5)) == [6, 6, 6, 7, 7]
    assert sorted(counts[row] for row in range(5, 45)) == [2] * 24 + [3] * 16
    assert (SPPNET.pools([matches_of([0.2] * 300)]).draw(0, 0).labels == -1).all()
    assert (SPPNET.pools([matches_of([0.9] * 300)]).draw(0, 0).labels == 3).all()
    assert len(SPPNET.pools([matches_of([0.9] * 3)]).draw(0, 0)) == 128


def test_by_image_each_image_with_candidates_comes_once_in_an_epoch() -> None:
    sizes = (90, 0, 200, 90, 0, 90, 300, 90)  # six with candidates
    pools, matches = made_pools(Sampling(batch_size=32), sizes)
    epochs = []
    for epoch in range(3):
        seen: list[int] = []
        for step in range(3):
            drawn = pools.draw_by_image(2, 4, 3 * epoch + step)
            images = drawn.images.unique().tolist()
            assert len(images) == 2
            assert len(drawn) == 32
            assert len(set(zip(drawn.images.tolist(), drawn.rows.tolist(), strict=True))) == 32
            for image in images:
                labels = drawn.labels[drawn.images == image]
                assert (labels >= 0).sum() == 4
                assert (labels < 0).sum() == 12
                assert (labels[labels >= 0] == sizes[image] % 7).all()
            chosen = zip(drawn.images.tolist(), drawn.rows.tolist(), drawn.labels.tolist(), strict=True)
            assert all((float(matches[image].overlaps[row]) >= 0.5) == (label >= 0) for image, row, label in chosen)
            seen += images
        assert sorted(seen) == [0, 2, 3, 5, 6, 7]
        epochs.append(seen)
    assert epochs[0] != epochs[1] or epochs[1] != epochs[2]


def test_by_image_one_with_few_candidates_gives_what_it_has() -> None:
    pools = Sampling(batch_size=32).pools([matches_of([0.9, 0.9, 0.2]), matches_of([0.9] * 3), matches_of([0.2] * 4)])
    drawn = [pools.draw_by_image(3, 0, step) for step in range(4)]
    for each in drawn:
        counts = Counter(each.images.tolist())
        assert counts == {0: 3, 1: 3, 2: 4}
        assert len(set(zip(each.images.tolist(), each.rows.tolist(), strict=True))) == 10
    assert len(pools.draw_by_image(20, 0, 5)) == 3 * 1


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="of 2 boxes of 1 images none overlaps"):
        SPPNET.pools([matches_of([0.0, 0.05])])
    with pytest.raises(ValueError, match="of 0 boxes of 0 images none overlaps"):
        SPPNET.pools([])
    pools, _ = made_pools(SPPNET)
    for count in (0, 129):
        with pytest.raises(ValueError, match="cannot share 128 regions"):
            pools.draw_by_image(count, 0, 0)


@pytest.mark.parametrize(
    "wrong", [{"foreground": (0.6, 0.5)}, {"background": (-0.1, 0.5)}, {"share": 1.2}, {"batch_size": 0}]
)
def test_what_cannot_be_sampled_is_refused(wrong: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="; give "):
        Sampling(**wrong)  # pyright: ignore[reportArgumentType]
