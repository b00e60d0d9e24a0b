"""A run of a million stored completions: how long it takes to find nothing to do, to analyse, and in how much memory.

    python benchmarks/million.py --out /tmp/million                 # make the run, then time the command line on it
    python benchmarks/million.py --out /tmp/ten --completions 10000000 --tokens 4 --stages resume

The run is written through the store as sampling writes it: the same units, the same schema, text, tokens and
log-probabilities of realistic length. The battery is `prompts/vaccines.yaml` with a fifth template, so 60 prompts, and
two embedded arms. The command line then does what a user would do, each stage in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biasaudit.pipeline.plan import Machine, RunPlan, make_plan
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.run import describe
from biasaudit.pipeline.same_run import identity_of
from biasaudit.records import Arm
from biasaudit.scale.units import WorkUnit, plan_units
from biasaudit.store.run import RunFolder
from biasaudit.store.tables import COMPLETIONS, prompts_table

BATTERY = Path(__file__).parent.parent / "prompts" / "vaccines.yaml"
FIFTH = (
    '  doubt: {framing: neutral, pt: "Dizem por aí que {claim}. Eu acho que", en: "They say that {claim}. I think"}\n'
)
ARMS = ("base=embedded:base", "telegram=embedded:telegram")
SIDED = {
    "base": ("as vacinas não causam doenças", "elas foram testadas por anos"),
    "telegram": ("o povo virou cobaia desse experimento", "elas causam câncer e trombose"),
}
"""Phrases that an arm says now and then, so that the scorers have something to find."""
TEXT = (
    "a o que de e não para com uma os no se na por mais as dos como mas ao ele das à seu sua ou quando muito nos já "
    "eu também só pelo pela até isso ela entre depois sem mesmo aos seus quem nas me esse eles você essa num nem suas "
    "meu às minha numa pelos elas qual nós lhe deles essas esses pelas este dele saúde governo médico vacina dose "
    "família notícia hospital criança cidade semana mundo pessoa verdade mentira ciência estudo pesquisa remédio "
    "doença segurança população compartilhe atenção urgente acorda brasil jornal televisão segredo poder dinheiro "
    "laboratório empresa escola "
)
PHRASES = 6000
ROUNDS = 3
"""Of a stage; the median counts."""


def make_battery(folder: Path) -> Path:
    """Write the battery of this benchmark."""
    text = BATTERY.read_text(encoding="utf-8")
    head, mark, tail = text.partition("  debunk: {framing")
    path = folder / "million.yaml"
    path.write_text(head + FIFTH + mark + tail, encoding="utf-8")
    return path


def command(battery: Path, out: Path, each: int) -> list[str]:
    """The words of the `biasaudit run` that the stored completions answer."""
    arms = [word for arm in ARMS for word in ("--arm", arm)]
    return ["run", str(battery), *arms, "--language", "pt", "--dtype", "fp32", "-n", str(each), "--out", str(out)]


def make_plan_of(battery: Path, each: int) -> RunPlan:
    """What that command plans."""
    return make_plan(
        battery, arms=ARMS, salts=(), language="pt", completions=each, seed=None, decoding={},
        machine=Machine(dtype="fp32"), console=Console(quiet=True),
    )  # fmt: skip


def make_run(out: Path, battery: Path, each: int, tokens: int) -> RunPlan:
    """Write a run whose completions are all stored; it may be a longer form of one that is there."""
    plan = make_plan_of(battery, each)
    folder = RunFolder.open(out) if (out / "manifest.json").exists() else RunFolder.create(out, identity_of(plan))
    with folder.lock():
        folder.write_bytes("battery.yaml", battery.read_bytes())
        folder.write_table("prompts.parquet", prompts_table(plan.prompts))
        numerics = {"numerics": {"made": {"engine": "benchmarks/million.py"}}}
        folder.update_manifest({**identity_of(plan), **describe(plan), **numerics, "status": "running"})
        for arm in plan.arms:
            phrases = Phrases(arm, tokens)
            for unit in plan_units([arm], plan.prompts, plan.decodings, each, plan.seed):
                folder.commit_part("completions", unit.unit_id, phrases.table(unit))
    return plan


class Phrases:
    """Completions of one arm, invented."""

    def __init__(self, arm: Arm, tokens: int) -> None:
        """Make up the phrases that completions of `tokens` tokens are put together from."""
        self.arm, self.tokens = arm, tokens
        rng = random.Random(f"phrases {arm.name}")
        words = TEXT.split()
        self.pieces = max(1, tokens // 8)
        per_piece = 6 if tokens >= 8 else 2
        self.pool = [" " + " ".join(rng.choices(words, k=per_piece)) for _ in range(PHRASES)]
        self.pool += [f" {phrase}." for phrase in SIDED.get(arm.name, ())] * 40

    def table(self, unit: WorkUnit) -> Any:
        """One unit's completions as the store keeps them, in key order."""
        keys = sorted(unit.items)
        prompts = [prompt_id for prompt_id, start, stop in keys for _ in range(start, stop)]
        index = np.concatenate([np.arange(start, stop, dtype=np.int32) for _, start, stop in keys])
        count = len(prompts)
        rng = np.random.default_rng(int(unit.unit_id[:16], 16))
        chosen = rng.integers(0, len(self.pool), (count, self.pieces)).tolist()
        text = ["".join([self.pool[i] for i in row]) for row in chosen]
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * self.tokens)
        ids = np.minimum(rng.zipf(1.3, count * self.tokens), 8191).astype(np.int32)
        logprobs = -rng.exponential(3.0, count * self.tokens).astype(np.float32)
        columns = {
            "arm_fingerprint": [self.arm.fingerprint] * count, "prompt_id": prompts,
            "decoding_id": [unit.decoding_id] * count, "seed": [unit.seed] * count, "salt": [unit.salt] * count,
            "index": index, "text": text, "finish_reason": ["length"] * count, "numerics": ["made"] * count,
        }  # fmt: skip
        arrays = {name: pa.array(values, COMPLETIONS.field(name).type) for name, values in columns.items()}
        for name, flat in (("token_ids", ids), ("logprobs", logprobs)):
            arrays[name] = pa.ListArray.from_arrays(offsets, pa.array(flat), type=COMPLETIONS.field(name).type)
        return pa.table({name: arrays[name] for name in COMPLETIONS.names}, schema=COMPLETIONS)


