"""A cluster of two workers on this machine gives what one process gives; nothing is told to anybody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from fourfold import catalog
from fourfold.catalog import ModelEntry, Network
from fourfold.cluster import evaluate_on_ray, extract_on_ray
from fourfold.data.folder import list_folder
from fourfold.data.listing import Listing
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluation import evaluate_into
from fourfold.features.describe import describer
from fourfold.features.extract import extract_into, rows_of
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.papers.protocols import protocol_named
from fourfold.train.initialise import He


@pytest.fixture
def ray() -> Iterator[Any]:
    """A cluster of this machine alone."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found = pytest.importorskip("ray", exc_type=ImportError)
    found.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield found
    found.shutdown()


def predictor() -> Predictor:
    """A cheap network that reads 224 x 224 pixels, so that six images fill a batch."""
    trunk = sequential({"conv": nn.Conv2d(3, 8, 9, stride=8), "relu": nn.ReLU()})
    classifier = Classifier(trunk, MeanHead(sequential({"fc": nn.Linear(8, 3)}), side=27), input_size=224).eval()
    He()(classifier.requires_grad_(False), torch.Generator().manual_seed(2))
    network = Network(classifier, Pixels(std=(30.0,) * 3), ("a", "b", "c"), ModelEntry(name="net", network="net"))
    return Predictor((Member(network, protocol_named("ten", 224)),))


def made_data(folder: Path, count: int = 20) -> Listing:
    generator = torch.Generator().manual_seed(3)
    for index in range(count):
        path = folder / "abc"[3 * index // count] / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = torch.randint(32, 50, (2,), generator=generator).tolist()
        pixels = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(path)
    (folder / "b" / "010.png").write_bytes(b"no image")
    return list_folder(folder)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray\\.")  # ray's own, about itself
def test_a_cluster_that_is_stopped_and_goes_on_gives_the_answers_of_one_process(ray: Any, tmp_path: Path) -> None:
    listing, seen = made_data(tmp_path / "data"), list[int]()
    alone = evaluate_into(predictor(), listing, tmp_path / "alone", data_name="made")
    assert alone is not None

    def stop(done: int, _all: int) -> None:
        seen.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_on_ray(predictor(), listing, tmp_path / "ray", data_name="made", workers=2, watch=stop)
    result = evaluate_on_ray(
        predictor(), listing, tmp_path / "ray", data_name="made", workers=2, watch=lambda done, _all: seen.append(done)
    )

    assert ray.is_initialized()  # it was there before, and is not ours to stop
    assert seen[0] in (2, 6)
    assert seen[1] > seen[0] - 1
    assert seen[-1] == 20
    for have, want in zip(result.replies, alone.replies, strict=True):
        assert replace(have, probability=0, top=()) == replace(want, probability=0, top=())
        assert dict(have.top) == pytest.approx(dict(want.top), abs=1e-5)
    assert [each.index for each in result.replies if each.error] == [10]
    assert (result.views, result.top1, result.model, result.protocol) == (10, alone.top1, "net", alone.protocol)
    assert sorted(path.name for path in (tmp_path / "ray").iterdir()) == ["answers.csv", "evaluation.json"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray\\.")
@pytest.mark.usefixtures("ray")
def test_a_table_made_by_a_cluster_is_that_of_one_process(tmp_path: Path) -> None:
    listing, seen = made_data(tmp_path / "data", count=70), list[int]()
    describe = describer(catalog.load(catalog.DEFAULT))
    alone = extract_into(describe, rows_of(listing), tmp_path / "alone.npz")

    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "ray.npz"
    extract_on_ray(describe, rows_of(listing)[:7], path, workers=2, watch=lambda done, _all: seen.append(done))
    with pytest.raises(KeyboardInterrupt):
        extract_on_ray(describe, rows_of(listing), path, workers=2, watch=stop)
    found = extract_on_ray(describe, rows_of(listing), path, workers=2)

    assert (found.names, found.truth) == (alone.names, alone.truth)
    assert found.errors == alone.errors
    assert len(found.errors) == 1
    torch.testing.assert_close(found.matrix, alone.matrix)
    assert seen[-1] == 7


CHECK = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "1"
from fourfold import cluster
assert "ray" not in sys.modules
cluster._ray()
from ray._common.usage import usage_lib
print(usage_lib.usage_stats_enabled(), os.environ["RAY_USAGE_STATS_ENABLED"])
"""


def test_usage_is_not_reported_even_where_the_environment_says_so() -> None:
    pytest.importorskip("ray", exc_type=ImportError)

    said = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=True).stdout

    assert said.split() == ["False", "0"]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ValueError, match=r"^working on a cluster needs the library ray; .*pip install 'fourfold\[ray\]'$"):
        evaluate_on_ray(predictor(), made_data(tmp_path / "data"), tmp_path / "out", data_name="made")

    assert not (tmp_path / "out").exists()


def test_no_workers_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^workers is 0; give at least 1$"):
        evaluate_on_ray(predictor(), made_data(tmp_path / "data"), tmp_path / "out", data_name="made", workers=0)


def test_an_address_where_no_cluster_is_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("ray", exc_type=ImportError)
    listing = made_data(tmp_path / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"

    for address, said in {
        "nonsense": "^'nonsense' is no address of a cluster; give local, auto, or HOST:PORT of its head$",
        closed: rf"^no cluster answers at {closed} \(.*refused\); check the address, and that it is running$",
        "127.0.0.1:99999999999": r"^no cluster answers at .*; check the address",
    }.items():
        with pytest.raises(ValueError, match=said):
            evaluate_on_ray(predictor(), listing, tmp_path / "out", data_name="made", address=address)
