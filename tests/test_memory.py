"""Memory that a process keeps, counted in pages that the system had to give it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fourfold import memory

PAGES = """
import resource, sys, torch
from fourfold.memory import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
def maps():
    return float(torch.ones(64, 2**18).sum())  # 64 MiB
for _ in range(10):  # until small things have found their places between the large ones
    assert maps() == 2.0**24
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    maps()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def given_pages(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PAGES, how], capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_the_next_maps_need_no_pages_of_the_system() -> None:
    pages = 5 * 2**26 // 4096

    assert given_pages("keep") < pages / 100
    assert given_pages("let go") > pages / 600  # even pages of 2 MiB each


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: pytest.fail("asked the library"))

    assert not memory.keep_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())

    assert not memory.keep_memory()
