"""What several test files share."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fourfold import cli


def pytest_configure() -> None:
    """Let programs that the tests start see Ctrl-C: jobs in the background of a shell ignore it, and pass that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def error_of(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail, and return its one line of error."""

    def call(*arguments: object, stdin: bytes = b"") -> str:
        monkeypatch.setattr(sys, "argv", ["fourfold", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capfd.readouterr()
        assert stopped.value.code == 2
        assert captured.out == ""
        assert captured.err.startswith("fourfold: ")
        assert captured.err.endswith("\n")
        assert captured.err[:-1].isprintable(), "one line without control characters"
        assert "Traceback" not in captured.err
        return captured.err

    return call


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command in this process."""

    def call(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["fourfold", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Result(stopped.value.code, captured.out, captured.err)

    return call
