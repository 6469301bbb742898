"""The detectors' numbers, typed from the papers: R-CNN (1311.2524), SPP-net 4, GoogLeNet 8."""

from __future__ import annotations

import pytest

from fourfold.detect.method import FineTuning, Method
from fourfold.detect.proposals import PROPOSERS
from fourfold.detect.regions import PooledRegions, WarpedRegions
from fourfold.papers.detectors import DETECTORS, GOOGLENET, MODERN, RCNN, SPPNET, SPPNET_5, method_named
from fourfold.train.schedule import Progress


def tuning_of(method: Method) -> FineTuning:
    assert method.tuning is not None
    return method.tuning


def rates(method: Method, *steps: int) -> list[float]:
    tuning = tuning_of(method)
    return [tuning.rate(Progress(step, tuning.steps)) for step in steps]


def test_rcnn_is_tuned_as_its_section_2_3_and_its_release_say() -> None:
    tuning = tuning_of(RCNN)
    assert (tuning.steps, tuning.layers) == (70_000, "all")
    wanted = [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-6]
    assert rates(RCNN, 0, 19_999, 20_000, 39_999, 40_000, 59_999, 60_000, 69_999) == pytest.approx(wanted)
    assert (tuning.momentum, tuning.weight_decay, tuning.batch_size) == (0.9, 5e-4, 128)
    assert (tuning.nesterov, tuning.average, tuning.patience) == (False, 0.0, None)
    assert tuning.sampling.foreground_of(128, True, True) == 32
    assert (tuning.sampling.foreground, tuning.sampling.background) == ((0.5, 1.0), (0.0, 0.5))


def test_sppnet_tunes_its_fc_layers_as_its_section_4_3_says() -> None:
    for method in (SPPNET, SPPNET_5):
        tuning = tuning_of(method)
        assert (tuning.steps, tuning.layers) == (300_000, "fc")
        assert rates(method, 0, 249_999, 250_000, 299_999) == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])
        assert (tuning.momentum, tuning.weight_decay, tuning.batch_size) == (0.9, 5e-4, 128)
        assert tuning.sampling.foreground_of(128, True, True) == 32
        assert (tuning.sampling.foreground, tuning.sampling.background) == ((0.5, 1.0), (0.1, 0.5))


def test_regions_are_described_as_the_papers_say() -> None:
    assert isinstance(RCNN.regions, WarpedRegions)
    assert RCNN.regions.context == 16
    assert SPPNET.regions == PooledRegions((688,))
    assert SPPNET_5.regions == PooledRegions((480, 576, 688, 864, 1200))


def test_boxes_are_moved_as_the_papers_say() -> None:
    assert RCNN.ridge is not None
    assert (RCNN.ridge.decay, RCNN.ridge.overlap) == (1000, 0.6)  # appendix C
    for method in (SPPNET, SPPNET_5):
        assert method.ridge is not None
        assert (method.ridge.decay, method.ridge.overlap) == (4000, 0.5)  # release; 4.3
    assert GOOGLENET.ridge is None


def test_svms_are_mined_as_the_papers_say() -> None:
    for method, apart in ((RCNN, 1.0), (SPPNET, 0.7), (SPPNET_5, 0.7)):
        assert method.scores == "svm"
        assert (method.mining.overlap, method.mining.apart) == (0.3, apart)
        assert (method.mining.hard, method.mining.easy, method.mining.retrain_after) == (-1.0001, -1.2, 2000)


@pytest.mark.parametrize("method", DETECTORS.values())
def test_every_detector_looks_at_two_thousand_boxes_and_suppresses_at_three_tenths(method: Method) -> None:
    assert (method.count, method.suppress.iou) == (2000, 0.3)
    assert method.proposals in PROPOSERS
    assert method.source


def test_googlenet_is_rcnn_with_its_own_scores_and_larger_superpixels() -> None:
    assert (GOOGLENET.scores, GOOGLENET.proposals, GOOGLENET.keeps_head) == ("softmax", "fast-x2", True)
    assert (GOOGLENET.regions, GOOGLENET.tuning) == (RCNN.regions, RCNN.tuning)
    assert (RCNN.proposals, SPPNET.proposals) == ("fast", "fast")
    assert not RCNN.keeps_head


def test_methods_come_by_name() -> None:
    wanted = {"rcnn": RCNN, "sppnet": SPPNET, "sppnet-5": SPPNET_5, "googlenet": GOOGLENET, "modern": MODERN}
    for size in (224, 227):
        assert {name: method_named(name, size) for name in DETECTORS} == wanted
    assert method_named("rcnn", 32) == RCNN
    with pytest.raises(ValueError, match=r"no method 'spnet'; closest are sppnet.*; choose from modern, rcnn"):
        method_named("spnet", 224)


def test_scales_are_in_proportion_to_the_network_and_that_is_said() -> None:
    small = method_named("sppnet-5", 32)
    assert small.regions == PooledRegions((69, 82, 98, 123, 171))  # 480 / 7 = 68.57, 82.29, 98.29, 123.43, 171.43
    note = "scales 69, 82, 98, 123, 171, in proportion to 32 pixels, not 480, 576, 688, 864, 1200"
    assert small.deviations == (note,)
    assert method_named("sppnet", 64).regions == PooledRegions((197,))  # 196.57
    assert method_named("modern", 32).deviations[:-1] == MODERN.deviations


def test_scales_may_be_given() -> None:
    given = method_named("sppnet", 32, (600, 400))
    assert given.regions == PooledRegions((600, 400))
    assert given.deviations == ("scales 600, 400, not 688",)
    assert method_named("sppnet", 32, (688,)) == SPPNET
    for name in ("rcnn", "googlenet"):
        with pytest.raises(ValueError, match=f"{name} warps each region .* leave them out"):
            method_named(name, 224, (600,))
    with pytest.raises(ValueError, match="give one or more shorter sides"):
        method_named("sppnet", 224, ())
