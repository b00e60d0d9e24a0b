"""Units on one process and several, with workers that fail and die."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from biasaudit.errors import BatteryError, BiasAuditError, InputError, ResourceError, StoreError
from biasaudit.pipeline.signals import Terminated, signals_as_exceptions
from biasaudit.scale.processes import Progress, run_units
from biasaudit.scale.units import WorkUnit

UNITS = [
    WorkUnit(arm_fingerprint="a", decoding_id="d", seed=1, salt="", items=((f"p{number}", 0, 3),))
    for number in range(8)
]


def squares():
    return lambda unit: [index * index for _, index in unit.indices()]


def environment():
    return lambda _unit: (os.getpid(), os.environ.get("OMP_NUM_THREADS"))


def dying(folder: Path, times: int):
    """Dies on unit p3, `times` times over all processes."""

    def work(unit: WorkUnit) -> str:
        if unit.items[0][0] == "p3" and len(list(folder.iterdir())) < times:
            (folder / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return unit.unit_id

    return work


def failing(error: Exception):
    def work(_unit: WorkUnit) -> None:
        raise error

    return work


def leaving():
    os._exit(7)


def telling_its_number(folder: Path):
    (folder / str(os.getpid())).touch()

    def work(_unit: WorkUnit) -> None:
        time.sleep(30)

    return work


def collected(factory, processes: int, **options) -> dict[str, object]:
    got: dict[str, object] = {}

    def commit(unit: WorkUnit, result: object) -> None:
        assert unit.unit_id not in got
        got[unit.unit_id] = result

    run_units(UNITS, factory, commit, processes=processes, **options)
    assert set(got) == {unit.unit_id for unit in UNITS}
    return got


@pytest.mark.parametrize("processes", [1, 2])
def test_every_unit_is_committed_once_by_the_driver(processes: int) -> None:
    assert list(collected(squares, processes).values()) == [[0, 1, 4]] * 8


def test_workers_know_their_threads_before_they_import_anything() -> None:
    got = set(collected(environment, 2, threads_per_process=3).values())
    assert {threads for _, threads in got} == {"3"}
    assert os.getpid() not in {process for process, _ in got}


def test_the_unit_of_a_killed_worker_is_done_again(tmp_path: Path) -> None:
    got = collected(functools.partial(dying, tmp_path, 2), 2)
    assert all(key == value for key, value in got.items())
    assert len(list(tmp_path.iterdir())) == 2


def test_a_unit_that_always_loses_its_worker_ends_the_run_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"killed 3 times while doing unit .* memory ran out"):
        collected(functools.partial(dying, tmp_path, 99), 2)


def test_a_worker_that_cannot_start_ends_the_run_with_a_reason() -> None:
    with pytest.raises(BiasAuditError, match=r"ended 3 times while starting \(exit code 7\)"):
        collected(leaving, 2)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_ours_arrives_as_itself(processes: int) -> None:
    with pytest.raises(StoreError, match=r"^disk of the worker$"):
        collected(functools.partial(failing, StoreError("disk of the worker")), processes)


def test_an_error_that_takes_more_than_a_message_keeps_its_exit_code() -> None:
    with pytest.raises(InputError, match=r"^one\ntwo$") as caught:
        collected(many_faults, 2)
    assert caught.value.exit_code == 2


def many_faults():
    raise BatteryError(["one", "two"])


def test_a_bug_in_a_worker_arrives_with_its_trace() -> None:
    with pytest.raises(RuntimeError, match=r"in work(.|\n)*ZeroDivisionError"):
        collected(functools.partial(failing, ZeroDivisionError("x")), 2)


def test_progress_is_told_from_the_start_to_the_end() -> None:
    seen: list[Progress] = []
    collected(squares, 1, progress=seen.append)
    assert [told.completions for told in seen] == list(range(0, 25, 3))
    assert (seen[0].rate, seen[0].eta_seconds) == (None, None)
    assert seen[-1].eta_seconds == 0
    assert seen[-1].units == seen[-1].units_total == 8


def test_no_units_start_no_worker() -> None:
    run_units([], leaving, print, processes=4)
    with pytest.raises(ValueError, match="processes is 0"):
        run_units(UNITS, squares, print, processes=0)


def test_ctrl_c_ends_the_workers_too(tmp_path: Path) -> None:
    def interrupt() -> None:
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_units(UNITS, functools.partial(telling_its_number, tmp_path), print, processes=2)
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


def test_the_workers_of_a_killed_driver_end_by_themselves(tmp_path: Path) -> None:
    driver = os.fork()
    if driver == 0:
        try:
            run_units(UNITS, functools.partial(telling_its_number, tmp_path), print, processes=2)
        finally:
            os._exit(0)  # never run the rest of the tests a second time
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(driver, signal.SIGKILL)
    os.waitpid(driver, 0)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_running(worker) for worker in workers)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_becomes_an_exception_with_its_exit_code(number: int, code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Terminated, match="ended by SIG") as caught, signals_as_exceptions():
        signal.raise_signal(number)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_signals_stay_as_they_are() -> None:
    seen = []

    def body() -> None:
        with signals_as_exceptions():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
