"""Ingest speed: real messages dealt out anew, through the study's steps, through tiktoken alone, through ours.

    python benchmarks/ingest.py --megabytes 200 --cores 1
    python benchmarks/ingest.py --megabytes 20 --messages corpora/sample --tokenizer embedded:base     anywhere
    python benchmarks/ingest.py --memory                                       peak memory at 200 MB and at 1 GB

Every contender is a process of its own on the same cores, from its start to its end; they take turns, and the table
gives medians over the rounds. MB are 10⁶ bytes of the dump for every contender, so the ratios are ratios of time: of
the time on the clock, and of the time of the processors, which other programs on the machine disturb less.

    study           the study's steps re-implemented: quotes dropped, every line a record, its expression, tiktoken
    python-re       records found by their starts, the same expression, tiktoken a message
    tiktoken        tiktoken alone on the text that `ours` cleaned, joined by end-of-text
    ours            parse, clean, tokenise: privacy off, duplicates kept
    ours-fast       the same with the fast tokenizer
    full            the default: privacy and duplicate removal too
    full-fast       the same with the fast tokenizer

The ids of `tiktoken`, `ours` and `ours-fast` must be equal, and those of `full` and `full-fast`; the run stops if not.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from ingest_contenders import EOT, WAYS
from ingest_dump import sentences, write_dump
from ingest_watch import Cost, watch

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
MESSAGES = SHARED / "telegram" / "grtm60k_rfc4180.csv"
STUDY_ONLY = ["--no-privacy", "--keep-duplicates"]
OURS = {
    "ours": STUDY_ONLY,
    "ours-fast": [*STUDY_ONLY, "--fast-tokenizer"],
    "full": [],
    "full-fast": ["--fast-tokenizer"],
}
DISTINCT = 0.9
"""Share of records that duplicate removal must leave, so that tokenising is measured and not the removal's savings."""
EQUAL = (("tiktoken", "ours", "ours-fast"), ("full", "full-fast"))
"""Contenders whose token ids must be the same."""


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description="Ingest speed of ours and its peers.")
    parser.add_argument("--megabytes", type=float, default=200, help="size of the dump, 10^6 bytes")
    parser.add_argument("--messages", type=Path, default=MESSAGES, help="dump, or folder of dumps, to draw from")
    parser.add_argument("--dialect", choices=("unquoted", "rfc4180"), default="unquoted")
    parser.add_argument("--tokenizer", default="gpt2", help="gpt2, embedded:NAME or a folder")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--contenders", default=",".join([*WAYS, *OURS]), help="which to run, comma-separated")
    parser.add_argument(
        "--memory", action="store_true", help="peak memory of `full` at --megabytes and at 5 times that"
    )
    parser.add_argument("--work", type=Path, help="folder for the dump and the corpora (default: a temporary one)")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def ours(dump: Path, out: Path, tokenizer: Path, cores: int, extra: list[str]) -> list[str]:
    """Our own command."""
    command = [sys.executable, "-m", "biasaudit.cli", "ingest", str(dump), "--out", str(out), "--quiet", "--fresh"]
    return [*command, "--tokenizer", str(tokenizer), "--processes", str(cores), *extra]


def prepare(given: argparse.Namespace, work: Path) -> tuple[list[str], Path]:
    """The sentences to draw from, and the tokenizer's folder."""
    from biasaudit.lm.tokenizer import load_tokenizer

    found = sorted(given.messages.rglob("*.csv")) if given.messages.is_dir() else [given.messages]
    if not found or not found[0].is_file():
        raise SystemExit(
            f"{given.messages}: no messages here. Give a dump or a folder of dumps: --messages corpora/sample"
        )
    if given.tokenizer == "gpt2" and (cache := SHARED / "tokenizer" / "tiktoken_cache").is_dir():
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(cache))
    load_tokenizer(given.tokenizer).save(work / "tokenizer")
    return sentences(found), work / "tokenizer"


def join(corpus: Path, target: Path) -> None:
    """Write the documents of a corpus, each followed by end-of-text."""
    with target.open("wb") as handle:
        for batch in pq.ParquetFile(corpus / "documents.parquet").iter_batches(columns=["text"]):
            for text in batch["text"].to_pylist():
                handle.write((text + EOT).encode())


