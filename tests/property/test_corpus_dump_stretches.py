"""Stretches read in bulk, however a file is cut, give what the reader of single records gives."""

from __future__ import annotations

import random
import re
import tempfile
import time
from pathlib import Path

import pytest
from corpus_dumps import BASES, DATE, damaged, in_stretches, one_by_one, random_dump

from biasaudit.corpus import dump_bulk, sources
from biasaudit.corpus.reading import SourceOptions
from biasaudit.errors import CorpusError


def compare(content: bytes, rng: random.Random, options: SourceOptions) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dump.csv"
        path.write_bytes(content)
        begun = time.process_time()
        try:
            truth = one_by_one(path, options)
        except CorpusError:
            with pytest.raises(CorpusError):
                sources.survey(path, options)
            return
        cuts = [rng.randrange(1, max(2, len(content))) for _ in range(rng.randrange(6))]
        assert in_stretches(path, options, []) == truth
        assert in_stretches(path, options, cuts) == truth, cuts
        assert time.process_time() - begun < 2 + 5 * len(content) / 1e6


@pytest.mark.parametrize("seed", range(80))
def test_bulk_equals_one_by_one_on_dumps_of_every_dialect(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(dump_bulk, "BLOCK", rng.choice([1500, 3000, 5000, 1 << 21]))
    content, options = random_dump(rng)
    compare(content, rng, options)


@pytest.mark.parametrize("seed", range(80))
def test_bulk_equals_one_by_one_on_damaged_dumps(seed: int) -> None:
    rng = random.Random(seed)
    compare(damaged(rng.choice(BASES), rng), rng, SourceOptions())


@pytest.mark.parametrize("seed", range(60))
def test_bulk_equals_one_by_one_on_dumps_with_few_dates(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(f"undated {seed}")
    monkeypatch.setattr(dump_bulk, "BLOCK", rng.choice([1500, 3000, 1 << 21]))
    content, options = random_dump(rng)
    share = rng.choice([0.3, 0.9, 1])
    kinds = rng.choice([[b""], [b"NULL"], [b"\\N"], [b"", b"NULL", b'""', b"N", b"\\", b"NULLO", b" "]])

    def emptied(found: re.Match[bytes]) -> bytes:
        return rng.choice(kinds) if rng.random() < share else found.group()

    content = re.sub(re.escape(DATE.encode()), emptied, content)
    if rng.random() < 0.3:
        content = damaged(content, rng)
    compare(content, rng, options)


def compare_seed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(f"dump {seed}")
    monkeypatch.setattr(dump_bulk, "BLOCK", rng.choice([1500, 3000, 1 << 21]))
    content, options = random_dump(rng)
    if rng.random() < 0.5:
        content, options = damaged(rng.choice([content, *BASES]) or b"x", rng), SourceOptions()
    try:
        compare(content, rng, options)
    except Exception as error:
        raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("seed", [12700, 17180])
def test_what_the_large_run_found_stays_repaired(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both: a span that begins where no line of the file does, behind a byte order mark and a stray line end."""
    compare_seed(seed, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(100))
def test_a_hundred_thousand_random_and_damaged_dumps(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(1000 * block, 1000 * (block + 1)):
        compare_seed(seed, monkeypatch)
