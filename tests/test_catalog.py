"""Weights by name: run folders, the published table against torchvision, downloads over loopback, and pixels."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch.testing import assert_close

from fourfold import catalog
from fourfold.models.base import Classifier
from fourfold.networks import build
from fourfold.weights import save_weights

CLASSES = ("bird", "cat", "dog")
TABLE = tomllib.loads((Path(catalog.__file__).parent / "weights.toml").read_text(encoding="utf-8"))


def random_network() -> Classifier:
    generator = torch.Generator().manual_seed(0)
    network = build("resnet20", classes=3, width=0.25)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.9, generator=generator)
    return network.eval()


def write_run(folder: Path, network: Classifier, mean_image: torch.Tensor | None = None) -> Path:
    """A run folder as `fourfold train` leaves it."""
    folder.mkdir()
    state = dict(network.state_dict())
    if mean_image is not None:
        state["pixels.mean_image"] = mean_image
    save_weights(folder / "weights.safetensors", state)
    record = {
        "name": folder.name,
        "network": "resnet20",
        "options": {"width": 0.25, "classes": 3},
        "classes": list(CLASSES),
        "pixels": {"mean": [10.0, 20.0, 30.0], "std": [2.0, 4.0, 5.0], "order": "BGR"},
        "licence": "yours",
        "accuracy": {"top1": 50.0},
        "deviations": ["made up"],
        "megabytes": 0.1,
    }
    (folder / "entry.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def photos() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def refusal(source: str | Path) -> str:
    with pytest.raises(ValueError, match=r".") as refused:
        catalog.load(source)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_run_folder_gives_its_network_pixels_labels_and_record(tmp_path: Path) -> None:
    network = random_network()
    loaded = catalog.load(write_run(tmp_path / "run", network))
    assert loaded.labels == CLASSES
    assert (loaded.entry.name, loaded.entry.licence, loaded.entry.deviations) == ("run", "yours", ("made up",))
    assert (loaded.entry.recipe, loaded.entry.url) == ("not stated", "")
    assert not loaded.classifier.training
    assert not any(parameter.requires_grad for parameter in loaded.classifier.parameters())
    bgr = photos().flip(1).float()
    by_hand = (bgr - torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1)) / torch.tensor([2.0, 4.0, 5.0]).view(3, 1, 1)
    # 1e-4: the loaded network runs with channels last, where convolutions sum in another order
    assert_close(loaded.classifier(loaded.pixels(photos())), network(by_hand).detach(), rtol=1e-4, atol=1e-4)


def test_a_run_folder_with_a_mean_image_subtracts_it(tmp_path: Path) -> None:
    mean = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(3)) * 255
    loaded = catalog.load(str(write_run(tmp_path / "run", random_network(), mean)))
    by_hand = (photos().flip(1).float() - mean) / torch.tensor([2.0, 4.0, 5.0]).view(3, 1, 1)
    assert_close(loaded.pixels(photos()), by_hand, rtol=0, atol=1e-5)
    assert not any("mean_image" in key for key in loaded.classifier.state_dict())


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a list": lambda record: [record],
    "no network": lambda record: {key: value for key, value in record.items() if key != "network"},
    "no classes": lambda record: {key: value for key, value in record.items() if key != "classes"},
    "unknown network": lambda record: {**record, "network": "resnet21"},
    "network of another type": lambda record: {**record, "network": ["resnet20"]},
    "unknown option": lambda record: {**record, "options": {"depth": 20}},
    "option of another type": lambda record: {**record, "options": {"classes": "3"}},
    "options as a list": lambda record: {**record, "options": ["classes"]},
    "a name too few": lambda record: {**record, "classes": ["bird", "cat"]},
    "no pixels": lambda record: {**record, "pixels": None},
    "a mean for two channels": lambda record: {**record, "pixels": {**record["pixels"], "mean": [1.0, 2.0]}},
    "a mean in words": lambda record: {**record, "pixels": {**record["pixels"], "mean": ["a", "b", "c"]}},
    "a std of zero": lambda record: {**record, "pixels": {**record["pixels"], "std": [1.0, 0.0, 1.0]}},
    "another channel order": lambda record: {**record, "pixels": {**record["pixels"], "order": "GBR"}},
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_record_with_something_wrong_is_called_damaged(tmp_path: Path, kind: str) -> None:
    path = write_run(tmp_path / "run", random_network()) / "entry.json"
    path.write_text(json.dumps(DAMAGE[kind](json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    message = refusal(path.parent)
    assert message.startswith(f"{path} is damaged (")
    assert message.endswith("; restore it or train again")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"null"])
def test_a_record_that_is_no_json_table_is_called_damaged(tmp_path: Path, content: bytes) -> None:
    folder = write_run(tmp_path / "run", random_network())
    (folder / "entry.json").write_bytes(content)
    assert "entry.json is damaged (" in refusal(folder)


def test_folders_that_are_not_whole_runs_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", random_network())
    (folder / "weights.safetensors").unlink()
    assert refusal(folder) == f"no weights file {folder / 'weights.safetensors'}; check the path"
    (folder / "entry.json").unlink()
    assert refusal(folder).startswith(f"{folder} is not a run folder: it has no entry.json")


def test_unknown_names_are_refused_with_names_alike() -> None:
    message = refusal("resnet50-imagenette")
    assert message.startswith("no model 'resnet50-imagenette'; closest are resnet50-imagenet, ")
    assert message.endswith("; `fourfold models` lists all")
    assert refusal("qqqq") == "no model 'qqqq'; `fourfold models` lists all"
    assert "cannot be opened (File name too long)" in refusal("a" * 300)


@pytest.mark.parametrize("name", ["resnet20", "vgg16", "zf5-spp"])
def test_the_name_of_a_network_without_weights_is_refused(name: str) -> None:
    assert refusal(name).startswith(f"{name} is a network without weights; load resnet20-cifar10 ")


def test_without_huggingface_hub_a_repository_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refusal("someone/something").endswith("; for those, pip install 'fourfold[hub]'")


@pytest.mark.parametrize("name", ["someone/something", "bad name/it is", "someone/"])
def test_without_a_network_a_repository_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert refusal(name) == f"no folder, model or Hugging Face repository {name!r} could be opened"


def test_weight_names_are_the_bundled_ones_and_then_the_published_ones() -> None:
    assert catalog.weight_names() == [catalog.DEFAULT, *TABLE]
    assert [entry.name for entry in catalog.entries()] == [catalog.DEFAULT, *TABLE]


@pytest.mark.parametrize("name", TABLE)
def test_a_published_entry_is_what_torchvision_says_of_it(name: str) -> None:
    table, model = TABLE[name], name.removesuffix("-imagenet").replace("-", "_")
    (weights,) = (each for each in torchvision.models.get_model_weights(model) if each.url == table["url"])
    with torch.device("meta"):
        network = build(table["network"], **table["options"])
    assert sum(parameter.numel() for parameter in network.parameters()) == weights.meta["num_params"]
    accuracy = weights.meta["_metrics"]["ImageNet-1K"]
    assert table["published"] == {"top1": accuracy["acc@1"], "top5": accuracy["acc@5"]}
    assert table["megabytes"] == round(weights.meta["_file_size"])
    assert table["url"].endswith(f"-{table['sha256']}.pth")
    crop = weights.transforms()
    assert table["protocol"] == f"centre {crop.crop_size[0]} crop of shorter side {crop.resize_size[0]}"
    assert network.input_size == crop.crop_size[0]


def test_the_imagenet_labels_are_torchvisions_in_order() -> None:
    labels = (Path(catalog.__file__).parent / "labels" / "imagenet.txt").read_text(encoding="utf-8").splitlines()
    assert labels == torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
