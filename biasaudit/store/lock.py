"""One writer a folder: a lock that dies with its process.

`flock` is held for the writer's life, so there is no PID file to grow stale; readers never lock. A file system without
flock (some mounted drives) gets a lock file with a heartbeat instead, and one warning. The heartbeat's age is measured
by the file system's own clock, so that machines with different clocks agree on it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from biasaudit.errors import RunLockedError
from biasaudit.store.files import StorageWarning, explained

LOCK_NAME = ".lock"
HEARTBEAT_NAME = ".lock-heartbeat"
_NO_FLOCK = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


@dataclass(slots=True)
class WriterLock:
    """A lock that is held."""

    folder: Path
    lost: threading.Event = field(default_factory=threading.Event)
    """Set when another process took a heartbeat lock over (this one slept for too long)."""

    def check(self) -> None:
        """Raise RunLockedError when the lock is no longer ours."""
        if self.lost.is_set():
            raise RunLockedError(
                f"Another process took {self.folder} over while this one stood still. "
                "What was stored is kept; repeat the command when the other one has ended."
            )


@contextlib.contextmanager
def writer_lock(
    folder: Path,
    *,
    flock: Callable[[int, int], None] = fcntl.flock,
    beat_seconds: float = 5.0,
    stale_seconds: float = 60.0,
) -> Iterator[WriterLock]:
    """Hold the writer's lock of `folder`, which must exist, until the block ends or the process dies.

    Args:
        folder: a run, corpus or model folder.
        flock: the system's call.
        beat_seconds: pause between heartbeats, where flock is missing.
        stale_seconds: age at which a heartbeat counts as that of a dead process.

    Raises:
        RunLockedError: another process holds it; said at once, without waiting.
        StoreError: the lock file cannot be made.
    """
    with explained("lock", folder):
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with explained("lock", folder):
            has_flock = _try_flock(descriptor, folder, flock)
        if has_flock:
            yield WriterLock(folder)
        else:
            with _heartbeat(folder, beat_seconds, stale_seconds) as lock:
                yield lock
    finally:
        os.close(descriptor)


def _try_flock(descriptor: int, folder: Path, flock: Callable[[int, int], None]) -> bool:
    """Take the lock; False when this file system has no flock."""
    try:
        flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            raise _locked(folder) from None
        if error.errno not in _NO_FLOCK:
            raise
        text = f"{folder} lies on a file system without locks; a heartbeat file takes their place."
        warnings.warn(text, StorageWarning, stacklevel=4)
        return False
    return True


def _locked(folder: Path) -> RunLockedError:
    return RunLockedError(f"Another process writes to {folder}. Wait until it ends, then repeat the command.")


@contextlib.contextmanager
def _heartbeat(folder: Path, beat_seconds: float, stale_seconds: float) -> Iterator[WriterLock]:
    path = folder / HEARTBEAT_NAME
    token = secrets.token_hex(16).encode()
    with explained("lock", folder):
        _claim(path, token, stale_seconds)
    lock = WriterLock(folder)
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(beat_seconds):
            try:
                if path.read_bytes() != token:
                    lock.lost.set()
                    return
                os.utime(path)
            except FileNotFoundError:
                lock.lost.set()
                return
            except OSError:
                continue  # a drive that is away for a moment; the next beat decides

    thread = threading.Thread(target=beat, name="lock-heartbeat", daemon=True)
    thread.start()
    try:
        yield lock
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(OSError):
            if path.read_bytes() == token:
                path.unlink()


def _claim(path: Path, token: bytes, stale_seconds: float) -> None:
    """Create the heartbeat file, after moving a dead process's one aside.

    Two processes may find the same dead lock. The one that moves a *fresh* file aside by mistake sees a foreign token,
    puts it back and gives up; and whoever took over waits a moment and looks again before it believes in its lock.
    """
    if _create(path, token):
        return
    try:
        old = path.read_bytes()
        age = _now(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        raise _locked(path.parent) from None
    if age < stale_seconds:
        raise _locked(path.parent)
    aside = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        raise _locked(path.parent) from None
    if aside.read_bytes() != old:
        with contextlib.suppress(OSError):
            os.link(aside, path)
        aside.unlink()
        raise _locked(path.parent)
    aside.unlink()
    if not _create(path, token):
        raise _locked(path.parent)
    time.sleep(0.2)
    if path.read_bytes() != token:
        raise _locked(path.parent)


def _create(path: Path, token: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(token)
    return True


def _now(folder: Path) -> float:
    """The file system's clock, seconds since the epoch: the time that it gives to a new file."""
    probe = folder / f"{HEARTBEAT_NAME}.{secrets.token_hex(6)}"
    _create(probe, b"")
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()
