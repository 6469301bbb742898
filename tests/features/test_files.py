"""Tables of features: what is written comes back, in every format, and what is damaged is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fourfold.data.listing import Broken
from fourfold.features.files import SUFFIXES, Features, join, key_of, plain, read_features, write_features

HEADER = {"network": "net", "sha256": "ab", "layer": "fc7", "scales": [32], "width": 5, "model": "runs/net"}


def table(count: int = 3, *, seed: int = 0, labelled: bool = True, header: dict | None = None) -> Features:
    names = tuple(f"photos {seed}/ä[{index}].jpg" for index in range(count))
    truth = tuple(("zebra", "ant")[index % 2] for index in range(count)) if labelled else ()
    matrix = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))
    return Features(names, truth, matrix, header or HEADER, (Broken(f"bad {seed}.jpg", "it's cut off"),))


def same(one: Features, other: Features) -> bool:
    words = all(getattr(one, key) == getattr(other, key) for key in ("names", "truth", "header", "errors"))
    return words and torch.equal(one.matrix, other.matrix) and other.matrix.dtype == torch.float32


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("count", [3, 0])
def test_what_is_written_comes_back(tmp_path: Path, suffix: str, labelled: bool, count: int) -> None:
    written = table(count, labelled=labelled)
    write_features(tmp_path / f"f{suffix}", written)
    assert same(read_features(tmp_path / f"f{suffix}"), written)
    assert [path.name for path in tmp_path.iterdir()] == [f"f{suffix}"]


def test_other_programs_read_the_files(tmp_path: Path) -> None:
    import pandas as pd
    from safetensors.numpy import load_file

    for suffix in SUFFIXES:
        write_features(tmp_path / f"f{suffix}", table())
    expected = table().matrix.numpy()
    frame = pd.read_parquet(tmp_path / "f.parquet")
    assert list(frame.columns) == ["image", "class", "features"]
    np.testing.assert_array_equal(np.stack(list(frame["features"])), expected)
    assert list(frame["class"]) == ["zebra", "ant", "zebra"]
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["features"], expected)
        assert list(file["names"]) == list(table().names)
        assert json.loads(str(file["about"]))["header"] == HEADER
    np.testing.assert_array_equal(load_file(tmp_path / "f.safetensors")["features"], expected)


def test_labels_are_indices_into_the_classes_that_occur() -> None:
    assert table().classes == ("ant", "zebra")
    assert table().labels.tolist() == [1, 0, 1]
    assert table(labelled=False).labels.shape == (0,)


def test_tables_are_joined_row_by_row() -> None:
    empty = table(0, seed=2)
    both = join([empty, table(3, seed=0), table(2, seed=1)])
    assert both.names == (*table(3, seed=0).names, *table(2, seed=1).names)
    assert torch.equal(both.matrix, torch.cat([table(3, seed=0).matrix, table(2, seed=1).matrix]))
    assert [each.name for each in both.errors] == ["bad 2.jpg", "bad 0.jpg", "bad 1.jpg"]
    assert len(join([empty])) == 0


def test_tables_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="some of these images have a class"):
        join([table(), table(seed=1, labelled=False)])
    with pytest.raises(ValueError, match='layer "fc6" and not "fc7"'):
        join([table(), table(seed=1, header={**HEADER, "layer": "fc6"})])


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 names and 0 classes"):
        Features(("a", "b"), (), torch.zeros(3, 2), HEADER)
    with pytest.raises(ValueError, match="2 names and 1 classes"):
        Features(("a", "b"), ("x",), torch.zeros(2, 2), HEADER)
    with pytest.raises(ValueError, match="float64"):
        Features(("a", "b"), (), torch.zeros(2, 2, dtype=torch.float64), HEADER)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_file_is_said_in_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"f{suffix}"
    write_features(path, table(40))
    content = path.read_bytes()
    for kept in (0, 7, len(content) // 3, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:kept])
        with pytest.raises(ValueError, match="is damaged or holds no features") as caught:
            read_features(path)
        assert "\n" not in str(caught.value)


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.torch import save_file

    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "f.parquet")
    save_file({"x": torch.zeros(2)}, tmp_path / "f.safetensors")
    np.savez(tmp_path / "f.npz", x=np.zeros(2))
    for suffix in SUFFIXES:
        with pytest.raises(ValueError, match="holds no features"):
            read_features(tmp_path / f"f{suffix}")


def test_names_of_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"f\.csv is not the name of a file of features; end it with \.parquet"):
        write_features(tmp_path / "f.csv", table())
    with pytest.raises(ValueError, match="no file"):
        read_features(tmp_path / "f.npz")


def test_an_image_is_the_same_however_its_path_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert key_of("a/../b.png") == key_of("./b.png") == str(Path.cwd() / "b.png")
    assert plain("caf\udce9.jpg") == "caf\\udce9.jpg"
