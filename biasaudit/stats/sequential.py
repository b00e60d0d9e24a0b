"""Looking more than once: boundaries that spend a level over registered looks, and a confidence sequence.

An estimate that is looked at k times at a fixed 5 % level errs in about 17 % of all cases at eight looks. Two cures:

- **Boundaries** (group-sequential): the level is spent over at most eight looks at sizes fixed in advance. The error
  spent by information fraction t is Lan & DeMets' function α(t); the boundary of each look follows by the recursive
  numerical integration of Armitage, McPherson & Rowe. `estimate ± boundary × SE` at every look is a repeated
  confidence interval: all of them hold together with probability 1 − α, whatever rule stopped the sampling.
- **Anytime**: an asymptotic confidence sequence holds at all sizes together, so any number of looks is allowed.

Both know sampling error alone: they belong to the target FIXED.

Sources: Armitage, McPherson & Rowe 1969, JRSS A 132:235; O'Brien & Fleming 1979, Biometrics 35:549; Lan & DeMets 1983,
Biometrika 70:659; Jennison & Turnbull 1989, JRSS B 51:305 (repeated confidence intervals); Waudby-Smith, Arbour,
Sinha, Kennedy & Ramdas 2024, Annals of Statistics 52:2613 (asymptotic confidence sequence, with ρ² of its appendix).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

Floats = npt.NDArray[np.float64]
Spending = Literal["obrien-fleming", "pocock"]
Scheme = Literal["obrien-fleming", "pocock", "anytime"]

MAX_LOOKS = 8
"""Looks that boundaries are offered for; a confidence sequence allows any number."""
NODES = 128
"""Gauss–Legendre nodes of one look's integral; 256 change no boundary by 1e-9."""
UNIT, WEIGHTS = np.polynomial.legendre.leggauss(NODES)
NEVER = 37.0
"""A bound whose tail is the smallest number that a double holds."""
DRIFTS = tuple(np.arange(0.5, 8.25, 0.25).tolist())
"""True effects, in expectations of z at the last look, among which the largest bias is sought."""
LEVELS = tuple(np.geomspace(1e-9, 0.9, 60).tolist())
"""Levels at which a scheme's multipliers are tabulated, besides α and 2α; p-values between them are interpolated."""


def spent(fractions: Sequence[float], alpha: float, spending: Spending) -> Floats:
    """Two-sided error spent by each information fraction (Lan & DeMets 1983); all of `alpha` at 1.

    Args:
        fractions: increasing, above 0 and at most 1.
        alpha: two-sided level.
        spending: `obrien-fleming`, 2 − 2Φ(z_{α/2}/√t), hardly spends early; `pocock`, α·ln(1 + (e−1)·t), spends evenly.
    """
    t = np.asarray(fractions, dtype=np.float64)
    if spending == "obrien-fleming":
        found: Floats = 2 * special.ndtr(special.ndtri(alpha / 2) / np.sqrt(t))
    else:
        found = alpha * np.log1p((math.e - 1) * t)
    return found


def boundaries(fractions: Sequence[float], alpha: float, spending: Spending) -> Floats:
    """Two-sided boundaries for |z| that spend `alpha` at looks with these information fractions.

    Eight equal looks at 5 % with O'Brien–Fleming-type spending: 5.54 3.92 3.21 2.80 2.54 2.35 2.21 2.10. The constant
    boundary c·√(K/k) of O'Brien & Fleming themselves would be 5.86 … 2.07.

    Raises:
        ValueError: unless fractions increase, and lie above 0 and at most at 1.
    """
    t = np.asarray(fractions, dtype=np.float64)
    if t.size == 0 or t[0] <= 0 or t[-1] > 1 or bool((np.diff(t) <= 0).any()):
        raise ValueError(f"information fractions must increase from above 0 to at most 1, got {list(fractions)}")
    steps = np.diff(spent(fractions, alpha, spending), prepend=0.0)
    walk = _Walk()
    found = []
    for fraction, step in zip(t, steps, strict=True):
        found.append(walk.boundary(float(fraction), float(step)))
        walk.advance(float(fraction), found[-1])
    return np.array(found)


