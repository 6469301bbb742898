"""Trained networks under a protocol: the numbers of the evaluation that users run, alone and together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.runner import evaluate
from fourfold.papers.protocols import protocol_named
from fourfold.reproduce.asked import APART, Asked
from fourfold.reproduce.claim import Scene
from fourfold.reproduce.effort import Effort
from fourfold.reproduce.made import made_splits
from fourfold.reproduce.trained import Trained, digest

EFFORT = Effort(train_images=60, val_images=20, epochs=2, seeds=2, batch_size=10)
NET = Trained("vgg-a", "vgg", {"input_size": 32})
OTHER = Trained("resnet20", "resnet-cifar", smoke={"width": 0.25})


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene("smoke", EFFORT, made_splits(EFFORT), tmp_path_factory.mktemp("runs"))


def test_one_network_under_a_protocol_at_scales_in_proportion(scene: Scene) -> None:
    found = Asked((OTHER,), "dense", (384,)).measure(scene, 1).values
    network = OTHER.opened(scene, 1)
    dense = protocol_named("dense", 32, [55])  # 384 * 32 / 224
    told = evaluate(Predictor((Member(network, dense),)), scene.data.val)
    assert found["error"] == 100 - told.top1
    assert found["error5"] == 100 - told.top5
    assert found["views"] == 2
    plain = evaluate(Predictor((Member(network, protocol_named("dense", 32)),)), scene.data.val)
    assert Asked((OTHER,), "dense").measure(scene, 1).values["error"] == 100 - plain.top1


def test_no_scale_is_below_the_network(scene: Scene) -> None:
    assert Asked((OTHER,), "single", (200,)).measure(scene, 1).values["views"] == 1


def test_several_networks_are_averaged_and_have_seeds_of_their_own(scene: Scene) -> None:
    found = Asked((NET, OTHER), "single", each=2).measure(scene, 0).values
    single = protocol_named("single", 32)
    members = [Member(net.opened(scene, seed), single) for seed in (0, APART) for net in (NET, OTHER)]
    assert found["error"] == 100 - evaluate(Predictor(tuple(members)), scene.data.val).top1
    assert found["views"] == 4


def test_trainings_are_shared_among_protocols(scene: Scene) -> None:
    count = len(list((scene.folder / "runs").iterdir()))
    Asked((OTHER,), "full").measure(scene, 0)
    assert len(list((scene.folder / "runs").iterdir())) == count


def test_the_record_tells_arms_apart(scene: Scene, tmp_path: Path) -> None:
    arm = Asked((NET,), "dense")
    others = [
        replace(arm, protocol="dense3"),
        replace(arm, scales=(256,)),
        replace(arm, each=2),
        replace(arm, trained=(OTHER,)),
        replace(arm, trained=(NET, OTHER)),
    ]
    assert len({digest(each.record(scene)) for each in (arm, *others)}) == 6
    assert digest(arm.record(replace(scene, folder=tmp_path))) == digest(arm.record(scene))
