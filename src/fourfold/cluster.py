"""The same evaluation, or table of features, over a Ray cluster, as a Ray Data job; the only user of ray.

What an evaluation needs is sent to every worker once; then they are sent numbers of items, and send back replies. Of a table
they are sent the items themselves. Files must lie at the same place on all machines. Nothing is reported to Ray's makers.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from fourfold.data.listing import Listing
from fourfold.evaluate.predictor import Predictor
from fourfold.evaluate.runner import Batch, Watch, blocks, replies
from fourfold.evaluate.summary import Evaluation
from fourfold.evaluation import evaluate_into
from fourfold.features.describe import Describer
from fourfold.features.extract import Row, described_rows, extract_into
from fourfold.features.files import Features

LOCAL, AUTO = "local", "auto"
PART = 64  # images that a worker is sent at once for a table
MOST_TASKS = 4096  # parts that Ray schedules; it takes milliseconds for each


def evaluate_on_ray(
    predictor: Predictor,
    listing: Listing,
    folder: Path,
    *,
    data_name: str,
    address: str = LOCAL,
    workers: int | None = None,
    watch: Watch = lambda _done, _all: None,
) -> Evaluation:
    """`evaluation.evaluate_into` with the images shared out over a cluster: the same folder, and the same numbers.

    address: HOST:PORT of a cluster's head, "auto" for the cluster that this machine belongs to, or "local" for processes on
    this machine; left out of account where the program is connected to a cluster already. workers: how many processes, each
    on one CPU; by default as many as the cluster has CPUs. Raises ValueError where ray is not installed, where the cluster
    cannot be reached or fails, and as `evaluate_into`.
    """
    ray = _checked(workers)

    def ask(
        predictor: Predictor, listing: Listing, truth: Sequence[int], indices: Sequence[int]
    ) -> Generator[Batch, None, None]:
        work = functools.partial(_answered, predictor, listing, truth)
        yield from _spread(ray, address, workers, work, list(blocks(predictor, indices)))

    result = evaluate_into(predictor, listing, folder, data_name=data_name, ask=ask, watch=watch)
    assert result is not None, "a group of one is the first"
    return result


def extract_on_ray(
    describe: Describer,
    rows: Sequence[Row],
    path: Path,
    *,
    model: str = "",
    address: str = LOCAL,
    workers: int | None = None,
    watch: Watch = lambda _done, _all: None,
) -> Features:
    """`extract.extract_into` with the images shared out over a cluster: the same file, its rows in the same order.

    address, workers, and what is raised: see `evaluate_on_ray`.
    """
    ray = _checked(workers)

    def described(describe: Describer, header: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[Features]:
        parts = [tuple(rows[first : first + PART]) for first in range(0, len(rows), PART)]
        yield from _spread(ray, address, workers, functools.partial(described_rows, describe, header), parts)

    return extract_into(describe, rows, path, model=model, described=described, watch=watch)


def _answered(predictor: Predictor, listing: Listing, truth: Sequence[int], indices: Sequence[int]) -> Iterator[Batch]:
    return replies(predictor, listing, truth, [int(index) for index in indices])


def _spread(
    ray: ModuleType, address: str, workers: int | None, work: Callable[[Any], Iterable[Any]], parts: Sequence[Any]
) -> Generator[Any, None, None]:
    """What `work` makes of each part, in their order, by processes of one CPU each, which get `work` once."""
    if not parts:
        return
    with _connected(ray, address):
        count = min(workers or int(ray.cluster_resources().get("CPU", 1)), len(parts))
        rows = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=min(len(parts), MOST_TASKS))
        asked = rows.map_batches(
            _Worker,
            fn_constructor_args=(work,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=1,
        )
        for row in asked.iter_rows():
            yield row["made"]


class _Worker:
    """One process of the cluster."""

    def __init__(self, work: Callable[[Any], Iterable[Any]]) -> None:
        torch.set_num_threads(1)  # as it has one CPU
        self.work = work

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[Any]]:
        return {"made": [made for part in rows["part"] for made in self.work(part)]}


def _checked(workers: int | None) -> ModuleType:
    """Ray. Raises ValueError where it is not installed, and for no workers."""
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; give at least 1")
    return _ray()


def _ray() -> ModuleType:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before it is imported
    try:
        import ray.data  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("working on a cluster needs the library ray; install it: pip install 'fourfold[ray]'") from None
    return ray


@contextmanager
def _connected(ray: ModuleType, address: str) -> Iterator[None]:
    """A connection to the cluster, closed in the end if it was not there before; its errors as a ValueError."""
    was_there = ray.is_initialized()
    try:
        if not was_there:
            _check_address(address)
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        logging.getLogger("ray.data").setLevel("ERROR")
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars, context.execution_options.preserve_order = False, True
        yield
    except (ConnectionError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"the cluster {address} failed ({reason}); run it again, it goes on from there") from error
    finally:
        if not was_there:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Raises ValueError where nobody answers: ray itself would wait for minutes."""
    if address in (LOCAL, AUTO):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{address!r} is no address of a cluster; give {LOCAL}, {AUTO}, or HOST:PORT of its head")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"no cluster answers at {address} ({error}); check the address, and that it is running") from error