def ids_of(out: Path) -> str:
    """Hash of the ids in a file, or of both shards of a corpus: with the sequential split that is all, in order."""
    digest = hashlib.sha256()
    for path in (out / "train.bin", out / "val.bin") if out.is_dir() else (out,):
        with path.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def compete(given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Make the dump, let every contender run in every round, compare the ids."""
    pool, tokenizer = prepare(given, work)
    dump, joined = work / "dump.csv", work / "joined.txt"
    made = write_dump(dump, pool, megabytes=given.megabytes, dialect=given.dialect, seed=given.seed)
    print(f"{made['bytes'] / 1e6:.1f} MB, {made['records']:,} records, {made['lines']:,} lines", flush=True)
    names = given.contenders.split(",")
    if "tiktoken" in names:
        watch(ours(dump, work / "first", tokenizer, given.cores, STUDY_ONLY), cores=given.cores)
        join(work / "first", joined)
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    hashes: dict[str, str] = {}
    for _ in range(given.rounds):
        for name in names:
            out = work / name
            command = ours(dump, out, tokenizer, given.cores, OURS[name]) if name in OURS else [
                sys.executable, str(ROOT / "benchmarks" / "ingest_contenders.py"), name,
                str(joined if name == "tiktoken" else dump), str(tokenizer), str(out), "--cores", str(given.cores),
            ]  # fmt: skip
            costs[name].append(watch(command, cores=given.cores))
            hashes[name] = ids_of(out)
    for group in EQUAL:
        if len({hashes[name] for name in group if name in hashes}) > 1:
            raise SystemExit(f"{', '.join(group)}: the token ids are not the same: {hashes}")
    return {"dump": made, "costs": costs, "hashes": hashes, "corpora": {n: about(work / n) for n in names if n in OURS}}


def about(corpus: Path) -> dict[str, Any]:
    """What a corpus says of itself that belongs to the figures: counts, and where its time went."""
    card = json.loads((corpus / "card.json").read_text(encoding="utf-8"))
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    return {"stages": manifest["run"].get("stages", {}), "records": card["records"]}


def show(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Print the table; return the medians."""
    megabytes = found["dump"]["bytes"] / 1e6
    medians: dict[str, dict[str, float]] = {}
    for name, costs in found["costs"].items():
        wall = statistics.median(cost.wall for cost in costs)
        cpu = statistics.median(cost.cpu for cost in costs)
        medians[name] = {"wall": wall, "cpu": cpu, "mb_per_s": megabytes / wall, "peak": max(c.peak for c in costs)}
    alone = medians.get("tiktoken", {"wall": math.nan, "cpu": math.nan})
    print(f"{'':12s} {'MB/s':>8s} {'/tiktoken':>10s} {'wall s':>8s} {'CPU s':>8s} {'/tiktoken':>10s} {'peak MB':>8s}")
    for name, row in medians.items():
        faster, cheaper = alone["wall"] / row["wall"], alone["cpu"] / row["cpu"]
        print(
            f"{name:12s} {row['mb_per_s']:8.2f} {faster:10.2f} {row['wall']:8.2f} {row['cpu']:8.2f} {cheaper:10.2f}"
            f" {row['peak']:8.0f}"
        )
    for name, said in found["corpora"].items():
        total = sum(said["stages"].values())
        shares = ", ".join(f"{stage} {100 * took / total:.0f} %" for stage, took in said["stages"].items())
        distinct = 1 - said["records"]["duplicates"] / said["records"]["in"]
        print(f"{name}: {shares or 'no stages recorded'}; {100 * distinct:.1f} % of the records kept as distinct")
        if distinct < DISTINCT:
            print(f"  fewer than {100 * DISTINCT:.0f} %: give more --messages to draw from")
    return medians


def memory(given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Peak memory of the full default at two sizes."""
    pool, tokenizer = prepare(given, work)
    dump, found = work / "dump.csv", {}
    for megabytes in (given.megabytes, 5 * given.megabytes):
        made = write_dump(dump, pool, megabytes=megabytes, dialect=given.dialect, seed=given.seed)
        command = ours(dump, work / "full", tokenizer, given.cores, [])
        cost = watch(command, cores=given.cores, shared_once=True)
        found[f"{megabytes:g}"] = {**made, **cost.plain()}
        print(f"{megabytes:g} MB: peak {cost.peak:.0f} MB, {cost.wall:.1f} s", flush=True)
    small, large = (row["peak"] for row in found.values())
    print(f"ratio {large / small:.3f}")
    return {"memory": found}


def main() -> None:
    """Measure, print the table, write the JSON."""
    given = parse()
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        found = memory(given, work) if given.memory else compete(given, work)
    if "costs" in found:
        found["medians"] = show(found)
        found["costs"] = {name: [cost.plain() for cost in costs] for name, costs in found["costs"].items()}
    packages = ("tiktoken", "tokenizers", "pyarrow", "numpy", "gigatoken")
    installed = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
    found |= {
        "options": {name: str(v) for name, v in vars(given).items() if name not in ("work", "results", "messages")},
        "messages": given.messages.name,
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: installed.get(name) for name in packages},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    given.results.mkdir(parents=True, exist_ok=True)
    kind = "memory" if given.memory else f"{given.dialect}-{given.cores}"
    path = given.results / f"ingest-{given.megabytes:g}mb-{kind}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
