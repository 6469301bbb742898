"""Features, probes and searches as users call them, with the bundled network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import fourfold
from fourfold import verbs_features
from fourfold.features.probe import read_probe
from fourfold.sources import Failure
from fourfold.verbs_features import Alike


def paint(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-30, 30, (32, 38, 3))
    Image.fromarray((noise + np.array(colour)).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and test/ of two classes; one broken image in test/."""
    folder = tmp_path_factory.mktemp("data")
    for part, count in (("train", 6), ("test", 4)):
        for place, (name, colour) in enumerate((("red", (200, 40, 40)), ("sky", (60, 120, 220)))):
            for index in range(count):
                paint(folder / part / name / f"{index}.png", colour, 100 * place + index + (50 if part == "test" else 0))
    (folder / "test" / "sky" / "9.png").write_bytes(b"no image")
    return folder


def short(names: tuple[str, ...], folder: Path) -> list[str]:
    return [Path(name).relative_to(folder).as_posix() for name in names]


def test_features_of_a_data_set_are_of_all_its_parts_or_of_one(data: Path, tmp_path: Path) -> None:
    table = fourfold.features(data, tmp_path / "f.npz")
    assert len(table) == 20
    assert table.classes == ("red", "sky")
    assert [each.name for each in table.errors] == [str(data / "test/sky/9.png")]
    part = fourfold.features(data, split="train")
    assert short(part.names, data)[:2] == ["train/red/0.png", "train/red/1.png"]
    assert len(part) == 12
    assert torch.equal(part.matrix, fourfold.features(data / "train").matrix)
    with pytest.raises(ValueError, match="has no part 'val'; it has train, test"):
        fourfold.features(data, split="val")


def test_features_of_photos_have_no_classes(data: Path, tmp_path: Path) -> None:
    folder = data / "train" / "red"
    by_folder = fourfold.features(folder, tmp_path / "f.parquet", layer="conv4_1", pooling="2,1", scales=[40])
    assert by_folder.truth == ()
    assert by_folder.matrix.shape == (6, 64 * 5)
    assert fourfold.features(f"{folder}/[01].png").names == (str(folder / "0.png"), str(folder / "1.png"))
    assert len(fourfold.features([folder / "0.png", data / "test" / "red"])) == 5
    for wrong, words in ((f"{folder}/x*.png", "nothing matches"), ("-", "standard input"), (folder / "none.png", None)):
        if words is None:
            assert "does not exist" in fourfold.features(wrong).errors[0].error
        else:
            with pytest.raises(ValueError, match=words):
                fourfold.features(wrong)
    with pytest.raises(ValueError, match="have no part 'train'"):
        fourfold.features(folder, split="train")


def test_a_probe_tells_classes_that_the_network_never_saw(data: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = fourfold.probe(data, out=tmp_path / "p", watch=lambda done, total: seen.append((done, total)))
    assert found.scores.accuracy == 100
    assert (found.trained_images, found.scores.images, found.tested_on) == (12, 8, "test/, as there is no val/")
    assert [each.name for each in found.broken] == [str(data / "test/sky/9.png")]
    assert seen[-1] == (21, 21)
    again = read_probe(tmp_path / "p")
    table = fourfold.features(data, split="test")
    assert torch.equal(again.predict(table.matrix), table.labels)
    assert fourfold.probe(data, kind="logistic", layer="conv3_1", pooling="3,1", scales=[41]).scores.accuracy == 100


def test_a_probe_tests_on_what_is_held_out_where_there_is_one_part(data: Path) -> None:
    found = fourfold.probe(data / "train", seed=4)
    assert (found.trained_images, found.scores.images) == (10, 2)
    assert "held out" in found.tested_on


def test_images_like_a_photo_are_found(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    table = fourfold.features(data, path, split="train")
    query = data / "train" / "sky" / "3.png"
    found, broken = fourfold.search([query, data / "none.png"], path, count=7)
    assert isinstance(found, Alike)
    assert isinstance(found.image, Tensor)
    assert isinstance(broken, Failure)
    assert found.neighbours[0].name == str(query)
    assert found.neighbours[0].similarity == pytest.approx(1, abs=1e-5)
    assert [each.truth for each in found.neighbours] == ["sky"] * 6 + ["red"]
    in_memory = fourfold.search(query, table, count=3, model=fourfold.load("resnet20-cifar10"))[0]
    assert isinstance(in_memory, Alike)
    assert in_memory.neighbours == found.neighbours[:3]


def test_an_index_is_made_beside_the_file_and_made_again_when_that_changes(data: Path, tmp_path: Path) -> None:
    path, query = tmp_path / "f.npz", data / "test" / "red" / "1.png"
    fourfold.features(data / "train", path)
    exact, found = fourfold.search(query, path, count=4)[0], fourfold.search(query, path, count=4, index=True)[0]
    assert isinstance(exact, Alike)
    assert isinstance(found, Alike)
    assert [each.name for each in found.neighbours] == [each.name for each in exact.neighbours]
    made = (tmp_path / "f.npz.index").stat().st_mtime_ns
    fourfold.search(query, path, index=True)
    assert (tmp_path / "f.npz.index").stat().st_mtime_ns == made
    fourfold.features(data / "test", path)
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    newer = fourfold.search(query, path, count=1, index=True)[0]
    assert isinstance(newer, Alike)
    assert newer.neighbours[0].name == str(query)
    with pytest.raises(ValueError, match="index is kept beside a file"):
        fourfold.search(query, fourfold.features(data / "train"), index=True)


def test_copies_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for seed, name in enumerate("abc"):
        paint(folder / f"{name}.png", (60 + 70 * seed, 130 - 40 * seed, 90), seed)
    (folder / "copy.png").write_bytes((folder / "b.png").read_bytes())
    table = fourfold.features(folder, tmp_path / "f.npz", layer="conv2_1", pooling="4")
    assert len(table) == 4
    pairs = fourfold.similar_pairs(tmp_path / "f.npz", 0.9999)
    assert [(Path(one).name, Path(other).name) for one, other, _ in pairs] == [("b.png", "copy.png")]


def test_tables_that_cannot_be_searched_are_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"no image")
    fourfold.features(tmp_path / "bad", tmp_path / "f.npz")
    with pytest.raises(ValueError, match="no images in this table"):
        fourfold.search(data / "train/red/0.png", tmp_path / "f.npz")
    table = fourfold.features(data / "train", layer="conv2_1")
    other = verbs_features.Features(table.names, table.truth, table.matrix, {**table.header, "sha256": "00"})
    with pytest.raises(ValueError, match="with other weights"):
        fourfold.search(data / "train/red/0.png", other)
