"""The ingest benchmark runs anywhere, on a small scale, and finds the same ids in every way that must have them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_benchmark_measures_every_contender_and_finds_equal_ids(tmp_path: Path) -> None:
    names = ["study", "python-re", "tiktoken", "ours"]
    if importlib.util.find_spec("gigatoken"):
        names.append("ours-fast")
    done = subprocess.run(
        [sys.executable, "benchmarks/ingest.py", "--megabytes", "1", "--messages", "corpora/sample",
         "--tokenizer", "embedded:base", "--rounds", "1", "--contenders", ",".join(names), "--results", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "ingest-1mb-unquoted-1.json").read_text())
    assert list(found["medians"]) == names
    assert len({found["hashes"][name] for name in names[2:]}) == 1
    assert all(row["wall"] > 0 and row["peak"] > 20 for row in found["medians"].values())


def test_the_benchmark_says_which_messages_it_misses(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/ingest.py", "--messages", str(tmp_path / "none.csv"), "--results", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no messages here" in done.stderr
    assert "--messages corpora/sample" in done.stderr
