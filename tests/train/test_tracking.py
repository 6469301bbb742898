"""Trackers are told what metrics.csv says, once each, also when a run goes on; one that fails does not stop training."""

from __future__ import annotations

import json
import resource
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fourfold.train import journal
from fourfold.train.journal import Epoch
from fourfold.train.tracking import Tracker, Trackers, open_trackers

FIRST = Epoch(1, 10, 0.1, 2.0, 0.75, None, None, 3.0)
SECOND = Epoch(2, 20, 0.01, 1.0, 0.5, 1.5, 0.625, 2.5)
THIRD = Epoch(3, 30, 0.001, 0.5, 0.25, 1.25, 0.5, 2.0)
SETTINGS = {"source": "ResNet 4.2", "batch_size": 128, "deviations": ["a | b", "c"]}


def start(folder: Path, *names: str, **options: Any) -> Trackers:
    return open_trackers(folder, names, run_name="a run", settings=SETTINGS, **options)


def run(folder: Path, *epochs: Epoch, names: tuple[str, ...] = ()) -> None:
    """What the loop does: a line in the journal, then the trackers."""
    trackers = start(folder, *names)
    for epoch in epochs:
        journal.append(folder, epoch)
        trackers.epoch(epoch)
    trackers.close()
    assert not trackers.failed


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Writing beyond it fails, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def crc32c(data: bytes) -> int:
    """Bit by bit, with the Castagnoli polynomial (RFC 3720 B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 * (value & 1))
    return value ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file: length, its checksum, the bytes, their checksum."""
    content = path.read_bytes()
    while content:
        size, of_size = struct.unpack("<QI", content[:12])
        data, (of_data,) = content[12 : 12 + size], struct.unpack("<I", content[12 + size : 16 + size])
        assert (of_size, of_data) == (masked(content[:8]), masked(data))
        yield data
        content = content[16 + size :]


