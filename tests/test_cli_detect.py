"""`fourfold propose`, `train-detector`, `detect` and `evaluate` for detectors, as a person types them."""

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

from fourfold import found_report, verbs_detect
from fourfold.data.video import frames

Run = Callable[..., Any]  # conftest's Result of a command
Fail = Callable[..., str]
PROGRAM = [sys.executable, "-m", "fourfold"]
Make = Callable[..., Path]  # conftest's, which writes into a folder
CLASSES = ("blue", "red [cell]")
CORNERS = ((4, 6, 30, 40), (44, 20, 70, 50), (0, 0, 79, 63), (10, 30, 60, 60), (50, 2, 78, 22))


def photo(home: Path, index: int = 0) -> Path:
    return home / "data" / "JPEGImages" / f"{index}.png"


def boxes(home: Path) -> Path:
    return home / "data" / "boxes.csv"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_proposals_are_printed_and_drawn(home: Path, run: Run) -> None:
    asked = ("propose", photo(home), "--proposals", boxes(home), "--count", 3)
    told, drawn = run(*asked, "--json"), run(*asked, "--plot", "new/p.png", "--shown", 2)

    record = json.loads(told.out)
    assert (record["height"], record["width"], record["count"]) == (64, 80, 3)
    assert record["boxes"] == [list(corner) for corner in CORNERS[:3]]
    assert "3 boxes on " in drawn.out
    assert drawn.err == "wrote new/p.png\n"
    with Image.open("new/p.png") as picture:
        picture.load()
    fast = run("propose", photo(home), "--json", "--count", 7)
    assert json.loads(fast.out)["count"] == 7


def test_json_lines_equal_what_the_verb_gives(home: Path, run: Run) -> None:
    done = run("detect", photo(home), photo(home, 1), "--model", home / "one", "--json")

    assert (done.code, done.err) == (0, "")
    verb = verbs_detect.detect([photo(home), photo(home, 1)], home / "one")
    assert lines_of(done.out) == [found_report.found_record(each) for each in verb]
    assert any(record["objects"] for record in lines_of(done.out))


def test_a_folder_gives_a_table_in_which_names_are_as_they_are(home: Path, run: Run) -> None:
    done = run("detect", home / "data" / "JPEGImages", "-m", home / "one", "--score", -10)

    assert (done.code, done.err) == (0, "")
    assert "red [cell]" in done.out
    assert all(str(photo(home, index)) in done.out for index in range(4))


def test_broken_inputs_are_named_while_the_others_are_answered(home: Path, run: Run) -> None:
    Path("broken.png").write_bytes(photo(home).read_bytes()[:3000])
    asked = ("detect", photo(home), "broken.png", "gone.png", photo(home, 1), "--model", home / "one")
    told, shown = run(*asked, "--json"), run(*asked)

    assert told.code == shown.code == 2
    assert ["error" in record for record in lines_of(told.out)] == [False, True, True, False]
    for done in (told, shown):
        assert [line.startswith("fourfold: ") for line in done.err.splitlines()] == [True, True]
    assert str(photo(home, 1)) in shown.out


def test_boxes_and_pictures_are_written(home: Path, run: Run) -> None:
    Path("results").mkdir()
    done = run(
        "detect", photo(home), photo(home), photo(home, 1), "-m", home / "one", "--score", -10, "--save",
        "--coco", "results/all.json", "--yolo", "texts",
    )  # fmt: skip

    assert done.code == 0
    names = ["0-2.jpg", "0.jpg", "1.jpg"]
    assert sorted(path.name for path in Path("detections").iterdir()) == names
    assert sorted(path.name for path in Path("texts").iterdir()) == ["0.txt", "1.txt"]
    records = json.loads(Path("results/all.json").read_text(encoding="utf-8"))
    verb = [found_report.found_record(each) for each in verbs_detect.detect([photo(home)], home / "one", score=-10)]
    assert [each["category"] for each in records if each["image_id"] == 0] == [each["class"] for each in verb[0]["objects"]]
    again = run("detect", photo(home), "-m", home / "one", "--save-to", "elsewhere")
    assert again.err == "wrote elsewhere/0.jpg\n"
    assert sorted(path.name for path in Path("detections").iterdir()) == names


