"""A long start: what it gives, what it raises, and how a signal or a death of its processes ends the wait."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from biasaudit.pipeline.signals import Terminated, signals_as_exceptions
from biasaudit.sampling.starting import started

CONTEXT = multiprocessing.get_context("spawn")
Start = Callable[[float], Callable[[], None]]


@pytest.fixture
def waits_after_child() -> Iterator[Start]:
    """Starts of a process that lives so many seconds, which go on waiting; let go at the end of the test."""
    end = threading.Event()

    def start(seconds: float) -> Callable[[], None]:
        def run() -> None:
            CONTEXT.Process(target=time.sleep, args=(seconds,), daemon=True).start()
            end.wait()

        return run

    yield start
    end.set()


def test_what_a_start_gives_comes_back() -> None:
    assert started(lambda: 3) == 3


def test_what_a_start_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        started(lambda: int("no number"))


def test_a_signal_ends_the_wait_and_the_processes(waits_after_child: Start) -> None:
    before = set(multiprocessing.active_children())
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with signals_as_exceptions(), pytest.raises(Terminated):
        started(waits_after_child(600.0))
    for child in set(multiprocessing.active_children()) - before:
        child.join(60)
        assert child.exitcode == -signal.SIGKILL


def test_a_start_whose_processes_died_is_given_up(waits_after_child: Start) -> None:
    with pytest.raises(RuntimeError, match="its processes ended"):
        started(waits_after_child(1.0), grace=0.3)
