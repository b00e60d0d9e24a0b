"""The right target keeps its level, and the wrong one is seen to fail, so that nobody swaps them.

Logit-normal prompts as in the methods page, section 5: mean rate about .37, effect random between prompts with standard
deviation tau on the logit scale and population mean 0. The band is the 99.9 % binomial one around .05 for 2,000 runs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from biasaudit.stats.contrast import population_estimate
from biasaudit.stats.interval import paired_variance, smoothed_variance, z_value

RUNS, N = 2_000, 50
BAND = (0.034, 0.068)
Floats = npt.NDArray[np.float64]


def simulate(prompts: int, tau: float, seed: int) -> tuple[Floats, Floats]:
    """Counts of both arms, each of shape (RUNS, prompts), out of N."""
    rng = np.random.default_rng(seed)
    level = rng.normal(-0.6, 1.0, (RUNS, prompts))
    effect = rng.normal(0.0, tau, (RUNS, prompts)) if tau else np.zeros((RUNS, prompts))
    rates = [1 / (1 + np.exp(-(level + sign * effect / 2))) for sign in (1, -1)]
    return rng.binomial(N, rates[0]).astype(float), rng.binomial(N, rates[1]).astype(float)


def fixed_rejects(x1: Floats, x0: Floats) -> float:
    prompts = x1.shape[1]
    variance = smoothed_variance(x1, N) + smoothed_variance(x0, N)  # type: ignore[arg-type]
    z = ((x1 - x0) / N).mean(axis=1) / np.sqrt(np.sum(variance, axis=1) / prompts**2)
    return float(np.mean(np.abs(z) > z_value(0.95)))


def population_rejects(x1: Floats, x0: Floats) -> float:
    found = [population_estimate(row).p for row in (x1 - x0) / N]
    return float(np.mean([p is not None and p < 0.05 for p in found]))


@pytest.mark.parametrize("prompts", [6, 18])
def test_both_targets_keep_their_level_when_no_prompt_changes(prompts: int) -> None:
    x1, x0 = simulate(prompts, 0.0, 20_100 + prompts)
    assert BAND[0] <= fixed_rejects(x1, x0) <= BAND[1]
    assert BAND[0] <= population_rejects(x1, x0) <= BAND[1]


@pytest.mark.parametrize("prompts", [6, 18])
def test_population_keeps_its_level_when_prompts_change_and_fixed_is_seen_to_fail(prompts: int) -> None:
    x1, x0 = simulate(prompts, 0.5, 20_200 + prompts)
    assert BAND[0] <= population_rejects(x1, x0) <= BAND[1]
    assert fixed_rejects(x1, x0) > 0.12


@pytest.mark.parametrize("prompts", [6, 18])
@pytest.mark.parametrize("n", [10, 40])
def test_the_paired_interval_covers_the_fixed_truth_under_coupling(prompts: int, n: int) -> None:
    rng = np.random.default_rng(20_300 + prompts + n)
    level, effect = rng.normal(-0.6, 1.0, (RUNS, prompts)), rng.normal(0.3, 0.5, (RUNS, prompts))
    p1, p0 = (1 / (1 + np.exp(-(level + sign * effect / 2))) for sign in (1, -1))
    shared = rng.random((RUNS, prompts, n)) < 0.5
    u1 = rng.random((RUNS, prompts, n))
    u0 = np.where(shared, u1, rng.random((RUNS, prompts, n)))
    moved = (u1 < p1[..., None]).astype(int) - (u0 < p0[..., None]).astype(int)
    up, down = (moved > 0).sum(axis=2), (moved < 0).sum(axis=2)
    half = z_value(0.95) * np.sqrt(np.sum(paired_variance(up, down, n), axis=1)) / prompts  # type: ignore[call-overload]
    covered = np.abs(((up - down) / n).mean(axis=1) - (p1 - p0).mean(axis=1)) <= half
    assert float(covered.mean()) >= 0.935


def test_unpaired_errors_on_coupled_pairs_would_be_far_too_wide() -> None:
    rng = np.random.default_rng(20_400)
    rates = 1 / (1 + np.exp(-rng.normal(-0.6, 1.0, (RUNS, 6))))
    shared = rng.random((RUNS, 6, N)) < 0.5
    u1 = rng.random((RUNS, 6, N))
    u0 = np.where(shared, u1, rng.random((RUNS, 6, N)))
    x1, x0 = ((u < rates[..., None]).sum(axis=2).astype(float) for u in (u1, u0))
    assert fixed_rejects(x1, x0) < 0.02


def test_the_smoothed_interval_covers_rare_outcomes_where_wald_fails() -> None:
    rng = np.random.default_rng(20_500)
    rates = np.full((RUNS, 18), 0.02)
    x1, x0 = rng.binomial(3, rates).astype(float), rng.binomial(3, rates).astype(float)
    variance = smoothed_variance(x1, 3) + smoothed_variance(x0, 3)  # type: ignore[arg-type]
    half = stats.norm.ppf(0.975) * np.sqrt(np.sum(variance, axis=1)) / 18
    assert float(np.mean(np.abs(((x1 - x0) / 3).mean(axis=1)) <= half)) >= 0.935