def test_a_video_comes_back_with_as_many_frames_and_boxes_for_each(home: Path, run: Run) -> None:
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (80, 64))
    for index in range(4):
        writer.write(cv2.imread(str(photo(home, index))))
    writer.release()

    asked = ("detect", "clip.avi", photo(home), "-m", home / "one", "--proposals", "fast", "--count", 5, "--score", -10)
    done = run(*asked, "--save", "--coco", "all.json", "--yolo", "texts", "--json")

    assert (done.code, done.err.splitlines()) == (0, ["writing detections/clip.mp4", "wrote detections/0.jpg"])
    assert [Path(record["source"]).name for record in lines_of(done.out)] == [*(f"clip.avi#{n}" for n in range(4)), "0.png"]
    drawn = [image for _, _, image in frames(Path("detections/clip.mp4"))]
    assert len(drawn) == 4
    assert all(image.shape[1] / image.shape[2] == 64 / 80 for image in drawn)
    names = {each["file_name"] for each in json.loads(Path("all.json").read_text(encoding="utf-8"))}
    assert names == {*(f"clip.avi#{n}" for n in range(4)), str(photo(home))}
    assert len(list(Path("texts").iterdir())) == 5


def test_two_detectors_are_united_and_averaged(home: Path, run: Run) -> None:
    models = [home / "one", home / "two"]
    for words, rank in (((), None), (("--average",), None), (("--low-rank", 4), 4)):
        done = run("detect", photo(home), "-m", models[0], "-m", models[1], "--score", -10, "--json", *words)
        (verb,) = verbs_detect.detect(photo(home), models, score=-10, average="--average" in words, low_rank=rank)
        assert lines_of(done.out) == [found_report.found_record(verb)]
        assert lines_of(done.out)[0]["model"] == "one + two"


def test_an_evaluation_is_printed_and_written(home: Path, run: Run) -> None:
    told = run("evaluate", home / "one", home / "data", "--out", "report", "--json")
    shown = run("evaluate", home / "data", "--model", home / "one", "--model", home / "two", "--count", 3, "--average")

    record = json.loads(told.out)
    assert (record["images"], record["objects"], record["detector"]) == (4, 8, "one")
    assert told.err == "wrote report/report.html\n"
    assert json.loads(Path("report/result.json").read_text(encoding="utf-8"))["per_class"] == record["per_class"]
    assert (shown.code, shown.err) == (0, "")
    assert "one + two, the mean of 2 detectors' scores" in shown.out
    assert "red [cell]" in shown.out


def test_an_evaluation_names_what_it_left_out(home: Path, run: Run, tmp_path: Path, put: Make) -> None:
    data = put(tmp_path / "data")
    path = data / "JPEGImages" / "2.png"
    path.write_bytes(path.read_bytes()[:3000])

    done = run("evaluate", home / "one", data, "--json")

    assert (done.code, json.loads(done.out)["images"]) == (2, 3)
    assert done.err.startswith("fourfold: left out: ")
    assert str(path) in done.err