def events(folder: Path) -> list[Any]:
    """All events of a run in the order in which TensorBoard reads them: by file name."""
    from tensorboardX.proto import event_pb2

    files = sorted((folder / "tensorboard").glob("events.out.tfevents.*"))
    return [vars(event_pb2)["Event"].FromString(data) for path in files for data in records(path)]


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: a START event hides what was told of its step and later ones before it."""
    shown: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        if event.HasField("session_log") and event.session_log.status == 1:
            shown = {tag: [point for point in points if point[0] < event.step] for tag, points in shown.items()}
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                shown.setdefault(value.tag, []).append((event.step, value.simple_value))
    return {tag: points for tag, points in shown.items() if points}


def test_the_checksum_is_the_one_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_tensorboard_has_every_number_of_an_epoch_at_its_step(tmp_path: Path) -> None:
    run(tmp_path, FIRST, SECOND)

    assert curves(tmp_path) == {
        "loss/train": [(10, 2.0), (20, 1.0)],
        "loss/val": [(20, 1.5)],
        "error/train": [(10, 0.75), (20, 0.5)],
        "error/val": [(20, 0.625)],
        "pace/rate": [(10, pytest.approx(0.1)), (20, pytest.approx(0.01))],
        "pace/seconds": [(10, 3.0), (20, 2.5)],
        "pace/epoch": [(10, 1.0), (20, 2.0)],
    }


def test_a_curve_goes_on_after_a_resume_without_a_step_twice(tmp_path: Path) -> None:
    run(tmp_path, FIRST, SECOND)
    journal.cut(tmp_path, 15)  # the checkpoint was older than the second epoch

    run(tmp_path, replace(SECOND, train_loss=1.125), THIRD)

    assert curves(tmp_path)["loss/train"] == [(10, 2.0), (20, 1.125), (30, 0.5)]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2  # of one second, and yet two files


def test_a_run_that_begins_anew_hides_all_of_the_attempt_before(tmp_path: Path) -> None:
    run(tmp_path, FIRST, SECOND)
    journal.cut(tmp_path, 0)

    run(tmp_path, replace(FIRST, train_loss=4.0))

    assert curves(tmp_path)["loss/train"] == [(10, 4.0)]
    assert "loss/val" not in curves(tmp_path)


def test_event_files_that_were_deleted_are_written_again_from_the_journal(tmp_path: Path) -> None:
    run(tmp_path, FIRST, SECOND)
    for path in (tmp_path / "tensorboard").iterdir():
        path.unlink()

    run(tmp_path, THIRD)

    assert curves(tmp_path)["loss/train"] == [(10, 2.0), (20, 1.0), (30, 0.5)]


def test_an_epoch_can_be_seen_while_the_run_is_under_way(tmp_path: Path) -> None:
    trackers = start(tmp_path)
    trackers.epoch(FIRST)

    assert curves(tmp_path)["loss/train"] == [(10, 2.0)]
    trackers.close()
    trackers.close()  # a second time is nothing


def test_pictures_and_settings_are_shown(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), "red").save(tmp_path / "curves.png")
    trackers = start(tmp_path)
    trackers.epoch(FIRST)

    trackers.pictures({"curves": tmp_path / "curves.png"})

    trackers.close()
    values = {value.tag: (event.step, value) for event in events(tmp_path) for value in event.summary.value}
    step, picture = values["curves"]
    assert (step, picture.image.height, picture.image.width) == (10, 20, 30)
    assert picture.image.encoded_image_string == (tmp_path / "curves.png").read_bytes()
    (text,) = values["settings/text_summary"][1].tensor.string_val
    assert b"| batch_size | 128 |\n| deviations | a / b, c |" in text  # a stroke would end the cell
    assert f"tensorboard --logdir {tmp_path}/tensorboard" == trackers.where["tensorboard"]


def test_a_full_disk_is_said_once_and_training_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    trackers = start(tmp_path, say=said.append)
    trackers.epoch(FIRST)

    with files_no_longer_than(100):  # bytes, which is less than there are already
        trackers.epoch(SECOND)
        trackers.epoch(THIRD)
    trackers.close()

    assert said == ["tensorboard is told no more of this run (File too large); training goes on"]
    assert trackers.failed == {"tensorboard": "File too large"}
    assert curves(tmp_path)["loss/train"][0] == (10, 2.0)


def test_a_tracker_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    told: list[int] = []

    class Good(Tracker):
        where, told = "here", 0

        def write(self, epoch: Epoch) -> None:
            told.append(epoch.step)

        def pictures(self, pictures: Mapping[str, Path]) -> None:
            told.append(len(pictures))

        def close(self) -> None:
            told.append(-1)

    class Bad(Good):
        def write(self, epoch: Epoch) -> None:
            raise RuntimeError(f"no\nnetwork at {epoch.step}")

    said: list[str] = []
    trackers = Trackers({"bad": Bad(), "good": Good()}, said.append)
    for epoch in (FIRST, SECOND):
        trackers.epoch(epoch)
    trackers.pictures({"curves": tmp_path})
    trackers.close()

    assert told == [10, 20, 1, -1]
    assert said == ["bad is told no more of this run (no network at 10); training goes on"]
    assert trackers.where == {"bad": "here", "good": "here"}


def test_an_unknown_tracker_is_named_with_the_closest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no tracker 'wandbb'; closest are wandb; choose from tensorboard, wandb, mlflow"):
        start(tmp_path, "wandbb")

    assert not (tmp_path / "tensorboard").exists()


def test_a_library_that_is_missing_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)

    with pytest.raises(ValueError, match=r"wandb is not installed; install it with: pip install 'fourfold\[wandb\]'"):
        start(tmp_path, "wandb")


def test_wandb_keeps_an_offline_run_under_one_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    Image.new("RGB", (30, 20), "red").save(tmp_path / "curves.png")

    run(tmp_path, FIRST, SECOND, names=("wandb",))
    journal.cut(tmp_path, 15)
    trackers = start(tmp_path, "wandb")
    trackers.epoch(SECOND)  # told before
    trackers.epoch(THIRD)
    trackers.pictures({"curves": tmp_path / "curves.png"})
    trackers.close()

    assert trackers.failed == {}
    assert trackers.where["wandb"].startswith(f"wandb sync {tmp_path}/wandb/offline-run-")
    first, second = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert first.name == second.name  # the same id, so that `wandb sync` joins them
    assert history(first) == [{"_step": 10, "loss/train": 2.0}, {"_step": 20, "loss/train": 1.0}]
    assert history(second)[0] == {"_step": 30, "loss/train": 0.5}
    assert list(second.parent.glob("files/media/images/curves_30_*.png"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SQLAlchemy, in MLflow's own code
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # MLflow leaves its database to the garbage collector
def test_mlflow_keeps_one_run_in_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "curves.png")

    run(tmp_path, FIRST, SECOND, names=("mlflow",))
    journal.cut(tmp_path, 15)
    trackers = start(tmp_path, "mlflow")
    trackers.epoch(SECOND)  # told before
    trackers.epoch(THIRD)
    trackers.pictures({"curves": tmp_path / "curves.png"})
    trackers.close()

    assert trackers.failed == {}
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    (found,) = client.search_runs([client.get_experiment_by_name("fourfold").experiment_id])
    assert (found.info.run_name, found.info.status) == ("a run", "FINISHED")
    assert found.data.params["batch_size"] == "128"
    points = [(metric.step, metric.value) for metric in client.get_metric_history(found.info.run_id, "loss/train")]
    assert sorted(points) == [(10, 2.0), (20, 1.0), (30, 0.5)]
    assert [path.name for path in (tmp_path / "mlartifacts").rglob("*.png")] == ["curves.png"]


def history(path: Path) -> list[dict[str, float]]:
    """Step and training loss of the lines in a file that W&B keeps to send later."""
    from wandb.proto import wandb_internal_pb2  # pyright: ignore[reportMissingImports]

    lines = []
    for data in chunks(path.read_bytes()):
        record = vars(wandb_internal_pb2)["Record"].FromString(data)
        items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        if "loss/train" in items:
            lines.append({key: items[key] for key in ("_step", "loss/train")})
    return lines


def chunks(content: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log behind 7 bytes of header: checksum, length, and type (1 whole, 4 the last part)."""
    at, data = 7, b""
    while at < len(content):
        if 2**15 - at % 2**15 < 7:  # no record begins so near to the end of a block
            at += 2**15 - at % 2**15
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        data += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield data
            data = b""
