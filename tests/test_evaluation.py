"""Evaluations in a folder: killed, cut off, shared out and begun again, they end with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from fourfold import evaluation
from fourfold.catalog import ModelEntry, Network
from fourfold.data.folder import list_folder
from fourfold.data.listing import Listing
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.runner import evaluate, replies
from fourfold.evaluate.summary import Evaluation
from fourfold.evaluation import evaluate_into
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.papers.protocols import protocol_named
from fourfold.parallel import joined
from fourfold.train.initialise import He

COUNT = 45  # seven batches of six images, and one of three
BROKEN = (7, 30)

SERVER = textwrap.dedent("""
    # Import once; then for each line fork the processes of a group, which call `work` of the test file, and wait for them.
    import importlib.util, json, os, random, signal, socket, sys, time, traceback
    from pathlib import Path

    spec = importlib.util.spec_from_file_location("tasks", sys.argv[1])
    tasks = importlib.util.module_from_spec(spec)
    sys.modules["tasks"] = tasks
    spec.loader.exec_module(tasks)
    for line in sys.stdin:
        world, data, folder, lines, number, pace = json.loads(line)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = []
        for rank in range(world):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                try:
                    if world > 1:
                        told = {"RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
                        os.environ.update({name: str(value) for name, value in told.items()})
                    tasks.work(Path(data), Path(folder), is_slow=lines > 0, pace=pace)
                    os._exit(0)
                except KeyboardInterrupt:
                    os._exit(77)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
            children.append(child)
        if lines:
            while sum(path.read_bytes().count(b"\\n") for path in Path(folder).glob("answers*.csv")) < lines:
                time.sleep(0.002)
            time.sleep(random.uniform(0, 0.1))
            for child in children:
                os.kill(child, number)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
""")

Start = Callable[..., list[int]]


def work(data: Path, folder: Path, is_slow: bool, pace: float) -> None:
    """What a process does. A slow one takes its time after each batch, so that it can be stopped before the end."""
    torch.set_num_threads(1)
    evaluation.PACE = pace
    listing, seen = list_folder(data), []

    def pause(done: int, _all: int) -> None:
        seen.append(done)
        time.sleep(0.2 if is_slow else 0)

    with joined("cpu") as group:
        result = evaluate_into(predictor(), listing, folder, data_name="made", group=group, watch=pause)
        assert (result is not None) == group.is_first
        assert seen == sorted(seen)
        assert seen[-1] == COUNT  # also where another process was the last


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Evaluate in `world` processes, which get the signal `number` soon after `lines` of answers are there."""
    command = [sys.executable, "-W", "error", "-c", SERVER, __file__]
    pipe, environment = subprocess.PIPE, {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        entry, answer = running.stdin, running.stdout

        def ask(
            data: Path, folder: Path, world: int = 1, lines: int = 0, number: int = signal.SIGKILL, pace: float = 10.0
        ) -> list[int]:
            entry.write(json.dumps([world, str(data), str(folder), lines, number, pace]) + "\n")
            entry.flush()
            return json.loads(answer.readline())

        yield ask
        running.stdin.close()


def predictor(
    protocol: str = "ten", seed: int = 2, name: str = "net", labels: tuple[str, ...] = ("a", "b", "c")
) -> Predictor:
    """A cheap network that reads 224 x 224 pixels, so that six images fill a batch."""
    trunk = sequential({"conv": nn.Conv2d(3, 8, 9, stride=8), "relu": nn.ReLU()})
    classifier = Classifier(trunk, MeanHead(sequential({"fc": nn.Linear(8, 3)}), side=27), input_size=224).eval()
    He()(classifier.requires_grad_(False), torch.Generator().manual_seed(seed))
    network = Network(classifier, Pixels(std=(30.0,) * 3), labels, ModelEntry(name=name, network="net"))
    return Predictor((Member(network, protocol_named(protocol, 224)),))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    generator = torch.Generator().manual_seed(3)
    for index in range(COUNT):
        path = folder / "abc"[3 * index // COUNT] / f"{index:03}.png"
        path.parent.mkdir(exist_ok=True)
        height, width = torch.randint(32, 50, (2,), generator=generator).tolist()
        pixels = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(path)
        if index in BROKEN:
            path.write_bytes(b"no image")
    return folder


def into(folder: Path, data: Path, asked: Predictor | None = None, **options: Any) -> Evaluation:
    result = evaluate_into(asked or predictor(), list_folder(data), folder, data_name="made", **options)
    assert result is not None
    return result


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The answers of one go."""
    folder = tmp_path_factory.mktemp("once")
    into(folder, data)
    return (folder / "answers.csv").read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_says_what_an_evaluation_in_memory_says(data: Path, tmp_path: Path) -> None:
    result, memory = into(tmp_path / "new" / "deep", data), evaluate(predictor(), list_folder(data))

    assert result.replies == memory.replies
    assert [each.index for each in result.replies if each.error] == list(BROKEN)
    assert (result.top1, result.views, result.model, result.protocol) == (memory.top1, 10, "net", memory.protocol)
    assert 0 < result.seconds < result.wall_seconds
    assert names(tmp_path / "new" / "deep") == ["answers.csv", "evaluation.json"]
    header = json.loads((tmp_path / "new" / "deep" / "evaluation.json").read_text())
    assert header["data"] == "made"
    assert header["seconds"] == result.seconds


def test_a_finished_evaluation_is_given_from_its_file(data: Path, tmp_path: Path) -> None:
    sound = tmp_path / "data"
    for index in range(3):
        copy(data / "a" / f"{index:03}.png", sound / "a" / f"{index}.png")
    first = into(tmp_path / "out", sound)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "out").iterdir()}

    def never(*_: object) -> Any:
        raise AssertionError("asked again")
        yield

    again = into(tmp_path / "out", sound, ask=never)

    assert again.replies == first.replies
    assert (again.seconds, again.wall_seconds) == (first.seconds, first.wall_seconds)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "out").iterdir()} == before


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def test_killed_again_and_again_it_ends_with_the_same_bytes(
    start: Start, data: Path, tmp_path: Path, expected: bytes
) -> None:
    for lines in (2, 9, 20):
        assert start(data, tmp_path, lines=lines) == [-signal.SIGKILL]
        assert (tmp_path / "answers.csv").read_bytes() != expected

    assert start(data, tmp_path) == [0]
    assert (tmp_path / "answers.csv").read_bytes() == expected
    assert names(tmp_path) == ["answers.csv", "evaluation.json"]


def test_ctrl_c_keeps_what_was_answered(start: Start, data: Path, tmp_path: Path, expected: bytes) -> None:
    assert start(data, tmp_path, lines=14, number=signal.SIGINT) == [77]
    kept = (tmp_path / "answers.csv").read_bytes()
    seen: list[int] = []

    into(tmp_path, data, watch=lambda done, _all: seen.append(done))

    assert expected.startswith(kept)
    assert kept.count(b"\n") >= 14
    whole = (kept.count(b"\n") - 1) // 6 * 6
    assert seen[0] == whole - kept.count(b"not an image") + 1  # the first batch is the broken image, asked once more
    assert seen[-1] == COUNT
    assert (tmp_path / "answers.csv").read_bytes() == expected


@pytest.mark.parametrize("lines", [0, 1, 6, 7, 30, 44, COUNT])
@pytest.mark.parametrize("cut", [0, 1, 25])
def test_cut_off_anywhere_it_ends_with_the_same_bytes(
    data: Path, tmp_path: Path, expected: bytes, lines: int, cut: int
) -> None:
    """As a process leaves it that was killed while it wrote: the rest of a line, or of a batch, is missing."""
    into(tmp_path, data)
    header = json.loads((tmp_path / "evaluation.json").read_text())
    header.pop("seconds")
    (tmp_path / "evaluation.json").write_text(json.dumps(header))
    ends = [place for place, byte in enumerate(expected) if byte == ord("\n")]
    kept = expected[: ends[lines] + 1 + cut]
    (tmp_path / "answers.csv").write_bytes(kept)
    (tmp_path / "seconds.csv").write_bytes(b"1.5,2.0\n0.2")

    result = into(tmp_path, data)

    assert (tmp_path / "answers.csv").read_bytes() == expected
    assert result.seconds >= 1.5
    assert names(tmp_path) == ["answers.csv", "evaluation.json"]


@pytest.mark.parametrize(("world", "pace"), [(2, 10.0), (2, 0.0), (3, 0.0)])
def test_several_processes_give_what_one_gives(
    start: Start, data: Path, tmp_path: Path, expected: bytes, world: int, pace: float
) -> None:
    assert start(data, tmp_path, world, pace=pace) == [0] * world

    assert (tmp_path / "answers.csv").read_bytes() == expected
    assert names(tmp_path) == ["answers.csv", "evaluation.json"]
    times = json.loads((tmp_path / "evaluation.json").read_text())
    assert 0 < times["wall_seconds"] < 30
    assert times["seconds"] > 0


def test_another_number_of_processes_goes_on(start: Start, data: Path, tmp_path: Path, expected: bytes) -> None:
    assert start(data, tmp_path, world=2, lines=16) == [-signal.SIGKILL] * 2
    assert {"answers.0-of-2.csv", "answers.1-of-2.csv", "seconds.1-of-2.csv"} <= {*names(tmp_path)}
    assert start(data, tmp_path, world=1, lines=24) == [-signal.SIGKILL]
    assert start(data, tmp_path, world=3) == [0, 0, 0]

    assert (tmp_path / "answers.csv").read_bytes() == expected
    assert names(tmp_path) == ["answers.csv", "evaluation.json"]


def test_only_what_could_not_be_used_is_asked_again(data: Path, tmp_path: Path) -> None:
    for index in (0, 1, 2, 7):
        copy(data / "a" / f"{index:03}.png", tmp_path / "data" / "a" / f"{index}.png")
    first = into(tmp_path / "out", tmp_path / "data")
    copy(data / "a" / "003.png", tmp_path / "data" / "a" / "7.png")
    asked: list[int] = []

    def noting(asked_of: Predictor, listing: Listing, truth: Any, indices: Any) -> Any:
        asked.extend(indices)
        yield from replies(asked_of, listing, truth, indices)

    result = into(tmp_path / "out", tmp_path / "data", ask=noting)

    assert [each.error != "" for each in first.replies] == [False, False, False, True]
    assert asked == [3]
    assert result.images == 4
    assert result.replies[:3] == first.replies[:3]
    assert (tmp_path / "out" / "answers.csv").read_text().count("\n") == 5


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (predictor("single"), "protocol, weights"),
        (predictor(seed=3), "weights"),
        (predictor(name="other"), "model"),
        (predictor(labels=("b", "a", "c")), "weights"),
    ],
    ids=["protocol", "weights", "name", "labels"],
)
def test_another_evaluation_is_kept_as_it_is(data: Path, tmp_path: Path, other: Predictor, differs: str) -> None:
    into(tmp_path, data)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(
        ValueError, match=rf"^.* holds the evaluation of net under .* on made, which differs in {differs}; cho"
    ):
        into(tmp_path, data, other)

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_images_or_classes_are_another_evaluation(data: Path, tmp_path: Path) -> None:
    into(tmp_path, data)
    listing = list_folder(data)

    for other in (listing.take(range(COUNT - 1)), replace(listing, labels=(*listing.labels[:-1], 0))):
        with pytest.raises(ValueError, match=r"differs in images; choose another folder$"):
            evaluate_into(predictor(), other, tmp_path, data_name="made")


def test_files_of_others_are_left_alone(data: Path, tmp_path: Path) -> None:
    mine = {"notes.txt": b"x", "answers.old.csv": b"y", "report.html": b"z"}
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)

    into(tmp_path, data)

    assert names(tmp_path) == sorted([*mine, "answers.csv", "evaluation.json"])
    assert {name: (tmp_path / name).read_bytes() for name in mine} == mine


@pytest.mark.parametrize("name", ["answers.csv", "answers.1-of-2.csv"])
def test_answers_without_their_evaluation_are_not_written_over(data: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"precious")

    with pytest.raises(ValueError, match=rf"{name} belongs to no evaluation, .*; choose another folder$"):
        into(tmp_path, data)

    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"precious"


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": "x"}', "\xff"])
def test_a_file_that_only_has_the_name_of_a_head_is_refused(data: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "evaluation.json").write_text(content, encoding="latin-1")

    with pytest.raises(
        ValueError, match=r"evaluation\.json is not the head of an evaluation \(.*\); choose another folder$"
    ):
        into(tmp_path, data)

    assert (tmp_path / "evaluation.json").read_text(encoding="latin-1") == content


def test_a_place_that_cannot_be_written_is_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"^cannot write to .*file.* \((File exists|Not a directory)\); mend that .*$"):
            into(place, data)


def test_nothing_usable_is_one_line_and_the_folder_can_go_on(data: Path, tmp_path: Path) -> None:
    copy(data / "a" / "007.png", tmp_path / "data" / "a" / "1.png")

    with pytest.raises(ValueError, match="none of the 1 images can be read"):
        into(tmp_path / "out", tmp_path / "data")
    copy(data / "a" / "008.png", tmp_path / "data" / "a" / "1.png")

    assert into(tmp_path / "out", tmp_path / "data").images == 1
