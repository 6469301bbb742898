"""The numbers of an evaluation, counted by hand from a few replies and by loops from many."""

from __future__ import annotations

import pytest
import torch

from fourfold.evaluate.answers import Reply, reply
from fourfold.evaluate.summary import Evaluation

LABELS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
REPLIES = (
    Reply(0, "a.jpg", 0, 0, 0.7, ((0, 0.7), (1, 0.2))),
    Reply(1, "b.jpg", 0, error="b.jpg is no image"),
    Reply(2, "c.jpg", 1, 1, 0.3, ((0, 0.6), (1, 0.3))),
    Reply(3, "d.jpg", 1, 5, 0.01, ((2, 0.9), (0, 0.05))),
    Reply(4, "e.jpg", 2, 0, 0.5, ((2, 0.5), (0, 0.4))),
    Reply(5, "f.jpg", 2, 4, 0.05, ((3, 0.6), (0, 0.2))),
    Reply(6, "g.jpg", 6, error="g.jpg is cut off"),
)


def evaluation_of(replies: tuple[Reply, ...], labels: tuple[str, ...] = LABELS) -> Evaluation:
    return Evaluation("net", "centre 224 crop", labels, replies, views=1, seconds=10.0, wall_seconds=4.0)


def test_images_with_errors_are_listed_and_not_counted() -> None:
    found = evaluation_of(REPLIES)

    assert (found.images, found.classes) == (5, 3)
    assert [(each.name, each.error) for each in found.broken] == [
        ("b.jpg", "b.jpg is no image"),
        ("g.jpg", "g.jpg is cut off"),
    ]
    assert found.seconds_per_image == 2.0
    assert [each.index for each in found.answered] == [0, 2, 3, 4, 5]


def test_accuracies_are_per_cents_of_usable_images() -> None:
    found = evaluation_of(REPLIES)

    assert (found.top1, found.top5) == (40.0, 80.0)
    # Wilson's formula with z = 1.959964, worked out on paper for 2 and 4 of 5
    assert (found.top1_interval.low, found.top1_interval.high) == pytest.approx((11.76, 76.93), abs=0.005)
    assert (found.top5_interval.low, found.top5_interval.high) == pytest.approx((37.55, 96.38), abs=0.005)


def test_the_true_classes_are_the_rows_of_the_confusion() -> None:
    counts = evaluation_of(REPLIES).confusion

    assert counts.shape == (7, 7)
    assert counts.nonzero().tolist() == [[0, 0], [1, 0], [1, 2], [2, 2], [2, 3]]
    assert int(counts.sum()) == 5


def test_every_class_has_a_score_in_the_order_of_the_labels() -> None:
    found = evaluation_of(REPLIES)

    assert [each.label for each in found.per_class] == list(LABELS)
    assert [(each.precision, each.recall, each.support) for each in found.per_class[:4]] == [
        (0.5, 1.0, 1), (0.0, 0.0, 2), (0.5, 0.5, 2), (0.0, 0.0, 0),
    ]  # fmt: skip
    assert found.macro.classes == 3
    assert found.macro.recall == pytest.approx((1 + 0 + 0.5) / 3)


def test_the_worst_are_the_surest_of_the_wrong_and_then_the_first() -> None:
    found = evaluation_of(REPLIES)

    assert [each.name for each in found.worst(2)] == ["d.jpg", "c.jpg"]
    assert [each.name for each in found.worst(10)] == ["d.jpg", "c.jpg", "f.jpg"]
    assert found.worst(0) == ()


def test_calibration_and_loss_use_the_first_and_the_true_class() -> None:
    found = evaluation_of(REPLIES)

    filled = {
        (round(15 * each.low), each.count): (each.confidence, each.accuracy) for each in found.calibration.bins if each.count
    }
    assert filled.keys() == {(7, 1), (8, 2), (10, 1), (13, 1)}  # 0.5; two of 0.6; 0.7; 0.9
    assert filled[8, 2] == pytest.approx((0.6, 0.0))
    assert found.calibration.error == pytest.approx((0.5 + 2 * 0.6 + 0.3 + 0.9) / 5)
    assert found.log_loss == pytest.approx(-torch.tensor([0.7, 0.3, 0.01, 0.5, 0.05]).log().mean().item(), rel=1e-6)


def test_numbers_of_many_replies_are_those_of_their_posteriors() -> None:
    generator = torch.Generator().manual_seed(0)
    posteriors = torch.randn(300, 7, generator=generator).softmax(1)
    truth = torch.randint(0, 7, (300,), generator=generator)
    found = evaluation_of(tuple(reply(at, f"{at}", int(truth[at]), posteriors[at]) for at in range(300)))

    assert found.top1 == pytest.approx(100 * (posteriors.argmax(1) == truth).double().mean().item())
    assert found.top5 == pytest.approx(100 * (posteriors.topk(5).indices == truth[:, None]).any(1).double().mean().item())
    assert found.guesses.tolist() == posteriors.argmax(1).tolist()
    assert found.confusion.diagonal().sum() == (posteriors.argmax(1) == truth).sum()


def test_with_few_classes_every_answer_is_among_five() -> None:
    found = evaluation_of((Reply(0, "a", 1, 1, 0.4, ((0, 0.6), (1, 0.4))),), ("ant", "bee"))

    assert (found.top1, found.top5) == (0.0, 100.0)
    assert found.top5_interval.low == pytest.approx(20.65, abs=0.005)


def test_without_a_usable_image_there_are_no_numbers() -> None:
    with pytest.raises(ValueError, match=r"none of the 2 images can be read; the first: b\.jpg is no image"):
        evaluation_of((REPLIES[1], REPLIES[6]))
    with pytest.raises(ValueError, match="there is no image to evaluate"):
        evaluation_of(())
