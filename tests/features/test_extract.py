"""Images into tables: what was stopped goes on to the same bits, and a broken image never moves another's row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold import catalog
from fourfold.data.folder import list_folder
from fourfold.data.listing import File
from fourfold.features import extract as module
from fourfold.features.describe import Describer, describer
from fourfold.features.extract import Row, extract, extract_into, rows_of
from fourfold.features.files import read_features
from fourfold.images import read_image


@pytest.fixture(scope="module")
def ask() -> Describer:
    return describer(catalog.load(catalog.DEFAULT), mirrored=False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of four images of different sizes, and a broken one in the middle of each."""
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(5):
            path = tmp_path / "photos" / name / f"{index}.png"
            size = (30 + index, 36, 3)
            Image.fromarray(draw.integers(0, 255, size).astype(np.uint8)).save(path)
            if index == 2:
                path.write_bytes(path.read_bytes()[:200])
    return tmp_path / "photos"


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_IMAGES", 3)
    monkeypatch.setattr(module, "SECONDS", 0.0)


def rows(folder: Path) -> list[Row]:
    return rows_of(list_folder(folder))


def stop_at(number: int) -> module.Watch:
    def watch(done: int, _total: int) -> None:
        if done >= number:
            raise KeyboardInterrupt

    return watch


def test_every_row_is_the_description_of_the_image_that_it_names(ask: Describer, photos: Path) -> None:
    table = extract(ask, rows(photos), model="here")
    assert [Path(name).relative_to(photos).as_posix() for name in table.names] == [
        f"{name}/{index}.png" for name in ("cat", "dog") for index in (0, 1, 3, 4)
    ]
    assert table.truth == ("cat",) * 4 + ("dog",) * 4
    for name, vector in zip(table.names, table.matrix, strict=True):
        torch.testing.assert_close(vector, ask([read_image(Path(name))])[0], rtol=1e-4, atol=1e-5)
    assert [each.name for each in table.errors] == [str(photos / "cat/2.png"), str(photos / "dog/2.png")]
    assert "damaged" in table.errors[0].error
    assert table.header == {**ask.record(), "model": "here"}


def test_an_image_that_becomes_too_large_is_an_error(photos: Path) -> None:
    large = describer(catalog.load(catalog.DEFAULT), "conv1", scales=[1990])
    Image.new("RGB", (300, 30)).save(photos / "cat" / "1.png")
    table = extract(large, rows(photos)[1:2])
    assert len(table) == 0
    assert table.matrix.shape == (0, 16)
    assert str(photos / "cat/1.png") in table.errors[0].error
    assert "19900x1990" in table.errors[0].error


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".safetensors"])
@pytest.mark.usefixtures("small_pieces")
def test_what_was_stopped_goes_on_to_the_same_bits(ask: Describer, photos: Path, tmp_path: Path, suffix: str) -> None:
    whole = extract(ask, rows(photos))
    path = tmp_path / "deep" / f"f{suffix}"
    with pytest.raises(KeyboardInterrupt):
        extract_into(ask, rows(photos), path, watch=stop_at(6))
    assert not path.exists()
    kept = len(list((path.parent / f"f{suffix}.parts").iterdir()))
    assert kept == 2
    seen: list[tuple[int, int]] = []
    table = extract_into(ask, rows(photos), path, watch=lambda done, total: seen.append((done, total)))
    assert seen == [(9, 10), (10, 10)]
    for found in (table, read_features(path)):
        assert found.names == whole.names
        assert found.truth == whole.truth
        assert torch.equal(found.matrix, whole.matrix)
        assert found.errors == whole.errors
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_images_that_a_file_has_are_passed_over(ask: Describer, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    first = extract_into(ask, rows(photos)[:6], path)
    assert len(first) == 5
    seen: list[tuple[int, int]] = []
    both = extract_into(ask, rows(photos), path, watch=lambda done, total: seen.append((done, total)))
    assert seen == [(10, 10)]
    assert len(both) == 8
    assert torch.equal(both.matrix[:5], first.matrix)
    assert sorted(both.names) == sorted(extract(ask, rows(photos)).names)
    before = path.stat().st_mtime_ns
    again = extract_into(ask, [row for row in rows(photos) if not row.item.name.endswith("2.png")], path)
    assert path.stat().st_mtime_ns == before
    assert again.names == both.names


def test_a_broken_image_is_tried_again_when_images_are_added(ask: Describer, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    assert len(extract_into(ask, rows(photos), path).errors) == 2
    Image.new("RGB", (40, 40)).save(photos / "cat" / "2.png")
    mended = extract_into(ask, rows(photos), path)
    assert [each.name for each in mended.errors] == [str(photos / "dog/2.png")]
    assert mended.names[-1] == str(photos / "cat/2.png")
    assert len(mended) == 9


def test_an_image_named_twice_has_one_row(ask: Describer, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    one, other = Row(File(Path("cat/0.png"))), Row(File(photos / "cat" / "0.png"))
    last = Row(File(Path("dog/0.png")))
    assert extract(ask, [one, other, last, one]).names == ("cat/0.png", "dog/0.png")


@pytest.mark.usefixtures("small_pieces")
def test_another_describer_is_refused_before_any_work(ask: Describer, photos: Path, tmp_path: Path) -> None:
    other = describer(ask.network, "conv2_1")
    path = tmp_path / "f.npz"
    with pytest.raises(KeyboardInterrupt):
        extract_into(ask, rows(photos), path, watch=stop_at(4))
    for _ in range(2):  # pieces, and then the whole file
        with pytest.raises(ValueError, match=r'f\.npz were made by resnet20-cifar10 with layer "pool" and not "conv2_1"'):
            extract_into(other, rows(photos), path)
        extract_into(ask, rows(photos), path)


def test_images_without_classes_are_not_added_to_some_with_them(ask: Describer, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    extract_into(ask, rows(photos)[:2], path)
    with pytest.raises(ValueError, match="some of these images have a class"):
        extract_into(ask, [Row(File(photos / "dog" / "0.png"))], path)
    with pytest.raises(ValueError, match="end it with"):
        extract_into(ask, rows(photos), tmp_path / "f.txt")


def test_a_batch_holds_no_more_than_its_share_of_pixels(
    ask: Describer, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_DECODED", 2500)  # two images of 30x36 and 31x36
    good = [row for row in rows(photos) if not row.item.name.endswith("2.png")]
    sizes: list[int] = []
    table = extract(ask, good, watch=lambda done, _total: sizes.append(done))
    assert sizes == [2, 4, 6, 8]
    assert len(table) == 8
