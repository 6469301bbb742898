"""Every claim runs at smoke, whatever its outcome; what is said of the papers is theirs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fourfold.networks import build
from fourfold.papers import RECIPES
from fourfold.papers.protocols import PROTOCOLS
from fourfold.reproduce.asked import Asked
from fourfold.reproduce.claim import Arm, Claim
from fourfold.reproduce.claims import CLAIMS, claim_named
from fourfold.reproduce.effort import BUDGETS
from fourfold.reproduce.probed import Probed
from fourfold.reproduce.run import measure_claim, scene_for
from fourfold.reproduce.trained import Trained
from fourfold.reproduce.verdict import NOT_SHOWN, judge


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all claims, so that they share trainings."""
    return tmp_path_factory.mktemp("reproduced")


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.name)
def test_a_claim_runs_at_smoke_and_is_judged(claim: Claim, folder: Path) -> None:
    result = measure_claim(claim, scene_for(claim, "smoke", None, folder, seeds=1))
    assert set(result.measured) == set(claim.arms)
    judgement = judge(claim, result)
    assert len(judgement.findings) == len(claim.contrasts)
    noisy = [f for f in judgement.findings if f.interval is None]
    assert all(finding.verdict == NOT_SHOWN for finding in noisy)


def trainings(arm: Arm) -> list[Trained]:
    if isinstance(arm, Asked):
        return [each for one in arm.trained for each in trainings(one)]
    if isinstance(arm, Probed):
        return trainings(arm.trained)
    if isinstance(arm, Trained):
        return [arm] if arm.shallow is None else [arm, *trainings(arm.shallow)]
    return []


def arms() -> list[Arm]:
    return [arm for claim in CLAIMS.values() for arm in (*claim.arms.values(), *claim.on_imagenet.values())]


def test_claims_are_many_and_of_all_four_papers() -> None:
    assert len(CLAIMS) >= 24
    papers = [claim.paper for claim in CLAIMS.values()]
    assert all(papers.count(paper) >= 5 for paper in ("VGG", "ResNet", "GoogLeNet", "SPP-net"))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name) for name in CLAIMS)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.name)
def test_a_claim_is_stated_whole(claim: Claim) -> None:
    assert claim.statement.endswith(".")
    assert len(claim.statement) > 20
    assert claim.section
    assert claim.least in BUDGETS
    assert claim.figures.rows
    assert all(len(row) == len(claim.figures.columns) for row in claim.figures.rows)
    named = {name for contrast in claim.contrasts for name in (contrast.first, contrast.second)}
    extra = set(claim.arms) - named
    assert extra <= {"resnet44", "resnet56", "3 x 10", "batch norm"}, "these complete a table or a plot"


def test_all_trainings_name_networks_recipes_and_protocols_that_there_are() -> None:
    found = [each for arm in arms() for each in trainings(arm)]
    assert len(found) > 80
    for each in found:
        assert each.recipe in RECIPES
        build(each.network, **{**each.options, **each.smoke, "classes": 10})
    asked = [arm for arm in arms() if isinstance(arm, Asked)]
    assert len(asked) > 30
    assert all(part in PROTOCOLS for arm in asked for part in arm.protocol.split("+"))


def test_what_runs_on_imagenet_is_as_printed() -> None:
    for claim in CLAIMS.values():
        for arm in claim.on_imagenet.values():
            for each in trainings(arm):
                assert not {"width", "input_size"} & set(each.options)
                assert each.rate is None
                assert each.initialise is None


def test_an_unknown_claim_has_a_neighbour_named() -> None:
    assert claim_named("vgg-lrn") is CLAIMS["vgg-lrn"]
    with pytest.raises(ValueError, match=r"no claim 'vgg-lrm'; closest are vgg-lrn.*; `fourfold reproduce` lists all"):
        claim_named("vgg-lrm")


def test_the_figures_are_those_that_the_papers_print() -> None:
    """Typed again from VGG Tables 2 and 3, ResNet Tables 1, 2, 3 and 6, GoogLeNet Table 3, SPP-net Table 2."""
    rows = {name: CLAIMS[name].figures.rows for name in CLAIMS}
    assert rows["vgg-depth"] == (("A", 29.6, 10.4), ("B", 28.7, 9.9), ("D", 27.0, 8.8), ("E", 27.3, 9.0))
    assert [row[1] for row in rows["vgg-parameters"]] == [133, 133, 134, 138, 144]
    assert rows["resnet-degradation"] == (("18 layers", 27.94, 27.88), ("34 layers", 28.54, 25.03))
    assert [row[1] for row in rows["resnet-shortcuts"]] == [28.54, 25.03, 24.52, 24.19]
    assert [row[1] for row in rows["resnet-depth"]] == [8.75, 7.51, 7.17, 6.97]
    assert [row[1] for row in rows["resnet-cost"]] == [1.8, 3.6, 3.8, 7.6, 11.3, 15.3, 19.6]
    assert [row[2] for row in rows["googlenet-crops"]] == [10.07, 9.15, 7.89, 8.09, 7.62, 6.67]
    assert [row[1] for row in rows["sppnet-pyramid"]] == [35.99, 34.98, 35.06]
    assert [row[1] for row in rows["sppnet-multi-size"]] == [30.36, 29.68]
