"""A sensitivity of the population target for rare outcomes: t on topic means, held against what t does if topics skew.

Where hardly any completion (or nearly every one) shows the outcome, a few topics carry the difference, topic means are
skewed, and Student's quantiles leave the truth out twice as often as they say, always on the side of the larger effect
(coverage .88–.93 of a nominal .95 at rates of 2 to 5 %). No method that looks at the topic means alone mends that
with so few of them (Bahadur & Savage 1956). So t is compared with its own distribution under a model of rates that has
this skew: logit p = a ± e/2, a ~ N(μ, σ²), e ~ N(δ, ω²) over topics, completions binomial. For every difference θ in
question the model is set to θ, so that no estimate of the effect bends its own test: at θ = 0 both arms are alike.
It stands beside Student's t, which the headline and the verdict keep.

Source: bootstrap-t, Efron 1981 and Hall 1992; parametric, Davison & Hinkley 1997, §2.2; limits by inverting the test,
Carpenter 1999, JRSS B 61:159; the weight that keeps σ off 0, Chung et al. 2013, Psychometrika 78:685.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from biasaudit.results import Interval

Floats = npt.NDArray[np.float64]

RARE = 0.15
"""Outcomes that fewer than this share of completions have, or all but this share."""
DRAWS, DRAWS_AT_NULL = 999, 4_999
"""Audits of the model under each θ, and under no difference, whence p comes."""
SPREADS = np.arange(0.25, 3.01, 0.25)
"""σ that are tried, logit."""
SHIFTS = (-4.0, -2.0, -1.0, -0.4, 0.0, 0.4, 1.0, 2.0, 4.0)
"""δ at which quantiles of t are made; between them they are interpolated over θ."""
STEPS = 4_001
REACH = 40.0
"""Limits are looked for within this many standard errors, and t is cut there."""
_NODES = np.linspace(-4.5, 4.5, 121)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()
"""The normal on a grid finer than any topic's own likelihood, which Gauss' nodes are not where completions are many."""


def is_rare(mean: float) -> bool:
    """Whether a mean share is so near to 0 or 1 (but not there) that Student's t on topic means falls short."""
    return 0 < mean < RARE or 1 - RARE < mean < 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Successes and completions by topic, arrays of shape (G,)."""

    x1: Floats
    """Mean rate of the topic's prompts, times the topic's completions."""
    n1: Floats
    x0: Floats
    n0: Floats

    @property
    def mean(self) -> float:
        """Mean over topics of the mean of both arms' rates."""
        return float((self.x1 / self.n1 + self.x0 / self.n0).mean() / 2)

    @property
    def rare(self) -> bool:
        """Whether topics are so skewed that Student's t falls short; nothing at all is left to other rules."""
        return is_rare(self.mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Logit-normal rates of topics."""

    mean: float
    """Of both arms together; kept whatever the difference."""
    spread: float
    """σ."""
    effects: float
    """ω."""

    def at(self, shift: float) -> tuple[float, float]:
        """μ that gives `mean` when δ is `shift`, and the difference of rates θ that follows."""
        half = np.array([math.hypot(self.spread, self.effects / 2)])
        level = _levels(self.mean, half, shift)
        p1, p0 = (float(_means(level, half, sign * shift / 2)[0]) for sign in (1, -1))
        return float(level[0]), p1 - p0


def _levels(mean: float, spreads: Floats, shift: float) -> Floats:
    """μ for each spread of the logit, shape (S,), at which both arms' rates have the mean `mean`."""
    low, high = np.full(spreads.size, -30.0), np.full(spreads.size, 30.0)
    for _ in range(32):
        middle = (low + high) / 2
        below = _means(middle, spreads, shift / 2) + _means(middle, spreads, -shift / 2) < 2 * mean
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2, dtype=np.float64)


def _means(levels: Floats, spreads: Floats, move: float) -> Floats:
    """Mean rate where the logit has mean `levels` + `move` and standard deviation `spreads`, shapes (S,)."""
    return np.asarray(special.expit(levels[:, None] + move + spreads[:, None] * _NODES) @ _WEIGHTS, dtype=np.float64)


def fitted(counts: Counts) -> Rates:
    """σ by marginal likelihood of both arms' counts at the observed mean rate, ω by moments of log-odds ratios."""
    x, n = counts.x1 + counts.x0, counts.n1 + counts.n0
    mean = counts.mean
    # Axes: spread, node, topic.
    eta = (_levels(mean, SPREADS, 0.0)[:, None] + SPREADS[:, None] * _NODES)[..., None]
    log = x * eta - n * np.logaddexp(0.0, eta) + np.log(_WEIGHTS)[:, None]
    scores = special.logsumexp(log, axis=1).sum(axis=1) + np.log(SPREADS)
    best = int(np.argmax(scores))
    spread = float(SPREADS[best])
    if 0 < best < SPREADS.size - 1:
        below, here, above = scores[best - 1 : best + 2].tolist()
        spread += 0.5 * (below - above) / (below - 2 * here + above) * float(SPREADS[1] - SPREADS[0])
    halves = [(x + 0.5, n - x + 0.5) for x, n in ((counts.x1, counts.n1), (counts.x0, counts.n0))]
    ratios = np.log(halves[0][0] / halves[0][1]) - np.log(halves[1][0] / halves[1][1])
    noise = sum(1 / up + 1 / down for up, down in halves)
    effects = max(0.0, float(ratios.var(ddof=1)) - float(np.mean(noise)))
    return Rates(mean=mean, spread=spread, effects=math.sqrt(effects))


