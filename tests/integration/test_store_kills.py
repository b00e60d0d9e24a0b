"""Runs that are killed, signalled or started twice, with real processes."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import store_toy

from biasaudit.errors import RunLockedError
from biasaudit.store.lock import HEARTBEAT_NAME, writer_lock
from biasaudit.store.run import RunFolder
from biasaudit.store.tables import completions_from_table
from tests import children


@pytest.fixture(scope="module")
def nursery():
    """Starts processes that have everything imported already."""
    return children.nursery()


@pytest.fixture
def quick_path(tmp_path: Path):
    """A folder in memory where there is one: what a kill leaves does not depend on the medium, the time does."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def begun(acks: Path) -> int:
    """How often a run has begun to work so far."""
    return acks.read_text().count("begun") if acks.exists() else 0


def check_state(folder: Path, acks: Path) -> None:
    """Nothing that was acknowledged is missing, and what is there is whole."""
    if (folder / "manifest.json").exists():
        run = RunFolder.open(folder)
        assert set(acks.read_text().split()) - {"begun"} <= run.units_done("completions")
        assert run.verify() == []


def kill_at_moments(nursery, folder: Path, moments: list[float]) -> int:
    """Kill a run so many seconds after it began to work, again and again, then let it end; return the kills."""
    acks = folder.with_suffix(".acks")
    kills = 0
    for moment in [*moments, 60.0]:
        before = begun(acks)
        process = nursery.Process(target=store_toy.run_to_the_end, args=(folder,), kwargs={"acks": acks})
        process.start()
        while begun(acks) == before and process.exitcode is None:
            time.sleep(0.001)
        process.join(moment)
        kills += process.exitcode is None
        process.kill()
        process.join()
        check_state(folder, acks)
    assert process.exitcode == 0
    return kills


def kill_at_operations(nursery, folder: Path, operations: list[int]) -> int:
    """Let a run die just before so many operations on the disk, again and again, then let it end; return the deaths."""
    acks = folder.with_suffix(".acks")
    kills = 0
    for operation in [*operations, 0]:
        options = {"acks": acks, "die_at": operation}
        process = nursery.Process(target=store_toy.run_to_the_end, args=(folder,), kwargs=options)
        process.start()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        check_state(folder, acks)
    assert process.exitcode == 0
    return kills


