"""The worked example of the corpus manual runs as it stands and prints what the page shows, in both languages."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DUMP = "corpora/sample/antivaccine.csv"


def block(page: str, marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found, f"no block is marked {marker}"
    return found.group(1)


def run(words: list[str], folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that holds of a clone what the example asks for."""
    (tmp_path / DUMP).parent.mkdir(parents=True)
    shutil.copy(ROOT / DUMP, tmp_path / DUMP)
    return tmp_path


def test_the_worked_example_runs_as_written_and_prints_what_the_pages_show(clone: Path) -> None:
    pages = [(ROOT / "docs" / name).read_text("utf-8") for name in ("corpus.md", "corpus.pt.md")]
    (example,) = {block(page, "example") for page in pages}
    (loading,) = {block(page, "loading") for page in pages}
    ingest, find = (shlex.split(line) for line in example.splitlines())
    assert ingest[0] == find[0] == "biasaudit"
    printed = run([sys.executable, "-m", "biasaudit.cli", *ingest[1:]], clone)
    for page in pages:
        shown = re.search(r"^(?: {4}.*\n)+(?=\n)", page[page.index("<!-- example -->") :], re.MULTILINE)
        assert shown
        assert shown.group().replace("    ", "") == printed
    assert "chip" in run([sys.executable, "-m", "biasaudit.cli", *find[1:]], clone)
    tokens = re.search(r"([\d,]+) training tokens", printed)
    loaded = run([sys.executable, "-c", loading], clone)
    assert tokens
    assert loaded.startswith(tokens.group(1).replace(",", "") + " ")
