"""The journal of a run: metrics.csv, a line for each epoch; a spreadsheet opens it, and `read` gives the same numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from fourfold.files import write_text

JOURNAL = "metrics.csv"


@dataclass(frozen=True)
class Epoch:
    """One line of metrics.csv: where training stood at the end of an epoch, or at its last step.

    epoch and step count from 1; rate is the learning rate of that step. train_loss and train_error are means over the
    epoch's mini-batches as they were augmented; val_loss and val_error are those of the validation images, None where the
    epoch was not validated. Errors are shares of 1. seconds is the time that the epoch took, validation included.
    """

    epoch: int
    step: int
    rate: float
    train_loss: float
    train_error: float
    val_loss: float | None
    val_error: float | None
    seconds: float


COLUMNS = tuple(field.name for field in fields(Epoch))


def append(folder: Path, epoch: Epoch) -> None:
    """Add a line to the journal, which is begun where there is none."""
    path = folder / JOURNAL
    is_new = not path.exists() or path.stat().st_size == 0
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write((_line(COLUMNS) if is_new else "") + _line(astuple(epoch)))


def read(folder: Path) -> list[Epoch]:
    """The epochs of a run in the order they were written; a last line that is not ended is not read, as it may lack digits.

    Raises ValueError where the folder has no journal, and where the file is not one.
    """
    path = folder / JOURNAL
    try:
        text = path.read_text(encoding="utf-8-sig")  # a spreadsheet that saved it may have added the mark
    except FileNotFoundError:
        raise ValueError(f"{folder} has no {JOURNAL}; give the folder of a run that has done one epoch or more") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); restore it from a copy, or delete it") from error
    header, *lines = _whole(text) or [_line(COLUMNS)]
    if tuple(header.strip().split(",")) != COLUMNS:
        raise ValueError(f"{path} begins with {header.strip()[:80]!r}; its first line must be {','.join(COLUMNS)}")
    return [_parse(line, f"line {number} of {path}") for number, line in enumerate(lines, 2) if line.strip()]


def cut(folder: Path, step: int) -> None:
    """Drop the lines after a step, and a last line that was written by half: what a run that is resumed will do again.

    Where there is no journal one is begun. Raises ValueError as `read` does.
    """
    kept = [epoch for epoch in read(folder) if epoch.step <= step] if (folder / JOURNAL).exists() else []
    write_text(folder / JOURNAL, "".join([_line(COLUMNS), *(_line(astuple(epoch)) for epoch in kept)]))


def _line(cells: Iterable[object]) -> str:
    """Numbers as repr writes them, so that they are read back to the last bit; None is an empty cell."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _whole(text: str) -> list[str]:
    return [line for line in text.splitlines(keepends=True) if line.endswith(("\n", "\r"))]


def _parse(line: str, where: str) -> Epoch:
    cells = line.strip().split(",")
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{where} has {len(cells)} cells in place of {len(COLUMNS)}; mend or remove that line")
    epoch, step, rate, train_loss, train_error, val_loss, val_error, seconds = cells
    try:
        return Epoch(
            epoch=int(epoch),
            step=int(step),
            rate=float(rate),
            train_loss=float(train_loss),
            train_error=float(train_error),
            val_loss=float(val_loss) if val_loss else None,
            val_error=float(val_error) if val_error else None,
            seconds=float(seconds),
        )
    except ValueError as error:
        raise ValueError(f"{where} holds no numbers ({error}); mend or remove that line") from None
