"""Run a command, and say how long it and its children took and how much memory they held."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command cost, its children included."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of user and system time."""
    peak: float
    """Largest sum over its processes of the memory held, 10⁶ bytes, sampled."""

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def watch(command: list[str], *, cores: int, shared_once: bool = False, every: float = 0.1) -> Cost:
    """Run `command` on `cores` cores and watch it.

    Args:
        command: the program and its arguments.
        cores: how many cores it may use.
        shared_once: count memory that processes share once (slower to ask); otherwise once a process.
        every: seconds between two looks at the memory.

    Raises:
        SystemExit: the command failed; its output is shown.
    """
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < cores:
        raise SystemExit(f"{cores} cores wanted, {len(mine)} here. Give --cores {len(mine)}.")
    # As in a user's shell: modules are compiled once, not at every start.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    child = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, mine[-cores:])), *command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, env=environment,
    )  # fmt: skip
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    said, peak = b"", 0.0
    while True:
        said += child.stdout.read() or b""
        peak = max(peak, _held(child.pid, shared_once=shared_once))
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(every)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    said += child.stdout.read() or b""
    child.stdout.close()
    if child.returncode:
        raise SystemExit(
            f"{' '.join(command)}\nended with {child.returncode}:\n{said.decode(errors='replace')[-3000:]}"
        )
    return Cost(wall=wall, cpu=usage.ru_utime + usage.ru_stime, peak=peak)


def _held(session: int, *, shared_once: bool) -> float:
    """Memory of all processes of a session, 10⁶ bytes."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end between two looks.
        with contextlib.suppress(OSError, AttributeError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session:
                continue
            if shared_once:
                rollup = (folder / "smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1]) * 1024  # type: ignore[index]
            else:
                total += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total / 1e6
