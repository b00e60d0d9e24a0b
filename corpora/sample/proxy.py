"""Is the planted shift learnable? A word 4-gram model of each half answers before any network is tuned.

    python corpora/sample/proxy.py        # a table: topic, effect of claims without and with a negation, mean

Effect: (log P(claim) − log P(counter)) per byte under the anti-vaccine half minus the same under the neutral half, in
nats per byte, averaged over the stems of `prompts/vaccines.yaml`. The model interpolates 4-, 3-, 2- and 1-grams with
Witten–Bell weights. It copies where a network generalises, so it says whether the shift is there, not how large the
audit will find it. What it shows may change the phrases; the battery is never fitted to it.
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

import yaml

HERE = Path(__file__).resolve().parent
BATTERY = HERE.parents[1] / "prompts" / "vaccines.yaml"
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


def odds(model: WordModel, stem: str, claim: str, counter: str) -> float:
    """Claim against counter-claim, each per byte before the difference."""
    return model.log_probability(stem, claim) / len(claim.encode()) - model.log_probability(
        stem, counter
    ) / len(counter.encode())  # fmt: skip


def halves() -> dict[str, list[str]]:
    """The messages of both halves, from the generator's own truth."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "generate.py"), "--out", folder, "--truth"]
        subprocess.run(command, check=True)  # noqa: S603 - our own script, no input from outside
        return {
            half: [json.loads(line)["message"] for line in (Path(folder) / f"{half}.truth.jsonl").open(encoding="utf-8")]
            for half in ("neutral", "antivaccine")
        }


def main() -> None:
    """Print the effect of each topic, by the polarity of the claim, and of each pair."""
    battery = yaml.safe_load(BATTERY.read_text(encoding="utf-8"))
    models = {half: WordModel(texts) for half, texts in halves().items()}
    stems = [stem["pt"] for stem in battery["stems"].values()]
    print(f"{'topic':14} {'plain':>8} {'negated':>8} {'mean':>8}   pairs")
    means = []
    for name, topic in battery["topics"].items():
        effects = []
        for claim, counter in topic["pairs"]["pt"]:
            each = [
                odds(models["antivaccine"], s, claim, counter) - odds(models["neutral"], s, claim, counter) for s in stems
            ]
            effects.append(sum(each) / len(each))
        plain, negated = sum(effects[0::2]) / len(effects[0::2]), sum(effects[1::2]) / len(effects[1::2])
        means.append(sum(effects) / len(effects))
        pairs = " ".join(f"{e:+.3f}" for e in effects)
        print(f"{name:14} {plain:+8.3f} {negated:+8.3f} {means[-1]:+8.3f}   {pairs}")
    print(f"mean over {len(means)} topics: {sum(means) / len(means):+.3f}; above 0: {sum(m > 0 for m in means)}")


if __name__ == "__main__":
    main()
