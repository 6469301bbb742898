"""Keeping memory: a network's maps are freed and asked for again, and the system clears every page anew each time."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # the names of mallopt's settings in glibc's malloc.h
MOST_KEPT = 2**31 - 1  # bytes at the end of the heap; what is free beyond goes back to the system


def keep_memory() -> bool:
    """Let this process keep the memory that it frees, for its next maps; whether the system's library can (glibc).

    Maps of tens of megabytes otherwise come from the system page by page at every layer, which took half the time of
    SPP-net's features of a photo. The price: a process stays as large as it once had to be. The command line calls this;
    a program that uses the package may.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(MMAP_MAX, 0)) and bool(library.mallopt(TRIM_THRESHOLD, MOST_KEPT))
