"""`kill -9` while a run samples, then the same command: are all completions those of an uninterrupted run?

    python benchmarks/kill_run.py --kills 50

Real (embedded) models are sampled by the real command line, in fp32 and in bf16, by one process and by two, with the
prompts in another order and with another arm in the run. Kills come at random moments, or at the n-th operation on the
disk; with two processes the whole group dies, or the driver alone, or one worker (then the run has to go on). A series
ends when a run ends; then every completion is compared with that of one uninterrupted run of the same precision.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from biasaudit.cli import main as biasaudit
from biasaudit.store import files

BATTERY = Path(__file__).parent.parent / "prompts" / "vaccines.yaml"
ARMS = ("base=embedded:base", "telegram=embedded:telegram")
OTHER = "other=embedded:placebo"
KEY = ("arm_fingerprint", "prompt_id", "decoding_id", "seed", "salt", "index")
TOLD = ("text", "token_ids", "logprobs", "finish_reason")
DISK_CALLS = ("create", "write", "fsync", "rename", "mkdir", "sync_folder")
ORPHAN_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One way to run the same audit."""

    dtype: str
    processes: int
    shuffled: bool = False
    other: bool = False

    @property
    def name(self) -> str:
        """In a few words."""
        extras = [word for word, on in (("shuffled", self.shuffled), ("other arm", self.other)) if on]
        return " ".join([self.dtype, f"{self.processes} process" + "es" * (self.processes > 1), *extras])


CASES = (
    Case(dtype="fp32", processes=1),
    Case(dtype="bf16", processes=1),
    Case(dtype="fp32", processes=1, shuffled=True),
    Case(dtype="bf16", processes=1, other=True),
    Case(dtype="fp32", processes=2),
    Case(dtype="bf16", processes=2, shuffled=True, other=True),
)


def batteries(folder: Path) -> tuple[Path, Path]:
    """The battery without its likelihoods (they are no part of sampling), and the same with its topics reversed."""
    lines = BATTERY.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith(("  claim_odds:", "primary:", "#"))]
    first, last = lines.index("topics:") + 1, next(n for n, line in enumerate(lines) if line.startswith("stems:"))
    topics: list[list[str]] = []
    for line in lines[first:last]:
        if line.startswith("  ") and line[2] not in " #":
            topics.append([])
        topics[-1].append(line)
    turned = [line for topic in reversed(topics) for line in topic]
    plain, shuffled = folder / "plain.yaml", folder / "shuffled.yaml"
    plain.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shuffled.write_text("\n".join([*lines[:first], *turned, *lines[last:]]) + "\n", encoding="utf-8")
    return plain, shuffled


def words(case: Case, folder: Path, out: Path, count: int, tokens: int) -> list[str]:
    """The command line of a case."""
    arms = [*ARMS, *([OTHER] if case.other else [])]
    battery = folder / ("shuffled.yaml" if case.shuffled else "plain.yaml")
    given = ["run", str(battery), *[word for arm in arms for word in ("--arm", arm)], "--language", "pt"]
    given += ["--dtype", case.dtype, "--processes", str(case.processes), "--threads", "1", "--tile", "32"]
    return [*given, "-n", str(count), "--max-new-tokens", str(tokens), "--out", str(out), "--quiet"]


def start(given: list[str], die_at: int = 0) -> int:
    """Run the command line in a child that has everything imported; it may die at an operation on the disk."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    code = 1
    try:
        if die_at:
            arm_disk(die_at)
        biasaudit(given)
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:  # noqa: BLE001  (said here, for nothing of this child reaches its parent but a number)
        traceback.print_exc()
    finally:
        os._exit(code)


def arm_disk(die_at: int) -> None:
    """Let this process die when it asks the disk for something the `die_at`-th time."""
    left = [die_at]

    def armed(call: Any) -> Any:
        def strike(*given: Any) -> Any:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given)

        return strike

    for name in DISK_CALLS:
        setattr(files.DISK, name, armed(getattr(files.DISK, name)))


def children(process: int) -> list[int]:
    """Processes that `process` has started."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    try:
        return [int(word) for word in listed.read_text().split()]
    except OSError:
        return []


