"""The run folder: parts, manifest, seal, verify."""

from __future__ import annotations

import datetime
import json
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from biasaudit.errors import RunLockedError, StoreError
from biasaudit.store.contents import MANIFEST
from biasaudit.store.names import new_run_name, runs
from biasaudit.store.run import RunFolder


def table(start: int, rows: int = 200) -> pa.Table:
    numbers = random.Random(start)
    return pa.table({"index": list(range(start, start + rows)), "value": [numbers.random() for _ in range(rows)]})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A sealed run of three parts and three other files."""
    run = RunFolder.create(tmp_path / "run", {"spec_hash": "abc", "arms": ["base"]})
    with run.lock():
        for unit in ("u1", "u2", "u3"):
            run.commit_part("completions", unit, table(int(unit[1]) * 1000))
        run.write_table("scores/stance-1.parquet", table(9))
        run.write_json("analysis.json", {"é": [1, 0.1, None]})
        run.write_text("tables/effects.csv", "a,b\r\n")
        run.seal()
    return run


def test_what_was_stored_reads_back(run: RunFolder) -> None:
    run = RunFolder.open(run.path)
    assert run.verify() == []
    assert run.sealed
    assert run.manifest == {"spec_hash": "abc", "arms": ["base"]}
    assert run.units_done("completions") == {"u1", "u2", "u3"}
    assert run.read("completions").equals(pa.concat_tables([table(1000), table(2000), table(3000)]))
    assert run.read("completions", ["index"]).column_names == ["index"]
    assert run.read_table("scores/stance-1.parquet").equals(table(9))
    assert run.read_json("analysis.json") == {"é": [1, 0.1, None]}
    assert run.has("tables/effects.csv")
    assert not run.has("tables/other.csv")


def test_the_manifest_vouches_for_every_file(run: RunFolder) -> None:
    files = json.loads((run.path / MANIFEST).read_bytes())["files"]
    on_disk = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()} - {MANIFEST, ".lock"}
    assert set(files) == on_disk
    assert {entry["rows"] for name, entry in files.items() if name.endswith(".parquet")} == {200}


def test_the_same_unit_again_changes_nothing(run: RunFolder) -> None:
    before = (run.path / MANIFEST).read_bytes()
    with run.lock():
        path = run.commit_part("completions", "u2", table(2000))
    assert path in run.parts("completions")
    assert (run.path / MANIFEST).read_bytes() == before


def test_the_same_unit_with_other_content_is_refused(run: RunFolder) -> None:
    with run.lock(), pytest.raises(StoreError, match="parts never change"):
        run.commit_part("completions", "u2", table(7))


def test_a_part_has_the_same_bytes_whenever_it_is_written(tmp_path: Path, run: RunFolder) -> None:
    other = RunFolder.create(tmp_path / "other")
    with other.lock():
        path = other.commit_part("completions", "u1", table(1000))
    assert path.read_bytes() == (run.path / "completions" / path.name).read_bytes()


def test_writing_opens_a_sealed_run_and_sealing_closes_it(run: RunFolder) -> None:
    with run.lock():
        run.write_json("analysis.json", {"new": 1})
        assert not RunFolder.open(run.path).sealed
        assert RunFolder.open(run.path).verify() == []
        run.commit_part("completions", "u4", table(4000))
        run.seal()
    assert run.sealed
    assert run.verify() == []
    with run.lock():
        run.update_manifest({"spec_hash": "abc"})
        assert run.sealed
        run.update_manifest({"badge": "mixed numerics"})
        assert not run.sealed
    assert run.manifest["badge"] == "mixed numerics"


def test_sealing_twice_changes_nothing(run: RunFolder) -> None:
    before = (run.path / MANIFEST).read_bytes()
    with run.lock():
        run.seal()
    assert (run.path / MANIFEST).read_bytes() == before


def test_writing_needs_the_lock(run: RunFolder) -> None:
    with pytest.raises(StoreError, match="without its lock"):
        run.write_text("a.txt", "a")
    with run.lock(), pytest.raises(RunLockedError, match="Another process"), RunFolder.open(run.path).lock():
        pass


@pytest.mark.parametrize("name", [MANIFEST, "completions/part-u9-0123456789abcdef.parquet"])
def test_the_stores_own_names_are_kept(run: RunFolder, name: str) -> None:
    with run.lock(), pytest.raises(StoreError, match="keeps for itself"):
        run.write_text(name, "")


def test_the_stores_own_fields_are_kept(run: RunFolder) -> None:
    with run.lock(), pytest.raises(StoreError, match="the store's own"):
        run.update_manifest({"files": {}})


def test_a_second_run_in_the_same_place_is_refused(run: RunFolder) -> None:
    with pytest.raises(StoreError, match="holds a run already"):
        RunFolder.create(run.path)


def test_a_folder_without_a_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a run"):
        RunFolder.open(tmp_path)


def test_reading_a_kind_that_is_not_there_is_explained(run: RunFolder) -> None:
    with pytest.raises(StoreError, match="holds no labels yet"):
        run.read("labels")
    assert run.units_done("labels") == set()
    with pytest.raises(StoreError, match="lacks the column colour"):
        run.read("completions", ["colour"])


def flip(path: Path, bit: int) -> bytes:
    before = path.read_bytes()
    damaged = bytearray(before)
    damaged[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(damaged)
    return before


def regular_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def check_flips(run: RunFolder, flips: int, truncations: int) -> None:
    rng = random.Random(3)
    paths = regular_files(run.path)
    for _ in range(flips):
        path = rng.choice(paths)
        before = flip(path, rng.randrange(path.stat().st_size * 8))
        faults = run.verify()
        assert len(faults) == 1
        assert faults[0].startswith(path.relative_to(run.path).as_posix() + ":")
        path.write_bytes(before)
    for _ in range(truncations):
        path = rng.choice(paths)
        before = path.read_bytes()
        path.write_bytes(before[: rng.randrange(len(before))])
        assert [fault.split(":")[0] for fault in run.verify()] == [path.relative_to(run.path).as_posix()]
        path.write_bytes(before)
    assert run.verify() == []


def test_every_flipped_bit_and_every_cut_is_found_and_named(run: RunFolder) -> None:
    check_flips(run, 200, 50)


@pytest.mark.slow
def test_a_thousand_flipped_bits_are_found_and_named(run: RunFolder) -> None:
    check_flips(run, 1000, 200)


def test_swapped_missing_and_foreign_files_are_found_and_named(run: RunFolder) -> None:
    first, second, third = run.parts("completions")
    for one, other in ((first, second), (second, third), (run.path / "analysis.json", first)):
        left, right = one.read_bytes(), other.read_bytes()
        one.write_bytes(right)
        other.write_bytes(left)
        names = sorted(p.relative_to(run.path).as_posix() for p in (one, other))
        assert [fault.split(":")[0] for fault in run.verify()] == names
        one.write_bytes(left)
        other.write_bytes(right)
    (run.path / "notes.txt").write_text("mine")
    first.unlink()
    second.unlink()
    second.symlink_to(third)
    assert run.verify() == [
        f"completions/{first.name}: missing",
        f"completions/{second.name}: not a regular file",
        "notes.txt: not in the manifest",
    ]


def test_damage_is_refused_when_it_is_read(run: RunFolder) -> None:
    part = run.parts("completions")[1]
    flip(part, 8 * 100)
    flip(run.path / "analysis.json", 8)
    again = RunFolder.open(run.path)
    with pytest.raises(StoreError, match=part.name):
        again.read("completions")
    with pytest.raises(StoreError, match=part.name):
        again.units_done("completions")
    with pytest.raises(StoreError, match=r"analysis\.json is damaged"):
        again.read_json("analysis.json")
    with again.lock(), pytest.raises(StoreError, match=r"analysis\.json is damaged; the run cannot be sealed"):
        again.seal()


def test_a_damaged_part_is_set_aside_and_made_again(run: RunFolder) -> None:
    part = run.parts("completions")[1]
    good = flip(part, 8 * 100)
    again = RunFolder.open(run.path)
    with again.lock():
        assert again.quarantine_damaged("completions") == [part]
        assert again.units_done("completions") == {"u1", "u3"}
        again.commit_part("completions", "u2", table(2000))
        again.seal()
    assert part.read_bytes() == good
    assert again.verify() == []


def test_committing_over_a_damaged_part_repairs_it(run: RunFolder) -> None:
    part = run.parts("completions")[1]
    good = flip(part, 8 * 100)
    again = RunFolder.open(run.path)
    with again.lock():
        again.commit_part("completions", "u2", table(2000))
    assert part.read_bytes() == good


def test_an_edited_manifest_is_refused(run: RunFolder) -> None:
    path = run.path / MANIFEST
    path.write_text(path.read_text().replace('"base"', '"best"'))
    with pytest.raises(StoreError, match="damaged or was edited by hand"):
        RunFolder.open(run.path)
    assert run.verify()[0].startswith("manifest.json: ")


def test_a_copied_run_is_the_same_run(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "copy")
    assert RunFolder.open(tmp_path / "copy").verify() == []


def test_a_run_is_called_after_its_moment_in_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=-3))
    moment = datetime.datetime(2026, 11, 22, 9, 3, 4, tzinfo=zone)
    name = new_run_name(moment, "spec")
    assert name.startswith("2026-11-22T12-03-04Z-")
    assert name != new_run_name(moment, "other")


def test_runs_are_listed_newest_first_and_other_folders_passed_over(tmp_path: Path) -> None:
    names = [f"2026-11-2{day}T12-03-04Z-1a2b3c" for day in range(5)]
    for day, name in enumerate(names):
        run = RunFolder.create(tmp_path / name, {"spec_hash": "b" if day == 3 else "a"})
        if day == 4:
            with run.lock():
                run.seal()
    (tmp_path / "2026-11-29T12-03-04Z-1a2b3c").mkdir()
    (tmp_path / "notes").mkdir()
    assert [run.path.name for run in runs(tmp_path)] == names[::-1]
