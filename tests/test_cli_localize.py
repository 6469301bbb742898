"""`fourfold localize`, `train-localizer` and `evaluate` for localizers, as a person types them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import fourfold
from fourfold.localization_report import comparison_record, localization_record
from fourfold.located_report import located_record

Run = Callable[..., Any]  # conftest's Result of a command
Fail = Callable[..., str]
Make = Callable[..., Path]  # conftest's, which writes into a folder
PROGRAM = [sys.executable, "-m", "fourfold"]
PROTOCOLS = ("dense", "central", "heat")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, put_single: Make, write_localizer: Make) -> Path:
    """data/ and the localizers one/ and two/."""
    folder = tmp_path_factory.mktemp("home")
    put_single(folder / "data", 12)
    for seed, name in enumerate(("one", "two"), start=1):
        write_localizer(folder / name, seed)
    return folder


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def photo(home: Path, index: int = 0) -> Path:
    return home / "data" / f"{index}.png"


def lines_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def without_time(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "seconds_per_image"}


def test_json_lines_equal_what_the_verb_gives(home: Path, run: Run) -> None:
    photos = [photo(home), photo(home, 1)]
    ways: list[tuple[list[str], str, dict[str, Any]]] = [
        ([], "one", {}),
        (["--top", "2", "--protocol", "central"], "one", {"top": 2, "protocol": "central"}),
        (["--scales", "24,32"], "one two", {"scales": [24, 32]}),
        (["-p", "heat"], "one/classifier", {"protocol": "heat"}),
    ]
    for words, models, asked in ways:
        folders = [home / name for name in models.split()]
        done = run("localize", *photos, *(word for folder in folders for word in ("-m", folder)), *words, "--json")
        assert (done.code, done.err) == (0, "")
        assert lines_of(done.out) == [located_record(each) for each in fourfold.localize(photos, folders, **asked)]


def test_without_a_model_the_bundled_classifier_is_asked(run: Run) -> None:
    example = Path(__file__).parents[1] / "examples" / "cat.jpg"
    done = run("localize", example, "--save", "--heat")
    assert done.code == 0
    assert done.err == "wrote locations/cat.jpg\n"
    head, row, caption = done.out.splitlines()
    assert head.split() == ["photo", "class", "probability", "x1", "y1", "x2", "y2"]
    assert row.split()[:3] == [str(example), "cat", "100.0"]
    assert caption.startswith("resnet20-cifar10; boxes: class map of shorter side 32")
    with Image.open("locations/cat.jpg") as picture, Image.open(example) as original:
        assert picture.size == original.size


def test_models_may_stand_among_the_photos(home: Path, run: Run) -> None:
    done = run("localize", "-m", home / "one", home / "two", photo(home), "--json")
    assert [record["model"] for record in lines_of(done.out)] == ["one + two"]


def test_broken_inputs_are_named_while_the_others_are_answered(home: Path, run: Run) -> None:
    Path("broken.png").write_bytes(photo(home).read_bytes()[:900])
    asked = ("localize", photo(home), "broken.png", "gone.png", photo(home, 1), "--model", home / "one")
    told, shown = run(*asked, "--json"), run(*asked, "--save-to", "there")
    assert told.code == shown.code == 2
    assert ["error" in record for record in lines_of(told.out)] == [False, True, True, False]
    assert [line.startswith("fourfold: ") for line in told.err.splitlines()] == [True, True]
    assert str(photo(home, 1)) in shown.out
    assert sorted(path.name for path in Path("there").iterdir()) == ["0.jpg", "1.jpg"]


def test_an_evaluation_is_printed_and_written(home: Path, run: Run) -> None:
    data = home / "data" / "boxes.csv"
    told = run("evaluate", home / "one", data, "--protocol", "all", "--out", "report", "--json")
    shown = run("evaluate", data, home / "one", "--split", "train")
    alone = run("evaluate", "-m", home / "one", "-m", home / "two", data, "--json")

    assert told.err == "wrote report/report.html\n"
    record, wanted = json.loads(told.out), comparison_record(fourfold.evaluate_localizer_each(home / "one", data))
    assert list(map(without_time, record["protocols"])) == list(map(without_time, wanted["protocols"]))
    assert json.loads(Path("report/result.json").read_text(encoding="utf-8")) == record
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[1].split()[:2] == ["dense", "10"]
    both = localization_record(fourfold.evaluate_localizer([home / "one", home / "two"], data))
    assert without_time(json.loads(alone.out)) == without_time(both)
    assert json.loads(alone.out)["model"] == "one + two"


def test_the_maps_of_a_classifier_are_measured_where_they_are_asked_for(home: Path, run: Run) -> None:
    data = home / "data" / "boxes.csv"
    done = run("evaluate", home / "one" / "classifier", data, "--protocol", "heat", "--json")
    wanted = localization_record(fourfold.evaluate_localizer(home / "one" / "classifier", data))
    assert without_time(json.loads(done.out)) == without_time(wanted)
    plain = run("evaluate", home / "one" / "classifier", data, "--json")  # a list of images by class, as ever
    assert json.loads(plain.out)["protocol"].startswith("centre 16")


def test_an_evaluation_names_what_it_left_out(home: Path, run: Run, tmp_path: Path, put_single: Make) -> None:
    data = put_single(tmp_path / "data", 4, ("blue", "purple"))
    photo(tmp_path, 2).write_bytes(photo(tmp_path, 2).read_bytes()[:900])
    done = run("evaluate", home / "one", data / "boxes.csv", "--json")
    assert (done.code, json.loads(done.out)["images"]) == (2, 1)
    assert [line.startswith("fourfold: ") for line in done.err.splitlines()] == [True] * 3
    assert sum("of class purple, which one does not know" in line for line in done.err.splitlines()) == 2


WRONG: dict[str, tuple[str, str]] = {
    "a model that is not there": ("localize P -m gone", "no model 'gone'"),
    "an unknown protocol": ("localize P -m ONE -p dnse", "no protocol 'dnse' of localization"),
    "dense for a classifier": ("localize P -p dense", "is a classifier, which gives no boxes by protocol dense"),
    "both kinds": ("localize P -m ONE -m resnet20-cifar10", "cannot be asked together"),
    "no class": ("localize P -m ONE --top 0", "top is 0; ask for 1 to 5 classes"),
    "six classes": ("localize P -m ONE --top 6", "top is 6"),
    "scales that are none": ("localize P -m ONE --scales a", "scales 'a' not understood"),
    "a scale too small": ("localize P -m ONE --scales 8", "scale 8 is smaller than the network's 16x16 window"),
    "a scale of the crop": ("localize P -m ONE -p central --scales 20", "leave out the scales"),
    "a map that is not kept": ("localize P --heat", "add --save"),
    "a photo that is not there": ("localize gone.png", "gone.png does not exist"),
    "a file for pictures": ("localize P -m ONE --save-to note", "cannot write"),
    "damage": ("localize P -m BAD", "localizer.json is damaged"),
    "data that are not there": ("evaluate ONE gone", "no folder or file gone"),
    "data of no layout": ("evaluate ONE empty", "is no known layout of boxes"),
    "data without boxes": ("evaluate resnet20-cifar10 photos -p heat", "is no known layout of boxes"),
    "a part that is not there": ("evaluate ONE D --split test", "has no part 'test'"),
    "options of detectors": ("evaluate ONE D --count 5", "are for detectors; leave them out"),
    "views of a localizer": ("evaluate ONE D --show-views v.png", "boxes are measured with"),
    "a protocol of classifiers": ("evaluate ONE D -p ten", "no protocol 'ten' of localization"),
    "other classes": ("evaluate resnet20-cifar10 D -p heat", "none of the 2 images can be used; the first: "),
    "a resume without a run": ("train-localizer --resume", "--resume needs --run FOLDER"),
    "a run that is not there": ("train-localizer --run gone --resume", "gone holds no run to resume"),
    "no data": ("train-localizer --run r", "no data given"),
    "an unknown method": ("train-localizer D --run r --method vg-pcr", "no localizer 'vg-pcr'"),
    "an unknown start": ("train-localizer D --run r --from gone", "no model 'gone'"),
    "a start that is a localizer": ("train-localizer D --run r --from ONE", "is not a run folder"),
    "no steps": ("train-localizer D --run r --from C --steps 0", "0 mini-batches of 32 images cannot be"),
    "a rate of nothing": ("train-localizer D --run r --from C --rate 0", "0 is not a learning rate"),
    "a scale of nothing": ("train-localizer D --run r --from C --scale 3", "no 16x16 window fits images of scale 3"),
    "an option without value": ("train-localizer D --run r -o width", "option 'width' not understood"),
    "a folder that is taken": ("train-localizer D --run ONE", "holds a run already"),
    "a folder of no layout": ("train-localizer empty --run r --from C", "is no known layout of boxes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line_and_writes_nothing(
    name: str, home: Path, error_of: Fail, tmp_path: Path, write_localizer: Make
) -> None:
    command, text = WRONG[name]
    for folder in ("empty", "photos/cat"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "a.png").write_bytes(photo(home).read_bytes())
    (tmp_path / "note").touch()
    if "BAD" in command:
        (write_localizer(tmp_path / "bad", 1) / "localizer.json").write_text("{}", encoding="utf-8")
    words = {
        "P": photo(home), "ONE": home / "one", "C": home / "one" / "classifier", "D": home / "data" / "boxes.csv",
        "BAD": tmp_path / "bad",
    }  # fmt: skip
    assert text in error_of(*(words.get(word, word) for word in command.split()))
    assert not Path("r").exists()


def training(home: Path, *more: object) -> list[object]:
    return ["train-localizer", home / "data" / "boxes.csv", "--from", home / "one" / "classifier", "--batch-size", 2, *more]


def test_a_localizer_is_trained_into_the_next_folder_and_locates(home: Path, run: Run) -> None:
    Path("runs/localizer-1").mkdir(parents=True)
    trained = run(*training(home, "--steps", 3, "--seed", 4, "--rate", 0.01))

    assert trained.code == 0
    assert trained.err.splitlines()[0] == "10 images, the largest object of each, of 3 classes; checked on val"
    assert trained.out.splitlines()[-1] == "try it: fourfold localize PHOTO --model runs/localizer-2 --save"
    assert "class given" in trained.out
    assert run("localize", photo(home), "--model", "runs/localizer-2").code == 0
    told = run("train-localizer", "--run", "runs/localizer-2", "--resume", "--json")
    record = json.loads(told.out)
    assert (record["folder"], record["checked_on"]) == ("runs/localizer-2", "val")
    assert [(each["name"], each["images"]) for each in record["protocols"]] == [("dense", 2), ("central", 2)]


def test_control_c_saves_a_kill_loses_little_and_resume_ends_as_if_nothing_had_been(home: Path, run: Run) -> None:
    asked = training(home, "--steps", 60, "--seed", 4)
    for index, (name, code) in enumerate((("SIGINT", 130), ("SIGKILL", -signal.SIGKILL))):
        command = asked if index == 0 else ["train-localizer", "--resume"]
        with subprocess.Popen(
            [*PROGRAM, *map(str, command), "--run", "stopped/run"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as started:
            log = Path("stopped/run/tuning/metrics.csv")
            lines = 2 + (log.read_text(encoding="utf-8").count("\n") if log.exists() else 0)
            while not (log.exists() and log.read_text(encoding="utf-8").count("\n") >= lines):
                assert started.poll() is None
                time.sleep(0.01)
            started.send_signal(getattr(signal, name))
            out, err = started.communicate(timeout=120)
        assert (started.returncode, out) == (code, "")
        if code == 130:
            line = "stopped and saved; go on with: fourfold train-localizer --run stopped/run --resume"
            assert err.splitlines()[-1] == line
            assert "Traceback" not in err
        assert not Path("stopped/run/localizer.json").exists()

    assert run("train-localizer", "--run", "stopped/run", "--resume").code == 0
    assert run(*asked, "--run", "whole/run").code == 0
    for name in ("boxes.safetensors", "localizer.json", "classifier/weights.safetensors", "classifier/entry.json"):
        assert Path("stopped/run", name).read_bytes() == Path("whole/run", name).read_bytes()
