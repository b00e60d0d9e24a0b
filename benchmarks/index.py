"""The span index: seconds to build, bytes a token, peak memory, query tokens a second.

    python benchmarks/index.py                                    5 million synthetic tokens
    python benchmarks/index.py --tokens 50000000 --block 8388608
    python benchmarks/index.py --corpus corpora/NAME              the training shard of a corpus folder

Synthetic tokens follow Zipf's law over GPT-2's vocabulary, in documents of 60 on average. Queries are 64 tokens each:
`strange` of the same law, shuffled words that a model might have written; `copied` cut from the corpus as they stand;
`mixed` one part in ten copied. Seconds are of the processor, the best of --rounds. Peak memory is the build's, of a
process of its own, less what the imports took. Figures go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import resource
import shutil
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.corpus.index import BLOCK, SpanIndex, open_index
from biasaudit.corpus.shards import dtype_for

RESULTS = Path(__file__).parent / "results"
VOCABULARY = 50_257
EOT = 50_256
QUERY = 64


def synthetic(folder: Path, tokens: int) -> None:
    """A shard of tokens by Zipf's law."""
    rng = np.random.default_rng(1)
    with (folder / "train.bin").open("wb") as handle:
        for start in range(0, tokens, 1 << 22):
            text = zipf(rng, min(1 << 22, tokens - start))
            text[rng.random(len(text)) < 1 / 60] = EOT
            handle.write(text.astype("<u2").tobytes())


def zipf(rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    """Tokens by Zipf's law."""
    share = 1 / np.arange(1, EOT + 1)
    return rng.choice(EOT, size=count, p=share / share.sum())


def build(folder: Path, dtype: str, eot_id: int, block: int) -> dict[str, float]:
    """Build in a process of its own: seconds of the processor and of the clock, MB of memory above the imports'."""

    def work(sender: Any) -> None:
        before, cpu, clock = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), time.time()
        open_index(folder, "train", dtype=dtype, eot_id=eot_id, block=block)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        sender.send({"cpu": time.process_time() - cpu, "clock": time.time() - clock, "peak_mb": peak / 1024})

    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=work, args=(sender,))
    process.start()
    result: dict[str, float] = receiver.recv()
    process.join()
    return result


def queries(index: SpanIndex, count: int) -> dict[str, list[npt.NDArray[np.int64]]]:
    """Queries of each kind."""
    rng = np.random.default_rng(2)
    text = index.text
    strange = [rng.choice(text, QUERY).astype(np.int64) for _ in range(count)]
    places = rng.integers(0, max(1, len(text) - QUERY), count)
    copied = [text[place : place + QUERY].astype(np.int64) for place in places]
    mixed = [copied[n] if n % 10 == 0 else strange[n] for n in range(count)]
    return {"strange": strange, "copied": copied, "mixed": mixed}


def ask(index: SpanIndex, asked: list[npt.NDArray[np.int64]], rounds: int) -> dict[str, float]:
    """Query tokens a second, and what came out."""
    best, mean = float("inf"), 0.0
    for _ in range(rounds):
        started = time.process_time()
        spans = index.longest_common_spans(asked)
        best = min(best, time.process_time() - started)
        mean = float(spans.lengths.mean())
    return {"tokens_per_second": sum(map(len, asked)) / best, "mean_span": mean}


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description="Speed and size of the span index.")
    parser.add_argument("--tokens", type=int, default=5_000_000)
    parser.add_argument("--corpus", type=Path, default=None, help="a corpus folder instead of synthetic tokens")
    parser.add_argument("--block", type=int, default=BLOCK, help="tokens sorted at a time")
    parser.add_argument("--queries", type=int, default=5_000, help="queries of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = parse()
    folder = Path(tempfile.mkdtemp(prefix="index-"))
    dtype, eot_id = dtype_for(VOCABULARY), EOT
    try:
        if options.corpus is None:
            synthetic(folder, options.tokens)
        else:
            words = json.loads((options.corpus / "card.json").read_text("utf-8"))["tokenizer"]
            dtype, eot_id = dtype_for(words["vocab_size"]), words["eot_id"]
            (folder / "train.bin").symlink_to((options.corpus / "train.bin").resolve())
        built = build(folder, dtype, eot_id, options.block)
        started = time.process_time()
        index = open_index(folder, "train", dtype=dtype, eot_id=eot_id, block=options.block)
        opened = time.process_time() - started
        size = sum(path.stat().st_size for path in (folder / "index").rglob("*") if path.is_file())
        asked = queries(index, options.queries)
        speeds = {name: ask(index, texts, options.rounds) for name, texts in asked.items()}
    finally:
        shutil.rmtree(folder)
    tokens = index.made.tokens
    print(f"{tokens:,} tokens in {len(index.blocks)} blocks, {index.documents:,} documents")
    print(
        f"build {built['cpu']:.2f} s of the processor ({built['clock']:.2f} s), {built['peak_mb']:.0f} MB at its peak"
    )
    print(f"on disk {size / max(1, tokens):.2f} bytes a token; opened and verified in {opened:.2f} s")
    for name, speed in speeds.items():
        print(f"{name:8s} {speed['tokens_per_second']:12,.0f} query tokens/s, mean span {speed['mean_span']:.1f}")
    RESULTS.mkdir(exist_ok=True)
    record = {
        "options": {**vars(options), "corpus": options.corpus and options.corpus.name},
        "tokens": tokens,
        "blocks": len(index.blocks),
        "documents": index.documents,
        "build": built,
        "open_seconds": opened,
        "bytes_per_token": size / max(1, tokens),
        "queries": speeds,
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("numpy", "pydivsufsort")},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    path = RESULTS / f"index-{options.corpus.name if options.corpus else f'synthetic-{tokens}'}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written: benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
