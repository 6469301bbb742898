"""Claims as users run them: files, statuses, and what goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import fourfold
from fourfold import verbs_reproduce
from fourfold.reproduce.record import read
from fourfold.reproduce.verdict import CONFIRMED, CONTRADICTED, NOT_RUN, judge


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two claims that share a training."""
    folder = tmp_path_factory.mktemp("out")
    fourfold.reproduce("vgg-kernels", budget="smoke", out=folder, device="cpu")
    return folder


def test_a_claim_leaves_its_numbers_its_plot_and_its_page(out: Path) -> None:
    done = fourfold.reproduce("vgg-kernels", budget="smoke", out=out)
    assert done.folder == out / "vgg-kernels"
    assert read(done.folder / "result.json") == done.result
    assert done.judgement == judge(done.claim, done.result)
    assert (done.folder / "README.md").read_text(encoding="utf-8").startswith("# vgg-kernels: ")
    with Image.open(done.folder / "plot.png") as plot:
        assert plot.format == "PNG"
    assert sorted(path.name for path in done.folder.iterdir()) == ["README.md", "plot.png", "result.json"]


def test_claims_share_trainings(out: Path) -> None:
    assert len(list((out / "runs").iterdir())) == 4  # C and D, two seeds each
    fourfold.reproduce("vgg-non-linearity", budget="smoke", out=out)
    assert len(list((out / "runs").iterdir())) == 6  # B besides


def test_a_training_can_be_used_like_any_other(out: Path) -> None:
    run = next(path for path in (out / "runs").iterdir())
    network = fourfold.load(run).network
    assert network.entry.network.startswith("vgg-")
    assert len(network.labels) == 10


def test_every_claim_is_listed_and_made_images_count_for_nothing(out: Path) -> None:
    found = {each.claim.name: each for each in fourfold.claims(out)}
    assert len(found) >= 24
    assert found["vgg-kernels"].status == NOT_RUN
    assert found["vgg-kernels"].result is None
    assert found["resnet-cost"].status == CONFIRMED
    assert found["googlenet-parameters"].status == CONTRADICTED


def test_own_results_take_the_place_of_those_of_the_package(tmp_path: Path) -> None:
    done = fourfold.reproduce("googlenet-parameters", out=tmp_path)
    told = json.loads((done.folder / "result.json").read_text(encoding="utf-8"))
    told["measured"]["GoogLeNet"][0]["values"]["parameters"] = 5e6  # a twelfth of AlexNet's, as the paper says
    (done.folder / "result.json").write_text(json.dumps(told), encoding="utf-8")
    statuses = {each.claim.name: each.status for each in fourfold.claims(tmp_path)}
    assert statuses["googlenet-parameters"] == CONFIRMED
    assert {each.claim.name: each.status for each in fourfold.claims()}["googlenet-parameters"] == CONTRADICTED
    assert "googlenet-parameters: confirmed</h2>" in _page(tmp_path)
    shutil.rmtree(done.folder)
    assert "googlenet-parameters: contradicted</h2>" in _page(tmp_path)


def _page(folder: Path) -> str:
    fourfold.write_claims_page(folder / "pages" / "page.html", folder)
    return (folder / "pages" / "page.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot write"):
        fourfold.write_claims_page(tmp_path / "file" / "page.html")


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "vgg-lrn").mkdir()
    (tmp_path / "vgg-lrn" / "result.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"vgg-lrn/result.json is damaged"):
        fourfold.claims(tmp_path)


def test_plans_are_made_for_claims_with_experiments_on_imagenet(tmp_path: Path) -> None:
    plan = fourfold.plan_on_imagenet("vgg-lrn", "IMAGENET", seeds=2, out=tmp_path)
    assert [(each.arm, each.seed) for each in plan] == [("A", 0), ("A-LRN", 0), ("A", 1), ("A-LRN", 1)]
    with pytest.raises(ValueError, match="0 seeds cannot be"):
        fourfold.plan_on_imagenet("vgg-lrn", "IMAGENET", seeds=0)
    assert not list(tmp_path.iterdir())


def test_the_verb_is_not_hidden_by_its_package() -> None:
    assert fourfold.reproduce is verbs_reproduce.reproduce