def check_kills(nursery, tmp_path: Path, wanted: int) -> None:
    """Half of the kills at random moments, half at random operations; every run ends with the same bytes."""
    rng = random.Random(7)
    disk = store_toy.CountingDisk(0)
    start = time.monotonic()
    expected = store_toy.contents(store_toy.run_all(tmp_path / "whole", disk=disk).path)
    seconds = time.monotonic() - start
    kills = number = 0
    while kills < wanted:
        folder = tmp_path / f"run{number}"
        if number % 2:
            kills += kill_at_moments(nursery, folder, [rng.uniform(0, seconds / 2) for _ in range(6)])
        else:
            kills += kill_at_operations(nursery, folder, [rng.randint(1, disk.count // 2) for _ in range(6)])
        assert store_toy.contents(folder) == expected
        assert list(folder.rglob("*.tmp")) == []
        number += 1
        assert number < wanted


def test_fifty_kills_lose_nothing_and_change_no_byte(nursery, quick_path: Path) -> None:
    check_kills(nursery, quick_path, 50)


@pytest.mark.slow
def test_a_thousand_kills_lose_nothing_and_change_no_byte(nursery, quick_path: Path) -> None:
    check_kills(nursery, quick_path, 1000)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_ends_a_run_within_five_seconds(
    nursery, tmp_path: Path, number: int, code: int, processes: int
) -> None:
    process = nursery.Process(
        target=store_toy.run_to_the_end, args=(tmp_path / "run",), kwargs={"processes": processes, "slow": True}
    )
    process.start()
    while not list((tmp_path / "run").glob("completions/part-*")):
        time.sleep(0.01)
        assert process.exitcode is None
    os.kill(process.pid, number)
    assert children.seconds_to_end(process.pid, lambda: process.exitcode is not None) < 5
    assert process.exitcode == code
    assert RunFolder.open(tmp_path / "run").verify() == []
    whole = store_toy.run_all(tmp_path / "whole")
    assert store_toy.contents(store_toy.run_all(tmp_path / "run").path) == store_toy.contents(whole.path)


def test_killing_the_driver_of_several_processes_loses_nothing(nursery, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rng = random.Random(5)
    for parts in (1, 4, 9):
        process = nursery.Process(
            target=store_toy.run_to_the_end, args=(folder,), kwargs={"processes": 2, "slow": True}
        )
        process.start()
        while len(list(folder.glob("completions/part-*"))) < parts and process.exitcode is None:
            time.sleep(rng.uniform(0.001, 0.02))
        process.kill()
        process.join()
        assert RunFolder.open(folder).verify() == []
    whole = store_toy.run_all(tmp_path / "whole")
    assert store_toy.contents(store_toy.run_all(folder, processes=2).path) == store_toy.contents(whole.path)


def test_more_completions_later_add_only_the_new_ones(tmp_path: Path) -> None:
    run = store_toy.run_all(tmp_path / "run", completions=10)
    before = {path: path.read_bytes() for path in run.parts("completions")}
    store_toy.run_all(tmp_path / "run", completions=25)
    assert all(path.read_bytes() == data for path, data in before.items())
    straight = store_toy.run_all(tmp_path / "straight", completions=25)
    stored, wanted = (
        sorted(completions_from_table(one.read("completions")), key=lambda row: row.key) for one in (run, straight)
    )
    assert stored == wanted
    assert run.verify() == []


def test_locale_zone_home_and_umask_change_no_byte(tmp_path: Path) -> None:
    hostile = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path) + os.pathsep + str(Path.cwd()),
        "LC_ALL": "pt_BR.UTF-8",
        "TZ": "Pacific/Kiritimati",
        "TMPDIR": "/nonexistent",
    }
    command = [sys.executable, store_toy.__file__, str(tmp_path / "hostile")]
    subprocess.run(command, env=hostile, check=True)
    whole = store_toy.run_all(tmp_path / "whole")
    assert store_toy.contents(tmp_path / "hostile") == store_toy.contents(whole.path)
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "hostile").rglob("*")}
    assert modes == {0}


def check_races(nursery, tmp_path: Path, races: int, *, dead_heartbeat: bool = False) -> None:
    flock = store_toy.without_flock if dead_heartbeat else fcntl.flock
    for attempt in range(races):
        folder = tmp_path / f"race{attempt}"
        folder.mkdir()
        if dead_heartbeat:
            (folder / HEARTBEAT_NAME).write_bytes(b"dead")
            os.utime(folder / HEARTBEAT_NAME, (1, 1))
        winners = tmp_path / f"winners{attempt}"
        barrier = nursery.Barrier(3)
        processes = [nursery.Process(target=store_toy.race, args=(folder, barrier, winners, flock)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
        assert winners.read_bytes() == b"w"
        assert sorted(process.exitcode for process in processes) == [0, 75, 75]


def test_of_three_writers_exactly_one_wins(nursery, tmp_path: Path) -> None:
    check_races(nursery, tmp_path, 20)


def test_of_three_writers_that_find_a_dead_heartbeat_exactly_one_wins(nursery, tmp_path: Path) -> None:
    check_races(nursery, tmp_path, 10, dead_heartbeat=True)


@pytest.mark.slow
def test_of_three_writers_exactly_one_wins_200_times(nursery, tmp_path: Path) -> None:
    check_races(nursery, tmp_path, 200)


def test_a_killed_holder_leaves_no_lock_behind(nursery, tmp_path: Path) -> None:
    ready = nursery.Event()
    holder = nursery.Process(target=store_toy.hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(30)
    with pytest.raises(RunLockedError, match="Another process writes to"), writer_lock(tmp_path):
        pass
    holder.kill()
    holder.join()
    start = time.monotonic()
    with writer_lock(tmp_path):
        assert time.monotonic() - start < 1
