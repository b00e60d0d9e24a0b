"""Processes of their own that run the command line, with everything imported already: a kill is real, the wait is not.

A server without threads imports torch and transformers once a test worker, and forks. What is tested is the process
that is forked: its own number, its own signals, its own files, and the interpreter's own end.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PRELOADED = [
    "pandas",  # pyarrow imports it behind our back
    "pytest",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.generation",
    "biasaudit.cli",
    "biasaudit.lm.load",
    "biasaudit.battery.read",
    "biasaudit.pipeline.audit",
    "biasaudit.pipeline.copying_summary",
    "biasaudit.pipeline.judges",
    "biasaudit.pipeline.run",
    "biasaudit.pipeline.sample",
    "biasaudit.pipeline.until",
    "biasaudit.report.page",
    "biasaudit.report.svg",
    "biasaudit.sampling.backends.torch",
    "biasaudit.scale.processes",
    "biasaudit.scoring.likelihood",
    "biasaudit.stats.assemble",
    "biasaudit.stats.looks",
    "biasaudit.store.run",
    "biasaudit.store.tables",
    "scipy.stats",
]

Strike = Callable[[Path], bool]
"""Whether the process dies instead of giving a file this name."""


@functools.cache
def nursery() -> Any:
    """Starts processes that have everything imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


class Child:
    """A run of the command line as a process, with what it said in two files."""

    def __init__(self, words: list[str], out: Path, err: Path, strike: Strike | None) -> None:
        self.words, self._out, self._err = words, out, err
        self._process = nursery().Process(target=_life, args=(words, str(out), str(err), dict(os.environ), strike))
        self._process.start()
        self.pid: int = self._process.pid

    @property
    def out(self) -> str:
        """What it wrote so far."""
        return self._out.read_text(encoding="utf-8") if self._out.exists() else ""

    @property
    def err(self) -> str:
        """What it said so far."""
        return self._err.read_text(encoding="utf-8") if self._err.exists() else ""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal, None while it lives."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Signal this one process."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, timeout: float = 120) -> int:
        """Wait for its end and return its exit code; a process that does not end fails the test."""
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, f"`biasaudit {' '.join(self.words)}` did not end within {timeout} s"
        return code


@contextlib.contextmanager
def running(*words: object, strike: Strike | None = None) -> Iterator[Child]:
    """Start `biasaudit WORDS` in a session of its own; whatever lives at the end of the block is killed.

    With `strike`, a picklable function, SIGKILL comes just before the first rename that it says yes to.
    """
    with tempfile.TemporaryDirectory() as folder:
        child = Child([str(word) for word in words], Path(folder) / "out", Path(folder) / "err", strike)
        try:
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait()


def ended(*words: object) -> tuple[int, str, str]:
    """Run `biasaudit WORDS` to its end: (exit code, stdout, stderr)."""
    with running(*words) as child:
        return child.wait(), child.out, child.err


def seconds_to_end(pid: int, ended: Callable[[], bool], limit: float = 120) -> float:
    """Wait for the end of a process: seconds from now on, but for those in which other programs had its core.

    How soon a process ends is a promise about the process; how long a busy machine lets it wait is none.
    """
    began, before, waited = time.monotonic(), _kept_waiting(pid), 0.0
    mine = _kept_waiting(os.getpid())
    while not ended():
        waited = max(waited, _kept_waiting(pid) - before)
        if time.monotonic() - began > limit:
            raise AssertionError(f"process {pid} did not end within {limit} s")
        time.sleep(0.005)
    return time.monotonic() - began - waited - (_kept_waiting(os.getpid()) - mine)


def _kept_waiting(pid: int) -> float:
    """Seconds in which a process was ready to run and did not, as far as this system tells."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def die_renaming(strike: Strike) -> None:
    """Kill this process by SIGKILL before the first rename to a name that `strike` says yes to."""

    def strikes(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and strike(Path(os.fspath(arguments[1]))):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(strikes)


def _life(words: list[str], out: str, err: str, environment: dict[str, str], strike: Strike | None) -> None:
    """What `python -m biasaudit.cli WORDS` does."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((out, 1), (err, 2)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    if strike is not None:
        die_renaming(strike)
    sys.argv = ["biasaudit", *words]
    from biasaudit.cli import main

    try:
        main()
    except Exception:  # noqa: BLE001  (an interpreter prints it and ends with 1)
        traceback.print_exc()
        sys.exit(1)
