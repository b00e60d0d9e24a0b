"""What do Student's t, the headline, and its calibrated companion cover where outcomes are rare?

    python benchmarks/simulation_rare.py [--runs 3000] [--draws 399] [--out benchmarks/results/simulation_rare.json]

At 2 % a few topics carry the difference and Student's t leaves it out twice as often as it says; both are counted. The
truth is tested at its own θ and at 0; `whole` makes the intervals themselves, which takes longer.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import optimize

from benchmarks.simulation import Floats, Scenario, membership, simulate
from biasaudit import __version__
from biasaudit.stats import rare
from biasaudit.stats.interval import t_value

SKEWED = (
    Scenario(name="rare outcome, effect", topics=18, n=200, effect=1.0, topic_sd=0.5, level=-4.5),
    Scenario(name="rare outcome, effect, 6 topics", topics=6, n=200, effect=1.0, topic_sd=0.5, level=-4.5),
    Scenario(name="rare outcome, effect, 30 topics", topics=30, n=200, effect=1.0, topic_sd=0.5, level=-4.5),
    Scenario(
        name="rare outcome, effect, 12 topics of 3", topics=12, a_topic=3, n=100, effect=1.0, topic_sd=0.5, level=-4.0
    ),
    Scenario(name="one in twenty, effect", topics=18, n=100, effect=0.7, topic_sd=0.5, level=-3.5),
    Scenario(name="nearly all, effect", topics=18, n=200, effect=1.0, topic_sd=0.5, level=4.5),
)
"""Where Student's t falls short."""
WIDE = ("rare outcome, effect, 30 topics",)
"""Cells where the calibrated interval covers more than 96.5 %: .966 of 3,000."""
LEVELLED = (
    Scenario(name="rare outcome, no prompt changes", topics=18, n=50, level=-4.0),
    Scenario(name="rare outcome, topics change", topics=18, n=200, topic_sd=1.5, level=-4.5),
    Scenario(name="rare outcome, topics change, 6 topics", topics=6, n=100, topic_sd=0.5, level=-3.5),
)
"""No difference for prompts like these."""


def replicates(case: Scenario, runs: int, seed: int) -> Iterator[rare.Counts]:
    """Counts by topic, as a contrast gathers them."""
    draws = simulate(case, runs, seed)
    prompts = draws.there @ membership(draws.topic)
    n1, n0 = (draws.topic_means(n) * prompts for n in (draws.n1, draws.n0))
    x1, x0 = draws.topic_means(draws.x1 / draws.n1) * n1, draws.topic_means(draws.x0 / draws.n0) * n0
    for run in range(runs):
        yield rare.Counts(x1=x1[run], n1=n1[run], x0=x0[run], n0=n0[run])


def student(counts: rare.Counts, theta: float) -> tuple[float, float]:
    """Statistic about `theta`, and Student's quantile."""
    effects = counts.x1 / counts.n1 - counts.x0 / counts.n0
    se = float(effects.std(ddof=1)) / math.sqrt(effects.size)
    t = (float(effects.mean()) - theta) / se if se > 0 else math.nan
    return t, t_value(0.95, effects.size - 1)


def rejected(counts: rare.Counts, rates: rare.Rates, theta: float, draws: int, rng: np.random.Generator) -> bool:
    """Whether the calibrated test at 5 % rejects `theta`."""
    t, _ = student(counts, theta)
    _, table = rare.statistics(rates, counts, shift_for(rates, theta), draws, rng)
    low, high = rare.accepted(table, 0.95)
    return not low <= t <= high


def shift_for(rates: rare.Rates, theta: float) -> float:
    """δ that gives the difference `theta`, or the last one that is tried: no mean rate allows every difference."""
    if theta == 0:
        return 0.0
    edge = rare.SHIFTS[-1]
    ends = (rates.at(-edge)[1], rates.at(edge)[1])
    if not ends[0] < theta < ends[1]:
        return math.copysign(edge, theta)
    return float(optimize.brentq(lambda shift: rates.at(shift)[1] - theta, -edge, edge, xtol=1e-3))


def measure_rare(case: Scenario, runs: int, seed: int, draws: int = 399) -> dict[str, float]:
    """Coverage and rejections of the calibrated t and of Student's; replicates without any spread have neither."""
    found: list[tuple[bool, bool, bool, bool]] = []
    calibrated = 0
    for run, counts in enumerate(replicates(case, runs, seed)):
        (about, quantile), (null, _) = student(counts, case.truth), student(counts, 0.0)
        if math.isnan(about):
            continue
        plain = (abs(about) <= quantile, abs(null) > quantile)
        if not counts.rare:
            found.append((*plain, *plain))
            continue
        calibrated += 1
        rates = rare.fitted(counts)
        rng = np.random.default_rng([seed, run])
        wrong, changed = (rejected(counts, rates, theta, draws, rng) for theta in (case.truth, 0.0))
        found.append((*plain, not wrong, changed))
    table: Floats = np.array(found, dtype=np.float64)
    names = ("student_covers", "student_rejects", "covers", "rejects")
    return {
        **dict(zip(names, table.mean(axis=0).tolist(), strict=True)),
        "calibrated": calibrated / runs,
        "defined": len(found) / runs,
    }


def whole(case: Scenario, runs: int, seed: int, draws: int = 399) -> dict[str, float]:
    """Coverage of the interval itself, and how often it and p disagree about 0."""
    covered, rejected, apart, widths = [], 0, 0, []
    for run, counts in enumerate(replicates(case, runs, seed)):
        if math.isnan(student(counts, 0.0)[0]) or not counts.rare:
            continue
        found = rare.calibrate(counts, rng=np.random.default_rng([seed, run]), draws=draws, at_null=draws)
        interval = found.interval()
        covered.append(interval is None or interval.low <= case.truth <= interval.high)
        rejected += found.p < 0.05
        if interval is None:
            apart += found.p < 0.05
            widths.append(math.inf)
            continue
        apart += (found.p < 0.05) == (interval.low < 0 < interval.high)
        widths.append((interval.high - interval.low) / (2 * student(counts, 0.0)[1] * found.se))
    return {
        "covers": float(np.mean(covered)),
        "rejects": rejected / len(covered),
        "disagree": apart / len(covered),
        "width": float(np.median(widths)),
        "calibrated": len(covered) / runs,
    }


def main() -> None:
    """Run every cell and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3_000)
    parser.add_argument("--draws", type=int, default=399)
    parser.add_argument("--whole", type=int, default=200, help="replicates of which the interval is made")
    parser.add_argument("--seed", type=int, default=20_250)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    start = time.process_time()
    record = {
        "version": __version__,
        "runs": given.runs,
        "draws": given.draws,
        "seed": given.seed,
        "targets": {c.name: measure_rare(c, given.runs, given.seed, given.draws) for c in (*SKEWED, *LEVELLED)},
        "intervals": {c.name: whole(c, given.whole, given.seed, given.draws) for c in (SKEWED[0], LEVELLED[1])},
        "cpu_seconds": round(time.process_time() - start, 1),
    }
    text = json.dumps(record, ensure_ascii=False, indent=1)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
