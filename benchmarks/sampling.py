r"""Sampling speed: our engine beside transformers' `generate` and a loop without a cache, interleaved in one process.

    python benchmarks/sampling.py --shape tiny                        a smoke test, seconds
    python benchmarks/sampling.py --shape embedded --threads 2        the shape of the shipped models
    python benchmarks/sampling.py --shape 124m --threads 2            GPT-2's own
    python benchmarks/sampling.py --shape 124m --device cuda --tile 512 --completions 512 \
        --engines ours-bf16,generate-bf16,continuous-bf16,loop-fp32                          on a GPU, or 1.5b

    python benchmarks/sampling.py --shape 124m --threads 2 --growth   also 64 against 512 completions a prompt
    python benchmarks/sampling.py --shape 124m --threads 2 --job      the study's 460,800 tokens, and the estimate

Weights are random: speed does not depend on them, except that a flat distribution lets the lumped rest of the
vocabulary win more often, which is our slow case. Every round runs every engine once, so all see the same machine; the
table gives medians, and ratios to `generate` in bf16 and to the loop. Over the rounds ours makes every completion once;
`generate` and CTranslate2 get one prompt a round, which they run as one batch: more prompts would only take longer. The
figures go to benchmarks/results/ with the machine and the versions. Two decodings at 124M take under ten minutes on two
cores of their own.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sampling_peers as peers
import torch
import transformers
from sampling_peers import Run

from biasaudit.records import Arm, Decoding, SampleRequest
from biasaudit.sampling import kernels
from biasaudit.sampling.backends.torch import TorchBackend

SHAPES = {
    "tiny": {"n_layer": 2, "n_embd": 64, "n_head": 2, "vocab_size": 512, "n_positions": 128},
    "embedded": {"n_layer": 4, "n_embd": 256, "n_head": 4, "vocab_size": 8192, "n_positions": 256},
    "124m": {"n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257, "n_positions": 1024},
    "1.5b": {"n_layer": 48, "n_embd": 1600, "n_head": 25, "vocab_size": 50257, "n_positions": 1024},
}
ENGINES = "ours-bf16,compiled-bf16,generate-bf16,generate-fp32,ctranslate2-fp32,loop-fp32"
RESULTS = Path(__file__).parent / "results"


class Numbers:
    """A tokenizer for texts that are blank-separated ids."""

    eot_id = 0
    fingerprint = "numbers"

    def __init__(self, vocab_size: int) -> None:
        """Ids below `vocab_size`."""
        self.vocab_size = vocab_size

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        return [int(word) for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        """Text of ids."""
        return " ".join(map(str, ids))


def model_of(shape: str, dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> Any:
    """A random GPT-2 whose end-of-text token is never likely, so that every engine makes the same number of tokens."""
    torch.manual_seed(seed)
    config = transformers.GPT2Config(**SHAPES[shape], bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config).to(device, dtype).eval()
    model.generation_config.eos_token_id = None
    return model


def prompts_of(shape: str, count: int) -> list[list[int]]:
    """Prompts of 6 to 40 tokens."""
    generator = torch.Generator().manual_seed(1)
    sizes = [6 + (34 * i) // max(1, count - 1) for i in range(count)]
    return [torch.randint(1, SHAPES[shape]["vocab_size"], (n,), generator=generator).tolist() for n in sizes]


def backend_of(model: Any, options: argparse.Namespace) -> TorchBackend:
    """Our engine behind a model."""
    numbers = Numbers(int(model.config.vocab_size))
    arm = Arm(name="a", spec="a", role="base", fingerprint="random", tokenizer_fingerprint="numbers")
    return TorchBackend(model, numbers, arm=arm, seed=1, tile=options.tile)


def counts(
    backend: TorchBackend, prompts: list[list[int]], options: argparse.Namespace, top_k: int, *, completions: int
) -> Iterator[int]:
    """Tokens of each of our completions, as they finish."""
    decoding = Decoding(max_new_tokens=options.new, top_k=top_k)
    requests = (
        SampleRequest(prompt_id=f"p{number}", prompt=" ".join(map(str, ids)), decoding=decoding, index=index)
        for number, ids in enumerate(prompts)
        for index in range(completions)
    )
    return (len(completion.token_ids) for completion in backend.complete(requests))


def ours(
    model: Any,
    prompts: list[list[int]],
    options: argparse.Namespace,
    top_k: int,
    *,
    completions: int = 0,
    rounds: int = 0,
) -> Run:
    """Our engine; all rounds together make every completion of every prompt once."""
    many, parts = completions or options.completions, rounds or options.rounds
    backend = backend_of(model, options)
    return lambda number: sum(counts(backend, prompts[number % parts :: parts], options, top_k, completions=many))


def compiled(model: Any, prompts: list[list[int]], options: argparse.Namespace, top_k: int) -> Run | None:
    """As `ours`, with the compiled kernel; None where it cannot be built."""

    def switched(run: Callable[[], Any]) -> Any:
        os.environ[kernels.SWITCH] = "1"
        try:
            return run()
        finally:
            os.environ[kernels.SWITCH] = "0"

    if switched(lambda: kernels.step(torch.device(options.device))) is None:
        return None
    plain = switched(lambda: ours(model, prompts, options, top_k))
    return lambda number: int(switched(lambda: plain(number)))


def measure(engines: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Tokens/s of every engine in every round, engines taking turns."""
    speeds: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(rounds):
        for name, run in engines.items():
            start = time.perf_counter()
            made = run(number)
            if torch.cuda.is_initialized():  # what is still queued belongs to this engine's time
                torch.cuda.synchronize()
            speeds[name].append(made / (time.perf_counter() - start))
    return speeds


