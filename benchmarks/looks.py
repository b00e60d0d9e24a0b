"""What looking at a run while it grows costs and saves: error, coverage and completions, by simulation.

    python benchmarks/looks.py [--runs 4000] [--prompts 18] [--out benchmarks/results/looks.json]

Binary outcomes of two arms, at most 200 completions a prompt, eight looks; coupled: half of the pairs share their
uniform number. `whole` stops all prompts together by the whole contrast (`--until verdict`), `each` every prompt by its
own (`--until decided`). Every rate stands beside what a reader would get who ignored the looks (±1.96 standard errors).
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.stats.sequential import Schedule, Scheme, even_sizes, stopping_bias

Floats = npt.NDArray[np.float64]
PLAIN = 1.959964
SCHEMES: tuple[Scheme, ...] = ("obrien-fleming", "pocock", "anytime")
RESULTS = Path(__file__).parent / "results" / "looks.json"


def outcomes(
    base: Floats, tuned: Floats, sizes: tuple[int, ...], *, coupled: bool, runs: int, seed: int
) -> tuple[Floats, Floats]:
    """Differences and their add-½ standard errors at every look, shape (runs, prompts, looks)."""
    rng = np.random.default_rng(seed)
    steps, n, shape = np.diff(sizes, prepend=0), np.array(sizes), (runs, base.size)
    if not coupled:
        both = [np.stack([rng.binomial(k, p, shape) for k in steps], -1).cumsum(-1) for p in (tuned, base)]
        smooth = [(x + 0.5) / (n + 1) for x in both]
        return (both[0] - both[1]) / n, np.sqrt(sum(p * (1 - p) / n for p in smooth))
    rises = 0.5 * np.clip(tuned - base, 0, 1) + 0.5 * tuned * (1 - base)
    falls = 0.5 * np.clip(base - tuned, 0, 1) + 0.5 * base * (1 - tuned)
    up = [rng.binomial(k, rises, shape) for k in steps]
    down = [rng.binomial(k - u, falls / (1 - rises)) for k, u in zip(steps, up, strict=True)]
    x, y = np.stack(up, -1).cumsum(-1), np.stack(down, -1).cumsum(-1)
    a, b = (x + 0.5) / (n + 1), (y + 0.5) / (n + 1)
    return (x - y) / n, np.sqrt((a + b - (a - b) ** 2) / n)


def measure(d: Floats, se: Floats, truth: float, schedule: Schedule, *, each: bool) -> dict[str, float]:
    """Rates at which the interval leaves out the truth and 0, and the completions spent."""
    bounds, prompts = schedule.multipliers(0.05), d.shape[1]
    whole, whole_se = d.mean(1, keepdims=True), np.sqrt((se**2).sum(1, keepdims=True)) / prompts
    stops = np.abs(d) >= bounds * se if each else np.broadcast_to(np.abs(whole) >= bounds * whole_se, d.shape).copy()
    stops[..., -1] = True
    at = stops.argmax(-1)
    d, se = (np.take_along_axis(x, at[..., None], -1)[..., 0] for x in (d, se))
    half, plain = (np.sqrt(((k * se) ** 2).sum(1)) / prompts for k in (bounds[at], PLAIN))
    bias = stopping_bias(schedule.fractions, bounds.tolist()) if each else 0.0
    pull = (at < len(schedule.sizes) - 1) * se * bias
    low, high = d.mean(1) - half - (pull * (d > 0)).mean(1), d.mean(1) + half + (pull * (d < 0)).mean(1)
    return {
        "misses": float(((low > truth) | (high < truth)).mean()),
        "finds": float(((low > 0) | (high < 0)).mean()),
        "plain_misses": float((np.abs(d.mean(1) - truth) > plain).mean()),
        "completions": float(np.array(schedule.sizes)[at].mean()),
    }


def peeking(d: Floats, se: Floats) -> float:
    """How often a reader who looks eight times at ±1.96 finds a difference."""
    z = np.abs(d.mean(1)) / (np.sqrt((se**2).sum(1)) / d.shape[1])
    return float((z >= PLAIN).any(-1).mean())


def rows(runs: int, prompts: int) -> list[dict[str, Any]]:
    """One row a coupling, effect, scheme and rule."""
    base = np.random.default_rng(3).uniform(0.15, 0.55, prompts)
    opposite = np.where(np.arange(prompts) < prompts // 3, 0.3, -0.15)
    effects = {"none": np.zeros(prompts), "opposite": opposite, "+5 points": np.full(prompts, 0.05),
               "+15 points": np.full(prompts, 0.15), "+30 points": np.full(prompts, 0.3)}  # fmt: skip
    sizes, found = even_sizes(200, 8), []
    for coupled in (False, True):
        for name, effect in effects.items():
            tuned = np.clip(base + effect, 0.0, 1.0)
            d, se = outcomes(base, tuned, sizes, coupled=coupled, runs=runs, seed=20261122)
            truth, seen = float((tuned - base).mean()), peeking(d, se)
            for scheme in SCHEMES:
                schedule = Schedule(scheme=scheme, sizes=sizes)
                for each in (False, True):
                    about = {"coupled": coupled, "effect": name, "scheme": scheme, "rule": "each" if each else "whole"}
                    found.append({**about, **measure(d, se, truth, schedule, each=each), "peeking_finds": seen})
    return found


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description="Error, coverage and cost of registered looks.")
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--prompts", type=int, default=18)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    found = rows(given.runs, given.prompts)
    print("coupled  effect      scheme          rule   misses  plain misses  finds  peeking finds  completions of 200")
    for row in found:
        print(
            f"{'yes' if row['coupled'] else 'no':8} {row['effect']:11} {row['scheme']:15} {row['rule']:6}"
            f" {row['misses']:6.3f}  {row['plain_misses']:12.3f}  {row['finds']:5.3f}  {row['peeking_finds']:13.3f}"
            f"  {row['completions']:6.1f}"
        )
    about = {"runs": given.runs, "prompts": given.prompts, "machine": platform.processor() or platform.machine()}
    given.out.write_text(json.dumps({**about, "rows": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
