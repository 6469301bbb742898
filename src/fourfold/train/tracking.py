"""Where people watch a run from outside: TensorBoard always, Weights & Biases and MLflow when asked for.

metrics.csv is the run's own record; a tracker is told what it says. One that fails later (a full disk, no network, a server
that says no) never stops training: it is given up for the rest of the run, said once through `say` and kept in `failed`.
When a run goes on, a tracker is first told the epochs of metrics.csv that it missed, and no epoch twice.
"""

from __future__ import annotations

import abc
import contextlib
import importlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fourfold.files import write_text
from fourfold.images import read_image
from fourfold.networks import closest
from fourfold.train import journal
from fourfold.train.journal import JOURNAL, Epoch

IDS = "trackers.json"  # {"wandb": {"run": id, "step": last step told}}: which run elsewhere is this one
PROJECT = "fourfold"  # of W&B, and the experiment of MLflow; WANDB_PROJECT and MLFLOW_EXPERIMENT_NAME say otherwise
PATIENCE = 120.0  # seconds that W&B may take to send the rest at the end; what is left then lies in folder/wandb


class Tracker(abc.ABC):
    """One place outside the run folder's own files; `where` tells people how to look at it, `told` is the last step sent."""

    where: str
    told: int

    def tell(self, epoch: Epoch) -> None:
        """Send an epoch, unless it was sent before a run was interrupted: a run that goes on repeats it bit for bit."""
        if epoch.step > self.told:
            self.write(epoch)
            self.told = epoch.step

    @abc.abstractmethod
    def write(self, epoch: Epoch) -> None:
        """Send an epoch."""

    @abc.abstractmethod
    def pictures(self, pictures: Mapping[str, Path]) -> None:
        """Send image files, by name, as they are after the last epoch."""

    @abc.abstractmethod
    def close(self) -> None:
        """Finish what is under way."""


class Trackers:
    """All trackers of a run as one. `failed` holds, by name, why a tracker was given up; `where`, how to look at each."""

    def __init__(self, trackers: Mapping[str, Tracker], say: Callable[[str], None]) -> None:
        self._working = dict(trackers)
        self._say = say
        self.failed: dict[str, str] = {}
        self.where = {name: tracker.where for name, tracker in trackers.items()}

    def epoch(self, epoch: Epoch) -> None:
        """Tell every tracker that works of an epoch."""
        self._each(lambda tracker: tracker.tell(epoch))

    def pictures(self, pictures: Mapping[str, Path]) -> None:
        """Show every tracker that works image files (JPEG or PNG), by name."""
        self._each(lambda tracker: tracker.pictures(pictures))

    def close(self) -> None:
        """Let every tracker finish; a second call does nothing."""
        self._each(lambda tracker: tracker.close())
        self._working.clear()

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._working.items()):
            try:
                act(tracker)
            except Exception as error:  # whatever it is, it must not cost hours of training
                del self._working[name]
                self.failed[name] = _reason(error)
                self._say(f"{name} is told no more of this run ({self.failed[name]}); training goes on")


def open_trackers(
    folder: Path,
    names: Sequence[str],
    *,
    run_name: str,
    settings: Mapping[str, object],
    say: Callable[[str], None] = lambda _line: None,
) -> Trackers:
    """Open TensorBoard and the trackers called `names` ("wandb", "mlflow") for the run in `folder`.

    The run goes on from its journal, whether that was cut already or not; one that begins anew must have none.
    settings: what the run was started with, for people to compare. TensorBoard's files lie in folder/tensorboard. W&B obeys
    its own variables (WANDB_MODE=offline keeps all in folder/wandb); MLflow writes to mlflow.db and mlartifacts/ in the
    folder unless MLFLOW_TRACKING_URI is set. say: is told, in one line, of a tracker that fails later.
    Raises ValueError for a name that is no tracker, a library that is not installed, and a tracker that does not start.
    """
    check_trackers(names)
    past = journal.read(folder) if (folder / JOURNAL).exists() else []
    opened: dict[str, Tracker] = {}
    for name in dict.fromkeys(("tensorboard", *names)):
        try:
            opened[name] = OPENERS[name](folder, run_name, settings, past[-1].step if past else 0)
        except Exception as error:  # each library has its own
            Trackers(opened, say).close()
            raise ValueError(f"{name} does not start ({_reason(error)}); {ADVICE[name]}") from error
    trackers = Trackers(opened, say)
    for epoch in past:
        trackers.epoch(epoch)
    return trackers


