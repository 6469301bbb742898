"""An evaluation in a folder: replies are written as they come, and an evaluation that was stopped goes on from there.

evaluation.json says whose evaluation the folder holds, and at the end how long it took. answers.csv has the replies, and
seconds.csv for each batch the seconds spent in the predictor and those that passed. Where several processes work on it each
has its own, answers.0-of-2.csv and so on. At the end answers.csv is written anew, in the order of the listing, and the
others are removed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fourfold.data.listing import Listing
from fourfold.evaluate import answers
from fourfold.evaluate.answers import Reply
from fourfold.evaluate.predictor import Predictor
from fourfold.evaluate.runner import Batch, Watch, blocks, replies, summary, truth_of
from fourfold.evaluate.summary import Evaluation
from fourfold.files import write_text, write_whole
from fourfold.parallel import ALONE, Group

HEADER, ANSWERS = "evaluation.json", "answers.csv"
IDENTITY = ("model", "protocol", "weights", "images")
PACE = 10.0  # seconds between two moments at which the processes of a group tell each other how far they are

Ask = Callable[[Predictor, Listing, Sequence[int], Sequence[int]], Generator[Batch, None, None]]
"""`runner.replies`, or another way to the same; batches may come in any order."""


def evaluate_into(
    predictor: Predictor,
    listing: Listing,
    folder: Path,
    *,
    data_name: str,
    group: Group = ALONE,
    ask: Ask = replies,
    watch: Watch = lambda _done, _all: None,
) -> Evaluation | None:
    """Ask the predictor about every item; answers go to `folder`, and the group's first process gets the Evaluation.

    What the folder already holds of this very evaluation is not asked again, except about items that could not be used; how
    many processes made it does not matter. Seconds are counted over all the times that it was worked on. Raises ValueError
    where the folder holds another evaluation or cannot be written, and as `runner.evaluate`.
    """
    truth = truth_of(predictor.labels, listing, predictor.model)
    todo = group.by_first(lambda: _todo(predictor, listing, folder, data_name))
    with _writing(folder):
        if left := sum(map(len, todo)):
            mine = [index for block in todo[group.rank :: group.world] for index in block]
            part = _begin_part(folder, group, predictor.labels)
            with closing(ask(predictor, listing, truth, mine)) as batches:
                _record(batches, part, group, left, lambda rest: watch(len(listing) - rest, len(listing)))
        return _conclude(predictor, listing, folder) if group.is_first else None


def _todo(predictor: Predictor, listing: Listing, folder: Path, data_name: str) -> list[list[int]]:
    """The blocks of items that are still to be done."""
    with _writing(folder):
        _open(folder, {**_identity(predictor, listing), "data": data_name})
        return _missing(blocks(predictor, range(len(listing))), _read(folder, predictor.labels))


def _missing(parts: list[list[int]], found: dict[int, Reply]) -> list[list[int]]:
    """Blocks that lack a reply, in whole, so that batches are those of one go; of the others the items with errors."""
    lacking = [[i for i in part if found[i].error] if all(i in found for i in part) else part for part in parts]
    return [part for part in lacking if part]


@dataclass(frozen=True)
class _Part:
    """The two files that one process appends to."""

    answers: Path
    seconds: Path
    labels: Sequence[str]

    def add(self, given: Sequence[Reply], seconds: float, wall_seconds: float) -> None:
        with self.seconds.open("a", encoding="utf-8") as file:
            file.write(f"{seconds!r},{wall_seconds!r}\n")
        answers.append(self.answers, given, self.labels)


def _begin_part(folder: Path, group: Group, labels: Sequence[str]) -> _Part:
    which = "" if group.world == 1 else f".{group.rank}-of-{group.world}"
    part = _Part(folder / f"answers{which}.csv", folder / f"seconds{which}.csv", labels)
    part.seconds.touch()  # first, as it says that there is something to conclude
    if not part.answers.exists():
        answers.begin(part.answers)
    for path in (part.answers, part.seconds):
        answers.whole(path)
    return part


def _record(batches: Iterator[Batch], part: _Part, group: Group, left: int, watch: Callable[[int], None]) -> None:
    """Write this process's share of the replies as they come; returns when all have written theirs, `left` in all.

    watch: sees how many are left, of all processes together.
    """
    done = together = 0
    before = told = time.monotonic()
    for given, seconds in batches:
        now = time.monotonic()
        part.add(given, seconds, now - before if group.is_first else 0.0)
        before = now
        done += len(given)
        if group.world == 1 or now - told > PACE:
            (together,), told = group.totals(done), now
            watch(left - int(together))
    while together < left:  # one that is done first waits here, at most for PACE and a batch at a time
        (together,) = group.totals(done)
        watch(left - int(together))


def _conclude(predictor: Predictor, listing: Listing, folder: Path) -> Evaluation:
    """Put in order what was written since the last time this was done, and count."""
    found = _read(folder, predictor.labels)
    # names from the listing: the file has line ends and undecodable bytes as escapes
    ordered = [dataclasses.replace(found[index], name=listing.items[index].name) for index in sorted(found)]
    header = _header(folder)
    spent = [(header.get("seconds", 0.0), header.get("wall_seconds", 0.0)), *_spent(folder)]
    seconds, wall_seconds = (sum(column) for column in zip(*spent, strict=True))
    if parts := [path for path in _files(folder) if path.name != ANSWERS]:

        def write(path: Path) -> None:
            answers.begin(path)
            answers.append(path, ordered, predictor.labels)

        write_whole(folder / ANSWERS, write)
        _write_header(folder, {**header, "seconds": seconds, "wall_seconds": wall_seconds})
        for path in parts:
            path.unlink()
    return summary(predictor, listing, ordered, seconds, wall_seconds)


def _files(folder: Path) -> list[Path]:
    """The files of replies and of seconds that are there."""
    return sorted(path for path in folder.iterdir() if re.fullmatch(r"(answers|seconds)(\.\d+-of-\d+)?\.csv", path.name))


def _read(folder: Path, labels: Sequence[str]) -> dict[int, Reply]:
    """The replies that are there by index; one with an error gives way to another."""
    found: dict[int, Reply] = {}
    for path in _files(folder):
        for reply in answers.read(path, labels) if path.name.startswith("answers") else ():
            if reply.index not in found or found[reply.index].error:
                found[reply.index] = reply
    return found


def _spent(folder: Path) -> list[tuple[float, float]]:
    """For each batch the seconds in the predictor and those that passed; a line that was written by half is left out."""
    files = [path for path in _files(folder) if path.name.startswith("seconds")]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines(keepends=True)]
    pairs = [line.split(",") for line in lines if line.endswith("\n")]
    return [(float(spent), float(passed)) for spent, passed in pairs]


def _open(folder: Path, header: dict[str, Any]) -> None:
    """Begin an evaluation in the folder, or see that the one that is there is the same."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / HEADER).exists():
        if files := _files(folder):
            raise ValueError(f"{files[0]} belongs to no evaluation, as no {HEADER} is beside it; choose another folder")
        _write_header(folder, header)
    have = _header(folder)
    if differ := [key for key in IDENTITY if have[key] != header[key]]:
        raise ValueError(
            f"{folder} holds the evaluation of {have['model']} under {have['protocol']} on {have['data']}, which differs in "
            f"{', '.join(differ)}; choose another folder"
        )


