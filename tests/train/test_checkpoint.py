"""The state file gives back every bit, is refused where it does not fit, and survives damage and a disk that is full."""

from __future__ import annotations

import errno
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import SGD

from fourfold.models.base import MeanHead, sequential
from fourfold.train import checkpoint
from fourfold.train.checkpoint import BEFORE, STATE, Point, Running

EARLIER = Point(40, '["a recipe", 3]')
POINT = Point(41, '["a recipe", 3]', Running(5, 1 / 3, 0.1), (0.9, 2 / 3), (1 / 7,), 0.1 + 0.2)


def made_network(channels: int = 6, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = {"conv": nn.Conv2d(3, channels, 3), "bn": nn.BatchNorm2d(channels)}
    head = MeanHead(sequential({"fc": nn.Linear(channels, 4)}), 1)
    return nn.Sequential(sequential(layers), head).to(memory_format=torch.channels_last)


def optimiser_of(network: nn.Module) -> SGD:
    return SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


def trained(steps: int = 3) -> tuple[nn.Module, SGD]:
    network = made_network()
    optimiser = optimiser_of(network)
    for _ in range(steps):
        optimiser.zero_grad()
        network(torch.randn(5, 3, 8, 7)).square().sum().backward()
        optimiser.step()
    return network, optimiser


def bits(network: nn.Module, optimiser: SGD) -> dict[str, Tensor]:
    momenta = {
        f"momentum.{name}": optimiser.state[parameter]["momentum_buffer"]
        for name, parameter in network.named_parameters()
        if parameter in optimiser.state
    }
    return {**network.state_dict(), **momenta}


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file may grow beyond `limit` bytes: a write that fails for real, with EFBIG in place of ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def save(folder: Path, network: nn.Module, optimiser: SGD, point: Point) -> None:
    checkpoint.save(folder, point, checkpoint.collect(network, optimiser, {}))


def restore(folder: Path, network: nn.Module, optimiser: SGD) -> Point | None:
    state = checkpoint.load(folder)
    if state is not None:
        checkpoint.restore(state, network, optimiser, folder)
    return state.point if state else None


def refused(folder: Path, network: nn.Module, text: str) -> None:
    """Loading raises one line that names the folder, and leaves files and network as they were."""
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    optimiser, before = optimiser_of(network), {name: value.clone() for name, value in network.state_dict().items()}

    with pytest.raises(ValueError, match=text) as caught:
        restore(folder, network, optimiser)

    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == content
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert len(optimiser.state) == 0


def test_weights_statistics_momentum_and_place_come_back_bit_for_bit(tmp_path: Path) -> None:
    network, optimiser = trained()
    save(tmp_path, network, optimiser, POINT)

    other = made_network(seed=1)
    another = optimiser_of(other)
    point = restore(tmp_path, other, another)

    want, have = bits(network, optimiser), bits(other, another)
    assert point == POINT
    assert want.keys() == have.keys()
    assert len(want) == 9 + 6  # conv 2, bn 5, fc 2; one momentum for each of six parameters
    assert want["0.bn.num_batches_tracked"] == 3
    for name, value in want.items():
        assert torch.equal(have[name], value), name
        assert have[name].stride() == value.stride(), name  # on which the order of sums depends


def test_a_step_after_loading_equals_a_step_without_saving(tmp_path: Path) -> None:
    network, optimiser = trained()
    save(tmp_path, network, optimiser, POINT)
    other = made_network(seed=1)
    another = optimiser_of(other)
    restore(tmp_path, other, another)
    pixels = torch.randn(5, 3, 8, 7)

    for model, sgd in ((network, optimiser), (other, another)):
        sgd.zero_grad()
        model(pixels).square().sum().backward()
        sgd.step()

    have = bits(other, another)
    assert all(torch.equal(have[name], value) for name, value in bits(network, optimiser).items())


def test_before_the_first_step_there_is_no_momentum_to_keep(tmp_path: Path) -> None:
    network, optimiser = trained(steps=0)
    save(tmp_path, network, optimiser, Point(0, ""))
    other = made_network(seed=1)
    another = optimiser_of(other)

    assert restore(tmp_path, other, another) == Point(0, "")
    assert len(another.state) == 0


def test_a_folder_without_a_state_gives_none(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) is None
    assert not checkpoint.exists(tmp_path)


def test_the_mean_of_the_weights_comes_back_beside_them(tmp_path: Path) -> None:
    network, optimiser = trained()
    mean = {
        name: value + 1 if value.is_floating_point() else value for name, value in made_network(seed=2).state_dict().items()
    }
    checkpoint.save(tmp_path, POINT, checkpoint.collect(network, optimiser, mean))

    state = checkpoint.load(tmp_path)

    assert state is not None
    have = state.part("average")
    assert have.keys() == mean.keys()
    assert all(torch.equal(have[name], value) for name, value in mean.items())
    assert state.part("network").keys() == mean.keys()
    assert state.part("net") == {}  # a name is whole, not a beginning


def test_the_names_and_the_point_in_the_file_stay_as_they_are(tmp_path: Path) -> None:
    network, optimiser = trained()
    checkpoint.save(tmp_path, POINT, checkpoint.collect(network, optimiser, {"0.conv.bias": torch.zeros(6)}))

    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:  # a run in progress relies on it
        assert json.loads(file.metadata()["point"]) == {
            "step": 41,
            "identity": '["a recipe", 3]',
            "running": {"count": 5, "loss": 1 / 3, "error": 0.1},
            "train_errors": [0.9, 2 / 3],
            "val_errors": [1 / 7],
            "rate": 0.1 + 0.2,
        }
        assert {"average.0.conv.bias"} <= set(file.keys())
        assert {"network.0.conv.weight", "network.0.bn.running_var", "momentum.0.conv.weight"} <= set(file.keys())


DAMAGES = pytest.mark.parametrize(
    "damage",
    [b"", b"garbage" * 99, b"\xff" * 999, b"\x02" + bytes(7) + b"{}", 5, 100, 1000, -1],
    ids=["empty", "text", "ff", "no tensors", "cut at 5", "cut at 100", "cut at 1000", "last byte gone"],
)


def damaged(content: bytes, damage: bytes | int) -> bytes:
    return content[:damage] if isinstance(damage, int) else damage


@DAMAGES
def test_a_damaged_file_costs_the_time_since_the_one_before(tmp_path: Path, damage: bytes | int) -> None:
    network, optimiser = trained()
    save(tmp_path, network, optimiser, EARLIER)
    want = {name: value.clone() for name, value in bits(network, optimiser).items()}
    save(tmp_path, *trained(steps=4), POINT)
    path = tmp_path / STATE
    path.write_bytes(damaged(path.read_bytes(), damage))
    other = made_network(seed=1)
    another = optimiser_of(other)

    assert restore(tmp_path, other, another) == EARLIER
    have = bits(other, another)
    assert all(torch.equal(have[name], value) for name, value in want.items())


def test_both_files_damaged_are_named_in_one_line(tmp_path: Path) -> None:
    for point in (EARLIER, POINT):
        save(tmp_path, *trained(), point)
    for name, length in ((STATE, 50), (BEFORE, 1000)):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:length])

    refused(
        tmp_path, made_network(), rf"{STATE} is damaged .*; .*{BEFORE} is damaged .*; remove them to start this run again"
    )


