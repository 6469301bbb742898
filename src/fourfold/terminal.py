"""What the commands share: tables, progress bars, one-line errors, and options in the form KEY=VALUE."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from PIL import Image as Pillow

READER_LEFT, BAD_INPUT, INTERRUPTED = 1, 2, 130
NUMBERS = range(1, 100_000)  # behind names that are taken

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Options = Annotated[
    list[str] | None, typer.Option("--option", "-o", metavar="KEY=VALUE", help="Of the network, such as shortcut=B.")
]


def parse_options(pairs: list[str] | None) -> dict[str, object]:
    """KEY=VALUE pairs; values are read as JSON where they are JSON, so 2, true and [4,2,1] are what they look like."""
    options: dict[str, object] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"option {pair!r} not understood; write KEY=VALUE, such as shortcut=B")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


def write_picture(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all, with its folder. Raises ValueError where that cannot be."""
    from fourfold.files import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        raise ValueError(f"cannot write {path} ({error.strerror or error}); choose another place") from error


def save_picture(picture: Pillow.Image, folder: Path, source: str) -> None:
    """Write a picture as a JPEG that is called after its source, and say so."""
    path = free_path(folder, source, ".jpg")
    write_picture(path, lambda temporary: picture.save(temporary, format="JPEG", quality=90))
    print(f"wrote {path}", file=sys.stderr)


def stopped(command: str, run: Path) -> int:
    """Say how a run goes on after Ctrl-C, if there is one already; the exit code."""
    if run.is_dir():
        print(f"stopped and saved; go on with: fourfold {command} --run {run} --resume", file=sys.stderr)
    else:
        print("stopped before anything was written", file=sys.stderr)
    return INTERRUPTED


def free_path(folder: Path, source: str, ending: str) -> Path:
    """A name after a source's that no file has yet."""
    stem = Path(source).stem[:50] if source != "-" else "standard-input"  # file names may have 255 bytes
    return _first_free(folder / f"{stem}{'' if number == 1 else f'-{number}'}{ending}" for number in NUMBERS)


def next_run(name: str) -> Path:
    """A folder for a run, runs/NAME-NUMBER, that is not there yet."""
    return _first_free(Path("runs", f"{name}-{number}") for number in NUMBERS)


def _first_free(paths: Iterable[Path]) -> Path:
    return next(path for path in paths if not path.exists())


def say(line: str) -> None:
    """A line for people, on standard error."""
    from fourfold.report import one_line

    print(one_line(line), file=sys.stderr)


@contextmanager
def progress(title: str, *, is_quiet: bool, unit: str = "images") -> Iterator[Callable[..., None]]:
    """A bar on standard error with rate and time left; gives `show(done, total, note)`. Appears with the first call."""
    if is_quiet or not is_terminal(sys.stderr):
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    speed = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), speed, TimeElapsedColumn())
    bar = Progress(*columns, TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
                   console=Console(stderr=True))  # fmt: skip
    task = None

    def show(done: int, total: int, note: str = "") -> None:
        nonlocal task
        if task is None:
            bar.start()
            task = bar.add_task(title, total=total, completed=done - 1, rate="", note=note)
        rate = f"{bar.tasks[0].speed:,.0f} {unit}/s" if bar.tasks[0].speed else ""
        bar.update(task, completed=done, total=total, rate=rate, note=note)

    try:
        yield show
    finally:
        if task is not None:
            bar.stop()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may be looking; None is a stream that the shell has closed, as >&- does."""
    return stream is not None and stream.isatty()


def show_table(table: Any) -> None:
    """Print a table of rich: as wide as the terminal, or 200 characters into a pipe or file, which have no edge to fit."""
    from rich.console import Console

    width = None if is_terminal(sys.stdout) else 200
    console = Console(width=width, markup=False, emoji=False)  # a file may be called [red].jpg
    caption, table.caption = table.caption, None  # the table's own would be folded to its width
    console.print(table)
    if caption:
        console.print(caption, style="dim", soft_wrap=True)


def discard_unwritten() -> None:
    """Keep Python from trying once more at exit, and complaining, to write what could not be written."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report_broken(errors: list[str]) -> int:
    """One line on standard error for each; the exit code."""
    for error in errors:
        fail(error)
    return BAD_INPUT if errors else 0


def fail(message: str) -> int:
    """One line on standard error; the exit code."""
    from fourfold.report import one_line

    print(f"fourfold: {one_line(message)}", file=sys.stderr)
    return BAD_INPUT
