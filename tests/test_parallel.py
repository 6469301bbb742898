"""Several processes, started as torchrun starts them, against one."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn

from fourfold.data.augment import Flip, PadCrop, Photometric
from fourfold.data.examples import Examples
from fourfold.data.loader import Loader, Rows
from fourfold.images import Pixels, channel_pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.parallel import ALONE, Group, joined
from fourfold.train import journal
from fourfold.train.checkpoint import STATE
from fourfold.train.initialise import He
from fourfold.train.loop import BEST, LAST, Moment, Settings, Watchers, fit
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Steps
from fourfold.train.step import Trainer, batches, optimiser_for
from fourfold.train.task import Classify, validate
from fourfold.weights import read_weights

HALF = Pixels(mean=(127.5,) * 3, std=(60.0,) * 3)
STEPS = (PadCrop(2), Flip(), Photometric())
MADE = Recipe("made", 24, 7, 7, Steps(0.2, ()), He(), STEPS, channel_pixels, 0.9, 1e-2, label_smoothing=0.1)
WEIGHTS = (0.5, 2.0, 1.0)

SERVER = textwrap.dedent("""
    # Import once; then for each line fork the processes of a group, which call `work` of the test file.
    import importlib.util, json, os, signal, socket, sys, traceback
    from pathlib import Path
    import torch._dynamo  # which the optimiser imports when it is first used: once here, not in every fork

    spec = importlib.util.spec_from_file_location("tasks", sys.argv[1])
    tasks = importlib.util.module_from_spec(spec)
    sys.modules["tasks"] = tasks
    spec.loader.exec_module(tasks)
    for line in sys.stdin:
        task, world, folder = json.loads(line)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = []
        for rank in range(world):
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # a group that waits for ever must not keep the test waiting
                try:
                    told = {"RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
                    os.environ.update({name: str(value) for name, value in told.items()})
                    tasks.work(task, Path(folder))
                    os._exit(0)
                except BaseException:
                    (Path(folder) / f"error.{rank}").write_text(traceback.format_exc())
                    os._exit(1)
            children.append(child)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
""")

Results = list[dict[str, Any]]
Start = Callable[..., Results]


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error", "-c", SERVER, __file__]
    pipe, environment = subprocess.PIPE, {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as running:
        yield running
        assert running.stdin is not None
        running.stdin.close()


@pytest.fixture
def together(server: subprocess.Popen[str], tmp_path: Path) -> Start:
    """Run a task in `world` processes: what each of them gives, by rank."""

    def start(task: str, world: int) -> Results:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps([task, world, str(tmp_path)]) + "\n")
        server.stdin.flush()
        statuses = json.loads(server.stdout.readline())
        errors = [path.read_text() for path in sorted(tmp_path.glob("error.*"))]
        assert statuses == [0] * world, "\n".join(errors)
        return [json.loads((tmp_path / f"result.{rank}").read_text()) for rank in range(world)]

    return start


def work(task: str, folder: Path) -> None:
    """What a process of a group does: the task, on a group that `joined` gives it."""
    torch.set_num_threads(1)
    name, *arguments = task.split()
    with joined("cpu") as group:
        result = TASKS[name](group, folder, *map(int, arguments))
    assert not distributed.is_initialized()
    (folder / f"result.{os.environ['RANK']}").write_text(json.dumps(result))


def made_examples(count: int = 26) -> Examples:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Examples(images, torch.randint(0, 3, (count,), generator=generator), ("a", "b", "c"))


def smooth_network(seed: int = 0) -> Classifier:
    """No batch norm and no dropout, whose values depend on which images come together, or on chance."""
    torch.manual_seed(seed)
    trunk = sequential({"conv": nn.Conv2d(3, 5, 3), "relu": nn.ReLU()})
    return Classifier(trunk, MeanHead(sequential({"fc": nn.Linear(5, 3)}), 6), input_size=8)


def normed_network() -> Classifier:
    layers = {"conv": nn.Conv2d(3, 5, 3), "bn": nn.BatchNorm2d(5), "relu": nn.ReLU(inplace=True)}
    head = MeanHead(sequential({"drop": nn.Dropout(0.5), "fc": nn.Linear(5, 3)}), 6)
    return Classifier(sequential(layers), head, input_size=8)


def updates(group: Group, _folder: Path, at_once: int = 0, steps: int = 5) -> dict[str, Any]:
    """The gradients of the first step, and losses, errors and weights of several."""
    network = smooth_network(seed=group.rank)  # every rank but the first must take over those of the first
    network.to(memory_format=torch.channels_last)
    loader = Loader(made_examples(), 7, MADE.augment, 3, 8, rows=Rows(group.rank, group.world, at_once or None))
    optimiser = optimiser_for(network, MADE)
    task = Classify(HALF, MADE, made_examples(), None, 8, WEIGHTS)
    trainer = Trainer(group.wrap(task.module(network)), task, MADE, optimiser, 3, group)
    gradients, told = [], []
    for step in range(steps):
        epoch, index = divmod(step, len(loader))
        told.append(trainer.step(next(batches(loader.epoch(epoch, index))), step, 0.2)[:2])
        gradients.append({name: p.grad.tolist() for name, p in network.named_parameters() if p.grad is not None})
    weights = {name: value.tolist() for name, value in network.state_dict().items()}
    return {"gradients": gradients[0], "weights": weights, "told": told}


@pytest.mark.parametrize(("world", "at_once"), [(4, 0), (2, 0), (3, 0), (2, 2), (2, 3), (3, 1), (1, 0)])
def test_the_gradient_of_several_processes_is_that_of_one(together: Start, tmp_path: Path, world: int, at_once: int) -> None:
    expected = updates(ALONE, tmp_path)
    results = together(f"updates {at_once}", world)  # seven images: parts of unlike length, and unlike many of them

    for found in results:
        for kind in ("gradients", "weights"):
            assert found[kind].keys() == expected[kind].keys()
            for name, value in expected[kind].items():
                have, want = torch.tensor(found[kind][name]), torch.tensor(value)
                torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-5)  # sums of float32 in another order
        assert torch.tensor(found["told"]).flatten().tolist() == pytest.approx(
            torch.tensor(expected["told"]).flatten().tolist(), rel=1e-4
        )
    assert all(found == results[0] for found in results)  # no rank drifts by a bit
    assert max(abs(value) for value in expected["gradients"]["head.fc.fc.bias"]) > 0.01


def fitted(group: Group, folder: Path, *, network: Classifier, recipe: Recipe, stop: int = 0) -> dict[str, Any]:
    moments: list[float] = []

    def watch(moment: Moment) -> None:
        moments.append(moment.loss)
        if moment.step == stop:
            os.kill(os.getpid(), signal.SIGINT)

    settings, watchers = Settings(3, at_once=2, class_weights=WEIGHTS), Watchers(step=watch)
    stopped = False
    try:
        fit(
            network,
            HALF,
            recipe,
            made_examples(),
            made_examples(10),
            folder,
            settings=settings,
            watchers=watchers,
            group=group,
        )
    except KeyboardInterrupt:
        stopped = True
    return {"losses": moments, "stopped": stopped}


def fit_smooth(group: Group, folder: Path) -> dict[str, Any]:
    return fitted(group, folder, network=smooth_network(), recipe=MADE)


@pytest.mark.parametrize("world", [2, 3])
def test_a_run_of_several_processes_is_that_of_one(together: Start, tmp_path: Path, world: int) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    expected = fit_smooth(ALONE, alone)
    first, *others = together("fit_smooth", world)

    assert first["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    assert all(found["losses"] == [] for found in others)  # rank 0 alone talks to people
    for name in (BEST, LAST):
        have, want = read_weights(tmp_path / name), read_weights(alone / name)
        for key, value in want.items():
            torch.testing.assert_close(have[key], value, rtol=1e-4, atol=1e-5)
    for line, twin in zip(journal.read(tmp_path), journal.read(alone), strict=True):
        assert line.val_error == twin.val_error
        assert line.val_loss == pytest.approx(twin.val_loss, rel=1e-4)
        assert (line.train_loss, line.train_error) == pytest.approx((twin.train_loss, twin.train_error), rel=1e-4)


NORMED = replace(MADE, average=0.8, mixup=0.2, steps=9)


def fit_normed(group: Group, folder: Path, stop: int) -> dict[str, Any]:
    """The signal comes to rank 0 alone."""
    return fitted(group, folder, network=normed_network(), recipe=NORMED, stop=stop if group.is_first else 0)


def test_a_signal_to_one_process_stops_all_and_the_run_goes_on_bit_for_bit(together: Start, tmp_path: Path) -> None:
    together("fit_normed 0", 2)
    whole = {name: (tmp_path / name).read_bytes() for name in (STATE, BEST, LAST)}
    lines = [replace(line, seconds=0.0) for line in journal.read(tmp_path)]
    for name in (STATE, BEST, LAST, "state.before.safetensors"):
        (tmp_path / name).unlink(missing_ok=True)

    for stop in (2, 5, 9):  # within an epoch, at its end, and at the last step
        assert [found["stopped"] for found in together(f"fit_normed {stop}", 2)] == [True, True]
    assert [found["stopped"] for found in together("fit_normed 0", 2)] == [False, False]

    assert {name: (tmp_path / name).read_bytes() for name in whole} == whole
    assert [replace(line, seconds=0.0) for line in journal.read(tmp_path)] == lines


def test_the_kept_weights_are_those_that_were_validated(together: Start, tmp_path: Path) -> None:
    together("fit_normed 0", 2)

    kept, last = normed_network(), journal.read(tmp_path)[-1]
    kept.load_state_dict(read_weights(tmp_path / LAST))  # batch norms of rank 0, averaged
    loss, error = validate(kept, HALF, made_examples(10), 8)
    assert error == last.val_error
    assert loss == pytest.approx(last.val_loss, rel=1e-5)


def counted(group: Group, _folder: Path, count: int) -> dict[str, Any]:
    return {"tested": validate(smooth_network(), HALF, made_examples(count), 8, group)}


@pytest.mark.parametrize(("world", "count"), [(4, 10), (3, 10), (3, 2), (2, 501)])
def test_validation_counts_every_image_once(together: Start, world: int, count: int) -> None:
    expected, expected_error = validate(smooth_network(), HALF, made_examples(count), 8)

    results = together(f"counted {count}", world)

    for found in results:
        loss, error = found["tested"]
        assert loss == pytest.approx(expected, rel=1e-5)  # float32 sums of other batches
        assert error == expected_error  # counts are exact, so a missing image or one counted twice would show
        assert found == results[0]


def talked(group: Group, _folder: Path) -> dict[str, Any]:
    module = nn.BatchNorm1d(2)
    module.running_mean = torch.full((2,), float(group.rank + 5))
    module.num_batches_tracked = torch.tensor(group.rank + 3)
    group.align(module)
    return {
        "who": [group.rank, group.world, group.is_first, str(group.device)],
        "totals": group.totals(group.rank + 0.1, 1e300, -1.0),
        "first": group.from_first({"rank": group.rank, "rows": [group.rank, "x"]}),
        "aligned": [module.running_mean.tolist(), int(module.num_batches_tracked), module.running_var is not None],
    }


def test_totals_first_values_and_buffers_are_the_same_on_every_rank(together: Start) -> None:
    for rank, found in enumerate(together("talked", 3)):
        assert found["who"] == [rank, 3, rank == 0, "cpu"]
        assert found["totals"] == [pytest.approx(0.1 + 1.1 + 2.1), pytest.approx(3e300), -3.0]  # beyond float32
        assert found["first"] == {"rank": 0, "rows": [0, "x"]}
        assert found["aligned"] == [[5.0, 5.0], 3, True]


def failed(group: Group, folder: Path, what: int) -> dict[str, Any]:
    """Every rank gives the error that it was told."""
    recipe = MADE if what else replace(MADE, rate=lambda progress: 0.1 if progress.step < 3 else math.inf)
    if what and group.is_first:
        (folder / STATE).write_bytes(b"damaged")
    try:
        fit(smooth_network(), HALF, recipe, made_examples(), None, folder, settings=Settings(3), group=group)
    except ValueError as error:
        return {"error": str(error)}
    return {}


@pytest.mark.parametrize(("what", "said"), [(0, "the loss is nan after 4 steps"), (1, "is damaged")], ids=["loss", "state"])
def test_an_error_ends_all_processes_with_the_same_line(together: Start, what: int, said: str) -> None:
    first, second = together(f"failed {what}", 2)

    assert said in first["error"]
    assert "\n" not in first["error"]
    assert second == first


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "updates": updates,
    "fit_smooth": fit_smooth,
    "fit_normed": fit_normed,
    "counted": counted,
    "talked": talked,
    "failed": failed,
}


def test_outside_torchrun_the_group_is_this_process() -> None:
    with joined("cpu") as group:
        assert (group.rank, group.world, group.is_first, group.device) == (0, 1, True, torch.device("cpu"))
        assert not distributed.is_initialized()
    module, values = nn.Linear(2, 2), {"a": 1}

    assert group == ALONE
    assert group.wrap(module) is module
    assert group.totals(0.1, 2.0) == [0.1, 2.0]
    assert group.from_first(values) is values
    group.align(nn.BatchNorm1d(2))
    with group.keeping(module, is_last=False):
        module(torch.ones(1, 2)).sum().backward()
    assert module.weight.grad is not None


def test_an_error_inside_the_group_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError), joined("cpu"):
        raise ZeroDivisionError


@pytest.mark.parametrize("name", ["gpu", "cuda:1", "CPU", ""])
def test_a_device_that_is_none_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ValueError, match=f"^no device '{name}'; devices are cpu and cuda$"), joined(name):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_cuda_device_that_is_not_here_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^no CUDA device is here; leave out --device, or give cpu$"), joined("cuda"):
        pass
    with joined() as group:
        assert group.device.type == "cpu"


def test_what_the_first_process_makes_or_refuses_is_everyones() -> None:
    def refuse() -> int:
        raise ValueError("no")

    assert Group().by_first(lambda: 3) == 3
    with pytest.raises(ValueError, match="no"):
        Group().by_first(refuse)