def check_trackers(names: Sequence[str]) -> None:
    """Raises ValueError for a name that is no tracker, and for a library that is not installed."""
    for name in names:
        if name not in OPENERS:
            raise ValueError(f"no tracker {name!r}{closest(name, OPENERS)}; choose from {', '.join(OPENERS)}")
        if name != "tensorboard":
            try:
                importlib.import_module(name)
            except ModuleNotFoundError:
                raise ValueError(f"{name} is not installed; install it with: pip install 'fourfold[{name}]'") from None


class TensorBoard(Tracker):
    """Event files in folder/tensorboard, written at once and not by a thread, so that a full disk is noticed here."""

    def __init__(self, folder: Path, run_name: str, settings: Mapping[str, object], step: int) -> None:
        from tensorboardX.record_writer import RecordWriter
        from tensorboardX.summary import text

        board = folder / "tensorboard"
        board.mkdir(parents=True, exist_ok=True)
        before = len(list(board.glob("*.tfevents.*")))
        self.where = f"tensorboard --logdir {board}"
        self.told = step if before else 0
        # TensorBoard reads files in the order of their names; START hides what earlier ones say of told + 1 and later
        self._file = RecordWriter(str(board / f"events.out.tfevents.{int(time.time()):010d}.{before:03d}"))
        self._event(0, file_version="brain.Event:2")
        self._event(self.told + 1, session_log={"status": "START"})
        rows = "\n".join(f"| {key} | {_text(value).replace('|', '/')} |" for key, value in settings.items())
        self._event(self.told, summary=text("settings", f"### {run_name}\n\n| setting | value |\n| --- | --- |\n{rows}"))

    def write(self, epoch: Epoch) -> None:
        """See Tracker."""
        values = [{"tag": tag, "simple_value": value} for tag, value in _values(epoch).items()]
        self._event(epoch.step, summary={"value": values})

    def pictures(self, pictures: Mapping[str, Path]) -> None:
        """See Tracker."""
        for name, path in pictures.items():
            _, height, width = read_image(path).shape
            image = {"height": height, "width": width, "colorspace": 3, "encoded_image_string": path.read_bytes()}
            self._event(self.told, summary={"value": [{"tag": name, "image": image}]})

    def close(self) -> None:
        """See Tracker."""
        self._file.close()

    def _event(self, step: int, **content: Any) -> None:
        from tensorboardX.proto import event_pb2

        event = vars(event_pb2)["Event"]  # protobuf makes its classes at run time, where type checkers cannot see them
        try:
            self._file.write(event(wall_time=time.time(), step=step, **content).SerializeToString())
            self._file.flush()
        except OSError:
            with contextlib.suppress(OSError):  # closing writes what is left, which fails again
                self._file.close()
            raise


class WandB(Tracker):
    """A run of Weights & Biases, taken up again under its id when training goes on."""

    def __init__(self, folder: Path, run_name: str, settings: Mapping[str, object], step: int) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        self._folder = folder
        known, self.told = _recall(folder, "wandb", step) or (None, 0)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run_name,
            id=known,
            resume="allow",
            dir=folder,
            config={key: _text(value) for key, value in settings.items()},
            allow_val_change=True,  # a run that goes on may have been given more epochs
            settings=wandb.Settings(silent=True, console="off", finish_timeout=PATIENCE, finish_timeout_raises=True),
        )
        self.where = f"wandb sync {Path(self._run.dir).parent}" if self._run.offline else str(self._run.url)
        _remember(folder, "wandb", self._run.id, self.told)

    def write(self, epoch: Epoch) -> None:
        """See Tracker."""
        self._run.log(_values(epoch), step=epoch.step)
        _remember(self._folder, "wandb", self._run.id, epoch.step)

    def pictures(self, pictures: Mapping[str, Path]) -> None:
        """See Tracker."""
        import wandb  # pyright: ignore[reportMissingImports]

        self._run.log({name: wandb.Image(str(path)) for name, path in pictures.items()}, step=self.told)

    def close(self) -> None:
        """See Tracker."""
        self._run.finish()