def crossings(fractions: Sequence[float], bounds: Sequence[float], drift: float = 0.0) -> Floats:
    """Probability of first leaving (−bound, bound) at each look, shape (K,).

    Args:
        fractions: information fractions of the looks.
        bounds: for |z|.
        drift: expectation of z at information fraction 1; 0 is the null hypothesis.
    """
    walk = _Walk(drift)
    found = []
    for fraction, bound in zip(fractions, bounds, strict=True):
        found.append(walk.outside(fraction, bound))
        walk.advance(fraction, bound)
    return np.array(found)


class _Walk:
    """Brownian motion at the looks, killed where it leaves: the density of what goes on, on Gauss–Legendre nodes."""

    def __init__(self, drift: float = 0.0) -> None:
        self.drift = drift
        self.at = 0.0
        self.places: Floats = np.zeros(1)
        self.masses: Floats = np.ones(1)

    def outside(self, fraction: float, bound: float) -> float:
        """Probability of going on until now and of |z| ≥ `bound` at `fraction`."""
        spread, edge = math.sqrt(fraction - self.at), bound * math.sqrt(fraction)
        centre = self.places + self.drift * (fraction - self.at)
        tails = special.ndtr((centre - edge) / spread) + special.ndtr((-centre - edge) / spread)
        return float((self.masses * tails).sum())

    def boundary(self, fraction: float, probability: float) -> float:
        """The bound that is passed with `probability` at `fraction`."""
        if probability >= self.outside(fraction, 0.0):
            return 0.0
        if probability <= self.outside(fraction, NEVER):
            return NEVER
        return float(optimize.brentq(lambda b: self.outside(fraction, b) - probability, 0.0, NEVER, xtol=1e-10))

    def error(self, fraction: float, bound: float) -> tuple[float, float]:
        """Mean error of the drift's estimate, and mean standard error, over the paths that leave at `fraction`."""
        spread, edge = math.sqrt(fraction - self.at), bound * math.sqrt(fraction)
        centre = self.places + self.drift * (fraction - self.at)
        total, leaving = np.zeros(NODES if self.at else 1), np.zeros(NODES if self.at else 1)
        for sign in (1.0, -1.0):
            beyond = (sign * centre - edge) / spread
            tail, density = special.ndtr(beyond), np.exp(-0.5 * beyond**2) / math.sqrt(2 * math.pi)
            total += sign * (sign * centre * tail + spread * density) - self.drift * fraction * tail
            leaving += tail
        return float((self.masses * total).sum()) / fraction, float((self.masses * leaving).sum()) / math.sqrt(fraction)

    def advance(self, fraction: float, bound: float) -> None:
        """Go on from inside the bound at `fraction`."""
        spread, edge = math.sqrt(fraction - self.at), bound * math.sqrt(fraction)
        places = UNIT * edge
        centre = self.places + self.drift * (fraction - self.at)
        density = np.exp(-0.5 * ((places[None, :] - centre[:, None]) / spread) ** 2) / (spread * math.sqrt(2 * math.pi))
        self.masses = (self.masses @ density) * WEIGHTS * edge
        self.places, self.at = places, fraction


def stopping_bias(fractions: Sequence[float], bounds: Sequence[float]) -> float:
    """Largest mean error of an estimate that its own boundary may stop, per standard error of those stopped early.

    An estimate that stops when it is large is too large on average. Over all true effects the mean error is at most
    this number times the mean, over all outcomes, of the standard error where the boundary stopped it before the last
    look (and 0 where it did not). Many such estimates add up their errors, while chance averages out: an interval of
    their mean must allow for it. 0 with one look.
    """
    worst = 0.0
    for drift in DRIFTS:
        walk = _Walk(drift)
        error = early = 0.0
        for look, (fraction, bound) in enumerate(zip(fractions, bounds, strict=True), start=1):
            last = look == len(fractions)
            off, standard = walk.error(fraction, 0.0 if last else bound)
            error += off
            if not last:
                early += standard
                walk.advance(fraction, bound)
        worst = max(worst, error / early if early > 0 else 0.0)
    return worst


