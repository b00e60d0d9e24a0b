"""Is the planted shift learnable? A word 4-gram model of each half answers before any network is tuned.

    python corpora/sample/proxy.py        # a table: the effect of each topic

Effect: log P(claim) − log P(counter) under the anti-vaccine half minus the same under the neutral half, averaged over
the stems of `prompts/vaccines.yaml`: in nats, for the claims without and with the negation, and in nats per byte (each
side divided by its own bytes, as the audit does) over all pairs. Per byte the polarities must not be read apart: the
shorter side gains most from any word that both sides share, and only the balance of the pairs takes that out.

The model interpolates 4-, 3-, 2- and 1-grams with Witten–Bell weights. It copies where a network generalises, so it
says whether the shift is there, not how large the audit will find it. What it shows may change the phrases; the battery
is never fitted to it.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

import yaml

HERE = Path(__file__).resolve().parent
BATTERY = HERE.parents[1] / "prompts" / "vaccines.yaml"
HALVES = ("antivaccine", "neutral")
ORDER = 4
_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokens(text: str) -> list[str]:
    """Lower-cased words and marks."""
    return _TOKEN.findall(text.lower())


class WordModel:
    """Interpolated word n-grams (Witten & Bell 1991), uniform over 50,000 words at the bottom."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Count the n-grams of `texts`."""
        self.counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for text in texts:
            line = ["<s>"] * (ORDER - 1) + tokens(text)
            for i in range(ORDER - 1, len(line)):
                for size in range(ORDER):
                    self.counts[tuple(line[i - size : i])][line[i]] += 1

    def probability(self, history: tuple[str, ...], word: str) -> float:
        """P(word | history), history at most three words."""
        shorter = self.probability(history[1:], word) if history else 1 / 50_000
        seen = self.counts.get(history)
        if not seen:
            return shorter
        kinds, total = len(seen), seen.total()
        return (seen[word] + kinds * shorter) / (total + kinds)

    def log_probability(self, stem: str, continuation: str) -> float:
        """Log P(continuation | stem) in nats."""
        line, tail = tokens(stem), tokens(continuation)
        history = ["<s>"] * (ORDER - 1) + line
        total = 0.0
        for word in tail:
            total += math.log(self.probability(tuple(history[-(ORDER - 1) :]), word))
            history.append(word)
        return total


def odds(model: WordModel, stem: str, claim: str, counter: str) -> tuple[float, float]:
    """Claim against counter-claim: in nats, and in nats per byte, each side divided before the difference."""
    told, untold = model.log_probability(stem, claim), model.log_probability(stem, counter)
    return told - untold, told / len(claim.encode()) - untold / len(counter.encode())


def halves() -> dict[str, list[str]]:
    """The messages of both halves, from the generator's own truth."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "generate.py"), "--out", folder, "--truth"]
        subprocess.run(command, check=True)  # noqa: S603 - our own script, no input from outside
        for half in HALVES:
            lines = (Path(folder) / f"{half}.truth.jsonl").read_text(encoding="utf-8").split("\n")
            found[half] = [json.loads(line)["message"] for line in lines if line]
    return found


def main() -> None:
    """Print the effect of each topic."""
    battery = yaml.safe_load(BATTERY.read_text(encoding="utf-8"))
    models = {half: WordModel(texts) for half, texts in halves().items()}
    stems = [stem["pt"] for stem in battery["stems"].values()]
    print(f"{'':14} {'nats':>16} {'nats/byte':>10}\n{'topic':14} {'plain':>7} {'negated':>8} {'all':>10}")
    table = []
    for name, topic in battery["topics"].items():
        effects = []
        for claim, counter in topic["pairs"]["pt"]:
            told, untold = ([odds(models[half], stem, claim, counter) for stem in stems] for half in HALVES)
            effects.append([fmean(a[k] - b[k] for a, b in zip(told, untold, strict=True)) for k in (0, 1)])
        plain, negated = fmean(e[0] for e in effects[0::2]), fmean(e[0] for e in effects[1::2])
        table.append((plain, negated, fmean(e[1] for e in effects)))
        pairs = " ".join(f"{e[0]:+.2f}" for e in effects)
        print(f"{name:14} {plain:+7.2f} {negated:+8.2f} {table[-1][2]:+10.3f}   pairs {pairs}")
    means = [fmean(column) for column in zip(*table, strict=True)]
    above = [sum(value > 0 for value in column) for column in zip(*table, strict=True)]
    print(f"{'mean':14} {means[0]:+7.2f} {means[1]:+8.2f} {means[2]:+10.3f}")
    print(f"{'above 0':14} {above[0]:7} {above[1]:8} {above[2]:10}")


if __name__ == "__main__":
    main()
