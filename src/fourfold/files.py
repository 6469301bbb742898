"""Write a file so that it is either the old one or the new one, never half of either."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary name beside `path`, then rename; on any failure the temporary file is removed.

    The file gets the permissions that the umask gives any new file, whatever `write` gave it (safetensors writes 0600).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_whole` for UTF-8 text."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def holds(folder: str | Path, name: str) -> bool:
    """Whether there is a folder with a file of this name; false for what is no folder, or longer than a name may be."""
    try:
        return (Path(folder) / name).is_file()
    except OSError:
        return False
