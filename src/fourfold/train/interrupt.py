"""Ctrl-C and SIGTERM as a request that training answers between two steps, never in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptions() -> Iterator[Callable[[], bool]]:
    """A function that says whether one of SIGNALS has arrived since; a second Ctrl-C stops at once, as usual.

    Outside the main thread signals cannot be caught, and the answer is always no.
    """
    arrived = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield arrived.is_set
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def answer(_number: int, _frame: FrameType | None) -> None:
        arrived.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        for number in SIGNALS:
            signal.signal(number, answer)
        yield arrived.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
