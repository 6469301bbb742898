"""The same evaluation over a Ray cluster, as a Ray Data job; the only user of ray.

The predictor and the listing are sent to every worker once; then they are sent numbers of items, and send back replies.
Files must lie at the same place on all machines. Nothing is reported to Ray's makers.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
from collections.abc import Generator, Iterator, Sequence
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

LOCAL, AUTO = "local", "auto"
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
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; give at least 1")
    ask = functools.partial(_ask, _ray(), address, workers)
    result = evaluate_into(predictor, listing, folder, data_name=data_name, ask=ask, watch=watch)
    assert result is not None, "a group of one is the first"
    return result


def _ask(
    ray: ModuleType,
    address: str,
    workers: int | None,
    predictor: Predictor,
    listing: Listing,
    truth: Sequence[int],
    indices: Sequence[int],
) -> Generator[Batch, None, None]:
    """What `runner.replies` does, elsewhere; batches in the order in which they come."""
    with _connected(ray, address):
        rows = [{"indices": block} for block in blocks(predictor, indices)]
        count = min(workers or int(ray.cluster_resources().get("CPU", 1)), len(rows))
        asked = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_TASKS)).map_batches(
            _Worker,
            fn_constructor_args=(predictor, listing, truth),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=1,
        )
        for row in asked.iter_rows():
            yield row["batch"]


class _Worker:
    """One process of the cluster."""

    def __init__(self, predictor: Predictor, listing: Listing, truth: Sequence[int]) -> None:
        torch.set_num_threads(1)  # as it has one CPU
        self.ask = functools.partial(replies, predictor, listing, truth)

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[Batch]]:
        indices = [int(index) for block in rows["indices"] for index in block]
        return {"batch": list(self.ask(indices))}


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
        ray.data.DataContext.get_current().enable_progress_bars = False
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