WRONG: dict[str, tuple[str, str]] = {
    "a detector that is not there": ("detect P -m gone", "no folder gone"),
    "a classifier": ("detect P -m resnet20-cifar10", "That is the name of a classifier: `fourfold classify` takes it."),
    "the folder of a classifier": ("detect P -m classifier", "It holds a classifier: `fourfold classify` takes that."),
    "proposals of no such kind": ("detect P -m ONE --proposals fats", "no proposals 'fats'"),
    "no proposals": ("detect P -m ONE --count 0", "0 proposals are none"),
    "a file for boxes below a file": ("detect P -m ONE --coco note/x.json", "cannot write"),
    "a folder for a file of boxes": ("detect P -m ONE --coco empty", "cannot write empty (Is a directory)"),
    "a file for a folder of boxes": ("detect P -m ONE --yolo note", "cannot write"),
    "a rank of nothing": ("detect P -m ONE --low-rank 0", "a rank of 0 leaves nothing of a layer"),
    "a rank for a classifier": ("evaluate classifier D --low-rank 5", "are for detectors; leave them out"),
    "no proposals to see": ("propose P --count 0", "0 proposals are none"),
    "no boxes to draw": ("propose P --proposals B --plot p.png --shown 0", "0 boxes cannot be drawn"),
    "no photo to propose for": ("propose gone.png", "gone.png does not exist"),
    "data of other classes": ("evaluate ONE other", "has the classes blue, green"),
    "a part that is not there": ("evaluate ONE D --split val", "has no part 'val'"),
    "a protocol for a detector": ("evaluate ONE D --protocol dense", "leave the others out"),
    "scales for a detector": ("evaluate ONE D --scales 64", "leave the others out"),
    "proposals for a classifier": ("evaluate classifier D --count 5", "are for detectors; leave them out"),
    "a resume without a run": ("train-detector --resume", "--resume needs --run FOLDER"),
    "a run that is not there": ("train-detector --run gone --resume", "gone holds no run to resume"),
    "no data": ("train-detector --run r", "no data given"),
    "an unknown method": ("train-detector D --run r --method spnet", "no method 'spnet'"),
    "scales that are none": ("train-detector D --run r --scales a,b", "scales 'a,b' not understood"),
    "no count": ("train-detector D --run r --from ONE --count 0", "0 proposals are none"),
    "steps below nothing": ("train-detector D --run r --from ONE --steps -1", "-1 mini-batches cannot be"),
    "a rate of nothing": ("train-detector D --run r --from ONE --rate 0", "0 is not a learning rate"),
    "unknown scores": ("train-detector D --run r --from ONE --scores magic", "no scores by 'magic'"),
    "a folder that is taken": ("train-detector D --run ONE --from ONE", "holds a run already"),
    "a folder of no layout": ("train-detector empty --run r --from ONE", "is no known layout of boxes"),
    "data without a box": ("train-detector bare --run r --from ONE", "has no box that can be used"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line_and_writes_nothing(
    name: str, home: Path, error_of: Fail, tmp_path: Path, put: Make, write_detector: Make
) -> None:
    command, text = WRONG[name]
    put(tmp_path / "other", 1, ("blue", "green"))
    put(tmp_path / "bare", 1, ())
    (tmp_path / "empty").mkdir()
    (tmp_path / "note").touch()
    write_detector(tmp_path / "classifier", 1, boxes(home))
    (tmp_path / "classifier" / "detector.json").unlink()
    words = {"P": photo(home), "ONE": home / "one", "D": home / "data", "B": boxes(home)}

    assert text in error_of(*(words.get(word, word) for word in command.split()))
    assert not Path("r").exists()
    assert not Path("p.png").exists()


def training(home: Path, *more: object) -> list[object]:
    given = ["train-detector", home / "data", "--from", home / "one", "--proposals", boxes(home), "--count", 5]
    return [*given, "--method", "sppnet", *more]


def test_a_detector_is_trained_into_the_next_folder_and_finds(home: Path, run: Run) -> None:
    Path("runs/detector-1").mkdir(parents=True)
    trained = run(*training(home, "--steps", 2, "--seed", 4))

    assert trained.code == 0
    assert trained.err.splitlines()[0] == "3 images, 6 boxes of 2 classes; checked on 10%, held out"
    assert trained.out.splitlines()[-1] == "try it: fourfold detect PHOTO --model runs/detector-2 --save"
    assert "mAP 2007" in trained.out
    assert run("detect", photo(home), "--model", "runs/detector-2").code == 0
    told = run("train-detector", "--run", "runs/detector-2", "--resume", "--json")
    record = json.loads(told.out)
    assert (record["folder"], record["checked_on"]) == ("runs/detector-2", "10%, held out")
    assert record["result"]["objects"] == 2


def test_control_c_saves_a_kill_loses_little_and_resume_ends_as_if_nothing_had_been(home: Path, run: Run) -> None:
    asked = training(home, "--steps", 1000, "--seed", 4)
    for index, (name, code) in enumerate((("SIGINT", 130), ("SIGKILL", -signal.SIGKILL))):
        command = asked if index == 0 else ["train-detector", "--resume"]
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
            line = "stopped and saved; go on with: fourfold train-detector --run stopped/run --resume"
            assert err.splitlines()[-1] == line
            assert "Traceback" not in err
        assert not Path("stopped/run/detector.json").exists()

    assert run("train-detector", "--run", "stopped/run", "--resume").code == 0
    assert run(*asked, "--run", "whole/run").code == 0
    for name in ("weights.safetensors", "svm.safetensors", "boxes.safetensors", "detector.json", "entry.json"):
        assert Path("stopped/run", name).read_bytes() == Path("whole/run", name).read_bytes()
