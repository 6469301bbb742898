"""A file is replaced whole or not at all, leaves nothing beside it, and has the permissions of any new file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fourfold.files import holds, write_text, write_whole


@pytest.fixture(params=[0o022, 0o077], ids=["umask022", "umask077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_text_arrives_as_utf8_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a much longer text than the new one", encoding="utf-8")

    write_text(path, "größer → 3×3\n")

    assert path.read_bytes() == "größer → 3×3\n".encode()
    assert names_in(tmp_path) == ["notes.txt"]


def test_the_old_content_is_there_until_the_new_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"old")
    seen = []

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"new, first half")
        seen.append(path.read_bytes())
        temporary.write_bytes(b"new")

    write_whole(path, write)

    assert seen == [b"old"]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("bad"), KeyboardInterrupt()])
def test_a_write_that_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"old")

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        write_whole(path, write)

    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["weights"]


def test_a_failed_first_write_leaves_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "notes.txt", "\ud800")  # half a surrogate pair has no UTF-8

    assert names_in(tmp_path) == []


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "missing" / "notes.txt", "text")


def test_a_leftover_of_a_killed_process_does_not_get_into_the_file(tmp_path: Path) -> None:
    leftover = tmp_path / f".notes.txt.{os.getpid()}.part"
    leftover.write_text("what a process of the same number had written, and much more of it", encoding="utf-8")
    leftover.chmod(0o644)

    write_text(tmp_path / "notes.txt", "new")

    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "new"
    assert names_in(tmp_path) == ["notes.txt"]


def test_new_files_get_the_mode_that_the_umask_gives(tmp_path: Path, umask: int) -> None:
    write_text(tmp_path / "notes.txt", "text")
    write_whole(tmp_path / "weights", lambda path: save_file({"w": torch.ones(3)}, path))  # 0600 of its own accord
    (tmp_path / "plain").touch()

    modes = [mode_of(tmp_path / name) for name in ("notes.txt", "weights", "plain")]

    assert modes == [0o666 & ~umask] * 3


def test_a_program_bit_of_the_old_file_is_not_passed_on(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "notes.txt"
    path.touch()
    path.chmod(0o777)

    write_text(path, "text")

    assert mode_of(path) == 0o666 & ~umask


def test_a_folder_holds_a_file_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "entry.json").write_text("{}", encoding="utf-8")

    assert holds(tmp_path, "entry.json")
    assert holds(str(tmp_path), "entry.json")
    assert not holds(tmp_path, "other.json")
    assert not holds(tmp_path.parent, tmp_path.name)  # a folder is no file
    assert not holds("x" * 5000, "entry.json")  # longer than names may be