def statistics(
    rates: Rates, counts: Counts, shift: float, draws: int, rng: np.random.Generator
) -> tuple[float, Floats]:
    """θ, and t about θ of `draws` audits under it, ascending; an audit without any spread has −θ/0, and 0 for 0/0."""
    level, truth = rates.at(shift)
    shape = (draws, counts.n1.size)
    base = level + rates.spread * rng.standard_normal(shape)
    effect = shift + rates.effects * rng.standard_normal(shape)
    found = np.zeros(shape)
    for sign, n in ((1, counts.n1), (-1, counts.n0)):
        size = np.maximum(1, np.rint(n)).astype(np.int64)
        found += sign * rng.binomial(size, special.expit(base + sign * effect / 2)) / size
    se = np.maximum(found.std(axis=1, ddof=1), 1e-12) / math.sqrt(shape[1])
    about = 0.0 if shift == 0 else truth
    return about, np.sort(np.clip((found.mean(axis=1) - about) / se, -REACH, REACH))


def accepted(table: Floats, level: float) -> tuple[float, float]:
    """Smallest and largest t whose equal-tailed (1 + b)/(B + 1) is not below 1 − `level`; `table` ascending, (B,)."""
    out = max(0, math.ceil(round((1 - level) / 2 * (table.size + 1), 6)) - 2)
    return float(table[out]), float(table[table.size - 1 - out])


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """t on topic means, and its distribution for each θ of a grid."""

    centre: float
    se: float
    truths: Floats
    """θ, ascending, shape (K,)."""
    tables: tuple[Floats, ...]
    """Ascending t under each θ, shapes (≤ draws,)."""

    def interval(self, level: float = 0.95) -> Interval | None:
        """The θ that the equal-tailed test at 1 − `level` does not reject, and what lies between them.

        Where 0 is rejected, those beyond it are left out: no interval holds 0 against its own p.
        None where even the largest difference in reach is not rejected: so few successes bound nothing.
        """
        theta = np.append(self.centre + np.linspace(-REACH, REACH, STEPS) * self.se, (0.0, self.centre))
        theta = np.sort(theta[np.abs(theta) <= 1])
        low, high = self._quantiles(theta, level)
        t = (self.centre - theta) / self.se
        kept = (t >= low) & (t <= high)
        if not kept[theta == 0].any():
            kept &= theta * self.centre > 0
        if kept[0] or kept[-1]:
            return None
        found = [*theta[kept].tolist(), self.centre]
        return Interval(low=min(found), high=max(found), level=level, method="bootstrap-t-logit-normal")

    def _quantiles(self, theta: Floats, level: float) -> tuple[Floats, Floats]:
        """Smallest and largest t that are not rejected at each θ."""
        low, high = np.array([accepted(table, level) for table in self.tables]).T
        return np.interp(theta, self.truths, low), np.interp(theta, self.truths, high)

    def tails(self, theta: float) -> tuple[float, float]:
        """P(t ≤ observed) and P(t ≥ observed) under `theta`, each (1 + b)/(B + 1)."""
        t = (self.centre - theta) / self.se
        below = [(1 + np.searchsorted(table, t, side="right")) / (table.size + 1) for table in self.tables]
        above = [(1 + table.size - np.searchsorted(table, t, side="left")) / (table.size + 1) for table in self.tables]
        return float(np.interp(theta, self.truths, below)), float(np.interp(theta, self.truths, above))

    @property
    def p(self) -> float:
        """Two-sided, of no difference."""
        return min(1.0, 2 * min(self.tails(0.0)))


def calibrate(
    counts: Counts, *, rng: np.random.Generator, draws: int = DRAWS, at_null: int = DRAWS_AT_NULL
) -> Calibrated:
    """Topic differences' t, with its distribution under logit-normal rates.

    Args:
        counts: with a spread of differences above 0.
        rng: of the model's audits.
        draws: of them, for every θ but 0.
        at_null: of them for θ = 0.
    """
    effects = counts.x1 / counts.n1 - counts.x0 / counts.n0
    se = float(effects.std(ddof=1)) / math.sqrt(effects.size)
    rates = fitted(counts)
    seed = int(rng.integers(2**63))
    # The same stream at every θ: quantiles then differ by θ alone and hardly by chance.
    made = [
        statistics(rates, counts, shift, draws if shift else at_null, np.random.default_rng(seed)) for shift in SHIFTS
    ]
    return Calibrated(
        centre=float(effects.mean()),
        se=se,
        truths=np.array([truth for truth, _ in made]),
        tables=tuple(table for _, table in made),
    )