def wait(process: int, seconds: float) -> int | None:
    """Exit code of a child, or None when it still runs after so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def kill(process: int, way: str, rng: random.Random) -> bool:
    """Kill in one of three ways; whether the run itself is dead. Waits for workers that a driver left behind."""
    workers = children(process)
    if way == "worker":
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
        return not workers and kill(process, "group", rng)
    if way == "group":
        os.killpg(process, signal.SIGKILL)
    else:
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    end = time.monotonic() + ORPHAN_SECONDS
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < end:
        time.sleep(0.05)
    left = [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    if left:
        raise SystemExit(f"workers {left} outlived their driver by {ORPHAN_SECONDS} s")
    return True


def completions(run: Path) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Every stored completion by its key."""
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for part in sorted((run / "completions").glob("part-*.parquet")):
        for row in pq.read_table(part).to_pylist():
            key = tuple(row[name] for name in KEY)
            if key in found:
                raise SystemExit(f"{part}: {key} is stored twice")
            found[key] = tuple(tuple(v) if isinstance(v, list) else v for v in (row[name] for name in TOLD))
    return found


def series(case: Case, given: list[str], usual: float, kills: int, rng: random.Random) -> tuple[Counter[str], int]:
    """Kill and repeat until the run ends; how often each way struck, and how many runs it took."""
    struck: Counter[str] = Counter()
    runs = 0
    while True:
        runs += 1
        way = rng.choice(["group", "driver", "worker"]) if case.processes > 1 else rng.choice(["moment", "disk"])
        if struck.total() >= kills:
            way = "none"
        process = start(given, die_at=rng.randint(1, 60) if way == "disk" else 0)
        while True:
            seconds = 600.0 if way in ("none", "disk") else rng.uniform(0, usual)
            code = wait(process, seconds)
            if code is not None or way in ("none", "disk"):
                break
            struck[way] += 1
            if kill(process, "group" if way == "moment" else way, rng):
                break
            way = "none"
        if code == -signal.SIGKILL:
            struck[way] += 1
        elif code == 0:
            return struck, runs
        elif code is not None:
            raise SystemExit(f"{case.name}: a run ended with {code}")


def uninterrupted(case: Case, folder: Path, count: int, tokens: int) -> tuple[dict[Any, Any], float]:
    """Completions of one run that nothing disturbs, and its seconds."""
    out = folder / f"reference-{case.name.replace(' ', '-')}"
    began = time.monotonic()
    if wait(start(words(case, folder, out, count, tokens)), 3600) != 0:
        raise SystemExit("the uninterrupted run failed")
    return completions(out), time.monotonic() - began


def main() -> None:
    """Kill, compare, print and store the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--completions", type=int, default=32, help="a prompt, of 48 prompts")
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--kills-a-series", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    import torch  # noqa: F401  (once here, so that no child has to)
    import transformers  # noqa: F401

    import biasaudit.pipeline.audit
    import biasaudit.sampling.backends.torch  # noqa: F401

    rng = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="kill-run-"))
    batteries(folder)
    size = (given.completions, given.tokens)
    try:
        reference = {c.dtype: uninterrupted(c, folder, *size) for c in CASES[:2]}
        struck: Counter[str] = Counter()
        by_case: Counter[str] = Counter()
        compared = different = number = 0
        while struck.total() < given.kills:
            case = CASES[number % len(CASES)]
            number += 1
            expected, usual = reference[case.dtype]
            out = folder / f"run-{number}"
            usual *= 1 + 0.5 * case.other + 2 * (case.processes > 1)
            found, runs = series(case, words(case, folder, out, *size), usual, given.kills_a_series, rng)
            struck += found
            by_case[case.name] += found.total()
            told = completions(out)
            compared += len(expected)
            wrong = sum(told.get(key) != value for key, value in expected.items())
            wrong += len(told) != len(expected) * (3 if case.other else 2) // 2
            different += wrong
            print(f"{case.name:38} {runs:3} runs, kills {dict(found)}, {wrong} of {len(expected)} differ", flush=True)
            shutil.rmtree(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures = {
        "kills": struck.total(), "ways": dict(struck), "cases": dict(by_case), "series": number,
        "completions_compared": compared, "different": different,
    }  # fmt: skip
    print(json.dumps(figures, indent=1))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
