"""Does the effect grow with the dose? Slopes over prompts and over runs, and the larger of both p-values.

Prompts alone take one training per dose for the truth of that dose; runs alone take these prompts for all prompts. Each
rejects far too often where the other part varies (METHODS §2.7), so a claim needs both: the intersection–union test.

Source: Berger 1982 (intersection–union); exact permutation of doses over runs; sign flips of topics, Canay, Romano &
Shaikh 2017; isotonic fit by pool-adjacent-violators (scipy); lack of fit as the F of a repeated-measures trend analysis
(Winer 1971), which takes the deviations of all doses as equally variable.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from biasaudit.results import Interval
from biasaudit.stats.contrast import EQUAL, population_estimate
from biasaudit.stats.interval import t_two_sided
from biasaudit.stats.permutation import TIE, sign_flip

Floats = npt.NDArray[np.float64]

MAX_EXACT = 8
"""Up to this many runs all K! assignments of doses are enumerated."""
MIN_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseEffect:
    """A trend over doses."""

    slope: float
    """Change of the outcome when the dose grows by 1: mean over topics of the OLS slopes."""
    interval: Interval | None
    """t on topics: prompts like these, exactly these checkpoints."""
    p_prompts: float | None
    p_sign_flip: float | None
    p_runs: float | None
    """Exact permutation of the doses, or t(K − 2) beyond eight runs."""
    least_p: float | None
    """Smallest p that the exact permutation could give; None for the t."""
    method_runs: str
    lack_of_fit: float | None
    """P of the F for deviation from the line."""
    doses: tuple[float, ...]
    """Different doses, ascending."""
    means: tuple[float, ...]
    """Mean outcome at each dose."""
    isotonic: tuple[float, ...]
    """Monotone fit at each dose, in the direction of the slope."""
    without: tuple[tuple[float, float], ...]
    """(dose left out, slope then) for the lowest and the highest dose."""
    note: str = ""

    @property
    def p(self) -> float | None:
        """The larger of both p-values; None when one does not exist."""
        return None if self.p_prompts is None or self.p_runs is None else max(self.p_prompts, self.p_runs)


def trend(doses: Floats, outcomes: Floats, *, rng: np.random.Generator, level: float = 0.95) -> DoseEffect:
    """Trend of outcomes over doses.

    Args:
        doses: shape (K,), one a trained model; a dose may occur more than once.
        outcomes: shape (G, K): topic by model, each the mean over the topic's prompts.
        rng: of the sign flips.
        level: of the interval.

    Raises:
        ValueError: fewer than two different doses.
    """
    levels = np.unique(doses)
    if levels.size < 2:
        raise ValueError(f"a trend needs two different doses, got {levels.tolist()}")
    slopes = outcomes @ weights_of(doses)
    found = population_estimate(slopes, level=level)
    p_runs, least, method = _over_runs(doses, outcomes.mean(axis=0))
    means = np.array([outcomes[:, doses == level].mean() for level in levels])
    sizes = np.array([np.count_nonzero(doses == level) for level in levels])
    slope = float(slopes.mean())
    return DoseEffect(
        slope=slope,
        interval=found.interval,
        p_prompts=found.p,
        p_sign_flip=sign_flip(slopes, rng=rng) if slopes.size > 1 else None,
        p_runs=p_runs,
        least_p=least,
        method_runs=method,
        lack_of_fit=lack_of_fit(doses, outcomes),
        doses=tuple(levels.tolist()),
        means=tuple(means.tolist()),
        isotonic=tuple(isotonic(means, sizes, rising=slope >= 0).tolist()),
        without=tuple(_without(doses, outcomes, level) for level in (levels[0], levels[-1])) if levels.size > 2 else (),
        note=found.note or ("too-few-runs" if p_runs is None else ""),
    )


def weights_of(doses: Floats) -> Floats:
    """Weights, shape (K,), whose product with outcomes is the OLS slope."""
    centred = doses - doses.mean()
    return np.asarray(centred / float(centred @ centred), dtype=np.float64)


def _over_runs(doses: Floats, means: Floats) -> tuple[float | None, float | None, str]:
    """P of the slope of run means, the smallest that it could be, and the name of the test."""
    count = doses.size
    if count < MIN_RUNS:
        return None, None, "fewer than three models"
    if count > MAX_EXACT:
        return _t_slope(doses, means), None, f"t on the slope of {count} models"
    orders = np.array(list(itertools.permutations(range(count))), dtype=np.int8)
    centred = doses - doses.mean()
    slopes = np.abs(means[orders] @ centred)
    observed = abs(float(means @ centred))
    scale = float(np.abs(means - means.mean()).max() * np.abs(centred).max())
    slack = TIE * max(scale, 1e-300)
    # The best that doses could do is in the same order as, or against, the outcomes.
    largest = float(slopes.max())
    least = float(np.mean(slopes >= largest - slack))
    return float(np.mean(slopes >= observed - slack)), least, f"exact permutation of {count} models"


def _t_slope(doses: Floats, means: Floats) -> float | None:
    """Two-sided p of an OLS slope, df K − 2."""
    centred = doses - doses.mean()
    slope = float(means @ centred / (centred @ centred))
    left = means - means.mean() - slope * centred
    df = doses.size - 2
    se = math.sqrt(float(left @ left) / df / float(centred @ centred))
    if se <= EQUAL * max(abs(slope), 1e-300):
        return None
    return t_two_sided(slope / se, df)


def cochran_armitage(successes: Floats, totals: Floats, doses: Floats) -> tuple[float, float]:
    """Trend of pooled shares over doses: z (variance with N) and its two-sided p. A description, never a claim.

    It takes every completion for independent of its prompt and of its model, so that it rejects far too often.

    Args:
        successes: shape (K,), one a model.
        totals: shape (K,), completions.
        doses: shape (K,).

    Returns:
        z and p; NaN where all completions agree.

    Source: Cochran 1954; Armitage 1955; equal to R's `prop.trend.test`.
    """
    rate = float(successes.sum() / totals.sum())
    mean = float((doses * totals).sum() / totals.sum())
    variance = rate * (1 - rate) * float((totals * (doses - mean) ** 2).sum())
    z = float((doses * (successes - totals * rate)).sum()) / math.sqrt(variance) if variance > 0 else math.nan
    return z, t_two_sided(z, math.inf)


def isotonic(means: Floats, sizes: npt.NDArray[np.int64], *, rising: bool) -> Floats:
    """Monotone least-squares fit of means at ascending doses, shape (L,)."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(means, weights=sizes, increasing=rising).x, dtype=np.float64)


