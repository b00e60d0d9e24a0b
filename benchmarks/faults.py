"""Damage to every file of a real run, and writers that race for it: what is found, what is built, who wins.

    python benchmarks/faults.py --flips 1000 --cuts 200 --swaps 200 --races 200

A run of embedded models is made by the command line. Then, one at a time: a bit is flipped, a file is cut, two files
change places. `biasaudit verify` has to name every file that was touched, and `biasaudit report` (tried on a sample)
has to refuse, or to make the page that it made before, because it does not read that file. Races: two commands that
write start at once; one has to win, the other to leave with 75 within two seconds. At last a holder is killed, and the
next one has to begin within a second.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from kill_run import Case, batteries, start, wait, words

from biasaudit.errors import BiasAuditError
from biasaudit.pipeline import audit
from biasaudit.store.contents import MANIFEST, listed
from biasaudit.store.lock import writer_lock

LOSER_SECONDS = 2.0
NEXT_SECONDS = 1.0
USED = ("pyarrow.parquet", "scipy.stats", "vl_convert", "pandas", "jinja2", "pydantic", "biasaudit.scoring")
"""What `score` imports; two thirds of a race otherwise."""


def damaged(kind: str, names: list[str], contents: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    """Files, by name, that one fault changes, as they then are."""
    name = rng.choice(names)
    data = contents[name]
    if kind == "flip":
        place = rng.randrange(len(data))
        return {name: data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]}
    if kind == "cut":
        return {name: data[: rng.randrange(len(data))]}
    other = rng.choice([o for o in names if contents[o] != data])
    return {name: contents[other], other: data}


def refused_or_same(run: Path, page: bytes, touched: set[str]) -> str:
    """What `biasaudit report` made of a damaged run: `refused`, `same page`, or `built` (a page from damage)."""
    try:
        audit.again("report", run, report_language=None, quiet=True)
    except BiasAuditError:
        return "refused"
    if (run / audit.REPORT).read_bytes() == page:
        return "same page"
    return "built" if touched != {audit.REPORT} else "same page"


def damage(run: Path, counts: dict[str, int], share: float, rng: random.Random) -> dict[str, Any]:
    """Do every fault, one at a time, and put the run back as it was after each."""
    names = [MANIFEST, *listed(run)]
    contents = {name: (run / name).read_bytes() for name in names}
    page = contents[audit.REPORT]
    found: Counter[str] = Counter()
    missed, built, tried = [], [], Counter[str]()
    for kind, count in counts.items():
        for _ in range(count):
            changed = damaged(kind, names, contents, rng)
            for name, data in changed.items():
                (run / name).write_bytes(data)
            text = verified(run)
            expected = [MANIFEST] if MANIFEST in changed else list(changed)  # without it nothing else is vouched for
            if all(name in text for name in expected):
                found[kind] += 1
            else:
                missed.append([kind, *changed, text[:200]])
            if rng.random() < share:
                said = refused_or_same(run, page, set(changed))
                tried[said] += 1
                if said == "built":
                    built.append([kind, *changed])
            for name in names:
                if not (run / name).exists() or (run / name).read_bytes() != contents[name]:
                    (run / name).write_bytes(contents[name])
            for name in set(listed(run)) - set(names):
                (run / name).unlink()
    return {"files": len(names), "done": counts, "named": dict(found), "missed": missed, "reports": dict(tried),
            "reports_built_from_damage": built}  # fmt: skip


def verified(run: Path) -> str:
    """What `biasaudit verify` says."""
    try:
        return audit.verify(run).text
    except BiasAuditError as error:
        return str(error)


def races(run: Path, count: int) -> dict[str, Any]:
    """Two writers at once, again and again."""
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for _ in range(count):
        began = time.monotonic()
        left = {start(["score", str(run), "-q"]), start(["score", str(run), "-q"])}
        codes = []
        while left:
            child, status = os.waitpid(-1, 0)
            if child in left:
                left.discard(child)
                codes.append(os.waitstatus_to_exitcode(status))
                if codes[-1] == 75:
                    slowest = max(slowest, time.monotonic() - began)
        outcomes[" and ".join(str(code) for code in sorted(codes))] += 1
    return {"races": count, "exit_codes": dict(outcomes), "slowest_loser_seconds": round(slowest, 2)}


def killed_holders(run: Path, count: int, rng: random.Random) -> dict[str, Any]:
    """Kill a writer, then take its lock."""
    slowest = 0.0
    for _ in range(count):
        child = start(["score", str(run), "-q"])
        wait(child, rng.uniform(0.1, 0.5))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        began = time.monotonic()
        with writer_lock(run):
            slowest = max(slowest, time.monotonic() - began)
    return {"killed": count, "slowest_next_seconds": round(slowest, 4)}


def main() -> None:
    """Make a run, damage it, race for it; print and store the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--reports", type=float, default=0.1, help="share of the faults after which a report is tried")
    parser.add_argument("--races", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    for name in USED:  # once here, so that no child has to
        importlib.import_module(name)
    rng = random.Random(1)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    batteries(folder)
    run = folder / "run"
    try:
        if wait(start(words(Case(dtype="fp32", processes=1), folder, run, 12, 8)), 600) != 0:
            raise SystemExit("the run could not be made")
        # Children are forked: that is safe until this process renders a page, which starts threads.
        figures = {"races": races(run, given.races), "holders": killed_holders(run, given.kills, rng)}
        print(json.dumps(figures, indent=1), flush=True)
        if wait(start(["score", str(run), "-q"]), 600) != 0:
            raise SystemExit("the run could not be sealed again")
        counts = {"flip": given.flips, "cut": given.cuts, "swap": given.swaps}
        figures["damage"] = damage(run, counts, given.reports, rng)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures["damage"], indent=1))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    good = not figures["damage"]["missed"] and not figures["damage"]["reports_built_from_damage"]
    good = good and set(figures["races"]["exit_codes"]) == {"0 and 75"}
    good = good and figures["races"]["slowest_loser_seconds"] < LOSER_SECONDS
    sys.exit(0 if good and figures["holders"]["slowest_next_seconds"] < NEXT_SECONDS else 1)


if __name__ == "__main__":
    main()
