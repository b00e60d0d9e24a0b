"""Several trained models per condition: is the effect one of training on such texts, or of this checkpoint?

The unit of a claim about training is the trained model. From three runs on, t on the runs' own effects, df R − 1;
with two, the Multi-Bootstrap (runs × topics resampled), which describes and does not test. Run effects speak of exactly
these prompts and of trainings like these; topic means speak of prompts like these and of exactly these checkpoints.
A claim about both needs both tests, so the larger p is shown beside them (intersection–union, Berger 1982).

Source: Sellam et al. 2021, The MultiBERTs (arXiv 2106.16163), Multi-Bootstrap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biasaudit.results import Interval
from biasaudit.stats.contrast import EQUAL, population_estimate
from biasaudit.stats.interval import t_two_sided, t_value

Floats = npt.NDArray[np.float64]

MIN_RUNS = 3
RESAMPLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsEffect:
    """What several runs of one condition say together."""

    difference: float
    interval: Interval | None
    p_runs: float | None
    """t on run means; None below three runs or when all runs are equal."""
    p_topics: float | None
    """t on topic means of the averaged runs."""
    spread: float | None
    """Standard deviation between runs; None for one run."""
    method: str
    note: str = ""

    @property
    def p_both(self) -> float | None:
        """Larger of both p-values; None when one is missing."""
        return None if self.p_runs is None or self.p_topics is None else max(self.p_runs, self.p_topics)


def over_runs(effects: Floats, *, references: int, rng: np.random.Generator, level: float = 0.95) -> RunsEffect:
    """Effect of a condition with several runs.

    Args:
        effects: shape (R, G): run by topic, each tuned − its own reference.
        references: different reference models among the runs; 1 is a given model that all share.
        rng: of the Multi-Bootstrap.
        level: of the interval.
    """
    runs = effects.shape[0]
    means = effects.mean(axis=1)
    centre = float(means.mean())
    spread = float(means.std(ddof=1)) if runs > 1 else None
    p_topics = population_estimate(effects.mean(axis=0)).p
    shared = "" if references in (1, runs) else "references-shared"
    if runs < MIN_RUNS:
        interval = multi_bootstrap(effects, rng=rng, level=level) if runs == 2 else None
        return RunsEffect(
            difference=centre,
            interval=interval,
            p_runs=None,
            p_topics=p_topics,
            spread=spread,
            method="multi-bootstrap over runs and topics" if interval else "one run",
            note="few-runs" if interval else "these-checkpoints",
        )
    assert spread is not None
    df = (runs if references in (1, runs) else min(references, runs)) - 1
    if spread <= EQUAL * max(float(np.abs(means).max()), 1e-300) or df < 1:
        note = "no-variation-between-runs" if df >= 1 else shared
        return RunsEffect(
            difference=centre, interval=None, p_runs=None, p_topics=p_topics, spread=spread,
            method=f"t on {runs} run means", note=note,
        )  # fmt: skip
    se = spread / math.sqrt(runs)
    half = t_value(level, df) * se
    return RunsEffect(
        difference=centre,
        interval=Interval(low=centre - half, high=centre + half, level=level, method=f"t{df}"),
        p_runs=t_two_sided(centre / se, df),
        p_topics=p_topics,
        spread=spread,
        method=f"t on {runs} run means",
        note=shared,
    )


def multi_bootstrap(
    effects: Floats, *, resamples: int = RESAMPLES, rng: np.random.Generator, level: float = 0.95
) -> Interval:
    """Percentile interval of the mean, runs and topics resampled with replacement, independently.

    Args:
        effects: shape (R, G).
        resamples: draws.
        rng: their source.
        level: of the interval.
    """
    runs, topics = effects.shape
    by_run = rng.multinomial(runs, np.full(runs, 1 / runs), size=resamples) / runs
    by_topic = rng.multinomial(topics, np.full(topics, 1 / topics), size=resamples) / topics
    drawn = ((by_run @ effects) * by_topic).sum(axis=1)
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2))
    return Interval(low=float(low), high=float(high), level=level, method="multi-bootstrap")