def growth(model: Any, options: argparse.Namespace) -> dict[str, float]:
    """Tokens/s of our pure path at 64 and at 512 completions a prompt, two prompts each, medians of turns."""
    speeds: dict[int, list[float]] = {64: [], 512: []}
    prompts = prompts_of(options.shape, 2)
    for _ in range(2):
        for completions, values in speeds.items():
            run = ours(model, prompts, options, 0, completions=completions, rounds=1)
            start = time.perf_counter()
            made = run(0)
            values.append(made / (time.perf_counter() - start))
    few, many = (statistics.median(values) for values in speeds.values())
    print(
        f"\ncompletions a prompt: 64 {few:.0f} tokens/s, 512 {many:.0f}; cost per token {100 * (few / many - 1):+.1f} %"
    )
    return {"64": few, "512": many, "cost_growth": few / many - 1}


def job(options: argparse.Namespace) -> None:
    """The job of the study, 2 arms × 18 prompts × 200 completions × 64 tokens, and the estimate after a minute."""
    total = 2 * 18 * 200 * options.new
    made, estimate, start = 0, 0.0, time.perf_counter()
    prompts = prompts_of(options.shape, 18)
    for arm in range(2):
        model = model_of(options.shape, torch.bfloat16, options.device, seed=arm)
        backend = backend_of(model, options)
        for count in counts(backend, prompts, options, 0, completions=200):
            made += count
            elapsed = time.perf_counter() - start
            if not estimate and elapsed > options.eta_after:
                # A tile's rows finish together, and this is the first of them.
                estimate = elapsed * total / min(total, made + (backend.numerics["tile"] - 1) * options.new)
                print(f"after {elapsed:.0f} s: {made} of {total} tokens, estimated {estimate / 60:.1f} minutes in all")
    elapsed = time.perf_counter() - start
    print(f"{made} tokens in {elapsed / 60:.1f} minutes, {made / elapsed:.0f} tokens/s")
    if estimate:
        print(f"the estimate was off by {100 * (estimate / elapsed - 1):+.1f} %")
    write(options, "job", {"tokens": made, "seconds": elapsed, "estimated_seconds": estimate or None})


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description="Sampling speed of our engine and its peers.")
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tile", type=int, help="rows at a time; the usual ones without it")
    parser.add_argument("--prompts", type=int, default=18)
    parser.add_argument("--completions", type=int, default=64)
    parser.add_argument("--new", type=int, default=64, help="tokens a completion")
    parser.add_argument("--top-k", default="0,200", help="decodings, one table each; 0: the model's own distribution")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-prompts", type=int, default=1, help="prompts a round for generate and CTranslate2")
    parser.add_argument("--loop-tokens", type=int, default=32, help="tokens that the loop without a cache makes")
    parser.add_argument("--engines", default=ENGINES, help="names of engines with their dtype")
    parser.add_argument("--growth", action="store_true", help="also 64 against 512 completions a prompt")
    parser.add_argument("--growth-only", action="store_true", help="only that")
    parser.add_argument(
        "--job", action="store_true", help="the study's 460,800 tokens, with the estimate after a minute"
    )
    parser.add_argument("--eta-after", type=float, default=60.0, help="seconds until the job's estimate")
    return parser.parse_args()


