"""Sampling speed: our engine beside transformers' `generate` and a loop without a cache, interleaved in one process.

    python benchmarks/sampling.py --shape tiny                        a smoke test, seconds
    python benchmarks/sampling.py --shape embedded --threads 2        the shape of the shipped models
    python benchmarks/sampling.py --shape 124m --threads 2            GPT-2's own
    python benchmarks/sampling.py --shape 124m --device cuda --tile 512 --completions 512    on a GPU, or 1.5b

Weights are random: speed does not depend on them, except that a flat distribution lets the lumped rest of the
vocabulary win more often, which is our slow case. Every round runs every engine once; the table gives medians, and
ratios to `generate` in fp32. The figures go to benchmarks/results/ with the machine and the versions.

The loop without a cache (one text at a time, the whole text again for every token) is what small training repositories
ship as their sampler; its tokens/s are measured on few tokens, for it is slow.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from biasaudit.records import Arm, Decoding, SampleRequest
from biasaudit.sampling.backends.torch import TorchBackend

SHAPES = {
    "tiny": {"n_layer": 2, "n_embd": 64, "n_head": 2, "vocab_size": 512, "n_positions": 128},
    "embedded": {"n_layer": 4, "n_embd": 256, "n_head": 4, "vocab_size": 8192, "n_positions": 256},
    "124m": {"n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257, "n_positions": 1024},
    "1.5b": {"n_layer": 48, "n_embd": 1600, "n_head": 25, "vocab_size": 50257, "n_positions": 1024},
}
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


def model_of(shape: str, dtype: torch.dtype, device: str = "cpu") -> Any:
    """A random GPT-2 whose end-of-text token is never likely, so that every engine makes the same number of tokens."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(**SHAPES[shape], bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config).to(device, dtype).eval()
    model.generation_config.eos_token_id = None
    return model


def prompts_of(shape: str, count: int) -> list[list[int]]:
    """Prompts of 6 to 40 tokens."""
    generator = torch.Generator().manual_seed(1)
    sizes = [6 + (34 * i) // max(1, count - 1) for i in range(count)]
    return [torch.randint(1, SHAPES[shape]["vocab_size"], (n,), generator=generator).tolist() for n in sizes]


def ours(model: Any, options: argparse.Namespace) -> Callable[[], int]:
    """Our engine over all prompts and completions."""
    numbers = Numbers(int(model.config.vocab_size))
    arm = Arm(name="a", spec="a", role="base", fingerprint="random", tokenizer_fingerprint="numbers")
    backend = TorchBackend(model, numbers, arm=arm, seed=1, tile=options.tile)
    decoding = Decoding(max_new_tokens=options.new, top_k=options.top_k)

    def requests() -> Iterator[SampleRequest]:
        for number, ids in enumerate(prompts_of(options.shape, options.prompts)):
            for index in range(options.completions):
                text = numbers.decode(ids)
                yield SampleRequest(prompt_id=f"p{number}", prompt=text, decoding=decoding, index=index)

    return lambda: sum(len(completion.token_ids) for completion in backend.complete(requests()))


def generate(model: Any, options: argparse.Namespace) -> Callable[[], int]:
    """Sampling by transformers itself, one batch a prompt, on as many prompts as `--generate-prompts` says."""
    sampled = {"do_sample": True, "top_k": options.top_k, "max_new_tokens": options.new, "pad_token_id": 0}

    def run() -> int:
        made = 0
        for ids in prompts_of(options.shape, options.prompts)[: options.generate_prompts]:
            batch = torch.tensor([ids] * options.completions, device=model.device)
            out = model.generate(batch, attention_mask=torch.ones_like(batch), **sampled)
            made += out.numel() - batch.numel()
        return made

    return run


@torch.inference_mode()
def loop(model: Any, options: argparse.Namespace) -> Callable[[], int]:
    """One text at a time without a cache."""

    @torch.inference_mode()
    def run() -> int:
        ids = torch.tensor([prompts_of(options.shape, 1)[0]], device=model.device)
        for _ in range(options.loop_tokens):
            logits = model(ids, use_cache=False).logits[:, -1].float()
            if options.top_k:
                kth = torch.topk(logits, options.top_k).values[:, -1:]
                logits[logits < kth] = -torch.inf
            ids = torch.cat((ids, torch.multinomial(torch.softmax(logits, -1), 1)), 1)
        return options.loop_tokens

    return run


def measure(engines: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Tokens/s of every engine in every round, engines taking turns."""
    speeds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, run in engines.items():
            start = time.perf_counter()
            made = run()
            speeds[name].append(made / (time.perf_counter() - start))
    return speeds


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description="Sampling speed of our engine and its peers.")
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--prompts", type=int, default=18)
    parser.add_argument("--completions", type=int, default=64)
    parser.add_argument("--new", type=int, default=64, help="tokens a completion")
    parser.add_argument("--top-k", type=int, default=0, help="0: the model's own distribution")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--generate-prompts", type=int, default=18, help="prompts that `generate` gets")
    parser.add_argument("--loop-tokens", type=int, default=32, help="tokens that the loop without a cache makes")
    parser.add_argument("--engines", default="ours-fp32,ours-bf16,generate-fp32,generate-bf16,loop-fp32")
    return parser.parse_args()


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = parse()
    if options.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(f"--device {options.device}: this machine has no usable CUDA GPU")
    torch.set_num_threads(options.threads)
    makers = {"ours": ours, "generate": generate, "loop": loop}
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    models = {name: model_of(options.shape, dtype, options.device) for name, dtype in dtypes.items()}
    engines = {}
    for name in options.engines.split(","):
        maker, dtype = name.split("-")
        engines[name] = makers[maker](models[dtype], options)
    speeds = measure(engines, options.rounds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    unit = medians.get("generate-fp32")
    print(f"{'engine':16s} {'tokens/s':>10s} {'ratio':>8s}")
    for name, value in medians.items():
        print(f"{name:16s} {value:10.1f} {value / unit if unit else float('nan'):8.2f}")
    RESULTS.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    record = {
        "options": vars(options),
        "tokens_per_second": speeds,
        "medians": medians,
        "device": "cpu" if options.device == "cpu" else torch.cuda.get_device_name(options.device),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "versions": {"torch": str(torch.__version__), "transformers": transformers.__version__},
        "date": now.isoformat(timespec="seconds"),
    }
    place = "" if options.device == "cpu" else f"-{options.device.partition(':')[0]}"
    path = RESULTS / f"sampling-{options.shape}-k{options.top_k}{place}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