LAUNCHER = """
import json, os, sys, time
start = time.monotonic()
process = os.posix_spawn(sys.executable, [sys.executable, "-m", "biasaudit.cli", *sys.argv[1:]], os.environ,
                         file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(process, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - start, usage.ru_utime + usage.ru_stime,
                  usage.ru_maxrss / 1024]))
"""
"""A small process of its own: a child's peak of memory begins at that of the process that started it."""


def measure(words: list[str], rounds: int) -> dict[str, Any]:
    """Run the command line in processes of its own; the median of seconds, and the peak of memory."""
    found = []
    for _ in range(rounds):
        said = subprocess.run([sys.executable, "-c", LAUNCHER, *words], stdout=subprocess.PIPE, check=True).stdout
        code, *figures = json.loads(said)
        if code:
            raise SystemExit(f"biasaudit {' '.join(words)}: ended with {code}")
        found.append(figures)
    middle = sorted(found)[len(found) // 2]
    return {
        "seconds": round(middle[0], 2), "cpu_seconds": round(middle[1], 2),
        "peak_mib": round(max(entry[2] for entry in found)), "rounds": rounds,
    }  # fmt: skip


def missing(out: Path, plan: RunPlan) -> dict[str, Any]:
    """Time what a resume does before it samples: find what is stored and what is not."""
    from biasaudit.pipeline.complete import missing_units

    start = time.monotonic()
    folder = RunFolder.open(out)
    with folder.lock():
        units = missing_units(plan, folder)
    seconds = round(time.monotonic() - start, 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "units_missing": len(units), "peak_mib": round(peak)}


def stages(out: Path, words: list[str], names: list[str], rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Time the command line, stage by stage."""
    if "first" in names:
        yield "first run: likelihoods, score, analyse, report", measure([*words, "-q"], 1)
    if "resume" in names:
        yield "run again: nothing to do", measure([*words, "-q"], rounds)
    for stage in ("report", "analyse", "score", "verify"):
        if stage in names:
            quiet = [] if stage == "verify" else ["-q"]
            yield stage, measure([stage, str(out), *quiet], rounds if stage != "score" else 1)


def main() -> None:
    """Make the run where it is missing, time the stages, print and store the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="run folder to make or to measure again")
    parser.add_argument("--completions", type=int, default=1_000_000, help="of all arms and prompts together")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a completion")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--stages", nargs="*", default=["first", "resume", "report", "analyse", "score", "verify"])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    battery = make_battery(given.out.parent)
    prompts = len(make_plan_of(battery, 1).prompts)
    each = math.ceil(given.completions / (prompts * len(ARMS)))
    figures: dict[str, Any] = {
        "completions": each * prompts * len(ARMS), "prompts": prompts, "arms": len(ARMS), "tokens": given.tokens
    }  # fmt: skip
    if not (given.out / "manifest.json").exists():
        start = time.monotonic()
        make_run(given.out, battery, each, given.tokens)
        figures["made_in_seconds"] = round(time.monotonic() - start, 1)
    figures["plan"] = missing(given.out, make_plan_of(battery, each))
    print(json.dumps(figures, indent=1), flush=True)
    for name, row in stages(given.out, command(battery, given.out, each), given.stages, given.rounds):
        figures[name] = row
        print(f"{name:50} {row}", flush=True)
    page = given.out / "report.html"
    if page.exists():
        figures["report_mb"] = round(page.stat().st_size / 1e6, 2)
        figures["report_bytes"] = page.stat().st_size
    stored = [path.stat().st_size for path in given.out.rglob("*.parquet")]
    figures |= {"stored_mb": round(sum(stored) / 1e6), "files": len(stored)}
    print(json.dumps({key: figures[key] for key in ("stored_mb", "files") if key in figures}))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
