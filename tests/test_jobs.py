"""From labelled images to a run folder, as `verbs.train` does it: what is written, refused, resumed, and kept."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import fourfold
from fourfold import catalog
from fourfold.jobs import Arguments, run_training
from fourfold.parallel import ALONE
from fourfold.train import journal
from fourfold.train.loop import Moment, Watchers
from fourfold.training import Trained, Watching
from fourfold.verbs import Answer

COLOURS = {"blue": (30, 40, 210), "green": (40, 200, 40), "red": (220, 30, 30)}
SMALL = Arguments(model="resnet20", recipe="resnet-cifar", options={"width": 0.25}, epochs=1, batch_size=8)
FILES = {
    "args.json", "confusion.png", "curves.png", "entry.json", "last.safetensors", "metrics.csv", "recipe.json",
    "state.safetensors", "tensorboard", "val_examples.jpg", "weights.safetensors",
}  # fmt: skip


def put(folder: Path, name: str, count: int, seed: int = 0, colour: str | None = None, size: int = 32) -> None:
    """Noisy images of one colour in the class folder `name`."""
    draw = np.random.default_rng([seed, len(name)])
    (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        noise = draw.integers(-25, 26, (size, size + 3, 3))
        pixels = (np.array(COLOURS[colour or name]) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{colour or name}{index:03}.png")


def go(given: Arguments, run: Path, *, resume: bool = False, said: list[str] | None = None) -> Trained:
    watching = Watching(say=(said if said is not None else []).append)
    done = run_training(given, run, workers=2, resume=resume, watching=watching, group=ALONE)
    assert done is not None
    return done


def files_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


@pytest.fixture
def small(tmp_path: Path) -> Arguments:
    for name, count in (("blue", 5), ("red", 6)):
        put(tmp_path / "small", name, count)
    return replace(SMALL, data=str(tmp_path / "small"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Trained]:
    """The data, a run that names its images right, and its figures; 3 of 12 val images lie in the wrong class."""
    folder = tmp_path_factory.mktemp("finished")
    for name in COLOURS:
        put(folder / "data/train", name, 16)
        put(folder / "data/val", name, 3, seed=1)
        put(folder / "data/val", name, 1, seed=2, colour={"blue": "red", "green": "blue", "red": "green"}[name])
    given = replace(SMALL, data=str(folder / "data"), options={"width": 0.5}, epochs=40, batch_size=16)
    return folder / "data", folder / "run", go(given, folder / "run")


def test_a_run_folder_holds_what_is_documented_and_nothing_else(finished: tuple[Path, Path, Trained]) -> None:
    _, run, _ = finished

    assert {path.name for path in run.iterdir()} - {"state.before.safetensors"} == FILES
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    assert (recipe["source"], recipe["batch_size"], recipe["steps"]) == ("ResNet 4.2", 16, 120)  # 40 epochs of 48 images
    assert [(line.epoch, line.step) for line in journal.read(run)] == [(epoch, 3 * epoch) for epoch in range(1, 41)]
    for name in ("curves.png", "confusion.png", "val_examples.jpg"):
        with Image.open(run / name) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 20  # something is drawn


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
    assert entry["accuracy"] == {
        "top1": 75.0,
        "top5": 100.0,
        "images": 12,
        "on": "val/; the best of 40 validations on these images",
    }
    assert (done.top1, done.top5, done.images, done.origin) == (75.0, 100.0, 12, "val/")
    assert min(line.val_error for line in journal.read(run) if line.val_error is not None) == 0.25


def test_the_mean_image_comes_back_from_the_run_folder(finished: tuple[Path, Path, Trained]) -> None:
    data, run, _ = finished
    files = sorted((data / "train").rglob("*.png"))
    views = [np.asarray(Image.open(file))[:, 2:34].astype(np.float64) for file in files]  # 32 of 35 columns, from round(1.5)
    mean = torch.from_numpy(sum(views) / 48).permute(2, 0, 1).float()  # per-pixel mean, ResNet 4.2

    loaded = catalog.load(run)

    assert loaded.pixels.mean_image is not None
    torch.testing.assert_close(loaded.pixels.mean_image, mean, rtol=0, atol=2e-5)  # sums in another order
    assert "pixels.mean_image" in load_file(run / "last.safetensors")


def test_the_best_weights_are_kept_unless_only_a_test_set_could_choose_them(tmp_path: Path) -> None:
    """Validation images that are all in the wrong class: the less is learned, the better they do."""
    for below, wrong in (("train", False), ("val", True)):
        for name, other in (("blue", "red"), ("red", "blue")):
            put(tmp_path / "val-data" / below, name, 12, colour=other if wrong else name)
            put(tmp_path / "test-data" / below.replace("val", "test"), name, 12, colour=other if wrong else name)
    given = replace(SMALL, epochs=12, batch_size=8, seed=1)

    go(replace(given, data=str(tmp_path / "val-data")), tmp_path / "val-run")
    go(replace(given, data=str(tmp_path / "test-data")), tmp_path / "test-run")

    for run, same in (("val-run", False), ("test-run", True)):
        best, last = (load_file(tmp_path / run / name) for name in ("weights.safetensors", "last.safetensors"))
        assert all(torch.equal(best[name], value) for name, value in last.items()) is same
    errors = [line.val_error for line in journal.read(tmp_path / "val-run")]
    entry = json.loads((tmp_path / "val-run" / "entry.json").read_text(encoding="utf-8"))
    assert entry["accuracy"]["top1"] == pytest.approx(100 * (1 - min(error for error in errors if error is not None)))
    assert errors[-1] != min(error for error in errors if error is not None)


def test_a_resumed_run_needs_no_more_than_its_folder(tmp_path: Path, small: Arguments) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    given = replace(small, epochs=8, seed=2, recipe="modern-cifar", batch_size=3)
    go(given, whole)

    def stop(moment: Moment) -> None:
        if moment.step == 9:
            raise KeyboardInterrupt  # what the terminal's first Ctrl-C becomes, one step later

    watching = Watching(training=Watchers(step=stop))
    with pytest.raises(KeyboardInterrupt):
        run_training(given, parts, workers=2, resume=False, watching=watching, group=ALONE)
    go(Arguments(), parts, resume=True)

    expected, actual = (load_file(run / "weights.safetensors") for run in (whole, parts))
    assert all(torch.equal(actual[name], value) for name, value in expected.items())
    assert (whole / "args.json").read_bytes() == (parts / "args.json").read_bytes()


def test_a_run_may_be_resumed_from_another_folder_and_ends_when_its_patience_does(
    tmp_path: Path, small: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    go(replace(small, data="small", epochs=30, patience=2, recipe="resnet-cifar"), tmp_path / "run")
    lines = journal.read(tmp_path / "run")
    errors = [line.val_error for line in lines if line.val_error is not None]

    assert len(errors) < 30
    assert errors.index(min(errors)) == len(errors) - 3  # two more validations, without a new best
    monkeypatch.chdir("/")
    go(Arguments(), tmp_path / "run", resume=True)
    assert journal.read(tmp_path / "run") == lines


@pytest.mark.parametrize(
    ("said", "text"),
    [({"epochs": 2}, "has epochs 1, not 2"), ({"seed": 4}, "has seed None, not 4"), ({"model": "plain20"}, "not 'plain20'")],
)
def test_a_resume_that_says_otherwise_is_refused(
    tmp_path: Path, small: Arguments, said: dict[str, object], text: str
) -> None:
    run = tmp_path / "run"
    go(small, run)
    before = files_of(run)

    with pytest.raises(ValueError, match=text):
        go(replace(small, **said), run, resume=True)  # type: ignore[arg-type]
    assert files_of(run) == before
    assert go(small, run, resume=True).folder == run  # what is said as before may be said


def test_a_folder_in_use_and_a_resume_of_nothing_are_refused(tmp_path: Path, small: Arguments) -> None:
    with pytest.raises(ValueError, match="holds no run to resume; leave out --resume"):
        go(small, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()

    go(small, tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run already; add --resume"):
        go(small, tmp_path / "run")


@pytest.mark.parametrize("run", ["/proc/fourfold-run", "file", "file/run"])
def test_a_run_folder_that_cannot_be_written_is_refused(tmp_path: Path, small: Arguments, run: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ValueError, match=r"cannot write to .*run|file.*; choose another folder with --run"):
        go(small, tmp_path / run)


def test_a_disk_that_is_full_at_the_end_is_one_line_and_the_run_can_be_resumed(tmp_path: Path, small: Arguments) -> None:
    run = tmp_path / "run"
    go(small, run)
    state = (run / "state.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limits[1]))  # no file may be longer
    try:
        with pytest.raises(ValueError, match=r"\Acannot write [^\n]*File too large[^\n]*\Z"):  # one line
            go(small, run, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (run / "state.safetensors").read_bytes() == state
    assert go(small, run, resume=True).folder == run


def test_a_run_in_the_folder_at_hand_is_named_after_it(
    tmp_path: Path, small: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    go(small, Path())

    assert json.loads(Path("entry.json").read_text(encoding="utf-8"))["name"] == "here"


def test_broken_images_of_both_parts_are_named_and_left_out(tmp_path: Path) -> None:
    for name in ("blue", "red"):
        put(tmp_path / "data" / "train", name, 8)
        put(tmp_path / "data" / "val", name, 3)
    for name in ("train/red/red001.png", "val/blue/blue002.png"):
        (tmp_path / "data" / name).write_bytes(b"no image")
    said: list[str] = []

    for recipe in ("resnet-cifar", "modern-fine-tune"):  # in memory, and cut while training runs
        done = go(replace(SMALL, data=str(tmp_path / "data"), recipe=recipe), tmp_path / recipe, said=said)

        assert [Path(item.name).name for item in done.broken] == ["red001.png", "blue002.png"]
        assert done.images == 5
    assert sum(line.startswith("left out: ") for line in said) == 4


def test_training_starts_from_weights_with_their_own_pixels(tmp_path: Path) -> None:
    for name in ("blue", "green", "red"):
        put(tmp_path / "data", name, 10, size=40)
    said: list[str] = []

    done = go(Arguments(data=str(tmp_path / "data"), epochs=0.01), tmp_path / "run", said=said)  # a single mini-batch

    start, run = catalog.load("resnet20-cifar10"), catalog.load(done.folder)
    assert run.pixels.mean == start.pixels.mean
    assert run.pixels.std == start.pixels.std
    ours, theirs = run.classifier.state_dict(), start.classifier.state_dict()
    assert torch.allclose(ours["trunk.conv1.weight"], theirs["trunk.conv1.weight"], atol=1e-3)
    assert ours["head.fc.fc.weight"].shape == (3, 64)
    assert "starting from resnet20-cifar10" in run.entry.recipe
    assert any("validated on 10% of each class" in line for line in said)


def test_minutes_become_images_once_and_a_resume_keeps_them(tmp_path: Path, small: Arguments) -> None:
    run = tmp_path / "run"
    go(replace(small, epochs=None, minutes=0.002), run)  # 0.12 seconds
    kept = json.loads((run / "args.json").read_text(encoding="utf-8"))

    assert kept["minutes"] == 0.002
    assert kept["images"] % 8 == 0
    assert journal.read(run)[-1].step == kept["images"] / 8
    go(Arguments(), run, resume=True)
    assert json.loads((run / "args.json").read_text(encoding="utf-8")) == kept


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"data": None}, "no data given"),
        ({"data": "gone"}, "no folder or file gone"),
        ({"epochs": 1, "images": 50}, "a budget is in epochs or images, not in both"),
        ({"epochs": 1, "minutes": 1.0}, "a budget is in epochs or minutes"),
        ({"epochs": 0}, "0 epochs is not a length"),
        ({"epochs": None, "images": 0}, "0 images is not a length"),
        ({"epochs": None, "minutes": -1.0}, "-1 minutes is not a length"),
        ({"batch_size": 99}, "a batch of 99 cannot be filled from 9 images"),
        ({"batch_size": 0}, "a batch of 0 cannot be filled"),
        ({"at_once": 0}, "0 images at once cannot be"),
        ({"validate_every": 0}, "every 0 epochs cannot be"),
        ({"recipe": "magic"}, "no recipe 'magic'"),
        ({"model": "vgg17"}, "no network 'vgg17'"),
        ({"start": "nothing"}, "nothing"),
        (
            {"start": "resnet20-cifar10", "model": "nin", "options": {}},
            "no layer in common",
        ),
        ({"options": {"classes": 5}}, "leave out the option classes"),
        ({"options": {"colour": 5}}, "colour"),
        ({"trackers": ("tensorbored",)}, "tensorbored"),
    ],
)
def test_arguments_that_will_not_do_are_refused_in_one_line_and_leave_no_run(
    tmp_path: Path, small: Arguments, said: dict[str, object], text: str
) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        go(replace(small, **said), tmp_path / "run")  # type: ignore[arg-type]

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "entry.json").exists()
