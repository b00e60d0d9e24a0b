"""Start what takes long in a thread, so that a signal ends the wait at once, and a death of its processes is seen."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK = 0.2
GRACE = 5.0
"""Seconds that a start gets to say itself why its processes ended."""


def started(start: Callable[[], T], *, grace: float = GRACE) -> T:
    """What `start()` gives; the main thread stays free to take signals.

    vLLM waits for its processes inside a call of C that a signal does not end, for up to ten minutes, even when they
    are dead.

    Args:
        start: is called in a thread of its own; it may start processes through `multiprocessing`.
        grace: seconds after the last of its processes ended until it is given up.

    Raises:
        RuntimeError: all processes that it started ended, and it goes on waiting.
        BaseException: what `start` raised, or what a signal did; its processes are ended before.
    """
    results: list[T] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            results.append(start())
        except BaseException as error:  # noqa: BLE001  (raised again by the thread that waits)
            faults.append(error)

    before = set(multiprocessing.active_children())
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    seen, alone_since = False, 0.0
    try:
        while thread.is_alive():
            thread.join(_LOOK)
            mine = set(multiprocessing.active_children()) - before
            seen = seen or bool(mine)
            alone_since = 0.0 if mine or not seen else alone_since or time.monotonic()
            if alone_since and thread.is_alive() and time.monotonic() - alone_since > grace:
                raise RuntimeError("its processes ended while it waited for them.")
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
        raise
    if faults:
        raise faults[0]
    return results[0]