def killed_between_renames(folder: Path) -> None:
    """As `save` leaves it: the last state is state.before, and the new one has not got its name yet."""
    save(folder, *trained(), EARLIER)
    (folder / STATE).replace(folder / "before")
    save(folder, *trained(4), POINT)
    (folder / STATE).replace(folder / f"{STATE}.new")
    (folder / "before").replace(folder / BEFORE)


@pytest.mark.parametrize("left", ["the new one whole", "the new one by half", "the one before alone", "the new one alone"])
def test_a_kill_between_the_two_renames_is_resumed(tmp_path: Path, left: str) -> None:
    killed_between_renames(tmp_path)
    new = tmp_path / f"{STATE}.new"
    if left == "the new one by half":
        new.write_bytes(new.read_bytes()[:500])
    elif left == "the one before alone":
        new.unlink()
    elif left == "the new one alone":
        (tmp_path / BEFORE).write_bytes(b"damaged, as state.safetensors was, from which this run did not go on")

    assert checkpoint.exists(tmp_path)
    expected = POINT if "whole" in left or left == "the new one alone" else EARLIER
    assert restore(tmp_path, made_network(), optimiser_of(made_network())) == expected
    later = Point(42, "x")
    save(tmp_path, *trained(), later)
    assert restore(tmp_path, made_network(), optimiser_of(made_network())) == later
    assert sorted(path.name for path in tmp_path.iterdir()) == [BEFORE, STATE]


