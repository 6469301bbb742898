"""What a predictor said of each image of a data set: answers.csv, a line for each, written while the evaluation runs.

The file is the state from which an evaluation goes on: what has a whole line has been done. A spreadsheet opens it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fourfold.files import write_text

TOP = 5  # classes kept of each answer
COLUMNS = (
    "index", "image", "truth", "rank", "probability",
    *(f"{what}{place}" for place in range(1, TOP + 1) for what in ("class", "probability")),
    "error",
)  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """What was said of image number `index` of a listing, called `name`, whose class has the index `truth`.

    rank: how many classes were held likelier than the true one, 0 where the answer is right; of equal ones the lower index
    is first. probability: of the true class. top: (index, probability) of the likeliest classes, at most TOP, likeliest
    first. Where the image could not be used, `error` says why, and rank is -1.
    """

    index: int
    name: str
    truth: int
    rank: int = -1
    probability: float = 0.0
    top: tuple[tuple[int, float], ...] = ()
    error: str = ""


def reply(index: int, name: str, truth: int, posterior: Tensor) -> Reply:
    """What a posterior (K,) says of an image."""
    values, order = posterior.sort(descending=True, stable=True)
    rank = int((order == truth).nonzero())
    top = tuple(zip(order[:TOP].tolist(), values[:TOP].tolist(), strict=True))
    return Reply(index, name, truth, rank, float(posterior[truth]), top)


def begin(path: Path) -> None:
    """Write the header of an answers file, in place of whatever is there."""
    write_text(path, _line(COLUMNS))


def append(path: Path, replies: Iterable[Reply], labels: Sequence[str]) -> None:
    """Add lines to an answers file, flushed when this returns; classes by name."""
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write("".join(_line(_cells(each, labels)) for each in replies))


def read(path: Path, labels: Sequence[str]) -> list[Reply]:
    """The replies of an answers file, in the order they were written; a last line without its end is left out.

    Raises ValueError where it is not such a file, or names a class that is not among `labels`.
    """
    try:
        text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); give a folder that `fourfold evaluate` made") from error
    try:
        rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    except csv.Error as error:  # a quotation mark that is never closed makes one cell of all that follows
        raise ValueError(f"{path} is damaged ({error}); move it away to begin anew") from None
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ValueError(f"{path} does not begin with {','.join(COLUMNS[:5])}, ...; move it away to begin anew")
    index_of = {_one_line(label): index for index, label in enumerate(labels)}
    return [_parse(row, index_of, f"line {number} of {path}") for number, row in enumerate(rows[1:], 2)]


def whole(path: Path) -> None:
    """Cut off a last line that was written by half, so that `append` begins a new one."""
    content = path.read_bytes()
    kept = content[: content.rfind(b"\n") + 1]
    if len(kept) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(kept))


def _cells(each: Reply, labels: Sequence[str]) -> list[object]:
    """Numbers as repr writes them, so that they are read back to the last bit."""
    top = [cell for index, probability in each.top for cell in (_one_line(labels[index]), probability)]
    blank = [""] * (2 * TOP - len(top))
    first = [each.index, _one_line(each.name), _one_line(labels[each.truth]), each.rank, each.probability]
    return [*first, *top, *blank, _one_line(each.error)]


def _one_line(text: str) -> str:
    """File names may hold the ends of lines, which would look like the end of a record, and bytes that are no UTF-8."""
    return text.replace("\r", "\\r").replace("\n", "\\n").encode("utf-8", "backslashreplace").decode()


def _line(cells: Iterable[object]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _parse(row: Sequence[str], index_of: dict[str, int], where: str) -> Reply:
    try:
        if len(row) != len(COLUMNS):
            raise ValueError(f"{len(row)} cells in place of {len(COLUMNS)}")
        index, name, truth, rank, probability, *top, error = row
        pairs = [(index_of[top[at]], float(top[at + 1])) for at in range(0, 2 * TOP, 2) if top[at + 1]]
        return Reply(int(index), name, index_of[truth], int(rank), float(probability), tuple(pairs), error)
    except (ValueError, KeyError, IndexError) as problem:
        raise ValueError(f"{where} is not a line of answers ({problem}); mend or remove that line") from None
