"""A localizer in a folder comes back as it was; what is damaged is said in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fourfold.catalog import load
from fourfold.localizer_files import (
    LocalizerEntry,
    is_localizer,
    open_localizer,
    read_localizer_entry,
    write_localizer_entry,
)
from fourfold.weights import read_weights

Make = Callable[..., Path]  # conftest's


@pytest.mark.parametrize("per_class", [True, False])
def test_networks_come_back_with_their_tensors(per_class: bool, tmp_path: Path, write_localizer: Make) -> None:
    folder = write_localizer(tmp_path / "mine", 3, per_class=per_class)

    opened = open_localizer(folder)

    assert is_localizer(folder)
    assert opened.name == "mine"
    assert opened.classifier.labels == opened.boxes.labels == ("blue", "green", "red [cell]")
    assert (opened.boxes.per_class, opened.boxes.scale) == (per_class, 20)
    kept = read_weights(folder / "boxes.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in opened.boxes.classifier.state_dict().items())
    image = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert opened.boxes.classifier(opened.boxes.pixels(image)).shape == (2, 12 if per_class else 4)
    plain, own = load(folder / "classifier"), opened.classifier
    assert torch.equal(plain.classifier(plain.pixels(image)), own.classifier(own.pixels(image)))


def test_what_a_folder_says_is_what_was_written(tmp_path: Path) -> None:
    entry = LocalizerEntry("VGG", False, 64, "start", {"top1_error": 12.5}, ("shorter",))
    write_localizer_entry(tmp_path, entry)
    read = read_localizer_entry(tmp_path)
    assert (read.method, read.per_class, read.scale, read.start, read.found) == ("VGG", False, 64, "start", entry.found)
    assert list(read.deviations) == ["shorter"]


def damage(folder: Path, what: str) -> None:
    path = folder / "localizer.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    if what == "text":
        path.write_text("{", encoding="utf-8")
    elif what == "boxes":
        (folder / "boxes.safetensors").write_bytes((folder / "boxes.safetensors").read_bytes()[:200])
    elif what == "kind":
        path.write_text(json.dumps({**record, "per_class": not record["per_class"]}), encoding="utf-8")
    elif what == "field":
        path.write_text(json.dumps({**record, "more": 1}), encoding="utf-8")
    elif what == "scale":
        path.write_text(json.dumps({**record, "scale": 12}), encoding="utf-8")
    elif what == "type":
        path.write_text(json.dumps({**record, "scale": "20"}), encoding="utf-8")
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("text", r"localizer\.json is damaged"),
        ("boxes", r"boxes\.safetensors"),
        ("kind", "does not fit this network"),
        ("field", r"localizer\.json is damaged .*more"),
        ("scale", "scale 12 for windows of 16"),
        ("type", "at scale '20'"),
        ("all", "holds no localizer, for it has no localizer.json; train one with train-localizer"),
    ],
)
def test_damage_is_named(what: str, words: str, tmp_path: Path, write_localizer: Make) -> None:
    folder = write_localizer(tmp_path / "mine", 3)
    damage(folder, what)
    with pytest.raises(ValueError, match=words) as caught:
        open_localizer(folder)
    assert "\n" not in str(caught.value)


def test_a_classifier_is_no_localizer(tmp_path: Path, write_classifier: Make) -> None:
    folder = write_classifier(tmp_path / "classifier", 1)
    assert not is_localizer(folder)
    assert not is_localizer("x" * 5000)
    with pytest.raises(ValueError, match="It holds a classifier: `fourfold localize` takes that by its class maps"):
        read_localizer_entry(folder)
