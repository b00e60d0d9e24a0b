"""Decide the duplicates of a million texts: seconds, memory and what was found, in the good case and the worst ones.

    python benchmarks/duplicates.py [--texts 1000000] [--budget-mb 128] [--case NAME ...] [--dump FILE]

Signatures are drawn, not computed, so that every case has its shape exactly:

    mixed      a fifth exact copies, a fifth near copies of an earlier text, the rest distinct
    equal      one text
    copies     near copies of one text
    drift      every text is near its predecessor and far from the first
    crowd      half of every signature is the same for all: ten bands put all texts in one bucket, none are near

Each case runs in a process of its own; memory is what the process grew by over its start, at its peak.

With `--dump`, a CSV file of RFC 4180 with a column `message`, the sketching of its texts is timed as well, beside the
MinHash of rensa on the same hashes of triples (one thread; best of three), its rows fetched as an array included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from biasaudit.corpus import sketch
from biasaudit.corpus.dedup import keepers
from biasaudit.corpus.sketch import PERMUTATIONS

CASES = ("mixed", "equal", "copies", "drift", "crowd")
RESULTS = Path(__file__).parent / "results" / "duplicates.json"
BLOCK = 1 << 14


def write(case: str, texts: int, folder: Path) -> None:
    """Draw digests and signatures of `texts` texts into `folder`."""
    draw = np.random.default_rng(5)
    one = draw.integers(0, 2**32 - 1, PERMUTATIONS, np.uint32)
    with (folder / "digests").open("wb") as digests, (folder / "signatures").open("wb") as signatures:
        for start in range(0, texts, BLOCK):
            size = min(BLOCK, texts - start)
            digest = draw.integers(0, 2**64 - 1, (size, 2), np.uint64)
            rows = draw.integers(0, 2**32 - 1, (size, PERMUTATIONS), np.uint32)
            if case == "equal":
                digest[:], rows[:] = 7, one
            elif case == "copies":
                rows = np.where(draw.random(rows.shape) < 0.08, rows, one)
            elif case == "crowd":
                rows[:, : PERMUTATIONS // 2] = one[: PERMUTATIONS // 2]
            elif case == "drift":
                changed = draw.random(rows.shape) < 0.05
                rows = np.where(changed, rows, 0)
                last = np.maximum.accumulate(np.where(changed, np.arange(size)[:, None], -1), axis=0)
                rows = np.where(last < 0, one, np.take_along_axis(rows, np.maximum(last, 0), axis=0))
                one = rows[-1]
            else:
                copies = draw.random(size)
                of = draw.integers(0, size, size)
                exact, near = copies < 0.2, (copies >= 0.2) & (copies < 0.4)
                noise = draw.random(rows.shape) < 0.08
                rows[near] = np.where(noise[near], rows[near], rows[of[near]])
                digest[exact], rows[exact] = digest[of[exact]], rows[of[exact]]
            digest.tofile(digests)
            rows.astype("<u4").tofile(signatures)


def measure(case: str, texts: int, budget: int) -> dict[str, object]:
    """Time one case in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, __file__, "--write", case, "--texts", str(texts), "--into", name], check=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, cpu = time.perf_counter(), time.process_time()
        found = keepers(folder / "digests", folder / "signatures", mode="near", budget=budget, scratch=folder)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    kept = int((found.keeper == np.arange(texts)).sum())
    return {
        "case": case, "texts": texts, "kept": kept, "near": found.near, "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1), "budget_mb": budget >> 20, "grew_mb": round(peak / 1024),
    }  # fmt: skip


def sketching(dump: Path) -> dict[str, float]:
    """MB/s of text, a core: digests, signatures, and rensa on triples that are already hashed."""
    os.environ["RAYON_NUM_THREADS"] = "1"
    import rensa

    parse, text = csv.ParseOptions(newlines_in_values=True), pa.string()
    table = csv.read_csv(dump, parse_options=parse, convert_options=csv.ConvertOptions(column_types={"message": text}))
    texts = table["message"].combine_chunks()
    counts = np.asarray(pc.count_substring_regex(texts, r"\w+"), np.int64)
    counts = np.where(counts < sketch.SHORTEST, 0, counts - 2)
    edges = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)
    hashes = np.random.default_rng(1).integers(0, 2**64 - 1, int(edges[-1]), np.uint64)

    def rows() -> object:
        drawn = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, edges, PERMUTATIONS, 1)
        values = itertools.chain.from_iterable(drawn.to_rows())
        return np.fromiter(values, np.uint32, len(texts) * PERMUTATIONS)

    size = pc.sum(pc.binary_length(texts)).as_py() / 1e6
    ways = {"digests": lambda: sketch.digests(texts), "signatures": lambda: sketch.signatures(texts), "rensa": rows}
    speed = {"text_mb": round(size, 1)}
    for name, way in ways.items():
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            way()
            best = min(best, time.process_time() - started)
        speed[f"{name}_mb_s"] = round(size / best, 1)
    return speed


def main() -> None:
    """Run the cases and keep the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--budget-mb", type=int, default=128)
    parser.add_argument("--case", nargs="*", default=CASES, choices=CASES)
    parser.add_argument("--dump", type=Path)
    parser.add_argument("--one", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--write", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(given.write, given.texts, given.into)
        return
    if given.one:
        print(json.dumps(measure(given.one, given.texts, given.budget_mb << 20)))
        return
    rows = []
    for case in given.case:
        words = ["--one", case, "--texts", str(given.texts), "--budget-mb", str(given.budget_mb)]
        done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
        print(done.stdout.strip(), flush=True)
    sketched = sketching(given.dump) if given.dump else None
    if sketched:
        print(json.dumps(sketched))
    about = {"date": time.strftime("%Y-%m-%d"), "python": platform.python_version(), "machine": platform.machine()}
    RESULTS.write_text(
        json.dumps({**about, "numpy": np.__version__, "sketching": sketched, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
