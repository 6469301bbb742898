"""From a folder of images to a run folder: what is read, what is held out, what is written, and what is refused."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import fourfold
from fourfold import catalog
from fourfold.networks import build
from fourfold.papers import RECIPES
from fourfold.training import Data, Trained, load_data, train_run
from fourfold.verbs import Answer

COLOURS = {"blue": (30, 40, 210), "green": (40, 200, 40), "red": (220, 30, 30)}
NETWORK = "resnet20"
OPTIONS: dict[str, object] = {"width": 0.25}
FILES = {"curves.png", "entry.json", "log.jsonl", "recipe.json", "state.safetensors", "weights.safetensors"}


def put(folder: Path, name: str, count: int, seed: int = 0, colour: str | None = None, size: int = 32) -> None:
    """Noisy images of one colour in the class folder `name`."""
    draw = np.random.default_rng([seed, len(name)])
    (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        noise = draw.integers(-25, 26, (size, size + 3, 3))
        pixels = (np.array(COLOURS[colour or name]) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{colour or name}{index:03}.png")


def counts(data: Data) -> tuple[list[int], list[int]]:
    return data.train.labels.bincount().tolist(), data.val.labels.bincount().tolist()


def train_small(data: Data, run: Path, *, resume: bool = False, epochs: float = 1, network: str = NETWORK) -> Trained:
    recipe = RECIPES["resnet-cifar"].fitted(len(data.train), epochs=epochs, batch_size=8)
    return train_run(network, OPTIONS, recipe, data, run, seed=0, resume=resume)


@pytest.fixture
def small(tmp_path: Path) -> Data:
    for name, count in (("blue", 5), ("red", 6)):
        put(tmp_path / "small", name, count)
    return load_data(tmp_path / "small", 32, seed=0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Trained]:
    """The data, a run that names its images right, and its figures; 3 of 12 val images lie in the wrong class."""
    folder = tmp_path_factory.mktemp("finished")
    for name in COLOURS:
        put(folder / "data/train", name, 16)
        put(folder / "data/val", name, 3, seed=1)
        put(folder / "data/val", name, 1, seed=2, colour={"blue": "red", "green": "blue", "red": "green"}[name])
    data = load_data(folder / "data", 32, seed=0)
    recipe = RECIPES["resnet-cifar"].fitted(48, epochs=40, batch_size=16)  # 8 of 8 runs: 4 seeds, 1 and 2 threads
    return folder / "data", folder / "run", train_run(NETWORK, {"width": 0.5}, recipe, data, folder / "run", seed=0)


def test_of_plain_class_folders_a_tenth_of_each_is_held_out(tmp_path: Path) -> None:
    for name, count in (("blue", 20), ("green", 11), ("red", 2)):
        put(tmp_path, name, count)

    data = load_data(tmp_path, 32, seed=0)

    assert counts(data) == ([18, 10, 1], [2, 1, 1])
    assert data.origin == "10% of each class, held out"
    assert data.train.classes == data.val.classes == ("blue", "green", "red")


def test_the_same_seed_holds_out_the_same_images_and_another_seed_others(tmp_path: Path) -> None:
    for name in COLOURS:
        put(tmp_path, name, 20)

    first, again, other = (load_data(tmp_path, 32, seed=seed).val.images for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("below", ["val", "test"])
def test_val_or_test_is_taken_as_it_is(tmp_path: Path, below: str) -> None:
    for name in ("blue", "red"):
        put(tmp_path / "train", name, 12)
        put(tmp_path / below, name, 3, seed=1)

    data = load_data(tmp_path, 32, seed=0)

    assert counts(data) == ([12, 12], [3, 3])
    assert data.origin == f"{below}/"


def test_val_comes_before_test_and_train_alone_is_split(tmp_path: Path) -> None:
    for name in ("blue", "red"):
        for path, count in (("both/train", 12), ("both/test", 5), ("both/val", 3), ("alone/train", 10)):
            put(tmp_path / path, name, count)

    assert counts(load_data(tmp_path / "both", 32, seed=0)) == ([12, 12], [3, 3])
    alone = load_data(tmp_path / "alone", 32, seed=0)
    assert counts(alone) == ([9, 9], [1, 1])
    assert alone.origin == "10% of each class of train/, held out"


def test_broken_images_of_both_parts_are_named_and_left_out(tmp_path: Path) -> None:
    for name in ("blue", "red"):
        put(tmp_path / "train", name, 4)
        put(tmp_path / "val", name, 3)
    for name in ("train/red/red001.png", "val/blue/blue002.png"):
        (tmp_path / name).write_bytes(b"no image")

    data = load_data(tmp_path, 32, seed=0)

    assert counts(data) == ([4, 3], [2, 3])
    assert [item.path.name for item in data.broken] == ["red001.png", "blue002.png"]


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ({"red": 3}, "there is one class only, 'red'"),
        ({"train/red": 3, "val/red": 1}, "there is one class only, 'red'"),
        ({"blue": 1, "red": 1}, "has one image of each class"),
        ({"train/blue": 1, "train/red": 1}, "has one image of each class"),
        ({"blue": 3, "red": 0}, r"red has no images"),
        ({"train/blue": 3, "train/red": 3, "val/blue": 3, "val/red": 0}, "red has no images"),
        ({"train/blue": 3, "train/red": 3, "val/blue": 3}, r"train/ and val/ differ in the classes red"),
        ({"train/blue": 3, "train/red": 3, "test/blue": 3, "test/green": 3}, r"test/ differ in the classes green, red"),
        ({}, "has no folders in it"),
        ({"train/": 0}, "has no folders in it"),
    ],
)
def test_data_that_will_not_do_is_refused_in_one_line(tmp_path: Path, layout: dict[str, int], text: str) -> None:
    for path, count in layout.items():
        below, _, name = path.rpartition("/")
        put(tmp_path / below, name, count)

    with pytest.raises(ValueError, match=text) as caught:
        load_data(tmp_path, 32, seed=0)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("run", ["/proc/fourfold-run", "file", "file/run"])
def test_a_run_folder_that_cannot_be_written_is_refused(tmp_path: Path, small: Data, run: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ValueError, match=r"cannot write to .*run|file.*; choose another folder with --run"):
        train_small(small, tmp_path / run)


def test_a_folder_in_use_and_a_resume_of_nothing_are_refused(tmp_path: Path, small: Data) -> None:
    with pytest.raises(ValueError, match="holds no run to resume; leave out --resume"):
        train_small(small, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()

    train_small(small, tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run already; add --resume"):
        train_small(small, tmp_path / "run")


def test_a_resume_with_another_recipe_or_network_leaves_the_folder_as_it_was(tmp_path: Path, small: Data) -> None:
    train_small(small, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}

    for epochs, network, text in ((2, NETWORK, "another network, recipe, seed or data"), (1, "plain20", "another network")):
        with pytest.raises(ValueError, match=text):
            train_small(small, tmp_path / "run", resume=True, epochs=epochs, network=network)
        assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_disk_that_is_full_at_the_end_is_one_line_and_the_run_can_be_resumed(tmp_path: Path, small: Data) -> None:
    run = tmp_path / "run"
    train_small(small, run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limits[1]))  # no file may be longer
    try:
        with pytest.raises(ValueError, match=r"\Acannot write [^\n]*File too large[^\n]*\Z"):  # one line
            train_small(small, run, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert train_small(small, run, resume=True).folder == run


def test_a_run_in_the_folder_at_hand_is_named_after_it(tmp_path: Path, small: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train_small(small, Path())

    assert json.loads(Path("entry.json").read_text(encoding="utf-8"))["name"] == tmp_path.name


def test_a_run_folder_holds_what_is_documented_and_nothing_else(finished: tuple[Path, Path, Trained]) -> None:
    _, run, _ = finished

    assert {path.name for path in run.iterdir()} == FILES
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    assert (recipe["source"], recipe["batch_size"], recipe["steps"]) == ("ResNet 4.2", 16, 120)  # 40 epochs of 48 images
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(epoch, 3 * epoch) for epoch in range(1, 41)]


def test_a_run_loads_and_names_its_own_training_images(finished: tuple[Path, Path, Trained]) -> None:
    data, run, _ = finished
    files = sorted((data / "train").rglob("*.png"))

    answers = fourfold.load(run).classify(files)

    assert len(files) == 48
    for file, answer in zip(files, answers, strict=True):
        assert isinstance(answer, Answer)
        assert answer.top[0].label == file.parent.name


def test_the_accuracy_of_the_entry_equals_a_count_by_hand(finished: tuple[Path, Path, Trained]) -> None:
    data, run, done = finished
    entry = json.loads((run / "entry.json").read_text(encoding="utf-8"))
    files = sorted((data / "val").rglob("*.png"))
    answers = fourfold.load(run).classify(files)
    hits = [isinstance(a, Answer) and a.top[0].label == f.parent.name for f, a in zip(files, answers, strict=True)]

    assert sum(hits) == 9  # the three that lie in the wrong folder are called by their colour
    assert entry["accuracy"] == {"top1": 75.0, "top5": 100.0, "images": 12, "on": "val/"}
    assert (done.top1, done.top5, done.images, done.origin) == (75.0, 100.0, 12, "val/")
    assert json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["val_error"] == 0.25


def test_the_mean_image_and_the_weights_come_back_from_the_run_folder(finished: tuple[Path, Path, Trained]) -> None:
    data, run, _ = finished
    train = load_data(data, 32, seed=0).train
    mean = torch.from_numpy(sum(train.images.numpy().astype(np.float64)) / 48).float()  # per-pixel mean, ResNet 4.2
    state = load_file(run / "state.safetensors")
    network = build(NETWORK, width=0.5, classes=3).to(memory_format=torch.channels_last)
    network.load_state_dict({k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")})
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = network.eval()(images.float().sub(mean).contiguous(memory_format=torch.channels_last))

    loaded = catalog.load(run)
    scores = loaded.classifier(loaded.pixels(images))

    assert loaded.pixels.mean_image is not None
    torch.testing.assert_close(loaded.pixels.mean_image, mean, rtol=0, atol=2e-5)  # sums in another order
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)  # a mean that differs in its last bit
    torch.testing.assert_close(scores.softmax(1), expected.softmax(1), rtol=1e-3, atol=1e-6)  # the same, through exp
    assert expected.std() > 0.1


def test_classes_come_from_the_data_and_validation_is_not_never(tmp_path: Path, small: Data) -> None:
    recipe = RECIPES["resnet-cifar"].fitted(len(small.train), epochs=1, batch_size=8)
    with pytest.raises(ValueError, match="leave out the option classes"):
        train_run(NETWORK, {"classes": 5}, recipe, small, tmp_path / "run", seed=0)
    with pytest.raises(ValueError, match="every 0 epochs cannot be"):
        train_run(NETWORK, OPTIONS, recipe, small, tmp_path / "run", seed=0, validate_every=0)
