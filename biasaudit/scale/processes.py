"""Run work units in this process or in several; only the driver commits.

A worker process holds its state (a loaded model) and answers one unit at a time. When it dies, its unit is given to
another; when the driver dies, the workers end by themselves. Results are pure functions of their unit, so who made
which one, and how often, changes nothing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, Self, TypeVar

from biasaudit.errors import BiasAuditError, ResourceError


class Unit(Protocol):
    """A piece of work (picklable when there are several processes)."""

    @property
    def unit_id(self) -> str:
        """What tells it from the others."""
        ...

    @property
    def count(self) -> int:
        """How much it is of what progress counts."""
        ...


U = TypeVar("U", bound=Unit)
Worker = Callable[[Any], Any]
"""Does one unit; what it returns goes to `commit` (picklable when there are several processes)."""
WorkerFactory = Callable[[], Worker]
"""Makes a worker with its state; picklable (a top-level function, or a partial of one) for several processes."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
                    "RAYON_NUM_THREADS")  # fmt: skip
ATTEMPTS = 3
"""How often a unit may lose its worker before the run gives up."""
_START = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run of units stands."""

    units: int
    units_total: int
    completions: int
    completions_total: int
    seconds: float
    """Since the first worker was there, by a clock that never jumps."""

    @property
    def rate(self) -> float | None:
        """Completions per second; None before the first."""
        return self.completions / self.seconds if self.completions and self.seconds > 0 else None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left at this rate; None before the first completion."""
        rate = self.rate
        return None if rate is None else (self.completions_total - self.completions) / rate


