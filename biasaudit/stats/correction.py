"""A scorer's rates corrected by human labels of a part of each arm: PPI++ and Rogan–Gladen.

PPI++ takes the scorer's mean over everything and adds what people say it gets wrong, prompt by prompt:
θ = Σ_j w_j [λ·f̄_U,j + mean_L,j(Y − λf)], with one λ an arm that makes the variance smallest. λ = 0 is the labels alone,
so the corrected rate is never much worse than they are, however bad the scorer. Rogan–Gladen instead inverts the
scorer's sensitivity and specificity. Both are done arm by arm, with each arm's own labels: a scorer that errs more on
one arm than on the other makes a difference out of nothing, and a shared correction leaves it there.

Source: Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453 (PPI++), stratified as in Fisch et al. 2024, arXiv
2406.04291; Rogan & Gladen 1978, doi:10.1093/oxfordjournals.aje.a112510. Arrays may have leading axes (…, P): one row a
replicate, so that simulations run these functions and no others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.results import Interval
from biasaudit.stats import interval as intervals

Floats = npt.NDArray[np.float64]
MIN_LABELS = 100
"""Labels an arm below which a correction warns (METHODS: simulated error at 100 is at most 8 %)."""
FEWEST_LABELS = 20
"""Labels an arm below which there is no correction."""
MIN_IN_STRATUM = 2
"""Labels that a stratum needs for a variance of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """One arm's scorer values f and labels y, summed by prompt; every field has shape (…, P)."""

    labelled: Floats
    y: Floats
    f: Floats
    yy: Floats
    ff: Floats
    yf: Floats
    unlabelled: Floats
    g: Floats
    """Sum of f over the completions without a label."""
    gg: Floats

    def over(self, strata: npt.NDArray[np.int64], count: int) -> Moments:
        """The same sums by stratum.

        Args:
            strata: shape (P,), the stratum of each prompt.
            count: of strata.
        """
        member = (strata[:, None] == np.arange(count)).astype(np.float64)
        return Moments(**{name: getattr(self, name) @ member for name in self.__slots__})

    def of(self, prompts: npt.NDArray[np.int64]) -> Moments:
        """The sums of some prompts."""
        return Moments(**{name: getattr(self, name)[..., prompts] for name in self.__slots__})


