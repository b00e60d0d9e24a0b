"""Runs that are killed, signalled or started twice, with real processes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import store_toy

from biasaudit.errors import RunLockedError
from biasaudit.store.lock import writer_lock
from biasaudit.store.run import RunFolder


@pytest.fixture(scope="module")
def nursery():
    """Starts processes that have everything imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "pytest",
            "biasaudit.store.run",
            "biasaudit.store.tables",
            "biasaudit.scale.processes",
            "biasaudit.scale.signals",
        ]
    )
    return context


def killed_until_done(nursery, folder: Path, kills: int, rng: random.Random) -> tuple[int, RunFolder]:
    """Kill a run at random moments and repeat it until it ends; no acknowledged unit may be missing in between."""
    done = 0
    acks = folder.with_suffix(".acks")
    while True:
        process = nursery.Process(target=store_toy.run_to_the_end, args=(folder, acks))
        process.start()
        process.join(rng.uniform(0.0, 0.12) if done < kills else 60)
        if process.exitcode is None:
            process.kill()
            process.join()
            done += 1
        if (folder / "manifest.json").exists():
            run = RunFolder.open(folder)
            text = acks.read_text() if acks.exists() else ""
            acknowledged = {text[i : i + 32] for i in range(0, len(text), 32)}
            assert acknowledged <= run.units_done("completions")
            assert run.verify() == []
            if process.exitcode == 0:
                return done, run


def check_kills(nursery, tmp_path: Path, kills: int) -> None:
    rng = random.Random(7)
    expected = store_toy.contents(store_toy.run_all(tmp_path / "whole").path)
    done = runs = 0
    while done < kills:
        more, run = killed_until_done(nursery, tmp_path / f"run{runs}", min(8, kills - done), rng)
        assert store_toy.contents(run.path) == expected
        assert [p.name for p in run.path.rglob("*.tmp")] == []
        done, runs = done + more, runs + 1
        assert runs < 20 * kills


def test_fifty_kills_lose_nothing_and_change_no_byte(nursery, tmp_path: Path) -> None:
    check_kills(nursery, tmp_path, 50)


@pytest.mark.slow
def test_a_thousand_kills_lose_nothing_and_change_no_byte(nursery, tmp_path: Path) -> None:
    check_kills(nursery, tmp_path, 1000)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_ends_a_run_within_five_seconds(
    nursery, tmp_path: Path, number: int, code: int, processes: int
) -> None:
    process = nursery.Process(target=store_toy.run_to_the_end, args=(tmp_path / "run", None, processes, True))
    process.start()
    while not list((tmp_path / "run").glob("completions/part-*")):
        time.sleep(0.01)
        assert process.exitcode is None
    start = time.monotonic()
    os.kill(process.pid, number)
    process.join(20)
    assert time.monotonic() - start < 5
    assert process.exitcode == code
    assert RunFolder.open(tmp_path / "run").verify() == []
    whole = store_toy.run_all(tmp_path / "whole")
    assert store_toy.contents(store_toy.run_all(tmp_path / "run").path) == store_toy.contents(whole.path)


def check_races(nursery, tmp_path: Path, races: int) -> None:
    for attempt in range(races):
        folder = tmp_path / f"race{attempt}"
        folder.mkdir()
        winners = tmp_path / f"winners{attempt}"
        barrier = nursery.Barrier(3)
        processes = [nursery.Process(target=store_toy.race, args=(folder, barrier, winners)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
        assert winners.read_bytes() == b"w"
        assert sorted(process.exitcode for process in processes) == [0, 75, 75]


def test_of_three_writers_exactly_one_wins(nursery, tmp_path: Path) -> None:
    check_races(nursery, tmp_path, 20)


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