class MLflow(Tracker):
    """A run of MLflow, in a database of its own in the run folder or on the server that MLFLOW_TRACKING_URI names."""

    def __init__(self, folder: Path, run_name: str, settings: Mapping[str, object], step: int) -> None:
        from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]

        for library in ("mlflow.store", "alembic"):  # they tell of every table that they make
            logging.getLogger(library).setLevel(logging.WARNING)
        self._folder = folder
        address = os.environ.get("MLFLOW_TRACKING_URI")
        self.where = address or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=self.where)
        known = _recall(folder, "mlflow", step)
        self._id, self.told = known or (self._new_run(None if address else folder, run_name, settings), 0)
        self._client.update_run(self._id, status="RUNNING")
        _remember(folder, "mlflow", self._id, self.told)

    def _new_run(self, local: Path | None, run_name: str, settings: Mapping[str, object]) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        place = (local.resolve() / "mlartifacts").as_uri() if local else None
        experiment = found.experiment_id if found else self._client.create_experiment(name, artifact_location=place)
        run = self._client.create_run(experiment, run_name=run_name).info.run_id
        for key, value in settings.items():
            self._client.log_param(run, key, _text(value))
        return run

    def write(self, epoch: Epoch) -> None:
        """See Tracker."""
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        now = round(1000 * time.time())
        metrics = [Metric(name, value, now, epoch.step) for name, value in _values(epoch).items()]
        self._client.log_batch(self._id, metrics=metrics)
        _remember(self._folder, "mlflow", self._id, epoch.step)

    def pictures(self, pictures: Mapping[str, Path]) -> None:
        """See Tracker."""
        for path in pictures.values():
            self._client.log_artifact(self._id, str(path))

    def close(self) -> None:
        """See Tracker."""
        self._client.set_terminated(self._id)


OPENERS: dict[str, Callable[[Path, str, Mapping[str, object], int], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}
ADVICE = {
    "tensorboard": "make room, or choose another run folder",
    "wandb": "log in with `wandb login`, or set WANDB_MODE=offline",
    "mlflow": "check MLFLOW_TRACKING_URI, or leave it unset to write into the run folder",
}


def _values(epoch: Epoch) -> dict[str, float]:
    """An epoch under the names that trackers show, grouped by what is before the stroke; errors are shares of 1."""
    named = {
        "loss/train": epoch.train_loss,
        "loss/val": epoch.val_loss,
        "error/train": epoch.train_error,
        "error/val": epoch.val_error,
        "pace/rate": epoch.rate,
        "pace/seconds": epoch.seconds,
        "pace/epoch": epoch.epoch,
    }
    return {name: float(value) for name, value in named.items() if value is not None}


def _recall(folder: Path, name: str, step: int) -> tuple[str, int] | None:
    """The run elsewhere and the last step it was told, or None where it belongs to another attempt in the same folder.

    That is one which told epochs but left no checkpoint, so that training begins anew, maybe with another recipe.
    """
    known = _ids(folder).get(name)
    return None if known is None or (known["step"] > 0 and step == 0) else (known["run"], known["step"])


def _remember(folder: Path, name: str, run: str, step: int) -> None:
    write_text(folder / IDS, json.dumps({**_ids(folder), name: {"run": run, "step": step}}, indent=2) + "\n")


def _ids(folder: Path) -> dict[str, Any]:
    path = folder / IDS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _text(value: object) -> str:
    return (", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))[:6000]  # MLflow's longest


def _reason(error: Exception) -> str:
    """What an exception says, in one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200] or type(error).__name__