def _header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        if not {*IDENTITY, "data"} <= header.keys():
            raise ValueError("it says not whose it is")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not the head of an evaluation ({error}); choose another folder") from error
    return header


def _write_header(folder: Path, header: dict[str, Any]) -> None:
    write_text(folder / HEADER, json.dumps(header, indent=2) + "\n")


def _identity(predictor: Predictor, listing: Listing) -> dict[str, Any]:
    """What must be the same for the answers to be the same."""
    images = hashlib.sha256()
    for item, label in zip(listing.items, listing.labels, strict=True):
        images.update(f"{item.name}\0{listing.classes[label]}\0".encode("utf-8", "surrogateescape"))
    return {
        "model": predictor.model,
        "protocol": predictor.protocol,
        "weights": _digest(predictor),
        "images": images.hexdigest(),
    }


def _digest(predictor: Predictor) -> str:
    """SHA-256 of every member's network, classes, weights, pixels and protocol."""
    digest = hashlib.sha256()
    for network, protocol in ((member.network, member.protocol) for member in predictor.members):
        entry, pixels = network.entry, network.pixels
        facts = (entry.network, sorted(entry.options.items()), network.labels, pixels.mean, pixels.std, pixels.order)
        digest.update(repr((*facts, str(protocol))).encode("utf-8", "backslashreplace"))
        for name, tensor in (network.classifier.state_dict() | pixels.tensors()).items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Report a file that cannot be written as a ValueError."""
    try:
        yield
    except OSError as error:
        reason = f"cannot write to {folder} ({error.strerror or error})"
        raise ValueError(f"{reason}; mend that and run it again, it goes on from there") from error
