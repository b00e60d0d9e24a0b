"""Speed of masking personal data, per core: real Telegram messages, and a mix in which every message holds something.

    python benchmarks/privacy.py --messages grtm60k_rfc4180.csv

`--messages` is a well-quoted CSV with a column `message`; its distinct messages count. The mix puts one synthetic
identifier into each of 8,000 messages of prose of about 200 characters. Times are CPU times of one thread, best of
`--rounds`. The shares say where the time goes: reading disguises as plain text, finding triggers, the rules.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biasaudit.corpus import privacy

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

PROSE = (
    "Bom dia a todos do grupo, hoje a reunião ficou para mais tarde porque muita gente ainda está lá.",
    "Ninguém da prefeitura explicou por que a fila do posto estava tão grande, e o pessoal foi embora calado.",
    "People keep asking the same thing every week and nobody reads the pinned message at the top of the channel.",
    "Compartilhem com quem precisa, porque a informação certa ajuda mais do que qualquer corrente daqui.",
)


def telegram(path: Path) -> list[str]:
    """Distinct messages of a CSV."""
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as lines:
        return list(dict.fromkeys(row["message"] for row in csv.DictReader(lines) if row["message"].strip()))


def dense() -> Iterator[str]:
    """Messages that hold one identifier each."""
    import privacy_example as example

    rng = random.Random(1)
    for case in example.cases(42, 160):
        yield f"{rng.choice(PROSE)} {case.text}\n{rng.choice(PROSE)}"


def cpu(work: Callable[[], Any], rounds: int) -> float:
    """CPU seconds of the best round."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def measure(name: str, texts: list[str], rounds: int) -> None:
    """Print one line for the whole and one for its shares."""
    column = pa.array(texts, pa.string())
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    batch = privacy.mask_batch(column)
    whole = cpu(lambda: privacy.mask_batch(column), rounds)
    links = cpu(lambda: privacy.mask_batch(column, privacy.LINKS), rounds)
    single = cpu(lambda: [privacy.mask(text) for text in texts[:4_000]], 1)
    sample = sum(len(text.encode()) for text in texts[:4_000]) / 1e6
    print(
        f"{name}: {len(texts):,} texts, {megabytes:.1f} MB, {batch.documents / len(texts):.0%} hold something; "
        f"{megabytes / whole:.1f} MB/s a core, links alone {megabytes / links:.1f}, one by one {sample / single:.2f}"
    )
    plain, rest = privacy._stages(privacy._wanted(None, names=False))
    folded = privacy._folded(column)
    fold = cpu(lambda: privacy._folded(column), rounds)
    triggers = cpu(lambda: (privacy._bits(folded, plain), privacy._bits(folded, rest)), rounds)
    hits = np.count_nonzero(privacy._bits(folded, plain) | privacy._bits(folded, rest))
    print(
        f"  reading as plain text {fold / whole:.0%}, triggers {triggers / whole:.0%}, rules and the rest "
        f"{1 - (fold + triggers) / whole:.0%}; {hits / len(texts):.0%} of the texts reach a rule"
    )
    print("  " + ", ".join(f"{kind} {count:,}" for kind, count in batch.counts.most_common()))


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    pa.set_cpu_count(1)
    if asked.messages:
        measure("messages", telegram(asked.messages), asked.rounds)
    measure("dense", list(dense()), asked.rounds)


if __name__ == "__main__":
    main()
