"""The experiments on ImageNet: commands that the command line takes, in an order in which they can run, with their cost."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch

from fourfold.networks import build
from fourfold.papers import RECIPES
from fourfold.reproduce.claims import CLAIMS
from fourfold.reproduce.launches import Launch, launches
from fourfold.terminal import parse_options

PLANNED = [claim for claim in CLAIMS.values() if claim.on_imagenet]


def words_of(launch: Launch) -> list[str]:
    words = shlex.split(launch.command)
    assert words[:6] == ["torchrun", "--nproc-per-node", "8", "-m", "fourfold", "--"]
    return words[6:]


def after(words: list[str], option: str) -> str | None:
    return words[words.index(option) + 1] if option in words else None


def test_vggs_jitter_comes_from_384_and_that_from_256() -> None:
    plan = launches(CLAIMS["vgg-multi-scale"], "/data/image net", Path("out"))
    told = [words_of(each) for each in plan]
    assert [words[0] for words in told] == ["train", "train", "train", "evaluate", "evaluate"]
    assert [after(words, "--recipe") for words in told[:3]] == ["vgg", "vgg-384", "vgg-jitter"]
    assert [after(words, "--from") for words in told[:3]] == [None, after(told[0], "--run"), after(told[1], "--run")]
    assert all("/data/image net" in words for words in told)
    assert [after(words, "--protocol") for words in told[3:]] == ["dense", "dense3"]
    assert told[3][1] == after(told[2], "--run")
    assert after(told[3], "--scales") == "384"
    assert after(told[4], "--scales") is None


def test_a_deeper_net_comes_from_the_trained_a() -> None:
    told = [words_of(each) for each in launches(CLAIMS["vgg-initialisation"], "D", Path("out"))]
    assert [after(words, "--model") for words in told] == ["vgg-d", "vgg-a", "vgg-d", "vgg-d"]
    assert after(told[2], "--from") == after(told[1], "--run")
    assert len({after(words, "--run") for words in told}) == 4


@pytest.mark.parametrize("claim", PLANNED, ids=lambda claim: claim.name)
def test_every_plan_can_be_run_from_above(claim) -> None:
    made: set[str] = set()
    plan = launches(claim, "D", Path("out"), seeds=2)
    assert len({each.command for each in plan}) == len(plan)
    assert {0, 1} <= {each.seed for each in plan}
    for each in plan:
        words = words_of(each)
        assert each.hours > 0
        if words[0] == "train":
            options = [words[place + 1] for place, word in enumerate(words) if word == "-o"]
            assert after(words, "--recipe") in RECIPES
            with torch.device("meta"):
                build(str(after(words, "--model")), **parse_options(options))
            assert after(words, "--from") in {None, *made}
            made.add(str(after(words, "--run")))
        else:
            assert set(words[1 : words.index("D")]) <= made


def test_the_cost_is_that_of_multiply_adds() -> None:
    """VGG A: 7.609 G multiply-adds, 370,000 batches of 256, three passes; on 8 devices of 50 TFLOP/s."""
    launch = launches(CLAIMS["vgg-lrn"], "D", Path("out"))[0]
    assert launch.flops == pytest.approx(2 * 3 * 7.609e9 * 370_000 * 256, rel=1e-3)
    assert launch.hours == pytest.approx(launch.flops / (8 * 50e12) / 3600)


def test_crops_cost_in_proportion() -> None:
    """GoogLeNet Table 3: 1, 10 and 144 crops; ours count the pixels of the views, as the larger ones are shrunk."""
    plan = [each for each in launches(CLAIMS["googlenet-crops"], "D", Path("out")) if words_of(each)[0] == "evaluate"]
    costs = {each.arm: each.flops for each in plan}
    assert costs["1 x 10"] == pytest.approx(10 * costs["1 x 1"])
    assert 144 <= costs["1 x 144"] / costs["1 x 1"] < 200
    assert costs["7 x 10"] == pytest.approx(7 * costs["1 x 10"])
    runs = words_of(next(each for each in plan if each.arm == "7 x 1"))
    assert len(set(runs[1 : runs.index("D")])) == 7


def test_a_claim_without_an_experiment_on_imagenet_is_refused() -> None:
    with pytest.raises(ValueError, match="resnet-cost has no experiment on ImageNet"):
        launches(CLAIMS["resnet-cost"], "D", Path("out"))
