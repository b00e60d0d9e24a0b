"""A request to end, as an exception: what is open is closed on the way out; the exit code says which signal it was."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived. Code that tidies up after Ctrl-C tidies up after this as well."""

    def __init__(self, signal_number: int) -> None:
        """Remember the signal."""
        super().__init__(f"ended by {signal.Signals(signal_number).name}")
        self.exit_code = 128 + signal_number
        """143 for SIGTERM, 129 for SIGHUP."""


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM and SIGHUP inside the block; Ctrl-C stays KeyboardInterrupt.

    Outside the main thread, where Python lets nobody choose, nothing changes. A signal that the user had ignored
    (`nohup`) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signal_number: int, _frame: FrameType | None) -> None:
        raise Terminated(signal_number)

    chosen = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, end)) for number in chosen]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
