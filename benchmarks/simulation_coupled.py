"""Do coupled pairs cover exactly these prompts, and do looks keep the level? Cells of `benchmarks.simulation`.

Coupled: a share of the pairs uses one uniform number for both arms, as arms under one noise do. Looks: equal arms that
are looked at eight times, by the boundaries that a run uses, and by a reader who takes ±1.96 each time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.simulation import LEVEL, SPREAD, Floats, expit
from biasaudit.stats.interval import paired_variance, smoothed_variance, z_value
from biasaudit.stats.sequential import Schedule, Scheme, even_sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """One cell of coupled arms."""

    name: str
    prompts: int
    n: int
    effect: float = 0.3
    """Mean δ on the logit scale."""
    prompt_sd: float = 0.5
    level: float = LEVEL
    shared: float = 0.5
    """Share of pairs under one uniform number."""


COUPLED = (
    Pairs(name="coupled, 6 prompts, n 10", prompts=6, n=10),
    Pairs(name="coupled, 6 prompts, n 40", prompts=6, n=40),
    Pairs(name="coupled, 18 prompts, n 10", prompts=18, n=10),
    Pairs(name="coupled, 18 prompts, n 40", prompts=18, n=40),
    Pairs(name="coupled throughout, 18 prompts, n 40", prompts=18, n=40, shared=1.0),
    Pairs(name="coupled, 18 prompts, n 40, no prompt changes", prompts=18, n=40, effect=0.0, prompt_sd=0.0),
    Pairs(name="coupled, 18 prompts, n 40, rare outcome", prompts=18, n=40, level=-3.5),
)
LOOKED_AT: tuple[Scheme, ...] = ("obrien-fleming", "pocock", "anytime")
LOOKS, MOST, PROMPTS = 8, 200, 18


def paired(case: Pairs, runs: int, seed: int) -> dict[str, float]:
    """Coverage of the paired fixed interval, and rejections of what is there by it and by the unpaired one."""
    rng = np.random.default_rng([seed, *case.name.encode()])
    shape = (runs, case.prompts)
    level = rng.normal(case.level, SPREAD, shape)
    effect = case.effect + case.prompt_sd * rng.normal(0.0, 1.0, shape)
    p1, p0 = expit(level + effect / 2), expit(level - effect / 2)
    counts = [np.zeros(shape) for _ in range(4)]
    for _ in range(case.n):
        together = rng.random(shape) < case.shared
        u1 = rng.random(shape)
        u0 = np.where(together, u1, rng.random(shape))
        y1, y0 = u1 < p1, u0 < p0
        for held, found in zip(counts, (y1 & ~y0, y0 & ~y1, y1, y0), strict=True):
            held += found
    up, down, x1, x0 = counts
    centre, truth = ((up - down) / case.n).mean(axis=1), (p1 - p0).mean(axis=1)
    half = _half(np.asarray(paired_variance(up, down, case.n)))
    apart = _half(smoothed_variance(x1, case.n) + smoothed_variance(x0, case.n))
    return {
        "fixed_covers": float(np.mean(np.abs(centre - truth) <= half)),
        "fixed_rejects": float(np.mean(np.abs(centre) > half)),
        "unpaired_rejects": float(np.mean(np.abs(centre) > apart)),
    }


def _half(variance: Floats) -> Floats:
    """Half-width of the mean over prompts, shape (R, P) -> (R,)."""
    found: Floats = z_value(0.95) * np.sqrt(variance.sum(axis=1)) / variance.shape[1]
    return found


def looked(scheme: Scheme, runs: int, seed: int) -> dict[str, float]:
    """How often equal arms are called different in eight looks: by the scheme's boundaries, and at ±1.96."""
    rng = np.random.default_rng([seed, *scheme.encode()])
    sizes = even_sizes(MOST, LOOKS)
    rates = expit(rng.normal(LEVEL, SPREAD, (runs, PROMPTS)))
    x1, x0 = np.zeros_like(rates), np.zeros_like(rates)
    z, before = [], 0
    for size in sizes:
        x1 += rng.binomial(size - before, rates)
        x0 += rng.binomial(size - before, rates)
        before = size
        variance = smoothed_variance(x1, size) + smoothed_variance(x0, size)
        z.append(np.abs((x1 - x0).mean(axis=1) / size) / (np.sqrt(variance.sum(axis=1)) / PROMPTS))
    bounds = Schedule(scheme=scheme, sizes=sizes).multipliers(0.05)
    seen = np.stack(z, axis=1)
    return {
        "rejects": float(np.mean((seen > np.asarray(bounds)).any(axis=1))),
        "peeking_rejects": float(np.mean((seen > z_value(0.95)).any(axis=1))),
    }