MAKERS = {
    "ours": ours,
    "compiled": compiled,
    "generate": peers.generate,
    "continuous": peers.continuous,
    "ctranslate2": peers.ctranslate2,
    "loop": peers.loop,
}


def compare(models: dict[str, Any], options: argparse.Namespace, top_k: int) -> dict[str, Any]:
    """All engines under one decoding: measure, print the table."""
    prompts = prompts_of(options.shape, options.prompts)
    engines: dict[str, Run] = {}
    for name in options.engines.split(","):
        maker, dtype = name.split("-")
        run = MAKERS[maker](models[dtype], prompts, options, top_k)
        if run is None:
            print(f"{name}: left out, it cannot be had here (see the [dev] extra, and the compiler)")
        else:
            engines[name] = run
    speeds = measure(engines, options.rounds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    units = [medians.get(name, float("nan")) for name in ("generate-bf16", "loop-fp32")]
    title = f"top_k {top_k}" if top_k else "no truncation"
    print(f"\n{title:18s} {'tokens/s':>10s} {'/ generate-bf16':>16s} {'/ loop':>8s}")
    for name, value in medians.items():
        print(f"{name:18s} {value:10.1f} {value / units[0]:16.2f} {value / units[1]:8.1f}")
    return {"top_k": top_k, "tokens_per_second": speeds, "medians": medians}


def write(options: argparse.Namespace, what: str, figures: dict[str, Any]) -> None:
    """The figures as JSON, with the machine, the versions and the date."""
    record = {
        "options": vars(options),
        **figures,
        "device": "cpu" if options.device == "cpu" else torch.cuda.get_device_name(options.device),
        "processor": f"{platform.machine()} {' '.join(kernels.processor())}",
        "versions": {"torch": str(torch.__version__), "transformers": transformers.__version__},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    RESULTS.mkdir(exist_ok=True)
    place = "" if options.device == "cpu" else f"-{options.device.partition(':')[0]}"
    path = RESULTS / f"sampling-{options.shape}-{what}{place}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")


def main() -> None:
    """Measure, print the tables, write the JSON."""
    options = parse()
    if options.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(f"--device {options.device}: this machine has no usable CUDA GPU")
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    if options.job:
        return job(options)
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    models = {name: model_of(options.shape, dtype, options.device) for name, dtype in dtypes.items()}
    if options.growth_only:
        return write(options, "growth", {"growth": growth(models["bf16"], options)})
    many, new = options.prompts * options.completions, options.new
    print(f"ours: {options.prompts} prompts × {options.completions} × {new} tokens = {many * new} tokens,")
    print(
        f"spread over {options.rounds} rounds; generate and CTranslate2: {options.peer_prompts} of the prompts a round,"
    )
    print(f"one batch of {options.completions} rows a prompt; the loop: {options.loop_tokens} tokens a round")
    found = [compare(models, options, int(top_k)) for top_k in options.top_k.split(",")]
    figures: dict[str, Any] = {"decodings": found}
    if options.growth:
        figures["growth"] = growth(models["bf16"], options)
    write(options, "-".join(f"k{part['top_k']}" for part in found), figures)
    return None


if __name__ == "__main__":
    main()
