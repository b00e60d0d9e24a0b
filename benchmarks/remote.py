"""A server that fails 30 % of the time, and an arm behind it: is anything lost, doubled, or paid for too often?

    python benchmarks/remote.py [--requests 10000] [--kills 10] [--out benchmarks/results/remote.json]

The server is real HTTP on this machine and answers with the embedded base model. Every request is asked for by a child
process that is killed (SIGKILL) at random moments and started again; its journal and what it stored are all that stays.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
CONCURRENCY = 8
PROMPTS = 20
TOKENS = 4


def asked(count: int) -> list[Any]:
    """`count` requests over PROMPTS prompts."""
    from biasaudit.records import Decoding, SampleRequest

    decoding = Decoding(max_new_tokens=TOKENS)
    prompts = [f"As vacinas, parte {p}:" for p in range(PROMPTS)]
    return [
        SampleRequest(prompt_id=f"p{k % PROMPTS}", prompt=prompts[k % PROMPTS], decoding=decoding, index=k // PROMPTS)
        for k in range(count)
    ]


def child(url: str, folder: Path, count: int) -> None:
    """Ask for what is not stored yet, and store every answer as a line."""
    from dataclasses import replace

    from biasaudit.records import Arm
    from biasaudit.sampling.backends.openai import OpenAIBackend
    from biasaudit.sampling.remote.settings import read_settings

    settings = read_settings(f"tiny@{url}", {"concurrency": str(CONCURRENCY), "requests": str(count * 2)})
    arm = Arm(name="r", spec="openai:x", role="tuned", fingerprint="f", tokenizer_fingerprint="unknown")
    backend = OpenAIBackend(
        replace(settings, backoff=0.05, timeout=5.0), arm=arm, seed=1, journal=folder / "journal.jsonl"
    )
    stored = folder / "stored.jsonl"
    held = {tuple(json.loads(line)[:2]) for line in stored.read_text().splitlines()} if stored.exists() else set()
    with stored.open("ab", buffering=0) as out:
        for c in backend.complete([r for r in asked(count) if (r.prompt_id, r.index) not in held]):
            out.write(json.dumps([c.prompt_id, c.index, c.text]).encode() + b"\n")
    (folder / "spent.json").write_text(json.dumps([backend.journal.requests, backend.stopped]))


def model() -> Any:
    """The embedded base model behind the server."""
    import torch
    from faulty_server import of_backend

    from biasaudit.lm.load import load
    from biasaudit.records import Arm
    from biasaudit.sampling.backends.torch import TorchBackend

    torch.set_num_threads(1)
    loaded = load("embedded:base")
    arm = Arm(name="a", spec="a", role="base", fingerprint="w", tokenizer_fingerprint="t")
    return of_backend(TorchBackend(loaded.model, loaded.tokenizer, arm=arm, seed=1, tile=1))


def measure(count: int, kills: int, share: float) -> dict[str, Any]:
    """Run the children until one ends by itself; compare what is stored with what was asked and billed."""
    from faulty_server import FaultyServer, running

    draw, killed = random.Random(7), 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name, running(FaultyServer(model(), share=share, hang=6.0)) as server:
        folder = Path(name)
        words = [sys.executable, __file__, "--child", server.url, str(folder), "--requests", str(count)]
        while True:
            process = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"})
            goal = (killed + draw.random()) * count / max(1, kills)
            while process.poll() is None and not (killed < kills and len(server.billed) >= goal):
                time.sleep(0.02)
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        rows = [json.loads(line) for line in (folder / "stored.jsonl").read_text().splitlines()]
        requests, stopped = json.loads((folder / "spent.json").read_text())
        keys = [(row[0], row[1]) for row in rows]
        wanted = {(r.prompt_id, r.index) for r in asked(count)}
        again = sum(bills - 1 for bills in server.billed.values())
        return {
            "requests_wanted": count, "stored": len(keys), "lost": len(wanted - set(keys)),
            "stored_twice": len(keys) - len(set(keys)), "kills": killed, "faults": sum(server.failed.values()),
            "fault_share": round(sum(server.failed.values()) / server.asked, 3), "kinds": dict(server.failed),
            "server_saw": server.asked, "journal_counted": requests, "billed_again": again,
            "billed_again_at_most": killed * CONCURRENCY, "stopped": stopped, "exit": process.returncode,
            "seconds": round(time.monotonic() - start, 1),
        }  # fmt: skip


def main() -> None:
    """Measure and print; exit 1 when a promise is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--faults", type=float, default=0.3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=2)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]), given.requests)
        return
    found = measure(given.requests, given.kills, given.faults)
    print(json.dumps(found, indent=1))
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    kept = found["lost"] == found["stored_twice"] == 0 and found["billed_again"] <= found["billed_again_at_most"]
    sys.exit(0 if kept and found["exit"] == 0 and found["server_saw"] <= found["journal_counted"] else 1)


if __name__ == "__main__":
    main()
