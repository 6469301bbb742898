"""Weights files: written whole, read without running code, and refused in one sentence where they do not fit."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from fourfold.models.base import Classifier
from fourfold.networks import build
from fourfold.weights import load_into, read_weights, save_weights, sha256

FAMILIES: list[tuple[str, dict[str, object]]] = [
    ("vgg-a-lrn", {}),
    ("vgg-d", {"batch_norm": True}),
    ("vgg-b-shallow", {"input_size": 64, "levels": [2, 1]}),
    ("resnet18", {"shortcut": "C"}),
    ("resnet50", {"sge_groups": 4}),
    ("plain34", {}),
    ("resnet20", {}),
    ("googlenet", {"batch_norm": True}),
    ("googlenet-naive", {"auxiliaries": False}),
    ("zf5-spp", {}),
    ("convnet5", {}),
    ("overfeat7", {}),
    ("alexnet", {}),
    ("nin", {}),
]


def small() -> Classifier:
    return randomised(build("resnet20", width=0.25))


def randomised(network: Classifier) -> Classifier:
    generator = torch.Generator().manual_seed(0)
    for value in network.state_dict().values():
        value.copy_(torch.randn(value.shape, generator=generator) if value.is_floating_point() else torch.tensor(11))
    return network


def copied(network: Classifier) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def assert_same_bits(have: dict[str, Tensor], want: dict[str, Tensor]) -> None:
    assert list(have) == list(want)
    assert [value.dtype for value in have.values()] == [value.dtype for value in want.values()]
    assert all(torch.equal(have[key], want[key]) for key in want)


@pytest.mark.parametrize(("name", "options"), FAMILIES, ids=[name for name, _ in FAMILIES])
def test_weights_come_back_bit_for_bit(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    network, other = (build(name, classes=7, width=1 / 16, **options) for _ in range(2))
    randomised(network)
    save_weights(tmp_path / "weights.safetensors", network.state_dict())
    load_into(other, read_weights(tmp_path / "weights.safetensors"), name="weights")
    assert_same_bits(copied(other), copied(network))
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


def test_channels_last_weights_come_back_with_the_same_values(tmp_path: Path) -> None:
    network = small()
    want = copied(network)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  (torch's stub lacks this overload)
    save_weights(tmp_path / "weights.safetensors", network.state_dict())
    have = read_weights(tmp_path / "weights.safetensors")
    assert sorted(have) == sorted(want)
    assert all(torch.equal(have[key], want[key]) for key in want)


def test_the_old_file_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, small().state_dict())
    before = path.read_bytes()
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError, match="share memory"):
        save_weights(path, {"a": shared, "b": shared})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "file") == digest


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", "net", ""])
def test_torch_files_open_with_and_without_a_wrapper(tmp_path: Path, wrapper: str, zipped: bool) -> None:
    want = copied(small())
    content = {f"module.{key}": value for key, value in want.items()}
    path = tmp_path / "weights.pth"
    torch.save({wrapper: content, "epoch": 1} if wrapper else content, path, _use_new_zipfile_serialization=zipped)
    assert_same_bits(read_weights(path), want)


def test_values_that_are_not_numbers_load_as_they_are(tmp_path: Path) -> None:
    save_file({"a": torch.tensor([1.0, float("nan"), float("inf")])}, tmp_path / "weights.safetensors")
    assert str(read_weights(tmp_path / "weights.safetensors")["a"].tolist()) == "[1.0, nan, inf]"


class Posing:
    """An object whose pickle makes a folder when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.target),)


def refusal(path: Path) -> str:
    """The one line that read_weights refuses a file with."""
    with pytest.raises(ValueError, match=r"weights") as refused:
        read_weights(path)
    message = str(refused.value)
    assert path.name in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    written, path = tmp_path / "written", tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"a": Posing(written)}, protocol=protocol))
    refusal(path)
    assert not written.exists()
    pickle.loads(path.read_bytes())  # the same bytes do run code where they are unpickled
    assert written.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    written, path = tmp_path / "written", tmp_path / "weights.pth"
    torch.save({"state_dict": {"a": Posing(written)}}, path, _use_new_zipfile_serialization=zipped)
    assert "could run code" in refusal(path)
    assert not written.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "network.pth")
    assert "could run code" in refusal(tmp_path / "network.pth")


def write_safetensors(path: Path, size: int | None = None) -> None:
    save_file({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:size])