def lack_of_fit(doses: Floats, outcomes: Floats) -> float | None:
    """P of the F-test that dose means leave the line by nothing but their spread between topics.

    None with two doses, fewer than two topics, or no spread.
    """
    levels = np.unique(doses)
    topics = outcomes.shape[0]
    if levels.size < 3 or topics < 2:
        return None
    table = np.stack([outcomes[:, doses == level].mean(axis=1) for level in levels], axis=1)
    design = np.stack([np.ones(levels.size), levels], axis=1)
    left = table - table @ design @ np.linalg.pinv(design)
    mean = left.mean(axis=0)
    df1 = levels.size - 2
    df2 = df1 * (topics - 1)
    error = float(((left - mean) ** 2).sum()) / df2
    shape = topics * float(mean @ mean) / df1
    if error <= EQUAL * max(shape, 1e-300):
        return None
    return float(special.fdtrc(df1, df2, shape / error))


def _without(doses: Floats, outcomes: Floats, level: float) -> tuple[float, float]:
    """The slope when one dose is left out."""
    kept = doses != level
    return float(level), float((outcomes[:, kept] @ weights_of(doses[kept])).mean())


def parse_dose(text: str) -> float:
    """A dose as written: `0.25`, `25%` or `25 %`.

    Raises:
        ValueError: no such number, or below 0.
    """
    trimmed = text.strip()
    value = float(trimmed.removesuffix("%").strip().replace(",", "."))
    value = value / 100 if trimmed.endswith("%") else value
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(text)
    return value
