"""Disks that are full, files that move, readers that lose bytes, runs that meet: each ends in a sentence, and resumes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.kill_ingest import contents, make_sources, measure, members
from biasaudit.corpus import sources as door
from biasaudit.errors import BiasAuditError, CorpusError, RunLockedError, StoreError
from biasaudit.pipeline import ingest_folder
from biasaudit.pipeline.ingest import ingest
from tests import children

LIMITED = """
import resource, sys
from biasaudit.cli import main
if __name__ == "__main__":
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    main(sys.argv[2:])
"""
MAIN = "from biasaudit.cli import main; main()"
TOKENIZER = ("--tokenizer", "embedded:base", "-q")


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """Some 400 kB: a dump, and JSON lines of which some are broken."""
    make_sources(tmp_path / "sources", 0.4, seed=3)
    return tmp_path / "sources"


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *(str(w) for w in words)], capture_output=True, text=True, check=False)


# -------------------------------------------------------------------------------------------------------- kills


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_9_of_group_driver_or_worker_then_the_same_command_gives_the_same_bytes(
    tmp_path: Path, kills: int
) -> None:  # fmt: skip
    found = measure(tmp_path, kills=kills, megabytes=0.6, processes=2, seed=4)
    assert sum(found["kills"].values()) == kills
    assert found["compared"] >= 1
    assert (found["differing"], found["left_behind"]) == ([], [])


def test_staging_that_was_half_removed_is_not_work_done(dump: Path, tmp_path: Path) -> None:
    """As a kill leaves it that comes when the corpus stands already and its staging is being swept."""
    ingest([dump], tmp_path / "whole", train_vocab=300)
    ingest([dump], tmp_path / "one", train_vocab=300)
    (tmp_path / f".one.{'0' * 16}.gone.tmp").mkdir()
    (tmp_path / f".one.{'0' * 16}.gone.tmp" / "part-000000-0.json").write_text("{}")
    ingest([dump], tmp_path / "one", train_vocab=300)
    assert not list(tmp_path.glob(".one.*.tmp"))
    assert contents(tmp_path / "one") == contents(tmp_path / "whole")


def test_a_corpus_that_was_being_replaced_when_the_power_went_comes_back(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"
    card = ingest([dump], out, train_vocab=300)
    out.rename(tmp_path / ".one.old.tmp")  # the first of the two renames of `commit`
    assert ingest([dump], out, train_vocab=300) == card
    assert sorted(p.name for p in tmp_path.iterdir()) == [".one.lock", "one", "sources"]


def test_the_staging_of_a_sibling_with_a_longer_name_is_left_alone(dump: Path, tmp_path: Path) -> None:
    theirs = tmp_path / f".one.v2.{'a' * 16}.tmp"
    theirs.mkdir()
    ingest([dump], tmp_path / "one", train_vocab=300)
    assert theirs.is_dir()


def test_joined_messages_survive_a_resume_with_other_cuts(dump: Path, tmp_path: Path) -> None:
    """Tokens that a killed run left for its cuts must not be taken for those of others."""
    options: dict[str, object] = {"train_vocab": 300, "join_messages": 7}

    def stop(stage: str, done: float, total: float | None, note: str) -> None:
        if stage == "tokenising" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest([dump], tmp_path / "one", unit_bytes=50_000, progress=stop, **options)
    assert list(tmp_path.glob(".one.*.tmp/tokens-*.json"))
    ingest([dump], tmp_path / "one", unit_bytes=90_000, **options)
    ingest([dump], tmp_path / "whole", unit_bytes=90_000, **options)
    assert contents(tmp_path / "one") == contents(tmp_path / "whole")


# -------------------------------------------------------------------------------------------------------- disks


@pytest.mark.parametrize(("limit", "processes"), [(4_000, 1), (60_000, 2), (100_000, 1), (250_000, 1)])
def test_a_disk_that_refuses_ends_in_a_sentence_and_the_run_resumes(
    dump: Path, tmp_path: Path, limit: int, processes: int
) -> None:
    """A limit on the size of files stands in for a full disk: the system calls fail at the same places."""
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    out = tmp_path / "one"
    words = ("ingest", dump, "--out", out, "--processes", processes, *TOKENIZER)
    failed = command(script, limit, *words)
    assert failed.returncode == 1, failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stderr.startswith("biasaudit: Cannot")
    assert "ulimit -f" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert not out.exists()
    done = command(script, 1 << 30, *words)
    assert done.returncode == 0, done.stderr
    ingest([dump], tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, dump: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"):
        ingest([dump], tmp_path / "file" / "one", train_vocab=300)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB, where this machine lets us have one."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up_says_how_much_is_left(dump: Path, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(300_000))
    words = ("-c", MAIN, "ingest", dump, "--out", small_disk / "one", *TOKENIZER)
    failed = command(*words)
    assert failed.returncode == 1, failed.stderr
    assert "Traceback" not in failed.stderr
    assert "free" in failed.stderr
    assert failed.stderr.count("\n") == 1


# -------------------------------------------------------------------------------------------------- files that move


def test_a_swap_of_content_under_the_same_name_size_and_time_is_noticed_every_time(tmp_path: Path) -> None:
    """As `cp -p` does; 100 of 100 (RELIABILITY A7)."""
    rng = random.Random(7)
    source, out = tmp_path / "a.jsonl", tmp_path / "one"
    rows = ["".join(rng.choices("abcdefgh ", k=60)) for _ in range(30)]

    def write(path: Path) -> None:
        path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), "utf-8")
        os.utime(path, ns=(10**18, 10**18))

    write(source)
    options: dict[str, object] = {"train_vocab": 270, "duplicates": "keep", "privacy": False}
    ingest([source], out, **options)
    noticed = 0
    for _ in range(100):
        before = source.stat()
        row, place = rng.randrange(30), rng.randrange(60)
        rows[row] = rows[row][:place] + ("x" if rows[row][place] != "x" else "y") + rows[row][place + 1 :]
        write(tmp_path / "other.jsonl")
        shutil.copy2(tmp_path / "other.jsonl", source)
        assert (source.stat().st_size, source.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        with pytest.raises(CorpusError, match="made from other inputs"):
            ingest([source], out, **options)
        noticed += 1
    assert noticed == 100


@pytest.mark.parametrize("how", ["swapped", "removed", "cut"])
def test_a_source_that_moves_while_it_is_read_leaves_no_part(dump: Path, tmp_path: Path, how: str) -> None:
    """Even when its size and times are put back: a part of it must not wait for a run with the old content."""
    source = dump / "dump.csv"
    stamp = source.stat()

    def meddle(stage: str, done: float, total: float | None, note: str) -> None:
        if stage == "reading" and done < 300_000:
            if how == "removed":
                source.unlink()
            else:
                raw = source.read_bytes().replace(b"vacina", b"anicav")
                source.write_bytes(raw[:200_000] if how == "cut" else raw)
                os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    out = tmp_path / "one"
    with pytest.raises(CorpusError, match="changed while it was read"):
        ingest([dump], out, train_vocab=300, unit_bytes=65_536, processes=2, progress=meddle)
    assert not list(tmp_path.glob(".one.*.tmp"))
    assert not out.exists()


# ------------------------------------------------------------------------------------------------- broken readers

BROKEN = '''
"""A reader with a fault."""
from dataclasses import replace
from biasaudit.corpus.sources import text
SUFFIXES = (".broken",)
def survey(path, options):
    return replace(text.survey(path, options), kind="broken", cuts=())
def stretch(found, start, stop, synced):
    for number, batch in enumerate(text.stretch(replace(found, kind="text"), start, stop, synced)):
        {fault}
'''


@pytest.mark.parametrize(
    "fault",
    [
        "yield replace(batch, length=batch.length - 1)",
        "yield replace(batch, end=batch.end + 1)",
        "yield replace(batch, end=batch.end - 1, separators=batch.separators - 1)",
        "yield replace(batch, start=batch.start + 1, separators=batch.separators - 1)",
        "yield replace(batch, text=batch.text[:-1])",
        "yield from ()",
    ],
)
def test_a_reader_that_loses_a_byte_or_a_record_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    folder = tmp_path / "door"
    folder.mkdir()
    (folder / "broken.py").write_text(BROKEN.replace("{fault}", fault))
    monkeypatch.setattr(door, "__path__", [*door.__path__, str(folder)])
    (tmp_path / "a.broken").write_text("uma linha\n\noutra linha\n\nmais uma\n\n" * 20)
    try:
        with pytest.raises(BiasAuditError, match="conservation law") as caught:
            ingest([tmp_path / "a.broken"], tmp_path / "one", train_vocab=300)
    finally:
        sys.modules.pop("biasaudit.corpus.sources.broken", None)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "one").exists()


# ------------------------------------------------------------------------------------------- runs that meet, signals


def test_the_second_of_two_runs_is_told_before_it_hashes(
    dump: Path, tmp_path: Path, biasaudit: Callable[..., tuple[int, str, str]]
) -> None:
    out = tmp_path / "one"
    stages: list[str] = []
    with ingest_folder.single_writer(out):
        with pytest.raises(RunLockedError):
            ingest([dump], out, train_vocab=300, progress=lambda stage, *_: stages.append(stage))
        code, _, err = biasaudit("ingest", dump, "--out", out, *TOKENIZER)
    assert (stages, code) == ([], 75)
    assert err.count("\n") == 1


def test_a_file_system_without_locks_is_refused(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(StoreError, match="no locks"):
        ingest([dump], tmp_path / "one", train_vocab=300)


@pytest.mark.parametrize(("number", "code", "after"), [(signal.SIGINT, 130, 0.3), (signal.SIGTERM, 143, 1.2)])
def test_a_signal_leaves_no_worker_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, code: int, after: float
) -> None:
    """To the whole group, as Ctrl-C in a terminal does; early, when workers may still be starting, and later."""
    make_sources(tmp_path / "sources", 12, seed=1)
    words = ["ingest", str(tmp_path / "sources"), "--out", str(tmp_path / "one"), "--processes", "2", *TOKENIZER]
    child = subprocess.Popen(
        [sys.executable, "-c", MAIN, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".one.*.tmp")) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(after)
    os.killpg(child.pid, number)
    assert children.seconds_to_end(child.pid, lambda: child.poll() is not None) < 5
    _, err = child.communicate()
    assert child.returncode == code, err
    assert "the same command continues" in err
    assert "Traceback" not in err
    assert "\n" not in err.strip()
    deadline = time.monotonic() + 60
    while members(child.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert members(child.pid) == []


def test_the_key_of_the_channels_is_part_of_what_a_corpus_is(dump: Path, tmp_path: Path) -> None:
    key = tmp_path / "made.key"
    card = ingest([dump], tmp_path / "one", train_vocab=300, pseudonym_key=key)
    assert ingest([dump], tmp_path / "one", train_vocab=300, pseudonym_key=key) == card  # it was made by the first
    key.write_text("another key, long enough\n")
    with pytest.raises(CorpusError, match="made from other inputs"):
        ingest([dump], tmp_path / "one", train_vocab=300, pseudonym_key=key)


def test_the_manifest_holds_no_path_of_this_machine(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ingest(["sources"], tmp_path / "one", train_vocab=300)
    for path in (tmp_path / "one").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()
