"""One writer a folder, with flock and without."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

import pytest

from biasaudit.errors import RunLockedError, StoreError
from biasaudit.store.files import StorageWarning
from biasaudit.store.lock import HEARTBEAT_NAME, writer_lock


def without_flock(descriptor: int, operation: int) -> None:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


@contextlib.contextmanager
def lock_without_flock(folder: Path, **options):
    """A lock on a file system without flock; the warning is expected."""
    with contextlib.ExitStack() as stack:
        with pytest.warns(StorageWarning, match="without locks"):
            lock = stack.enter_context(writer_lock(folder, flock=without_flock, **options))
        yield lock


def test_a_second_writer_is_refused_at_once_with_exit_code_75(tmp_path: Path) -> None:
    with writer_lock(tmp_path):
        start = time.monotonic()
        with pytest.raises(RunLockedError, match="Another process writes to") as caught, writer_lock(tmp_path):
            pass
        assert time.monotonic() - start < 0.5
        assert caught.value.exit_code == 75
    with writer_lock(tmp_path) as lock:
        lock.check()


def test_the_lock_is_free_again_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="oops"), writer_lock(tmp_path):
        raise ValueError("oops")
    with writer_lock(tmp_path):
        pass


def test_a_folder_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Cannot lock"), writer_lock(tmp_path / "none"):
        pass


def test_without_flock_a_heartbeat_keeps_others_out_and_goes_when_the_writer_goes(tmp_path: Path) -> None:
    with lock_without_flock(tmp_path, beat_seconds=0.02) as lock:
        before = (tmp_path / HEARTBEAT_NAME).stat().st_mtime_ns
        with (
            pytest.raises(RunLockedError, match="Another process"),
            lock_without_flock(tmp_path, stale_seconds=30),
        ):
            pass
        deadline = time.monotonic() + 30
        while (tmp_path / HEARTBEAT_NAME).stat().st_mtime_ns == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / HEARTBEAT_NAME).stat().st_mtime_ns > before
        lock.check()
    assert not (tmp_path / HEARTBEAT_NAME).exists()


def test_the_heartbeat_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / HEARTBEAT_NAME
    path.write_bytes(b"dead")
    os.utime(path, (time.time() - 100, time.time() - 100))
    with lock_without_flock(tmp_path) as lock:
        assert path.read_bytes() != b"dead"
        lock.check()
    assert [file.name for file in tmp_path.iterdir()] == [".lock"]


def test_a_writer_that_slept_too_long_learns_that_it_lost_the_folder(tmp_path: Path) -> None:
    with lock_without_flock(tmp_path, beat_seconds=0.02) as lock:
        (tmp_path / HEARTBEAT_NAME).write_bytes(b"somebody else")
        assert lock.lost.wait(30)
        with pytest.raises(RunLockedError, match=r"took .* over"):
            lock.check()
    assert (tmp_path / HEARTBEAT_NAME).read_bytes() == b"somebody else"