def anytime_rho_squared(n_star: float, alpha: float) -> float:
    """Mixture variance ρ² that makes the confidence sequence narrowest near `n_star` (Waudby-Smith et al. 2024)."""
    return (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / n_star


def anytime_multiplier(n: float, alpha: float, rho_squared: float) -> float:
    """Standard errors on each side of the mean in the asymptotic confidence sequence at size `n`.

    √(2(nρ²+1)/(nρ²) · log(√(nρ²+1)/α)), so that times σ̂/√n gives the half-width in the unit of the data.
    """
    grown = n * rho_squared + 1
    return math.sqrt(2 * grown / (n * rho_squared) * math.log(math.sqrt(grown) / alpha))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The sizes at which a run is looked at, fixed before the first completion, and what a look may conclude."""

    scheme: Scheme
    sizes: tuple[int, ...]
    """Completions a prompt at each look, increasing; the last is the most."""
    alpha: float = 0.05
    """Level at which the run decides; intervals and p-values agree at it, and at its double, to the last digit."""
    _levels: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _table: Floats = field(init=False, repr=False, compare=False)
    """Multipliers by level and look, shape (len(_levels), K)."""

    def __post_init__(self) -> None:
        """Tabulate the multipliers.

        Raises:
            ValueError: sizes do not increase, or are more than `MAX_LOOKS` under boundaries.
        """
        if self.scheme != "anytime" and len(self.sizes) > MAX_LOOKS:
            raise ValueError(f"boundaries are for at most {MAX_LOOKS} looks, got {len(self.sizes)}")
        object.__setattr__(self, "_levels", tuple(sorted({*LEVELS, self.alpha, 2 * self.alpha})))
        object.__setattr__(self, "_table", np.array([self.multipliers(level) for level in self._levels]))

    @property
    def fractions(self) -> tuple[float, ...]:
        """Information fraction at each look: its size over the last one's."""
        return tuple(size / self.sizes[-1] for size in self.sizes)

    def multipliers(self, alpha: float) -> Floats:
        """Standard errors on each side of the estimate at each look, shape (K,), together at level 1 − `alpha`."""
        if self.scheme == "anytime":
            # One ρ for all levels, so that intervals nest.
            rho_squared = anytime_rho_squared(self.sizes[-1], self.alpha)
            return np.array([anytime_multiplier(size, alpha, rho_squared) for size in self.sizes])
        return boundaries(self.fractions, alpha, self.scheme)

    def spent(self, alpha: float) -> Floats:
        """Error spent by each look; a confidence sequence has spent no share that could be named: `alpha` at once."""
        if self.scheme == "anytime":
            return np.full(len(self.sizes), alpha)
        return spent(self.fractions, alpha, self.scheme)

    def half_width(self, errors: Floats, looks: npt.NDArray[np.int64], alpha: float) -> float:
        """Half-width of the repeated interval of a sum of independent estimates.

        Args:
            errors: shape (P,), standard error of each estimate, times its weight.
            looks: shape (P,), position of the look at which each was last counted.
            alpha: 1 − level.

        Each estimate is widened by the multiplier of its own look, and the parts add as independent errors do.
        """
        known = self._table[self._levels.index(alpha)] if alpha in self._levels else self.multipliers(alpha)
        return math.sqrt(float(((errors * known[looks]) ** 2).sum()))

    def level_of(self, width: float, errors: Floats, looks: npt.NDArray[np.int64]) -> float:
        """The level at which the repeated interval has half-width `width`: the repeated p-value of such an effect.

        Interpolated in log α between levels, exact at `alpha` and its double; 1 below the
        narrowest and 1e-9 at the least.
        """
        widths = np.sqrt((errors**2) @ (self._table[:, looks] ** 2).T)  # falls with the level
        if width <= widths[-1]:
            return 1.0
        logs = np.log(np.array(self._levels))
        return float(np.exp(np.interp(-width, -widths, logs)))


def even_sizes(most: int, looks: int, least: int = 2) -> tuple[int, ...]:
    """At most `looks` sizes at equal distances up to `most`, none below `least`."""
    sizes = {max(least, math.ceil(most * k / looks)) for k in range(1, looks + 1)}
    return tuple(sorted(size for size in sizes if size <= most)) or (most,)