def moments(values: Sequence[Floats], rows: Sequence[npt.NDArray[np.int64]], labels: Sequence[Floats]) -> Moments:
    """Sums of one arm.

    Args:
        values: per prompt, the scorer's outcome of every completion, shape (N_j,).
        rows: per prompt, positions of the labelled completions, shape (n_j,).
        labels: per prompt, people's outcome of those, shape (n_j,).
    """
    found: dict[str, list[float]] = {name: [] for name in Moments.__slots__}
    for all_values, places, y in zip(values, rows, labels, strict=True):
        f = all_values[places]
        rest = np.delete(all_values, places)
        sums = (f.size, y.sum(), f.sum(), y @ y, f @ f, y @ f, rest.size, rest.sum(), rest @ rest)
        for name, value in zip(Moments.__slots__, sums, strict=True):
            found[name].append(float(value))
    return Moments(**{name: np.array(column) for name, column in found.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """One arm's corrected mean; fields have the leading shape of the moments."""

    mean: Any
    variance: Any
    weight: Any
    """λ."""
    prompts: Floats
    """Shape (…, P): every prompt's corrected mean; prompts of one stratum share its correction."""


def ppi(
    arm: Moments,
    weights: Floats,
    strata: npt.NDArray[np.int64] | None = None,
    *,
    ddof: int = 1,
    weight: float | None = None,
) -> Corrected:
    """PPI++ of one arm, power-tuned, stratified.

    Args:
        arm: its sums by prompt.
        weights: shape (P,), what each prompt counts in the headline; they add up to 1.
        strata: shape (P,), which prompts share a correction, numbered from 0; each for itself when None. Every stratum
            needs `MIN_IN_STRATUM` labels.
        ddof: 1 for unbiased variances (strata are small); 0 is what ppi-python does.
        weight: λ, when it is not to be tuned: 0 is the labels alone.
    """
    prompts = weights.size
    strata = np.arange(prompts) if strata is None else strata
    count = int(strata.max()) + 1
    by = arm.over(strata, count)
    share = np.bincount(strata, weights, count)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(arm.unlabelled > 0, weights**2 / arm.unlabelled, 0.0)
        whole = np.array([np.all(arm.unlabelled[..., strata == s] > 0, axis=-1) for s in range(count)])
        open_ = np.moveaxis(whole, 0, -1).astype(np.float64)
        spread = _variance(by.labelled + by.unlabelled, by.f + by.g, by.ff + by.gg, 1)
        covariance = (by.yf - by.y * by.f / by.labelled) / (by.labelled - 1)
        gain = open_ * share**2 * covariance / by.labelled
        cost = open_ * spread * (share**2 / by.labelled + each @ (strata[:, None] == np.arange(count)))
        tuned = np.nan_to_num(gain.sum(axis=-1) / cost.sum(axis=-1), nan=0.0, posinf=0.0, neginf=0.0)
        lam = np.clip(tuned, 0.0, 1.0) if weight is None else np.full_like(tuned, weight)
        inside = lam[..., None] * open_
        residual = (by.y - inside * by.f) / by.labelled
        unlabelled = np.nan_to_num(arm.g / arm.unlabelled)
        own = inside[..., strata] * unlabelled + residual[..., strata]
        scatter = _variance(
            by.labelled,
            by.y - inside * by.f,
            by.yy - 2 * inside * by.yf + inside**2 * by.ff,
            ddof,
        )
        known = np.where(
            arm.unlabelled > ddof,
            _variance(arm.unlabelled, arm.g, arm.gg, ddof),
            spread[..., strata],
        )
        sampling = (inside[..., strata] ** 2 * each * np.nan_to_num(known)).sum(axis=-1)
        variance = sampling + (share**2 * scatter / by.labelled).sum(axis=-1)
    return Corrected(mean=(own * weights).sum(axis=-1), variance=_floor(variance, by), weight=lam, prompts=own)


def _variance(n: Floats, total: Floats, squares: Floats, ddof: int) -> Floats:
    """Variance from sums; rounding below 0 is 0."""
    found: Floats = np.maximum(squares - total**2 / n, 0.0) / (n - ddof)
    return found


def _floor(variance: Floats, by: Moments) -> Floats:
    """Where all labels agree, the smoothed variance of a rate of 0 or 1: no number of equal labels is certainty."""
    n, y = by.labelled.sum(axis=-1), by.y.sum(axis=-1)
    alike = (y == 0) | (y == n)
    smoothed = (y + 0.5) / (n + 1)
    least: Floats = np.maximum(variance, np.where(alike, smoothed * (1 - smoothed) / n, 0.0))
    return least


def stratify(labelled: Sequence[Floats], topics: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], str] | None:
    """The finest strata in which every arm has `MIN_IN_STRATUM` labels: prompts, else topics, else the whole arm.

    Args:
        labelled: per arm, labels by prompt, shape (P,).
        topics: positions of each topic's prompts.

    Returns:
        Stratum of each prompt and what strata are (`prompt`, `topic`, `arm`); None when an arm has too few labels.
    """
    prompts = labelled[0].size
    by_topic = np.zeros(prompts, dtype=np.int64)
    for row, members in enumerate(topics):
        by_topic[list(members)] = row
    candidates = [(np.arange(prompts), "prompt"), (by_topic, "topic"), (np.zeros(prompts, dtype=np.int64), "arm")]
    for strata, name in candidates:
        if all((np.bincount(strata, counts) >= MIN_IN_STRATUM).all() for counts in labelled):
            return strata, name
    return None


# ---------------------------------------------------------------------------- Rogan–Gladen


@dataclass(frozen=True, slots=True, kw_only=True)
class RoganGladen:
    """One arm's rate with the scorer's errors inverted; fields have the leading shape of the moments."""

    rate: Any
    raw: Any
    sampling: Any
    """Variance of `raw`."""
    sensitivity: Any
    specificity: Any
    shared: Any
    """Variance of `rate` that comes from sensitivity and specificity: one error for all prompts of the arm."""
    variance: Any
    """Of `rate`, delta method: sampling and shared."""


def rogan_gladen(rate: Any, sensitivity: Any, specificity: Any) -> Any:
    """True rate from an apparent one: (rate + Sp − 1)/(Se + Sp − 1); NaN where the scorer is no better than chance."""
    skill = np.asarray(sensitivity + specificity - 1, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(skill > 0, (rate + specificity - 1) / skill, np.nan)[()]


def rogan_gladen_interval(
    successes: int, n: int, sensitivity: float, specificity: float, *, level: float = 0.95
) -> Interval:
    """Wilson's limits of the apparent rate, mapped; sensitivity and specificity are taken as known.

    Raises:
        ValueError: unless 0 ≤ `successes` ≤ `n` and `n` ≥ 1.
    """
    limits = intervals.wilson(successes, n, level=level)
    low, high = (float(rogan_gladen(limit, sensitivity, specificity)) for limit in (limits.low, limits.high))
    return Interval(low=low, high=high, level=level, method="rogan-gladen-wilson")


def rogan_gladen_arm(arm: Moments, weights: Floats) -> RoganGladen:
    """Rogan–Gladen of one arm's binary outcome with its own sensitivity and specificity.

    Args:
        arm: its sums by prompt.
        weights: shape (P,), what each prompt counts in the headline.
    """
    n = arm.labelled + arm.unlabelled
    with np.errstate(divide="ignore", invalid="ignore"):
        x = arm.f + arm.g
        raw = (weights * x / n).sum(axis=-1)
        sampling = (weights**2 * intervals.smoothed_variance(x, n)).sum(axis=-1)
        yes, both = arm.y.sum(axis=-1), arm.yf.sum(axis=-1)
        no = arm.labelled.sum(axis=-1) - yes
        neither = no - (arm.f.sum(axis=-1) - both)
        sensitivity, specificity = both / yes, neither / no
        skill = sensitivity + specificity - 1
        rate = rogan_gladen(raw, sensitivity, specificity)
        shared = rate**2 * intervals.smoothed_variance(both, yes)
        shared = (shared + (1 - rate) ** 2 * intervals.smoothed_variance(neither, no)) / skill**2
        variance = sampling / skill**2 + shared
    return RoganGladen(
        rate=rate,
        raw=raw,
        sampling=sampling,
        sensitivity=sensitivity,
        specificity=specificity,
        shared=shared,
        variance=variance,
    )


def z_interval(difference: float, variance: float, *, level: float = 0.95, method: str) -> Interval:
    """The interval of a corrected mean or difference."""
    return intervals.around(difference, intervals.z_value(level) * math.sqrt(variance), level=level, method=method)
