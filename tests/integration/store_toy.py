"""A small run with invented completions, for tests that kill it, starve it or start it twice."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from store_toy_worker import factory, slow_factory

from biasaudit.errors import BiasAuditError
from biasaudit.pipeline.signals import signals_as_exceptions
from biasaudit.records import Arm, Completion, Decoding, Prompt
from biasaudit.scale.processes import run_units
from biasaudit.scale.units import WorkUnit, plan_units
from biasaudit.store import files
from biasaudit.store.lock import writer_lock
from biasaudit.store.run import RunFolder
from biasaudit.store.tables import KEY_COLUMNS, completions_table, held_ranges, prompts_table

PROMPTS = [Prompt(text=f"Pergunta número {i}:", language="pt", topic="t", template="q") for i in range(6)]
ARMS = [
    Arm(name=name, spec=name, role="base", fingerprint=name * 8, tokenizer_fingerprint="tok")
    for name in ("aaaa", "bbbb")
]


def plan(
    have=None, *, completions: int = 10, unit_size: int = 8, prompts: Sequence[Prompt] = PROMPTS
) -> list[WorkUnit]:
    return plan_units(ARMS, prompts, [Decoding()], completions, 1337, unit_size=unit_size, have=have)


def run_all(
    path: Path, *, processes: int = 1, make=factory, ack=None, disk: files.Disk = files.DISK, completions: int = 10
) -> RunFolder:
    """What the run stage does: open or create, set damage aside, do what is missing, seal."""
    if (path / "manifest.json").exists():
        run = RunFolder.open(path, disk=disk)
    else:
        run = RunFolder.create(path, {"spec_hash": "toy"}, disk=disk)
    with run.lock():
        run.quarantine_damaged("completions")
        units = plan(held_ranges(run.tables("completions", KEY_COLUMNS)), completions=completions)

        def commit(unit: WorkUnit, rows: list[Completion]) -> None:
            run.commit_part("completions", unit.unit_id, completions_table(rows))
            if ack is not None:
                os.write(ack, unit.unit_id.encode() + b"\n")

        run_units(units, make, commit, processes=processes, threads_per_process=1)
        run.write_table("prompts.parquet", prompts_table(PROMPTS))
        run.write_json("analysis.json", {"completions": len(PROMPTS) * completions * len(ARMS)})
        run.seal()
    return run


class CountingDisk(files.Disk):
    """Calls `strike` before operation number `at` and at every later one."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def strike(self) -> None:
        """What happens then."""

    def _step(self) -> None:
        self.count += 1
        if 0 < self.at <= self.count:
            self.strike()

    def create(self, path):
        self._step()
        return super().create(path)

    def write(self, descriptor, data):
        self._step()
        return super().write(descriptor, data[:1500])  # short writes are legal

    def fsync(self, descriptor):
        self._step()
        super().fsync(descriptor)

    def rename(self, source, target):
        self._step()
        super().rename(source, target)

    def mkdir(self, path):
        self._step()
        super().mkdir(path)

    def sync_folder(self, path):
        self._step()
        super().sync_folder(path)

    def read(self, path):
        self._step()
        return super().read(path)


class DeadlyDisk(CountingDisk):
    """Ends the process without a word."""

    def strike(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def run_to_the_end(
    path: Path, *, processes: int = 1, slow: bool = False, acks: Path | None = None, die_at: int = 0
) -> None:
    """Body of a process: exits as the command line does.

    `acks` is a file that gets a line when the work begins and one for every part that is stored.
    """
    ack = None if acks is None else os.open(acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    if ack is not None:
        os.write(ack, b"begun\n")
    try:
        with signals_as_exceptions():
            make = slow_factory if slow else factory
            run_all(path, processes=processes, make=make, ack=ack, disk=DeadlyDisk(die_at))
    except BiasAuditError as error:
        sys.exit(error.exit_code)
    except KeyboardInterrupt as error:
        sys.exit(getattr(error, "exit_code", 130))


def without_flock(descriptor: int, operation: int) -> None:
    raise OSError(errno.ENOTSUP, "no locks here")


def race(folder: Path, barrier, winners: Path, flock=fcntl.flock) -> None:
    """Body of a process that tries to be the writer at the same moment as others."""
    warnings.simplefilter("ignore", files.StorageWarning)
    barrier.wait()
    start = time.monotonic()
    try:
        with writer_lock(folder, flock=flock):
            with winners.open("ab") as handle:
                handle.write(b"w")
            barrier.wait()
    except BiasAuditError as error:
        late = time.monotonic() - start > 2
        barrier.wait()
        sys.exit(99 if late else error.exit_code)


def hold(folder: Path, ready) -> None:
    """Body of a process that holds the lock until it is killed."""
    with writer_lock(folder):
        ready.set()
        time.sleep(60)


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a run that is not hidden."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(name.startswith(".") for name in file.relative_to(path).parts)
    }


if __name__ == "__main__":
    os.umask(0o077)
    run_to_the_end(Path(sys.argv[1]))