def test_the_last_two_states_are_kept(tmp_path: Path) -> None:
    contents = []
    for step in range(3):
        save(tmp_path, *trained(step), Point(step, "x"))
        contents.append((tmp_path / STATE).read_bytes())

    assert sorted(path.name for path in tmp_path.iterdir()) == [BEFORE, STATE]
    assert (tmp_path / BEFORE).read_bytes() == contents[1]
    assert len(set(contents)) == 3


@pytest.mark.parametrize("size", [0, 5, 100, 1000, -1])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, size: int) -> None:
    save(tmp_path, *trained(), POINT)
    path = tmp_path / STATE
    path.write_bytes(path.read_bytes()[:size])

    refused(tmp_path, made_network(), "is damaged .*; remove it to start this run again")


@pytest.mark.parametrize(
    "content", [b"garbage" * 99, b"\xff" * 999, b"\x02" + bytes(7) + b"{}"], ids=["text", "ff", "empty"]
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE).write_bytes(content)

    refused(tmp_path, made_network(), "is damaged")


@pytest.mark.parametrize("point", ["[]", "{}", '{"step": 1}', "3", "no json", '{"step": 1, "identity": "", "more": 2}'])
def test_a_place_that_cannot_be_understood_is_refused(tmp_path: Path, point: str) -> None:
    tensors = {f"network.{name}": value.contiguous() for name, value in made_network().state_dict().items()}
    save_file(tensors, tmp_path / STATE, metadata={"point": point})

    refused(tmp_path, made_network(), "is damaged")


def test_the_state_of_another_network_is_refused(tmp_path: Path) -> None:
    save(tmp_path, *trained(), POINT)

    refused(tmp_path, made_network(channels=7), "belongs to another network; choose another run folder")
    refused(tmp_path, nn.Sequential(made_network(), nn.Linear(4, 4)), "belongs to another network")


def two_states(folder: Path) -> tuple[nn.Module, SGD, dict[str, bytes]]:
    network, optimiser = trained()
    for point in (EARLIER, POINT):
        save(folder, network, optimiser, point)
    return network, optimiser, {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_disk_that_is_full_keeps_both_checkpoints_and_says_so_in_one_line(tmp_path: Path) -> None:
    network, optimiser, before = two_states(tmp_path)

    with (
        full_disk(len(before[STATE]) // 2),
        pytest.raises(ValueError, match=r"cannot write .*File too large.*; make room") as caught,
    ):
        save(tmp_path, network, optimiser, Point(99, "later"))

    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert restore(tmp_path, network, optimiser) == POINT


def test_an_error_of_the_system_while_writing_does_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, optimiser, before = two_states(tmp_path)

    def fail(_tensors: object, path: Path, **_rest: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(ValueError, match=r"cannot write .*No space left on device.*; make room"):
        save(tmp_path, network, optimiser, Point(99, "later"))

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
