"""Likelihood speed: a stem run once for its continuations, beside one forward a continuation, interleaved.

    python benchmarks/likelihoods.py --shape embedded        the shape of the shipped models
    python benchmarks/likelihoods.py --shape 124m            GPT-2's own

Random weights; one stem and `--continuations` continuations of 6 to 20 tokens. Three ways take turns: ours; our own
forward without a shared stem (each continuation at its bucket's shape); and transformers' forward of stem and
continuation, unpadded. Times are of the process's clock; the table gives medians. Figures go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from sampling import SHAPES, model_of

from biasaudit.sampling import likelihoods
from biasaudit.sampling.decoders import select

RESULTS = Path(__file__).parent / "results"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Way = Callable[[], list[float]]


def texts_of(options: argparse.Namespace) -> tuple[list[int], list[list[int]]]:
    """The stem and its continuations."""
    generator = torch.Generator().manual_seed(1)
    high = SHAPES[options.shape]["vocab_size"]

    def draw(count: int) -> list[int]:
        return torch.randint(1, high, (count,), generator=generator).tolist()

    sizes = [6 + (14 * i) // max(1, options.continuations - 1) for i in range(options.continuations)]
    return draw(options.stem), [draw(size) for size in sizes]


def ways_of(model: Any, options: argparse.Namespace) -> dict[str, Way]:
    """The three ways to the same numbers: log P of each continuation, nats."""
    decoder = select.choose(model, vocabulary=int(model.config.vocab_size))
    stem, continuations = texts_of(options)

    def shared() -> list[float]:
        found = likelihoods.continuation_logprobs(decoder, stem, continuations)
        return [float(each.sum()) for each in found]

    @torch.inference_mode()
    def apart() -> list[float]:
        return [float(likelihoods.joint_logprobs(decoder, stem, each).sum()) for each in continuations]

    @torch.inference_mode()
    def plain() -> list[float]:
        return [plain_logprob(model, stem, each) for each in continuations]

    return {"ours": shared, "one forward each": apart, "transformers": plain}


def plain_logprob(model: Any, stem: Sequence[int], continuation: Sequence[int]) -> float:
    """Log P by transformers' own forward."""
    ids = [*stem, *continuation]
    logits = model(torch.tensor([ids[:-1]]), use_cache=False).logits[0, len(stem) - 1 :].float()
    return float(torch.log_softmax(logits, -1).gather(1, torch.tensor(continuation)[:, None]).sum())


def measure(ways: dict[str, Way], rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of every way in every round, ways taking turns after one round for warmth; and the numbers found."""
    found = {name: way() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    return seconds, found


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description="Likelihood speed with and without a shared stem.")
    parser.add_argument("--shape", choices=SHAPES, default="embedded")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stem", type=int, default=20, help="tokens of the stem")
    parser.add_argument("--continuations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = parse()
    torch.set_num_threads(options.threads)
    seconds, found = measure(ways_of(model_of(options.shape, DTYPES[options.dtype]), options), options.rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    worst = {
        name: max(abs(a - b) for a, b in zip(values, found["transformers"], strict=True))
        for name, values in found.items()
    }
    print(f"{'way':18s} {'ms':>9s} {'ours is':>9s} {'largest difference, nats':>25s}")
    for name, value in medians.items():
        print(f"{name:18s} {1e3 * value:9.1f} {value / medians['ours']:8.2f}× {worst[name]:25.1e}")
    record = {
        "options": vars(options),
        "seconds": seconds,
        "medians": medians,
        "largest_difference": worst,
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "versions": {"torch": str(torch.__version__), "transformers": transformers.__version__},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"likelihoods-{options.shape}-{options.dtype}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
