"""Whether a completion is the same, bit for bit, whatever runs beside it; and how often it is under other numerics.

    python benchmarks/identity.py --shape tiny                                   a smoke test, a minute
    python benchmarks/identity.py --shape embedded,124m,llama                    the whole measure, half an hour or more
    python benchmarks/identity.py --shape embedded --threads 1,2,3,5 --load 6    more threads, a busier machine

Every combination of shape, dtype, threads and kernel (pure torch, compiled) runs in processes of its own. There all
requests run once, in order, and that is the reference. Then they run again: shuffled; in queues of random lengths;
among requests for other prompts and decodings; while another arm of the same process samples by turns; while busy
processes take the processors away; and in two more processes, half of them each. Token ids, log-probabilities and
finish reasons are compared, the numbers by their bits. Likelihoods too: continuations together, alone, shuffled, on the
busy machine. Under one numerics fingerprint anything below 100 % is a defect, and the exit code is 1.

The second table is the share of completions whose tokens are the same under *other* numerics, everything else equal:
another tile, thread count, dtype, or the other kernel. It falls with the length of completions, which is printed.

Weights are random, and enlarged until distributions are about as sharp as those of trained models.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from sampling import SHAPES as GPT2_SHAPES
from sampling import Numbers

from biasaudit.records import Arm, Completion, Decoding, SampleRequest
from biasaudit.sampling import kernels
from biasaudit.sampling.backends.torch import TorchBackend

LLAMA = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 8,
    "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 1024, "tie_word_embeddings": True,
}  # fmt: skip
"""SmolLM2-135M's widths, fewer layers."""

SHAPES = {name: GPT2_SHAPES[name] for name in ("tiny", "embedded", "124m")} | {"llama": LLAMA}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PROMPTS = (3, 9, 15, 16, 17, 30, 40, 70)
"""Tokens of the prompts: on both sides of a bucket's edge, one longer than a block of the cache."""

CONTINUATIONS = (1, 2, 5, 5, 5, 6, 9, 9, 14, 30)
OTHERS = (
    Decoding(top_k=40),
    Decoding(top_p=0.9, temperature=0.8),
    Decoding(temperature=0.0),
    Decoding(repetition_penalty=1.2),
)
RESULT = Path(__file__).parent / "results" / "identity.json"
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(100_000))"
"""Ends by itself when its parent does."""

PARTS = ("samples", "likelihoods")
Bits = dict[str, tuple[str, str]]
"""Key of a completion to digests of its tokens, and of everything."""


def model_of(shape: str, dtype: torch.dtype, seed: int) -> Any:
    """A random model of a shape."""
    torch.manual_seed(seed)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    if shape == "llama":
        model: Any = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPES[shape], **ends))
    else:
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**SHAPES[shape], **ends))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    return model.to(dtype).eval()


def requests_of(vocabulary: int, completions: int, decoding: Decoding, seed: int) -> list[SampleRequest]:
    """Requests for `completions` of every prompt."""
    draw = random.Random(seed)
    texts = [" ".join(str(draw.randrange(1, vocabulary)) for _ in range(size)) for size in PROMPTS]
    return [
        SampleRequest(prompt_id=f"{seed}-{number}", prompt=text, decoding=decoding, index=index)
        for number, text in enumerate(texts)
        for index in range(completions)
    ]


def digests(completion: Completion) -> tuple[str, str]:
    """Of a completion's tokens, and of all that it says."""
    tokens = struct.pack(f"{len(completion.token_ids)}q", *completion.token_ids)
    logprobs = struct.pack(f"{len(completion.logprobs)}d", *completion.logprobs)
    whole = tokens + logprobs + completion.finish_reason.encode() + completion.numerics.encode()
    return hashlib.sha256(tokens).hexdigest()[:16], hashlib.sha256(whole).hexdigest()[:16]


