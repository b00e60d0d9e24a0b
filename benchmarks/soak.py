"""Ten million completions through the store, with a `kill -9` every half minute: does anything leak, slow down or go?

    python benchmarks/soak.py --completions 10000000 --tokens 4 --seconds 30

The completions are invented (`benchmarks/million.py`), so that the store is what works. A child writes a run as
sampling does: it finds out what is missing, makes it and commits part after part; the parent watches its memory and its
open files, kills it, and starts it again, until the run is whole. Then every key is looked up once.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from million import ARMS, Phrases, make_battery, make_plan_of

from biasaudit.pipeline.complete import COMPLETIONS, missing_units
from biasaudit.pipeline.plan import RunPlan
from biasaudit.pipeline.run import describe
from biasaudit.pipeline.same_run import identity_of
from biasaudit.store.run import RunFolder
from biasaudit.store.tables import KEY_COLUMNS, held_ranges

BEAT = 0.5
"""Seconds between two looks at the child."""
SETTLING = 20
"""Commits after which a child's memory should stay what it is."""


def work(out: Path, battery: Path, each: int, tokens: int) -> None:
    """A life of the child: do what is missing; a line on stdout for every part."""
    began = time.monotonic()
    plan = make_plan_of(battery, each)
    planned = time.monotonic()
    folder = RunFolder.open(out) if (out / "manifest.json").exists() else RunFolder.create(out, identity_of(plan))
    with folder.lock():
        folder.update_manifest({**identity_of(plan), **describe(plan), "status": "running"})
        units = missing_units(plan, folder)
        tell({"missing": len(units), "plan": planned - began, "resume": time.monotonic() - planned})
        makers = {arm.fingerprint: Phrases(arm, tokens) for arm in plan.arms}
        for unit in units:
            table = makers[unit.arm_fingerprint].table(unit)
            folder.commit_part(COMPLETIONS, unit.unit_id, table)
            tell({"done": unit.count, "pool": pa.total_allocated_bytes()})


def tell(value: dict[str, Any]) -> None:
    """One line for the parent."""
    os.write(1, json.dumps(value).encode() + b"\n")


def look(process: int) -> tuple[float, int]:
    """Memory in MiB and the number of open files of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(list(Path(f"/proc/{process}/fd").iterdir()))


def life(words: list[str], seconds: float) -> dict[str, Any]:
    """One child, killed after so many seconds of committing; what was seen of it."""
    with tempfile.TemporaryFile("w+b") as told:
        child = subprocess.Popen([sys.executable, __file__, *words], stdout=told)
        began = first = time.monotonic()
        seen: list[tuple[float, int]] = []
        parts = 0
        while child.poll() is None:
            time.sleep(BEAT)
            told.flush()
            parts = os.pread(told.fileno(), 1 << 30, 0).count(b"\n") - 1
            if parts < SETTLING:
                first = time.monotonic()
                continue
            try:
                seen.append(look(child.pid))
            except OSError:
                break
            if not seen[-1][0]:
                seen.pop()  # it has just ended
            if time.monotonic() - first > seconds:
                child.send_signal(signal.SIGKILL)
                child.wait()
        child.wait()
        told.seek(0)
        lines = [json.loads(line) for line in told.read().splitlines() if line.endswith(b"}")]
    if child.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"the child ended with {child.returncode}")
    third = max(1, len(seen) // 3)
    early = statistics.median([memory for memory, _ in seen[:third]] or [0.0])
    late = statistics.median([memory for memory, _ in seen[-third:]] or [0.0])
    return {
        "killed": child.returncode != 0, "seconds": round(time.monotonic() - began, 1), "parts": max(0, parts),
        "completions": sum(line.get("done", 0) for line in lines),
        "resume_seconds": round(lines[0]["resume"], 2), "missing_units": lines[0]["missing"],
        "early_mib": round(early, 1), "late_mib": round(late, 1), "open_files": sorted({count for _, count in seen}),
    }  # fmt: skip


def whole(out: Path, plan: RunPlan) -> tuple[int, float]:
    """Completions stored, each key once (`held_ranges` refuses a second), and the seconds that a resume takes."""
    folder = RunFolder.open(out)
    held = held_ranges(folder.tables(COMPLETIONS, KEY_COLUMNS))
    began = time.monotonic()
    again = RunFolder.open(out)
    with again.lock():
        if missing_units(plan, again):
            raise SystemExit("units are missing from a run that has ended")
    seconds = time.monotonic() - began
    return sum(stop - start for ranges in held.values() for start, stop in ranges), seconds


def main() -> None:
    """Live, die, repeat; print and store the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="run folder (default: a temporary one)")
    parser.add_argument("--completions", type=int, default=10_000_000)
    parser.add_argument("--tokens", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30, help="of committing between two kills")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    out = given.out or Path(tempfile.mkdtemp(prefix="soak-")) / "run"
    battery = out.parent / "million.yaml"
    if given.child:
        work(out, battery, given.completions, given.tokens)
        return
    make_battery(out.parent)
    prompts = len(make_plan_of(battery, 1).prompts)
    each = math.ceil(given.completions / (prompts * len(ARMS)))
    words = ["--child", "--out", str(out), "--completions", str(each), "--tokens", str(given.tokens)]
    lives = []
    while not lives or lives[-1]["killed"]:
        lives.append(life(words, given.seconds))
        print(lives[-1], flush=True)
    stored, seconds = whole(out, make_plan_of(battery, each))
    long = [row for row in lives if row["parts"] > 5 * SETTLING]
    figures = {
        "completions": stored, "wanted": each * prompts * len(ARMS), "kills": sum(row["killed"] for row in lives),
        "resume_when_whole_seconds": round(seconds, 2),
        "slowest_resume_seconds": max(row["resume_seconds"] for row in lives),
        "largest_growth_percent": round(max((100 * (r["late_mib"] / r["early_mib"] - 1) for r in long), default=0), 1),
        "highest_mib": max(row["late_mib"] for row in lives),
        "open_files": sorted({count for row in lives for count in row["open_files"]}), "lives": lives,
    }  # fmt: skip
    print(json.dumps({key: value for key, value in figures.items() if key != "lives"}, indent=1))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if stored == figures["wanted"] else 1)


if __name__ == "__main__":
    main()
