"""Disks that fail at the n-th operation, disks that are full, and the order in which bytes reach the medium."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import store_toy

from biasaudit.errors import ResourceError, StoreError
from biasaudit.store import files
from biasaudit.store.run import RunFolder

ERRORS = [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE, errno.EROFS, errno.EACCES]


class FailingDisk(store_toy.CountingDisk):
    """Raises `code` at operation number `at`, and at every later one when `persistent`."""

    def __init__(self, at: int, code: int, *, persistent: bool = False) -> None:
        super().__init__(at)
        self.code, self.persistent = code, persistent

    def strike(self) -> None:
        if self.persistent or self.count == self.at:
            raise OSError(self.code, os.strerror(self.code))


COMPLETIONS = 3


def check_faults(tmp_path: Path, cases) -> None:
    whole = store_toy.contents(store_toy.run_all(tmp_path / "whole", completions=COMPLETIONS).path)
    for at, code, persistent in cases:
        folder = tmp_path / f"run-{at}-{code}-{persistent}"
        with pytest.raises(StoreError, match=r"Cannot \w+") as caught:
            store_toy.run_all(folder, disk=FailingDisk(at, code, persistent=persistent), completions=COMPLETIONS)
        assert "\n" not in str(caught.value)
        if (folder / "manifest.json").exists():
            assert RunFolder.open(folder).verify() == []
        assert store_toy.contents(store_toy.run_all(folder, completions=COMPLETIONS).path) == whole
        shutil.rmtree(folder)


def operations(tmp_path: Path) -> int:
    disk = FailingDisk(-1, errno.EIO)
    store_toy.run_all(tmp_path / "counted", disk=disk, completions=COMPLETIONS)
    return disk.count


def test_a_disk_that_fails_at_any_operation_leaves_a_run_that_resumes(tmp_path: Path) -> None:
    errors = itertools.cycle(itertools.product(ERRORS, (False, True)))
    steps = range(1, operations(tmp_path) + 1, 5)
    check_faults(tmp_path, [(at, *next(errors)) for at in steps])


@pytest.mark.slow
def test_every_error_at_every_operation_leaves_a_run_that_resumes(tmp_path: Path) -> None:
    check_faults(tmp_path, itertools.product(range(1, operations(tmp_path) + 1), ERRORS, (False, True)))


class TracingDisk(files.Disk):
    """Writes down what it is asked to do."""

    def __init__(self) -> None:
        self.trace: list[tuple[str, str]] = []
        self.names: dict[int, str] = {}

    def create(self, path):
        descriptor = super().create(path)
        self.names[descriptor] = path.name
        self.trace.append(("create", path.name))
        return descriptor

    def write(self, descriptor, data):
        self.trace.append(("write", self.names[descriptor]))
        return super().write(descriptor, data)

    def fsync(self, descriptor):
        self.trace.append(("fsync", self.names[descriptor]))
        super().fsync(descriptor)

    def rename(self, source, target):
        self.trace.append(("rename", source.name))
        super().rename(source, target)

    def sync_folder(self, path):
        self.trace.append(("sync_folder", str(path)))
        super().sync_folder(path)


def test_bytes_are_on_the_medium_before_their_name_and_the_name_before_the_answer(tmp_path: Path) -> None:
    disk = TracingDisk()
    files.write_atomic(tmp_path / "a.json", b"x", disk=disk)
    assert [step for step, _ in disk.trace] == ["create", "write", "fsync", "rename", "sync_folder"]
    assert disk.trace[-1][1] == str(tmp_path)
    assert len({name for step, name in disk.trace if step != "sync_folder"}) == 1


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 200 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_run_with_one_line_and_it_goes_on_when_there_is_space(
    small_disk: Path, tmp_path: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 150_000)
    with pytest.raises(StoreError, match=r"No space left on device\. .* are free there\. Free some space"):
        store_toy.run_all(small_disk / "run")
    run = RunFolder.open(small_disk / "run")
    assert run.verify() == []
    assert run.units_done("completions")
    assert list(run.path.rglob("*.tmp")) == []
    ballast.unlink()
    whole = store_toy.run_all(tmp_path / "whole")
    assert store_toy.contents(store_toy.run_all(run.path).path) == store_toy.contents(whole.path)


def limited(folder: Path) -> None:
    """Body of a process that may write files of 1 kB at most."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        files.write_atomic(folder / "big.bin", b"x" * 100_000)
    except StoreError as error:
        sys.exit(0 if "ulimit -f" in str(error) else 3)


def test_a_file_size_limit_is_explained_and_leaves_nothing(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=limited, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_needs_more_than_the_disk_has_is_refused_before_it_begins(tmp_path: Path) -> None:
    files.require_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(ResourceError, match=r"needs about 1e\+06 TB, but only .* are free"):
        files.require_space(tmp_path, 10**18)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_explained(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Check who owns the folder"):
        files.write_atomic(tmp_path / "a", b"")
