"""A signal becomes a request to stop, and afterwards every signal does again what it did before."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fourfold.train.interrupt import interruptions

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def mark(_number: int, _frame: object) -> None:
    """A handler that must be back afterwards."""


@pytest.fixture
def handlers() -> Iterator[Callable[[], list]]:
    """Handlers unlike the usual ones, and a function that lists those in force."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, mark)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield lambda: [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # Python runs handlers between two instructions


@BOTH
def test_a_signal_is_answered_when_asked_and_interrupts_nothing(number: int) -> None:
    with interruptions() as is_interrupted:
        before = is_interrupted()
        send(number)
        after = [is_interrupted(), is_interrupted()]

    assert before is False
    assert after == [True, True]


def test_without_a_signal_the_answer_stays_no() -> None:
    with interruptions() as first:
        assert not first()
        send(signal.SIGTERM)
    with interruptions() as second:
        assert not second()


@BOTH
def test_a_second_ctrl_c_stops_at_once(number: int) -> None:
    with interruptions() as is_interrupted:
        send(number)
        assert is_interrupted()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_a_second_sigterm_still_waits_for_the_step() -> None:
    with interruptions() as is_interrupted:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert is_interrupted()


def test_the_handlers_of_before_come_back(handlers: Callable[[], list]) -> None:
    with interruptions():
        inside = handlers()

    assert mark not in inside
    assert signal.SIG_IGN not in inside
    assert handlers() == [mark, signal.SIG_IGN]


@BOTH
def test_the_handlers_of_before_come_back_after_a_signal_and_an_error(number: int, handlers: Callable[[], list]) -> None:
    def fail() -> None:
        send(number)
        raise RuntimeError

    with pytest.raises(RuntimeError), interruptions():
        fail()

    assert handlers() == [mark, signal.SIG_IGN]


def test_in_another_thread_signals_stay_as_they_are_and_the_answer_is_no(handlers: Callable[[], list]) -> None:
    def ask() -> tuple[bool, list]:
        assert threading.current_thread() is not threading.main_thread()
        with interruptions() as is_interrupted:
            send(signal.SIGINT)
            return is_interrupted(), handlers()

    with ThreadPoolExecutor(1) as pool:
        answer, inside = pool.submit(ask).result()

    assert answer is False
    assert inside == [mark, signal.SIG_IGN]
    assert handlers() == [mark, signal.SIG_IGN]
