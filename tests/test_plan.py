"""What is chosen for people who say nothing, and that what they say is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourfold import catalog, plan
from fourfold.data.listing import File, Listing
from fourfold.plan import Facts, Plan, choose, look_at
from fourfold.train.recipe import Budget

PHOTOS, CELLS, CIFAR = Facts(160, 5, 480), Facts(600, 3, 40), Facts(45_000, 10, 32)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))


def chosen(made: Plan) -> tuple[str, str | None, str, dict[str, object]]:
    return made.model, made.start, made.recipe, dict(made.options)


def test_few_photos_start_from_the_weights_that_come_with_fourfold() -> None:
    assert chosen(choose(PHOTOS)) == ("resnet20", "resnet20-cifar10", "modern-fine-tune", {"input_size": 64})
    assert chosen(choose(CELLS)) == ("resnet20", "resnet20-cifar10", "modern-fine-tune", {})


def test_many_small_images_are_learned_from_scratch_for_as_long_as_the_recipe_was_made_for() -> None:
    made = choose(CIFAR)

    assert chosen(made) == ("resnet20", None, "modern-cifar", {})
    assert made.budget.epochs == pytest.approx(54, abs=0.1)


def test_imagenet_weights_are_taken_once_they_are_in_the_cache(tmp_path: Path) -> None:
    assert not catalog.is_here("resnet18-imagenet")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "resnet18-f37072fd.pth").touch()

    assert chosen(choose(PHOTOS)) == ("resnet18", "resnet18-imagenet", "modern-fine-tune", {})
    assert choose(CELLS).model == "resnet20"


@pytest.mark.parametrize(("images", "epochs"), [(10, 100), (160, 100), (400, 50), (1000, 20), (5000, 15)])
def test_fewer_images_are_seen_more_often(images: int, epochs: float) -> None:
    assert choose(Facts(images, 3, 480)).budget == Budget(epochs=epochs)  # 20,000 in all, 15 to 100 epochs


def test_what_is_said_is_kept_and_the_rest_chosen_around_it() -> None:
    assert chosen(choose(PHOTOS, model="vgg-a")) == ("vgg-a", None, "modern", {})
    assert chosen(choose(CIFAR, model="resnet32")) == ("resnet32", None, "modern-cifar", {})
    assert chosen(choose(PHOTOS, start="resnet20-cifar10")) == ("resnet20", "resnet20-cifar10", "modern-fine-tune", {})
    assert chosen(choose(PHOTOS, start="resnet50-imagenet"))[0] == "resnet50"
    assert chosen(choose(CIFAR, recipe="resnet-cifar")) == ("resnet20", None, "resnet-cifar", {})
    assert choose(PHOTOS, options={"width": 2}).options == {"input_size": 64, "width": 2}
    assert choose(PHOTOS, budget=Budget(epochs=3)).budget == Budget(epochs=3)


def test_a_papers_recipe_keeps_its_length() -> None:
    assert choose(CIFAR, recipe="resnet-cifar").budget == Budget()


def test_every_choice_has_its_reason_and_what_was_said_has_none() -> None:
    assert len(choose(CELLS).reasons) == 3  # network, recipe, epochs
    assert choose(CIFAR, model="resnet20", recipe="vgg", budget=Budget(epochs=1)).reasons == ()


def test_an_unknown_recipe_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match=r"no recipe 'modem'.*modern"):
        choose(PHOTOS, recipe="modem")


def test_the_facts_are_counts_and_a_median(tmp_path: Path) -> None:
    sizes = [(40, 90), (200, 50), (60, 60), (300, 70), (80, 500)]
    for index, (width, height) in enumerate(sizes):
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "5.png").write_bytes(b"broken")
    items = tuple(File(tmp_path / f"{index}.png") for index in range(6))

    facts = look_at(Listing(items, (0, 1, 0, 1, 0, 1), ("a", "b")))

    assert facts == Facts(6, 2, 60)  # of 40, 50, 60, 70, 80
    with pytest.raises(ValueError, match="none of the 1 images tried can be read; `fourfold data check` says why"):
        look_at(Listing(items[5:], (0,), ("a",)))
    assert plan.SAMPLE >= 5