def bits_of(completions: Iterator[Completion]) -> Bits:
    """Digests by key."""
    return {f"{c.prompt_id}/{c.index}/{c.decoding_id}": digests(c) for c in completions}


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """While open, so many processes do nothing but take time."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY, str(os.getpid())]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


class Cell:
    """One combination of shape, dtype, threads, tile and kernel, in this process."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Make the model and the requests."""
        self._options, self._draw = options, random.Random(options.seed)
        self._vocabulary = int(SHAPES[options.shape]["vocab_size"])
        self._decoding = Decoding(max_new_tokens=options.new)
        self.wanted = requests_of(self._vocabulary, options.completions, self._decoding, 0)
        self.backend = self.arm(0)

    def arm(self, seed: int) -> TorchBackend:
        """An arm with weights of its own."""
        options = self._options
        arm = Arm(name="a", spec="a", role="base", fingerprint=f"random-{seed}", tokenizer_fingerprint="numbers")
        model = model_of(options.shape, DTYPES[options.dtype], seed)
        return TorchBackend(
            model, Numbers(self._vocabulary), arm=arm, seed=1, tile=options.tile, threads=options.threads
        )

    def shuffled(self) -> list[SampleRequest]:
        """All requests in another order."""
        return self._draw.sample(self.wanted, len(self.wanted))

    def queues(self) -> Bits:
        """All requests in queues of random lengths."""
        waiting, found = self.shuffled(), Bits()
        while waiting:
            size = self._draw.choice((1, 3, self._options.tile // 2, self._options.tile + 5))
            queue, waiting = waiting[:size], waiting[size:]
            found |= bits_of(self.backend.complete(queue))
        return found

    def company(self) -> Bits:
        """All requests among others."""
        few = max(1, self._options.completions // 4)
        others = [
            request
            for seed, change in enumerate(OTHERS, 1)
            for request in requests_of(
                self._vocabulary, few, replace(change, max_new_tokens=self._options.new + seed), seed
            )
        ]
        everything = self._draw.sample([*self.wanted, *others], len(self.wanted) + len(others))
        return bits_of(self.backend.complete(everything))

    def arms(self) -> Bits:
        """All requests while another arm of the process samples by turns."""
        other = self.arm(1).complete(self.wanted)

        def turns() -> Iterator[Completion]:
            for completion in self.backend.complete(self.shuffled()):
                next(other, None)
                yield completion

        return bits_of(turns())

    def samples(self, reference: Bits) -> dict[str, list[int]]:
        """Identical and compared completions of every pass."""
        passes: dict[str, list[Callable[[], Bits]]] = {
            "shuffled": [lambda: bits_of(self.backend.complete(self.shuffled()))],
            "queues": [self.queues],
            "company": [self.company],
            "arms": [self.arms],
            "load": [lambda: bits_of(self.backend.complete(self.shuffled()))] * self._options.passes,
        }
        found = {}
        for name, runs in passes.items():
            same = 0
            with busy(self._options.load if name == "load" else 0):
                for run in runs:
                    bits = run()
                    same += sum(bits[key] == value for key, value in reference.items())
            found[name] = [same, len(reference) * len(runs)]
        return found

    def likelihoods(self) -> dict[str, list[int]]:
        """Identical and compared continuations of every pass."""
        draw = random.Random(7)
        texts = [" ".join(str(draw.randrange(1, self._vocabulary)) for _ in range(n)) for n in CONTINUATIONS]
        prompts = list(dict.fromkeys(request.prompt for request in self.wanted))

        def together(order: Sequence[str]) -> dict[tuple[str, str], float]:
            return {
                (prompt, text): value.total
                for prompt in prompts
                for text, value in zip(order, self.backend.continuations(prompt, order), strict=True)
            }

        reference = together(texts)

        def alone() -> dict[tuple[str, str], float]:
            return {(p, t): self.backend.continuations(p, [t])[0].total for p, t in reference}

        def same(found: dict[tuple[str, str], float]) -> int:
            return sum(found[key].hex() == value.hex() for key, value in reference.items())

        count, passes = len(reference), self._options.passes
        counts = {"alone": [same(alone()), count]}
        counts["shuffled"] = [same(together(self._draw.sample(texts, len(texts)))), count]
        with busy(self._options.load):
            loaded = [together(self._draw.sample(texts, len(texts))) for _ in range(passes)]
            loaded += [alone()]
        counts["load"] = [sum(map(same, loaded)), count * len(loaded)]
        return counts


def work(options: argparse.Namespace) -> dict[str, Any]:
    """What one process finds out."""
    transformers.logging.set_verbosity_error()
    cell = Cell(options)
    if options.part is not None:
        return {"bits": bits_of(cell.backend.complete(cell.wanted[options.part :: 2]))}
    bits = bits_of(cell.backend.complete(cell.wanted))
    found: dict[str, Any] = {"bits": bits, "numerics": dict(cell.backend.numerics)}
    if not options.once:
        found |= {"samples": cell.samples(bits), "likelihoods": cell.likelihoods()}
    return found


def ask(options: argparse.Namespace, **cell: Any) -> dict[str, Any]:
    """The same, in a process of its own."""
    compiled = cell.pop("kernel") == "compiled"
    merged = vars(options) | cell
    environment = os.environ | {kernels.SWITCH: str(int(compiled))}
    done = subprocess.run(
        [sys.executable, __file__, "--worker", json.dumps(merged)],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def held(options: argparse.Namespace, cell: dict[str, Any]) -> dict[str, Any]:
    """One cell of the first table: every pass, and two more processes."""
    found = ask(options, **cell)
    parts = [ask(options, **cell, part=part)["bits"] for part in (0, 1)]
    both = parts[0] | parts[1]
    same = sum(both[key] == value for key, value in found["bits"].items())
    found["samples"]["processes"] = [same, len(found["bits"])]
    for what in PARTS:
        line = "  ".join(f"{name} {same}/{count}" for name, (same, count) in found[what].items())
        print(f"{name_of(cell):40s} {what:12s} {line}", flush=True)
    return found


def name_of(cell: dict[str, Any]) -> str:
    """How a combination is called."""
    return f"{cell['shape']} {cell['dtype']} {cell['threads']} threads tile {cell['tile']} {cell['kernel']}"


def grid(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every combination of the first table."""
    for dtype in options.dtype.split(","):
        for threads in map(int, options.threads.split(",")):
            for kernel in options.kernel.split(","):
                yield {
                    "shape": options.shape,
                    "dtype": dtype,
                    "threads": threads,
                    "tile": options.tile,
                    "kernel": kernel,
                }


def shares(options: argparse.Namespace, bits: dict[str, Bits]) -> list[dict[str, Any]]:
    """The second table: from each cell without extras, one change at a time."""
    found = []
    for cell in grid(options):
        if cell["kernel"] != "pure" or cell["threads"] != int(options.threads.split(",")[0]):
            continue
        changes: list[dict[str, Any]] = [{"tile": tile} for tile in map(int, options.tiles.split(","))]
        changes += [{"threads": threads} for threads in map(int, options.threads.split(","))]
        changes += [{"kernel": kernel} for kernel in options.kernel.split(",")]
        changes += [{"dtype": dtype} for dtype in options.dtype.split(",") if cell["dtype"] == "fp32"]
        for change in changes:
            other = cell | change
            if other == cell:
                continue
            if name_of(other) not in bits:
                bits[name_of(other)] = ask(options, **other, once=True)["bits"]
            here, there = bits[name_of(cell)], bits[name_of(other)]
            same = sum(there[key][0] == value[0] for key, value in here.items())
            print(f"{name_of(cell):40s} → {name_of(other):40s} {100 * same / len(here):6.1f} %", flush=True)
            found.append({"from": cell, "to": other, "identical": same, "compared": len(here)})
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Both tables of one shape."""
    cells, bits = [], {}
    for cell in grid(options):
        found = held(options, cell)
        bits[name_of(cell)] = found.pop("bits")
        cells.append({"cell": cell, **found})
    print("under other numerics, completions with the same tokens:")
    return {
        "options": vars(options),
        "same_numerics": cells,
        "other_numerics": shares(options, bits),
        "processor": " ".join(kernels.processor()),
        "versions": {"torch": str(torch.__version__), "transformers": transformers.__version__},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def write(shape: str, record: dict[str, Any]) -> None:
    """The figures as JSON, beside those of other shapes."""
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(known | {shape: record}, indent=2) + "\n", encoding="utf-8")
    print(f"written: {RESULT}", flush=True)


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description="Bit-identity of completions and likelihoods.")
    parser.add_argument("--shape", default="tiny", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--dtype", default="fp32,bf16")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--kernel", default="pure,compiled")
    parser.add_argument("--tile", type=int, default=64)
    parser.add_argument("--tiles", default="64,128,256", help="tiles of the second table")
    parser.add_argument("--completions", type=int, default=12, help="of each prompt")
    parser.add_argument("--new", type=int, default=24, help="tokens a completion")
    parser.add_argument("--load", type=int, default=4, help="busy processes")
    parser.add_argument("--passes", type=int, default=2, help="passes on the busy machine")
    parser.add_argument("--seed", type=int, default=0, help="of orders and queues")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.set_defaults(part=None, once=False)
    return parser.parse_args()


def main() -> int:
    """Measure, print the tables, write the JSON."""
    options = parse()
    if options.worker:
        print(json.dumps(work(argparse.Namespace(**json.loads(options.worker)))))
        return 0
    print(f"{len(PROMPTS)} prompts × {options.completions} completions × {options.new} tokens; identical/compared:")
    pairs = []
    for shape in options.shape.split(","):
        record = measure(argparse.Namespace(**vars(options) | {"shape": shape}))
        write(shape, record)
        pairs += [p for cell in record["same_numerics"] for what in PARTS for p in cell[what].values()]
    same, count = (sum(values) for values in zip(*pairs, strict=True))
    print(f"one numerics: {same} of {count} comparisons identical")
    return 0 if same == count else 1


if __name__ == "__main__":
    sys.exit(main())
