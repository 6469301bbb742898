"""The state file gives back every bit, is refused where it does not fit, and survives a disk that is full."""

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
from fourfold.train.checkpoint import STATE, Point, Running

POINT = Point(41, '["a recipe", 3]', Running(5, 1 / 3, 0.1))


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


def refused(folder: Path, network: nn.Module, text: str) -> None:
    """Loading raises one line that names the file, and leaves file and network as they were."""
    path = folder / STATE
    content, before = path.read_bytes(), {name: value.clone() for name, value in network.state_dict().items()}

    with pytest.raises(ValueError, match=text) as caught:
        checkpoint.load(folder, network, optimiser_of(network))

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_weights_statistics_momentum_and_place_come_back_bit_for_bit(tmp_path: Path) -> None:
    network, optimiser = trained()
    checkpoint.save(tmp_path, network, optimiser, POINT)

    other = made_network(seed=1)
    another = optimiser_of(other)
    point = checkpoint.load(tmp_path, other, another)

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
    checkpoint.save(tmp_path, network, optimiser, POINT)
    other = made_network(seed=1)
    another = optimiser_of(other)
    checkpoint.load(tmp_path, other, another)
    pixels = torch.randn(5, 3, 8, 7)

    for model, sgd in ((network, optimiser), (other, another)):
        sgd.zero_grad()
        model(pixels).square().sum().backward()
        sgd.step()

    have = bits(other, another)
    assert all(torch.equal(have[name], value) for name, value in bits(network, optimiser).items())


def test_before_the_first_step_there_is_no_momentum_to_keep(tmp_path: Path) -> None:
    network, optimiser = trained(steps=0)
    checkpoint.save(tmp_path, network, optimiser, Point(0, ""))
    other = made_network(seed=1)
    another = optimiser_of(other)

    assert checkpoint.load(tmp_path, other, another) == Point(0, "")
    assert len(another.state) == 0


def test_a_folder_without_a_state_gives_none(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path, *trained(0)) is None


def test_files_without_the_sums_of_an_epoch_can_be_read(tmp_path: Path) -> None:
    network, _ = trained()
    tensors = {f"network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    tensors["momentum.1.fc.fc.bias"] = torch.arange(4.0)
    save_file(tensors, tmp_path / STATE, metadata={"point": json.dumps({"step": 7, "identity": "x"})})  # as until 0.1.0
    other = made_network(seed=1)
    optimiser = optimiser_of(other)

    assert checkpoint.load(tmp_path, other, optimiser) == Point(7, "x", Running(0, 0.0, 0.0))
    assert bits(other, optimiser)["momentum.1.fc.fc.bias"].tolist() == [0, 1, 2, 3]


def test_the_names_and_the_point_in_the_file_stay_as_they_are(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, *trained(), POINT)

    with safe_open(tmp_path / STATE, framework="pt") as file:
        assert json.loads(file.metadata()["point"]) == {"step": 41, "identity": '["a recipe", 3]'}
        assert {"network.0.conv.weight", "network.0.bn.running_var", "momentum.0.conv.weight"} <= set(file.keys())


@pytest.mark.parametrize("size", [0, 5, 100, 1000, -1])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, size: int) -> None:
    checkpoint.save(tmp_path, *trained(), POINT)
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
    checkpoint.save(tmp_path, *trained(), POINT)

    refused(tmp_path, made_network(channels=7), "belongs to another network; choose another run folder")
    refused(tmp_path, nn.Sequential(made_network(), nn.Linear(4, 4)), "belongs to another network")


def test_a_disk_that_is_full_keeps_the_old_checkpoint_and_says_so_in_one_line(tmp_path: Path) -> None:
    network, optimiser = trained()
    checkpoint.save(tmp_path, network, optimiser, POINT)
    before = (tmp_path / STATE).read_bytes()

    with (
        full_disk(len(before) // 2),
        pytest.raises(ValueError, match=r"cannot write .*File too large.*; make room") as caught,
    ):
        checkpoint.save(tmp_path, network, optimiser, Point(99, "later"))

    assert "\n" not in str(caught.value)
    assert (tmp_path / STATE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [STATE]
    assert checkpoint.load(tmp_path, network, optimiser) == POINT


def test_an_error_of_the_system_while_writing_does_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, optimiser = trained()
    checkpoint.save(tmp_path, network, optimiser, POINT)
    before = (tmp_path / STATE).read_bytes()

    def fail(_tensors: object, path: Path, **_rest: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(ValueError, match=r"cannot write .*No space left on device.*; make room"):
        checkpoint.save(tmp_path, network, optimiser, Point(99, "later"))

    assert (tmp_path / STATE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [STATE]
