"""Localization as functions: one answer by every way to ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fourfold
from fourfold.catalog import load
from fourfold.localizer_files import open_localizer
from fourfold.localizing import Located, system_of
from fourfold.sources import Failure

Make = Callable[..., Path]  # conftest's
EXAMPLE = Path(__file__).parents[1] / "examples" / "cat.jpg"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, put_single: Make, write_localizer: Make) -> Path:
    """data/ and the localizers one/ and two/."""
    folder = tmp_path_factory.mktemp("home")
    put_single(folder / "data", 12)
    for seed, name in enumerate(("one", "two"), start=1):
        write_localizer(folder / name, seed)
    return folder


def test_a_photo_is_located_without_any_training() -> None:
    (found,) = fourfold.localize(EXAMPLE)
    assert isinstance(found, Located)
    (spot,) = found.top
    assert spot.label == "cat"
    assert spot.probability > 0.9
    left, top, right, bottom = spot.box
    assert 0 <= left < right <= found.image.shape[2]
    assert 0 <= top < bottom <= found.image.shape[1]


def test_folders_loaded_models_and_systems_give_the_same(home: Path) -> None:
    photo = home / "data" / "3.png"
    (first,) = fourfold.localize(photo, home / "one", top=3)
    assert isinstance(first, Located)
    asked = [
        open_localizer(home / "one"),
        [str(home / "one")],
        fourfold.load_localizer(home / "one"),
        fourfold.load_localizer([home / "one"], protocol="dense", scales=[20]),
    ]
    for model in asked:
        (found,) = fourfold.localize([photo], model, top=3)
        assert isinstance(found, Located)
        assert found.top == first.top
    classifier = home / "one" / "classifier"
    ways = [fourfold.localize(photo, each) for each in (classifier, load(classifier), fourfold.load(classifier))]
    assert len({found.top for (found,) in ways if isinstance(found, Located)}) == 1


def test_a_folder_is_walked_and_what_is_broken_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    found = fourfold.localize([home / "data" / "0.png", tmp_path, "gone.png"], home / "one", with_heat=True)
    assert [isinstance(each, Failure) for each in found] == [False, True, True]
    assert isinstance(found[0], Located)
    assert found[0].heat is not None


def test_an_evaluation_is_that_of_its_protocol(home: Path, tmp_path: Path) -> None:
    data = home / "data" / "boxes.csv"
    seen: list[tuple[str, int, int]] = []
    found = fourfold.evaluate_localizer_each(
        home / "one", data, "all", watch=lambda name, done, total: seen.append((name, done, total))
    )
    assert [name for name, _ in found] == ["dense", "central", "heat"]
    assert seen == [(name, index, 2) for name in ("dense", "central", "heat") for index in (1, 2)]
    for name, result in found:
        alone = fourfold.evaluate_localizer(home / "one", data, protocol=name, out=tmp_path / name)
        assert alone.replies == result.replies
        assert (tmp_path / name / "report.html").is_file()
        assert result.protocol.endswith(f"; on {data} (val)")
    assert len({result.replies for _, result in found}) == 3
    whole = fourfold.evaluate_localizer(home / "one", data, split="train")
    assert whole.images == 10
    assert whole.model == "one"
    assert fourfold.evaluate_localizer(home / "one" / "classifier", data).protocol.startswith("boxes: class map")


def test_scales_of_several_protocols_are_those_of_dense(home: Path) -> None:
    data = home / "data" / "boxes.csv"
    found = dict(fourfold.evaluate_localizer_each(home / "one", data, "all", scales=[24, 32]))
    assert "shorter side 24, 32" in found["dense"].protocol
    assert "shorter side 20" in found["heat"].protocol
    one = fourfold.evaluate_localizer(home / "one", data, protocol="heat", scales=[24])
    assert "class map of shorter side 24" in one.protocol


def test_what_does_not_go_together_is_refused(home: Path) -> None:
    system = system_of([open_localizer(home / "one")])
    for protocol, scales in (("heat", None), (None, [30])):
        with pytest.raises(ValueError, match="a localizer that is loaded already has its protocol"):
            fourfold.localize(home / "data", system, protocol=protocol, scales=scales)
    with pytest.raises(ValueError, match="no model is given"):
        fourfold.load_localizer([])
    with pytest.raises(ValueError, match="has no part 'test'"):
        fourfold.evaluate_localizer(home / "one", home / "data" / "boxes.csv", split="test")


def test_a_localizer_is_trained_and_opened(home: Path, tmp_path: Path) -> None:
    start = str(home / "one" / "classifier")
    trained = fourfold.train_localizer(
        home / "data" / "boxes.csv", run=tmp_path / "run", start=start, steps=2, batch_size=3, scale=24, rate=0.01, seed=3
    )
    opened = open_localizer(tmp_path / "run")
    assert opened.boxes.scale == 24
    found = fourfold.evaluate_localizer_each(opened, home / "data" / "boxes.csv", "dense,central")
    assert [(name, each.replies) for name, each in trained.found] == [(name, each.replies) for name, each in found]
    again = fourfold.train_localizer(run=tmp_path / "run", resume=True)
    assert [each.replies for _, each in again.found] == [each.replies for _, each in trained.found]
