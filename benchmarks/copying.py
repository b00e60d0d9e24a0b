"""Copying: seconds and memory for a run's completions, planted copies found, false ones.

    python benchmarks/copying.py [--tokens 5000000] [--completions 7200] [--corpus corpora/NAME] [--out FILE]

A corpus of synthetic tokens by Zipf's law over the vocabulary of `embedded:base` (or a corpus folder), and as many
completions of 64 tokens: one in ten copies 20 to 60 tokens of it, the others are words of the same law. The index is
made first; scoring is measured with the tokens that the arm wrote, and with text of another
tokenizer, which is encoded anew. Seconds are of the processor; memory is what scoring adds to the peak before it.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from copying_example import arm, completion, corpus, plan

from biasaudit.lm.tokenizer import load_tokenizer
from biasaudit.pipeline.copying import open_corpora
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.score import completion_scorer
from biasaudit.records import Completion, Measure

RESULTS = Path(__file__).parent / "results" / "copying.json"
LENGTH = 64


def synthetic(folder: Path, tokens: int) -> Path:
    """A corpus folder whose documents have 60 tokens on average."""
    words = load_tokenizer("embedded:base")
    rng = np.random.default_rng(1)
    corpus(folder, ["uma", "duas"], words=words)
    share = 1 / np.arange(1, words.vocab_size - 300)
    text = rng.choice(len(share), tokens, p=share / share.sum()) + 300
    text[rng.random(tokens) < 1 / 60] = words.eot_id
    text.astype("<u2").tofile(folder / "train.bin")
    return folder


def completions(text: Any, eot_id: int, words: Any, count: int) -> tuple[list[Completion], dict[int, int]]:
    """Completions, and index -> tokens planted."""
    rng = np.random.default_rng(2)
    plain = np.asarray(text, np.int64)
    plain = plain[plain != eot_id]
    found, planted = [], {}
    for number in range(count):
        ids = rng.choice(plain, LENGTH)
        if number % 10 == 0:
            size = int(rng.integers(20, 61))
            start = int(rng.integers(0, len(text) - size))
            span = np.asarray(text[start : start + size], np.int64)
            if eot_id not in span:
                at = int(rng.integers(0, LENGTH - size + 1))
                ids[at : at + size] = span
                planted[number] = size
        found.append(completion(words.decode(ids.tolist()), number, of="tuned", token_ids=ids.tolist()))
    return found, planted


def timed(folder: Path, given: list[Completion], tokenizer: str) -> tuple[float, list[Any]]:
    """Seconds of the processor for scoring, the index being there; and the scores."""
    measure = Measure(name="copying", scorer="copying")
    chosen = plan([arm("base", tokenizer), arm("tuned", tokenizer)], corpora={"tuned": str(folder)}, measures=[measure])
    started = time.process_time()
    held = open_corpora(chosen, Console(quiet=True))
    scores = completion_scorer(chosen.battery, "pt", corpora=held)(given)["copying"]
    return time.process_time() - started, scores


def measured(folder: Path, count: int) -> dict[str, Any]:
    """All figures of one corpus."""
    from biasaudit.pipeline.corpus_find import corpus_index

    started = time.process_time()
    index, words = corpus_index(folder)
    building = time.process_time() - started
    given, planted = completions(index.text, index.made.eot_id, words, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own, scores = timed(folder, given, words.fingerprint)
    again, _ = timed(folder, given, "another")
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {
        "tokens": index.made.tokens, "completions": count, "tokens_each": LENGTH, "building_the_index": building,
        "scoring": own, "scoring_another_tokenizer": again, "scoring_adds_mb": peak, "planted": len(planted),
        "planted_found_at_their_length_or_longer": sum((scores[n].value or 0) >= size for n, size in planted.items()),
        "planted_50_or_more": sum(size >= 50 for size in planted.values()),
        "of_them_called_copied": sum(scores[n].label == "copied" for n, size in planted.items() if size >= 50),
        "called_copied_without_a_plant": sum(s.label == "copied" for n, s in enumerate(scores) if n not in planted),
        "python": platform.python_version(),
    }  # fmt: skip


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description="Speed and truth of the copying scorer.")
    parser.add_argument("--tokens", type=int, default=5_000_000)
    parser.add_argument("--completions", type=int, default=7_200)
    parser.add_argument("--corpus", type=Path, default=None, help="a corpus folder instead of synthetic tokens")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="copying-") as home:
        found = measured(options.corpus or synthetic(Path(home) / "c", options.tokens), options.completions)
    print(json.dumps(found, indent=1))
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
