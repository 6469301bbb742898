"""Detectors on a network that sees mean colours alone, so that every score can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from fourfold.boxes import no_boxes
from fourfold.catalog import PIXELS, ModelEntry, Network
from fourfold.detect.box_regression import BoxRegression
from fourfold.detect.detections import Detections, union
from fourfold.detect.detector import (
    Averaged,
    Detector,
    Softmax,
    SvmScore,
    United,
    features_of,
    with_area,
    without_refinement,
)
from fourfold.detect.propose import Propose
from fourfold.detect.regions import WarpedRegions
from fourfold.detect.suppress import Suppress
from fourfold.detect.svm import LinearSvms
from fourfold.models.base import Classifier, MeanHead, fully_connected, sequential

RED, BLUE, BLACK = torch.tensor([1.0, -1.0, -1.0]), torch.tensor([-1.0, -1.0, 1.0]), torch.tensor([-1.0, -1.0, -1.0])
FC = torch.tensor([[4.0, -1.0, -3.0], [-3.0, -1.0, 4.0], [0.5, 0.25, 0.5]])  # of red, blue and background
LABELS = ("red", "blue", "background")
ON_RED, ON_BLUE, ON_BLACK = [12.0, 6.0, 28.0, 24.0], [40.0, 12.0, 52.0, 33.0], [2.0, 30.0, 30.0, 38.0]
BOXES = torch.tensor([ON_BLACK, ON_BLUE, ON_RED])


@dataclass(frozen=True)
class Fixed(Propose):
    """The same boxes for every image, or other ones for the file called second.png."""

    boxes: Sequence[Sequence[float]]

    def __call__(self, image: Tensor, name: str = "") -> Tensor:  # noqa: ARG002 (as Propose)
        chosen = list(self.boxes)[::-1] if name == "second.png" else self.boxes
        return torch.tensor(chosen, dtype=torch.float32).reshape(-1, 4)


def painted() -> Tensor:
    """Black, 40 x 60, with a red rectangle and a blue one."""
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    image[0, 5:25, 10:30] = 255
    image[2, 10:35, 35:55] = 255
    return image


def colour_network(weights: Tensor = FC, labels: tuple[str, ...] = LABELS) -> Network:
    """Mean colours from -1 to 1, weighed."""
    trunk = sequential({"conv1": nn.Conv2d(3, 3, 1, bias=False)})
    classifier = Classifier(trunk, MeanHead(sequential({"fc": nn.Linear(3, len(weights))}), 8), input_size=8)
    state = {
        "trunk.conv1.weight": torch.eye(3)[:, :, None, None],
        "head.fc.fc.weight": weights,
        "head.fc.fc.bias": torch.zeros(len(weights)),
    }
    classifier.load_state_dict(state)
    return Network(classifier.eval().requires_grad_(False), PIXELS["half"], labels, ModelEntry("", "colours"))


def detector(boxes: Sequence[Sequence[float]] = tuple(BOXES.tolist()), weights: Tensor = FC, name: str = "one") -> Detector:
    return Detector(colour_network(weights), Fixed(boxes), WarpedRegions(context=0), Softmax(), name=name)


def moving(codes: Sequence[Sequence[float]], pairs: Sequence[int]) -> BoxRegression:
    """A regression that moves boxes of each class alike, whatever they show."""
    return BoxRegression(torch.zeros(len(codes), 4, 3), torch.tensor(codes), torch.tensor(pairs), 1.0)


def test_boxes_are_found_where_their_colour_is_with_the_posteriors_of_the_network() -> None:
    look = detector().look(painted())

    assert look.found.labels[:2].tolist() == [0, 1]
    assert look.found.boxes[:2].tolist() == [ON_RED, ON_BLUE]
    posteriors = (torch.stack([RED, BLUE, BLACK]) @ FC.T).softmax(1)
    wanted = [float(posteriors[0, 0]), float(posteriors[1, 1])]
    assert look.found.scores[:2].tolist() == pytest.approx(wanted, abs=1e-5)
    on_black = look.found.take((look.found.boxes == torch.tensor(ON_BLACK)).all(1))
    assert sorted(zip(on_black.labels.tolist(), on_black.scores.tolist(), strict=True)) == [
        (label, pytest.approx(float(posteriors[2, label]), abs=1e-5)) for label in (0, 1)
    ]
    assert torch.equal(look.proposals, BOXES)
    assert look.propose_seconds >= 0
    assert look.seconds > 0
    assert len(look.found) == 4, "red on blue and blue on red lie below 0.01"


def test_a_call_finds_what_a_look_finds_and_passes_the_name_on() -> None:
    one = detector()
    look = one.look(painted(), "second.png")
    assert torch.equal(look.proposals, BOXES.flip(0))
    assert torch.equal(one(painted(), "second.png").boxes, look.found.boxes)
    assert one.labels == ("red", "blue")
    assert (one.title, one.words) == ("one", "colours, regions warped with a context of 0 in 227 pixels")
    assert "moved" in replace(one, refine=moving([[0.0] * 4] * 2, [1, 1])).words


@pytest.mark.parametrize("boxes", [(), ([5.0, 5, 5, 9], [7, 8, 20, 8])])
def test_no_proposals_and_proposals_without_area_find_nothing(boxes: Sequence[Sequence[float]]) -> None:
    for finder in (detector(boxes), United((detector(boxes), detector(boxes))), Averaged((detector(boxes),) * 2)):
        look = finder.look(painted())
        assert len(look.found) == 0
        assert look.found.boxes.shape == look.proposals.shape == (0, 4)


def test_proposals_without_area_are_left_out_even_where_boxes_are_moved() -> None:
    one = detector([[5.0, 5, 5, 9], ON_RED, [7, 8, 20, 8]])
    look = replace(one, refine=moving([[0.0] * 4] * 2, [1, 1])).look(painted())
    assert look.proposals.tolist() == [ON_RED]
    assert look.found.boxes[0].tolist() == ON_RED
    assert with_area(no_boxes()).shape == (0, 4)


def test_boxes_are_moved_by_their_class_and_cut_at_the_border() -> None:
    codes = [[-0.75, 0.5, 0.0, 0.0], [0.25, 0.0, 0.0, 0.0]]
    one = replace(detector([ON_RED, ON_BLUE]), refine=moving(codes, [3, 3]))
    found = one(painted())
    assert found.boxes[found.labels == 0].tolist() == [[0, 15, 16, 33]]  # 12 to the left, 9 down: 12 - 0.75 * 16 = 0
    assert found.boxes[found.labels == 1].tolist() == [[43, 12, 55, 33]]

    far = replace(one, refine=moving([[-1.0, 0.5, 0.0, 0.0], [0.9, 1.0, 0.0, 0.0]], [3, 3]))(painted())
    assert far.boxes[far.labels == 0].tolist() == [[0, 15, 12, 33]]
    assert far.boxes[far.labels == 1].tolist() == [pytest.approx([50.8, 33, 60, 40])]
    assert without_refinement(one)(painted()).boxes.tolist() == [ON_RED, ON_BLUE]


def test_a_class_that_regression_did_not_learn_leaves_its_boxes() -> None:
    found = replace(detector([ON_RED, ON_BLUE]), refine=moving([[0.5] * 4] * 2, [0, 2]))(painted())
    assert found.boxes[found.labels == 0].tolist() == [ON_RED]
    assert found.boxes[found.labels == 1].tolist() != [ON_BLUE]


def test_boxes_moved_off_the_image_are_dropped() -> None:
    found = replace(detector([ON_RED, ON_BLUE]), refine=moving([[-2.0, 0, 0, 0], [0, 0, 0, 0]], [1, 1]))(painted())
    assert found.labels.tolist() == [1]


def test_regression_reads_the_features_of_each_box_itself() -> None:
    weights = torch.zeros(2, 4, 3)
    weights[:, 0, 0] = 0.125  # to the right by an eighth of the width times red
    refine = BoxRegression(weights, torch.zeros(2, 4), torch.tensor([1, 1]), 2.0)
    found = replace(detector([ON_BLACK, ON_BLUE, ON_RED]), refine=refine)(painted())
    assert found.boxes[found.labels == 0][0].tolist() == [16, 6, 32, 24]  # + 16 * 2 / 8
    assert found.boxes[found.labels == 1][0].tolist() == [37, 12, 49, 33]  # - 12 * 2 / 8


def test_of_each_class_the_best_thousand_above_the_least_score_are_suppressed() -> None:
    dice = torch.Generator().manual_seed(3)
    low = torch.rand(1300, 2, generator=dice) * 20
    boxes, scores = torch.cat([low, low + 5], 1), torch.rand(1300, 2, generator=dice)
    scores[:, 1] *= (torch.arange(1300) % 3 == 0).float()  # 434 of the other class

    found = detector().judged(painted(), boxes, torch.zeros(1300, 3), scores)

    best = scores[:, 0].sort(descending=True).values[:1000]
    assert torch.equal(found.of(0).scores, best)
    above = scores[:, 1][scores[:, 1] > 0.01]
    assert torch.equal(found.of(1).scores, above.sort(descending=True).values)
    assert 0 < len(above) < 434
    for label in (0, 1):
        rows = [int((scores[:, label] == score).nonzero()[0]) for score in found.of(label).scores]
        assert torch.equal(found.of(label).boxes, boxes[rows])


def test_a_score_equal_to_the_least_is_none() -> None:
    scores = torch.tensor([[0.25, 0.5], [0.2500001, 0.1]])
    one = replace(detector(), score=Softmax(least=0.25))
    found = one.judged(painted(), BOXES[:2], torch.zeros(2, 3), scores)
    assert sorted(zip(found.labels.tolist(), found.scores.tolist(), strict=True)) == [
        (0, pytest.approx(0.2500001)),
        (1, 0.5),
    ]


def test_overlapping_boxes_of_a_class_are_suppressed_after_they_were_moved() -> None:
    boxes = [[11.0, 6.0, 27.0, 24.0], [13.0, 6.0, 29.0, 24.0]]
    assert len(detector(boxes)(painted()).of(0)) == 1
    apart = replace(detector(boxes), suppress=Suppress(iou=0.9))
    assert len(apart(painted()).of(0)) == 2
    same = moving([[0.0, 0, 9, 9]] * 2, [1, 1])  # both as large as the image
    moved = replace(apart, refine=same)(painted()).of(0)
    assert moved.boxes.tolist() == [[0, 0, 60, 40]]


def test_svms_score_fc7_after_its_relu_or_the_pooled_features_where_there_is_none() -> None:
    svms = LinearSvms(torch.tensor([[1.0, 0, -1], [0, 2, 0.5]]), torch.tensor([0.5, -0.25]), 2.0)
    pooled = torch.tensor([[1.0, 2, 3], [-1, 0, 1]])
    assert torch.equal(features_of(colour_network(), pooled), pooled)
    scores = SvmScore(svms)(colour_network(), pooled)
    assert scores.tolist() == [[-3.5, 10.75], [-3.5, 0.75]]

    fc = fully_connected(3, 5, 4, 3).eval()
    tall = replace(colour_network(), classifier=Classifier(nn.Sequential(), MeanHead(fc, 8), input_size=8))
    hidden = (fc.fc7(fc.fc6(pooled).relu())).relu()  # pyright: ignore[reportCallIssue]
    assert torch.allclose(features_of(tall, pooled), hidden)
    assert hidden.shape == (2, 4)


def test_svms_find_down_to_minus_one() -> None:
    svms = LinearSvms(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]), torch.tensor([-0.5, 0.25]), 1.0)
    found = replace(detector(), score=SvmScore(svms))(painted())
    pairs = {(label, score) for label, score in zip(found.labels.tolist(), found.scores.tolist(), strict=True)}
    assert pairs == {(0, 0.5), (1, 1.25), (1, -0.75)}  # blue on red and on black alike; red elsewhere has -1.5
    assert len(found) == 4


def test_those_worth_showing_have_their_class_s_threshold() -> None:
    found = Detections(BOXES.repeat(2, 1), torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0.9, 0.5, 0.49, 0.3, 0.2, 0.1]))
    shown = replace(detector(), thresholds=(0.5, 0.2)).shown(found)
    assert shown.scores.tolist() == pytest.approx([0.9, 0.5, 0.3, 0.2])
    assert len(detector().shown(found)) == 6, "nothing is known"
    assert len(replace(detector(), thresholds=(0.5, 0.2)).shown(found.take(torch.zeros(0, dtype=torch.int64)))) == 0


def two() -> tuple[Detector, Detector]:
    """Of different boxes and weights."""
    near = [[10.0, 6.0, 27.0, 24.0], [36.0, 11.0, 54.0, 34.0], [0.0, 0.0, 60.0, 40.0]]
    return detector(), detector(near, FC * 0.5, "two")


def test_united_detectors_suppress_all_their_boxes_together() -> None:
    one, other = two()
    look = United((one, other)).look(painted())

    parts = [one.candidates(painted(), BOXES), other.candidates(painted(), other.propose(painted()))]
    both = union(parts)
    kept = both.take(batched_nms(both.boxes, both.scores, both.labels, 0.3))
    assert torch.equal(look.found.boxes, kept.boxes)
    assert torch.equal(look.found.scores, kept.scores)
    assert torch.equal(look.found.labels, kept.labels)
    assert len(look.proposals) == 6
    assert len(kept) < len(one(painted())) + len(other(painted()))
    assert all(any((kept.boxes == box).all(1).any() for box in part.boxes) for part in parts), "boxes of both"


def test_averaged_detectors_score_the_boxes_of_the_first_by_their_mean() -> None:
    one, other = two()
    moved = replace(one, refine=moving([[0.25, 0, 0, 0], [0, 0, 0, 0]], [1, 1]))
    look = Averaged((moved, other)).look(painted())

    colours = torch.stack([BLACK, BLUE, RED])
    mean = ((colours @ FC.T).softmax(1) + (colours @ FC.T * 0.5).softmax(1)) / 2
    assert torch.equal(look.proposals, BOXES)
    assert look.found.scores[:2].tolist() == pytest.approx(sorted([float(mean[2, 0]), float(mean[1, 1])])[::-1], abs=1e-5)
    assert look.found.boxes[look.found.labels == 0][0].tolist() == [16, 6, 32, 24]


def test_detectors_together_say_what_they_are() -> None:
    one, other = two()
    united, averaged = United((one, other)), Averaged((one, other))
    assert united.labels == averaged.labels == ("red", "blue")
    assert united.title == averaged.title == "one + two"
    assert united.words == "the boxes of 2 detectors, suppressed together"
    assert averaged.words == "the mean of 2 detectors' scores, on the proposals of one"
    assert united.least_shown() == ()
    first, second = replace(one, thresholds=(0.25, 0.5)), replace(other, thresholds=(0.75, 0.25))
    assert United((first, second)).least_shown() == (0.5, 0.375)
    assert Averaged((first, other)).least_shown() == ()


def test_a_class_without_an_svm_is_never_found() -> None:
    svms = LinearSvms(torch.tensor([[0.0, 0, 0], [0, 0, 1.0]]), torch.tensor([-1e9, 0.25]), 1.0)
    found = replace(detector(), score=SvmScore(svms))(painted())
    assert set(found.labels.tolist()) == {1}


@pytest.mark.parametrize("kind", [United, Averaged])
def test_detectors_that_do_not_go_together_are_refused(kind: type[United] | type[Averaged]) -> None:
    with pytest.raises(ValueError, match="no detector given"):
        kind(())
    renamed = replace(detector(name="cats"), network=colour_network(labels=("cat", "blue", "background")))
    with pytest.raises(ValueError, match="cats finds other classes than one"):
        kind((detector(), renamed))
    svms = LinearSvms(torch.zeros(2, 3), torch.zeros(2), 1.0)
    with pytest.raises(ValueError, match="scores of Softmax and SvmScore cannot be compared"):
        kind((detector(), replace(detector(), score=SvmScore(svms))))
