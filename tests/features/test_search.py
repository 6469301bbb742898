"""Neighbours against sorting by hand, mean average precision against scikit-learn, an index against the exact search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from torch import Tensor

from fourfold.features import search
from fourfold.features.search import (
    build_index,
    mean_average_precision,
    near_duplicates,
    nearest,
    read_index,
    write_index,
)


def vectors(count: int, width: int = 6, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=draw) * torch.rand(count, 1, generator=draw).mul(4).exp()


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 30), queries=st.integers(1, 6), count=st.integers(1, 40), seed=st.integers(0, 999))
def test_neighbours_are_those_of_the_highest_cosine(rows: int, queries: int, count: int, seed: int) -> None:
    features, asked = vectors(rows, seed=seed), vectors(queries, seed=seed + 1)
    cosines = cosine_similarity(asked.double().numpy(), features.double().numpy())
    found = nearest(asked, features, count)
    expected = np.sort(cosines, axis=1)[:, ::-1][:, :count]
    np.testing.assert_allclose(found.similarities, expected, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(cosines, found.rows.numpy(), 1), expected, atol=1e-5)
    assert all(len(set(row)) == min(rows, count) for row in found.rows.tolist())


def test_of_equal_rows_the_first_come_first() -> None:
    features = torch.tensor([[0.0, 1.0], [3.0, 0.0], [0.0, 2.0], [1.0, 0.0], [0.0, 0.0], [7.0, 0.0]])
    assert nearest(torch.tensor([[2.0, 0.0]]), features, 5).rows.tolist() == [[1, 3, 5, 0, 2]]
    assert nearest(torch.zeros(1, 2), features, 2).similarities.tolist() == [[0.0, 0.0]]


def test_parts_of_the_comparison_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = vectors(50), torch.arange(50) % 7
    features[40] = features[3]
    whole = nearest(features[:9], features, 4), mean_average_precision(features, labels), near_duplicates(features, 0.8)
    monkeypatch.setattr(search, "AT_ONCE", 150)  # three queries at a time
    parts = nearest(features[:9], features, 4), mean_average_precision(features, labels), near_duplicates(features, 0.8)
    assert torch.equal(parts[0].rows, whole[0].rows)
    assert parts[1] == pytest.approx(whole[1])
    assert [pair[:2] for pair in parts[2]] == [pair[:2] for pair in whole[2]]
    assert len(whole[2]) > 2


def test_mean_average_precision_is_that_of_scikit_learn() -> None:
    features, labels = vectors(40), torch.arange(40) % 5
    labels[7] = 9  # alone in its class: not searched for, but in the way
    values = []
    for query in range(40):
        others = [index for index in range(40) if index != query]
        hits = (labels[others] == labels[query]).numpy()
        if hits.any():
            cosines = cosine_similarity(features[query : query + 1].numpy(), features[others].numpy())[0]
            values.append(average_precision_score(hits, cosines))
    assert len(values) == 39
    assert mean_average_precision(features, labels) == pytest.approx(np.mean(values), abs=1e-5)


def test_images_of_a_class_that_lie_together_are_all_found() -> None:
    centres = torch.eye(6)[torch.arange(30) % 3]
    assert mean_average_precision(centres + 0.01 * vectors(30).tanh(), torch.arange(30) % 3) == pytest.approx(1)
    with pytest.raises(ValueError, match="no class has two images"):
        mean_average_precision(vectors(4), torch.arange(4))


def test_near_duplicates_are_all_pairs_from_a_similarity_on() -> None:
    features = vectors(30, width=3)
    features[20] = 5 * features[4]
    cosines = cosine_similarity(features.double().numpy())
    expected = {(i, j) for i in range(30) for j in range(i + 1, 30) if cosines[i, j] >= 0.9}
    found = near_duplicates(features, 0.9)
    assert {pair[:2] for pair in found} == expected
    assert len(expected) > 5
    assert found[0][:2] == (4, 20)
    assert [pair[2] for pair in found] == sorted((pair[2] for pair in found), reverse=True)
    assert max(pair[2] for pair in found) <= 1
    assert (4, 20) in {pair[:2] for pair in near_duplicates(features, 1.0)}


def test_too_many_pairs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_PAIRS", 5)
    with pytest.raises(ValueError, match=r"more than 5 pairs are at least 0\.5 alike"):
        near_duplicates(torch.ones(4, 2), 0.5)
    for least in (0.0, 1.1, -1.0):
        with pytest.raises(ValueError, match="least similarity"):
            near_duplicates(torch.ones(4, 2), least)


def test_an_index_finds_nearly_what_the_exact_search_finds(tmp_path: Path) -> None:
    features, queries = vectors(2000, 16), vectors(20, 16, seed=1)
    write_index(tmp_path / "f.index", build_index(features))
    index = read_index(tmp_path / "f.index")
    assert (index.count, index.width) == (2000, 16)
    exact, found = nearest(queries, features, 10), index.nearest(queries, 10)
    shared = sum(len(set(a) & set(b)) for a, b in zip(exact.rows.tolist(), found.rows.tolist(), strict=True))
    assert shared >= 180  # of 200
    cosines = torch.from_numpy(cosine_similarity(queries.numpy(), features.numpy()))
    torch.testing.assert_close(found.similarities, cosines.gather(1, found.rows), rtol=0, atol=1e-4)
    assert (found.similarities.diff(dim=1) <= 1e-6).all()
    one = index.nearest(queries[:1], 3)
    assert one.rows.shape == one.similarities.shape == (1, 3)


def test_a_small_index_gives_what_it_has() -> None:
    assert build_index(vectors(3)).nearest(vectors(2, seed=1), 9).rows.sort().values.tolist() == [[0, 1, 2]] * 2


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no index"):
        read_index(tmp_path / "none.index")
    write_index(tmp_path / "cut.index", build_index(vectors(100)))
    content = (tmp_path / "cut.index").read_bytes()
    for kept in (0, 10, 60):
        (tmp_path / "cut.index").write_bytes(content[:kept])
        with pytest.raises(ValueError, match="damaged or no index"):
            read_index(tmp_path / "cut.index")


def test_counts_and_widths_are_checked() -> None:
    with pytest.raises(ValueError, match="0 neighbours"):
        nearest(vectors(1), vectors(3), 0)
    with pytest.raises(ValueError, match="queries"):
        nearest(vectors(1, 5), vectors(3, 6), 1)