def holds_itself(path: Path) -> None:
    table: dict[str, object] = {}
    table["model"] = table
    torch.save(table, path)


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated safetensors": ("a.safetensors", lambda path: write_safetensors(path, -1), "can be read"),
    "safetensors without its header": ("a.safetensors", lambda path: write_safetensors(path, 7), "can be read"),
    "empty safetensors": ("a.safetensors", Path.touch, "can be read"),
    "empty torch file": ("a.pth", Path.touch, "can be read"),
    "text": ("a.pth", lambda path: path.write_text("epoch,loss\n1,2.5\n", encoding="utf-8"), "can be read"),
    "text named safetensors": ("a.safetensors", lambda path: path.write_text("words " * 9, encoding="utf-8"), "can be read"),
    "other suffix": ("a.txt", lambda path: path.write_text("cat\ndog\n", encoding="utf-8"), "can be read"),
    "a folder": ("a.pth", Path.mkdir, "no weights file"),
    "missing": ("a.pth", lambda _path: None, "no weights file"),
    "something else than tensors": ("a.pth", lambda path: torch.save({"a": torch.zeros(2), "b": "x"}, path), "no table"),
    "a list": ("a.pth", lambda path: torch.save([torch.zeros(2)], path), "no table"),
    "one tensor": ("a.pth", lambda path: torch.save(torch.zeros(2), path), "no table"),
    "no tensors": ("a.pth", lambda path: torch.save({"state_dict": {}}, path), "no table"),
    "complex numbers": ("a.pth", lambda path: torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, path), "no table"),
    "shapes without values": ("a.pth", lambda path: torch.save({"a": torch.zeros(2, device="meta")}, path), "no table"),
    "a table that holds itself": ("a.pth", holds_itself, "no table"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_a_weights_file_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    name, write, why = REFUSED[kind]
    write(tmp_path / name)
    assert why in refusal(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:TypedStorage is deprecated")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.booleans(), st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), min_size=1, max_size=5), st.data())
def test_a_torch_file_with_changed_bytes_is_read_or_refused(
    tmp_path: Path, zipped: bool, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
    content = bytearray(path.read_bytes())
    for place, byte in changes:
        content[place % len(content)] = byte
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        read_weights(path)
    except ValueError as error:
        assert path.name in str(error)  # noqa: PT017 (most changes are refused, and some leave a good file)


def renamed(state: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {key.replace(old, new): value for key, value in state.items()}


UNFIT: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "other classes": (lambda s: {**s, "head.fc.fc.weight": torch.zeros(3, 16)}, "head.fc.fc.weight is (3, 16)"),
    "a tensor too few": (lambda s: {k: v for k, v in s.items() if k != "head.fc.fc.bias"}, "it has no head.fc.fc.bias"),
    "a tensor too many": (lambda s: {**s, "extra.weight": torch.zeros(1)}, "it has extra.weight"),
    "no running mean": (lambda s: {k: v for k, v in s.items() if "bn1.running_mean" not in k}, "no trunk.bn1.running_mean"),
    "nothing of it": (lambda _: {"a": torch.zeros(2)}, "it has no trunk.conv1.weight"),
    "a VGG": (lambda _: {"features.0.weight": torch.zeros(64, 3, 3, 3)}, "does not fit this network"),
    "a lone linear layer": (lambda _: {"linear.weight": torch.zeros(10, 16)}, "it has no trunk.conv1.weight"),
    "a linear layer of other width": (lambda s: renamed(s, "head.fc.fc", "linear") | {"trunk.conv1.weight": torch.zeros(1)},
                                      "trunk.conv1.weight is (1,)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNFIT)
def test_weights_that_do_not_fit_are_refused_and_the_network_stays(kind: str) -> None:
    change, why = UNFIT[kind]
    network = small()
    before = copied(network)
    other = {key: value + 1 for key, value in before.items()}
    with pytest.raises(ValueError, match="does not fit this network") as refused:
        load_into(network, change(other), name="theirs.pth")
    assert why in str(refused.value)
    assert str(refused.value).startswith("theirs.pth does not fit")
    assert_same_bits(copied(network), before)


@pytest.mark.parametrize("depth", [14, 26])
def test_a_cifar_checkpoint_of_another_depth_is_refused(depth: int) -> None:
    from fourfold.models.resnet import cifar_resnet

    theirs = renamed(cifar_resnet(depth, width=0.25).state_dict(), "head.fc.fc", "linear")
    with pytest.raises(ValueError, match=r"does not fit this network: it has"):
        load_into(small(), theirs, name="theirs")