def run_units(
    units: Sequence[U],
    worker_factory: WorkerFactory,
    commit: Callable[[U, Any], object],
    *,
    processes: int = 1,
    threads_per_process: int | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> None:
    """Do every unit once and commit each result as it comes; see `Crew` and `Crew.run`."""
    with Crew(worker_factory, min(processes, len(units)) if units else processes, threads_per_process) as crew:
        crew.run(units, commit, progress=progress)


class Crew:
    """Workers in this process or in several, kept from one list of units to the next."""

    def __init__(
        self, worker_factory: WorkerFactory, processes: int = 1, threads_per_process: int | None = None
    ) -> None:
        """Hire nobody yet.

        Args:
            worker_factory: called once a process, in that process.
            processes: 1 works here; more start that many workers afresh (spawn).
            threads_per_process: set in the environment of worker processes before any library is imported; the
                factory sets whatever its libraries want besides. Work in this process leaves the environment alone.
        """
        if processes < 1:
            raise ValueError(f"processes is {processes}, expected at least 1")
        self._factory = worker_factory
        self._worker: Worker | None = None
        self._others = _Others(worker_factory, processes, threads_per_process) if processes > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._others is not None:
            self._others.end()

    def run(
        self,
        units: Sequence[U],
        commit: Callable[[U, Any], object],
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Do every unit once.

        Args:
            units: what is to be done.
            commit: called by the driver alone, one at a time, in the order in which results come.
            progress: called at the start and after every commit.

        Raises:
            ResourceError: a unit's worker was killed `ATTEMPTS` times; most likely memory ran out.
            BiasAuditError: as the worker raised it, or a worker ended by itself again and again.
            KeyboardInterrupt: Ctrl-C or (`signals.Terminated`) a signal; what was committed stays.
        """
        if not units:
            return
        meter = _Meter(units, progress)
        if self._others is not None:
            for unit, result in self._others.results(units, meter.begin):
                commit(unit, result)
                meter.count(unit)
            return
        if self._worker is None:
            self._worker = self._factory()
        meter.begin()
        for unit in units:
            commit(unit, self._worker(unit))
            meter.count(unit)


class _Meter:
    """Counts what is committed and tells the caller."""

    def __init__(self, units: Sequence[Any], tell: Callable[[Progress], object] | None) -> None:
        self._tell = tell
        self._units_total, self._total = len(units), sum(unit.count for unit in units)
        self._units = self._done = 0
        self._start = time.monotonic()
        self._report()

    def begin(self) -> None:
        """Start the clock once a worker is there, so that loading a model does not spoil the rate."""
        if not self._done:
            self._start = time.monotonic()

    def count(self, unit: Unit) -> None:
        self._units += 1
        self._done += unit.count
        self._report()

    def _report(self) -> None:
        if self._tell is not None:
            self._tell(
                Progress(
                    units=self._units,
                    units_total=self._units_total,
                    completions=self._done,
                    completions_total=self._total,
                    seconds=time.monotonic() - self._start,
                )
            )


@dataclass(slots=True)
class _Member:
    """A worker process as the driver sees it."""

    process: BaseProcess
    unit: Any = None
    ready: bool = False


class _Others:
    """Worker processes and the pipes to them."""

    def __init__(self, factory: WorkerFactory, size: int, threads: int | None) -> None:
        self._factory = pickle.dumps(factory)
        self._size, self._threads = size, threads
        self._context = multiprocessing.get_context("spawn")
        self._members: dict[Connection, _Member] = {}
        self._lost: Counter[str] = Counter()

    def results(self, units: Sequence[Any], begin: Callable[[], None]) -> Iterator[tuple[Any, Any]]:
        """Yield (unit, result) in the order in which they come; a unit whose worker died goes first again.

        `begin` is called whenever a worker has made its state.
        """
        waiting = deque(units)
        left = len(units)
        if any(member.ready for member in self._members.values()):
            begin()
        while left:
            # Also in later rounds: the unit of a worker that died comes back when others have nothing left to do.
            for idle, member in self._members.items():
                if member.ready and member.unit is None:
                    self._give(idle, member, waiting)
            while len(self._members) < min(self._size, left):
                self._hire()
            for connection in list(wait(list(self._members))):
                assert isinstance(connection, Connection)
                member = self._members[connection]
                try:
                    kind, value = connection.recv()
                except (EOFError, OSError):
                    self._bury(connection, member, waiting)
                    continue
                if kind == "failed":
                    raise value
                if kind == "ready":
                    self._lost[_START] = 0
                    begin()
                done, member.unit, member.ready = member.unit, None, True
                self._give(connection, member, waiting)
                if done is not None:
                    left -= 1
                    yield done, value

    @staticmethod
    def _give(connection: Connection, member: _Member, waiting: deque[Any]) -> None:
        """Hand the next unit, if there is one, to a worker that has none."""
        if waiting:
            member.unit = waiting.popleft()
            with contextlib.suppress(OSError):  # it died just now; its pipe says so in the next round
                connection.send(member.unit)

    def end(self) -> None:
        """End all workers now; idle ones lose nothing and busy ones only work that nobody waits for."""
        for connection, member in self._members.items():
            member.process.kill()
            connection.close()
        for member in self._members.values():
            member.process.join()
        self._members.clear()

    def _hire(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._factory, self._threads), daemon=True)
        process.start()
        theirs.close()  # the worker's copy is then the only one, so that its death closes the pipe
        self._members[ours] = _Member(process)

    def _bury(self, connection: Connection, member: _Member, waiting: deque[Any]) -> None:
        """Forget a dead worker and put its unit in front of the queue.

        Raises:
            BiasAuditError: this has happened too often.
        """
        connection.close()
        del self._members[connection]
        member.process.join()
        if member.unit is None and member.ready:
            return
        unit_id = member.unit.unit_id if member.unit else _START
        self._lost[unit_id] += 1
        if self._lost[unit_id] >= ATTEMPTS:
            what = f"while doing unit {unit_id[:12]}" if member.unit else "while starting"
            if member.process.exitcode == -signal.SIGKILL:
                raise ResourceError(
                    f"A worker process was killed {ATTEMPTS} times {what}; most likely memory ran out. "
                    "Use fewer processes or a smaller model; what was committed is kept."
                )
            raise BiasAuditError(
                f"A worker process ended {ATTEMPTS} times {what} (exit code {member.process.exitcode}). "
                "Use one process to see why; what was committed is kept."
            )
        if member.unit is not None:
            waiting.appendleft(member.unit)


def _work(connection: Connection, factory: bytes, threads: int | None) -> None:
    """Life of a worker process: make the worker, then answer units until the driver hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver alone decides
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    threading.Thread(target=_end_with_driver, daemon=True).start()
    try:
        worker: Worker = pickle.loads(factory)()  # noqa: S301  (made by our own driver a moment ago)
        answer: tuple[str, Any] = ("ready", None)
        while _told(connection, answer):
            try:
                unit = connection.recv()
            except (EOFError, OSError):
                return
            answer = ("done", worker(unit))
    except Exception as error:  # noqa: BLE001  (told to the driver, which raises it)
        _told(connection, ("failed", _portable(error)))


def _told(connection: Connection, answer: tuple[str, Any]) -> bool:
    """Send an answer; False when the driver is gone."""
    try:
        connection.send(answer)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _end_with_driver() -> None:
    """Without this, the worker of a killed driver would go on to the end of its unit."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """An exception that survives the pipe: ours by the nearest class that takes a message, others with their trace."""
    if isinstance(error, BiasAuditError):
        for kind in type(error).__mro__:
            if issubclass(kind, BiasAuditError) and "__init__" not in vars(kind):
                return kind(str(error))
    return RuntimeError("a worker process failed:\n" + "".join(traceback.format_exception(error)))
