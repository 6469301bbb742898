"""Images like an image: nearest neighbours by cosine, exactly or through an index, and pairs that are nearly the same.

An exact search of 100,000 rows of 512 numbers takes 0.2 s on one core; an index over them answers ten queries in 8 ms, but
takes 85 s to be built, so it is for those who ask often. The only user of usearch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fourfold.files import write_whole
from fourfold.shapes import expect

AT_ONCE = 2**24  # similarities held at a time, 64 MB
MOST_PAIRS = 100_000  # near duplicates; a set with more is a film, as for data/duplicates.py


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k rows most like each of Q queries, likest first: rows int64 (Q,k), similarities float32 (Q,k) in -1..1."""

    rows: Tensor
    similarities: Tensor


def nearest(queries: Tensor, features: Tensor, count: int) -> Neighbours:
    """Compare queries (Q,D) with all features (N,D) by cosine; of equal ones the earlier row is first.

    A vector of zeros is like nothing: its similarities are 0. `count` above N gives N. Raises ValueError where it is below
    1, and where the widths differ.
    """
    _check(queries, features.shape[1], count)
    rows, values = [], []
    normal = F.normalize(features, dim=1)
    for part in F.normalize(queries, dim=1).split(max(1, AT_ONCE // max(1, len(features)))):
        best = (part @ normal.T).sort(dim=1, descending=True, stable=True)
        rows.append(best.indices[:, :count])
        values.append(best.values[:, :count])
    return Neighbours(torch.cat(rows), torch.cat(values).clamp(-1, 1))


def mean_average_precision(features: Tensor, labels: Tensor) -> float:
    """How well the images of a class find each other, 0..1: each is searched for once, itself left out.

    labels: int64 (N,). The mean of the average precision (area under the steps) over all images that have another of their
    class. Raises ValueError where none has.
    """
    expect(labels, str(len(features)), name="the labels")
    normal, found = F.normalize(features, dim=1), list[Tensor]()
    for start in range(0, len(features), step := max(1, AT_ONCE // max(1, len(features)))):
        queries = torch.arange(start, min(start + step, len(features)))
        similar = normal[queries] @ normal.T
        similar[torch.arange(len(queries)), queries] = -torch.inf  # comes last, and no hit lies behind it
        hits = labels[similar.argsort(dim=1, descending=True, stable=True)[:, :-1]] == labels[queries, None]
        share = hits.cumsum(1) / torch.arange(1, hits.shape[1] + 1)
        total = hits.sum(1)
        found.append(((share * hits).sum(1) / total)[total > 0])
    if not sum(map(len, found)):
        raise ValueError("no class has two images; mean average precision needs some that can be found")
    return float(torch.cat(found).double().mean())


def near_duplicates(features: Tensor, least: float) -> list[tuple[int, int, float]]:
    """Pairs (row, later row, similarity) of at least `least`, likest first.

    Raises ValueError for a `least` outside 0..1, and where there are more than MOST_PAIRS.
    """
    if not 0 < least <= 1:
        raise ValueError(f"the least similarity is {least}; give one above 0 and up to 1, such as 0.95")
    normal, pairs = F.normalize(features, dim=1), list[tuple[int, int, float]]()
    for start in range(0, len(features), step := max(1, AT_ONCE // max(1, len(features)))):
        similar = (normal[start : start + step] @ normal[start:].T).triu(1)
        places = (similar >= least - 1e-6).nonzero()  # what is the same has a cosine of 1 but for rounding
        if len(pairs) + len(places) > MOST_PAIRS:
            raise ValueError(f"more than {MOST_PAIRS:,} pairs are at least {least} alike; give a higher similarity")
        values = similar[places[:, 0], places[:, 1]].clamp(max=1).tolist()
        pairs += [(start + i, start + j, value) for (i, j), value in zip(places.tolist(), values, strict=True)]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))


@dataclass(frozen=True, eq=False)
class Index:
    """An approximate index (HNSW, of the library usearch) over N rows of D numbers, for many queries."""

    graph: Any
    count: int
    width: int

    def nearest(self, queries: Tensor, count: int) -> Neighbours:
        """See `nearest`; some neighbours may be missed for ones nearly as like."""
        _check(queries, self.width, count)
        found = self.graph.search(F.normalize(queries, dim=1).numpy(), min(count, self.count))
        shape = (len(queries), min(count, self.count))
        rows = torch.from_numpy(np.asarray(found.keys).astype(np.int64)).view(shape)
        return Neighbours(rows, 1 - torch.from_numpy(np.asarray(found.distances, dtype=np.float32)).view(shape))


def build_index(features: Tensor) -> Index:
    """An index over features (N,D). Raises ValueError where usearch is not installed."""
    graph = _usearch().Index(ndim=features.shape[1], metric="cos", dtype="f32")
    graph.add(np.arange(len(features)), F.normalize(features, dim=1).numpy())
    return Index(graph, len(features), features.shape[1])


def write_index(path: Path, index: Index) -> None:
    """Write an index, whole or not at all."""
    write_whole(path, lambda temporary: index.graph.save(str(temporary)))


def read_index(path: Path) -> Index:
    """The inverse of `write_index`. Raises ValueError where there is none, or it is damaged."""
    if not path.is_file():
        raise ValueError(f"no index {path}; build_index and write_index make one")
    try:
        graph = _usearch().Index.restore(str(path))
    except (RuntimeError, ValueError):
        graph = None
    if graph is None:
        raise ValueError(f"{path} is damaged or no index; make it again")
    return Index(graph, len(graph), graph.ndim)


def _check(queries: Tensor, width: int, count: int) -> None:
    expect(queries, f"Q {width}", name="the queries")
    if count < 1:
        raise ValueError(f"{count} neighbours are asked for; ask for at least 1")


def _usearch() -> ModuleType:
    try:
        from usearch import index  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("an index needs the library usearch; install it: pip install 'fourfold[search]'") from None
    return index
