"""Boundaries, the confidence sequence, and what stopping by looks does to error, coverage and cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from biasaudit.stats.sequential import (
    Schedule,
    anytime_multiplier,
    anytime_rho_squared,
    boundaries,
    crossings,
    even_sizes,
    spent,
    stopping_bias,
)

Floats = npt.NDArray[np.float64]
EIGHT = tuple(k / 8 for k in range(1, 9))
SIZES = even_sizes(200, 8)
NAIVE = 1.959964


def test_eight_equal_looks_have_the_boundaries_of_the_methods_page() -> None:
    found = boundaries(EIGHT, 0.05, "obrien-fleming")
    # The page gives 5.44 and 3.89 for the first two, which its own spending function contradicts: the first is in
    # closed form z·√8 = 5.54. What lies beyond 5.4 is too rare to be simulated.
    assert found[0] == pytest.approx(NAIVE * math.sqrt(8), abs=1e-4)
    assert found[1:].round(2).tolist() == [3.92, 3.21, 2.80, 2.54, 2.35, 2.21, 2.10]
    page = [5.44, 3.89, 3.21, 2.80, 2.53, 2.35, 2.21, 2.10]
    assert crossings(EIGHT, page).sum() == pytest.approx(0.05, abs=6e-4)


def test_a_published_boundary_is_reproduced() -> None:
    # Five equal looks, O'Brien–Fleming-type spending of 2.5 % on each side (DeMets & Lan 1994; R ldbounds and gsDesign).
    fractions = [k / 5 for k in range(1, 6)]
    one_side = spent(fractions, 0.025, "obrien-fleming")
    bounds = [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]
    assert np.cumsum(crossings(fractions, bounds)) == pytest.approx(2 * one_side, abs=2e-5)
    # Two equal looks, Pocock's constant 2.178 and O'Brien–Fleming's 1.977·√2 (Jennison & Turnbull 2000, tables 2.1, 2.3).
    assert crossings([0.5, 1.0], [2.178, 2.178]).sum() == pytest.approx(0.05, abs=1e-4)
    assert crossings([0.5, 1.0], [1.977 * math.sqrt(2), 1.977]).sum() == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
@pytest.mark.parametrize("fractions", [(1.0,), EIGHT, (0.05, 0.3, 0.9, 1.0)])
def test_boundaries_spend_the_level_look_by_look(spending: Any, fractions: tuple[float, ...]) -> None:
    found = boundaries(fractions, 0.05, spending)
    spending_now = np.cumsum(crossings(fractions, found.tolist()))
    assert spending_now == pytest.approx(spent(fractions, 0.05, spending), abs=1e-8)
    assert spending_now[-1] == pytest.approx(0.05, abs=1e-8)


def test_one_look_is_the_ordinary_test() -> None:
    assert boundaries([1.0], 0.05, "obrien-fleming")[0] == pytest.approx(NAIVE, abs=1e-5)
    assert stopping_bias([1.0], [NAIVE]) == 0.0


@pytest.mark.parametrize("fractions", [[], [0.0, 1.0], [0.5, 0.5], [0.5, 1.1]])
def test_fractions_that_are_none_are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match="must increase"):
        boundaries(fractions, 0.05, "pocock")


def test_peeking_without_boundaries_errs_in_every_sixth_case() -> None:
    assert crossings(EIGHT, [NAIVE] * 8).sum() == pytest.approx(0.176, abs=0.001)


def test_the_confidence_sequence_has_the_published_width() -> None:
    rho_squared = anytime_rho_squared(1000, 0.05)
    assert math.sqrt(rho_squared) == pytest.approx(0.089085, abs=1e-6)
    assert anytime_multiplier(1000, 0.05, rho_squared) * 0.5 / math.sqrt(1000) == pytest.approx(0.047991, abs=1e-6)


@pytest.mark.parametrize("scheme", ["obrien-fleming", "pocock", "anytime"])
def test_repeated_intervals_nest_so_that_a_p_value_exists(scheme: Any) -> None:
    schedule = Schedule(scheme=scheme, sizes=SIZES)
    widths = np.array([schedule.multipliers(alpha) for alpha in (0.001, 0.01, 0.05, 0.1, 0.3)])
    assert (np.diff(widths, axis=0) < 0).all()
    errors, looks = np.array([0.02, 0.03]), np.array([2, 7])
    for alpha in (0.05, 0.1):
        assert schedule.level_of(schedule.half_width(errors, looks, alpha), errors, looks) == pytest.approx(alpha)
    assert schedule.level_of(schedule.half_width(errors, looks, 0.017), errors, looks) == pytest.approx(0.017, rel=0.02)
    assert schedule.level_of(0.0, errors, looks) == 1.0


def test_sizes_are_even_and_never_below_two() -> None:
    assert even_sizes(200, 8) == (25, 50, 75, 100, 125, 150, 175, 200)
    assert even_sizes(5, 8) == (2, 3, 4, 5)
    assert even_sizes(1, 8) == (1,)
    with pytest.raises(ValueError, match="at most 8 looks"):
        Schedule(scheme="pocock", sizes=even_sizes(200, 9))
    assert len(Schedule(scheme="anytime", sizes=even_sizes(200, 40)).sizes) == 40


# ---------------------------------------------------------------------------- simulation


def simulate(base: Floats, tuned: Floats, *, coupled: bool, runs: int, seed: int) -> tuple[Floats, Floats]:
    """Differences and their standard errors (add-½) at every look, shape (runs, prompts, looks)."""
    rng = np.random.default_rng(seed)
    steps, sizes, shape = np.diff(SIZES, prepend=0), np.array(SIZES), (runs, base.size)

    def smooth(count: Floats) -> Floats:
        found: Floats = (count + 0.5) / (sizes + 1)
        return found

    if not coupled:
        up, down = (np.stack([rng.binomial(k, p, shape) for k in steps], -1).cumsum(-1) for p in (tuned, base))
        variances = [smooth(x) * (1 - smooth(x)) / sizes for x in (up, down)]
        return (up - down) / sizes, np.sqrt(variances[0] + variances[1])
    # Half of the pairs share their uniform number, half are independent.
    rises = 0.5 * np.clip(tuned - base, 0, 1) + 0.5 * tuned * (1 - base)
    falls = 0.5 * np.clip(base - tuned, 0, 1) + 0.5 * base * (1 - tuned)
    first = [rng.binomial(k, rises, shape) for k in steps]
    second = [rng.binomial(k - u, falls / (1 - rises)) for k, u in zip(steps, first, strict=True)]
    up, down = np.stack(first, -1).cumsum(-1), np.stack(second, -1).cumsum(-1)
    a, b = smooth(up), smooth(down)
    return (up - down) / sizes, np.sqrt((a + b - (a - b) ** 2) / sizes)


def stop_each(d: Floats, se: Floats, schedule: Schedule, *, narrow: float | None = None) -> Any:
    """Per run: headline difference, interval ends, completions a prompt; a prompt stops by its own boundary or width."""
    bounds = schedule.multipliers(0.05)
    stops = bounds * se <= narrow if narrow is not None else np.abs(d) >= bounds * se
    stops[..., -1] = True
    at = stops.argmax(-1)
    d, se = (np.take_along_axis(x, at[..., None], -1)[..., 0] for x in (d, se))
    half = np.sqrt(((bounds[at] * se) ** 2).sum(-1)) / d.shape[1]
    bias = 0.0 if narrow is not None else stopping_bias(schedule.fractions, bounds.tolist())
    early = (at < len(SIZES) - 1) * se * bias
    low, high = d.mean(1) - half - (early * (d > 0)).mean(1), d.mean(1) + half + (early * (d < 0)).mean(1)
    naive = NAIVE * np.sqrt((se**2).sum(-1)) / d.shape[1]
    return d.mean(1), low, high, naive, np.array(SIZES)[at].mean()


RATES = np.random.default_rng(3).uniform(0.15, 0.6, 6)


@pytest.mark.parametrize("coupled", [False, True])
def test_the_whole_contrast_errs_in_at_most_its_share_of_runs_at_eight_looks(coupled: bool) -> None:
    d, se = simulate(RATES, RATES, coupled=coupled, runs=4000, seed=11)
    z = np.abs(d.mean(1) / (np.sqrt((se**2).sum(1)) / RATES.size))
    assert (z >= NAIVE).any(-1).mean() > 0.14, "peeking must be seen to fail"
    for scheme, least in (("obrien-fleming", 0.035), ("pocock", 0.035), ("anytime", 0.002)):
        bounds = Schedule(scheme=scheme, sizes=SIZES).multipliers(0.05)  # type: ignore[arg-type]
        error = (z >= bounds).any(-1).mean()
        assert least <= error <= 0.065, f"{scheme} errs in {error:.3f}"


@pytest.mark.parametrize("coupled", [False, True])
def test_prompts_that_stop_one_by_one_leave_the_whole_contrast_within_its_level(coupled: bool) -> None:
    schedule = Schedule(scheme="obrien-fleming", sizes=SIZES)
    opposite = np.where(np.arange(6) < 2, 0.3, -0.15)  # adds up to no difference over these prompts
    for shift in (np.zeros(6), opposite):
        d, se = simulate(RATES, np.clip(RATES + shift, 0.0, 1.0), coupled=coupled, runs=3000, seed=12)
        truth = (np.clip(RATES + shift, 0.0, 1.0) - RATES).mean()
        _, low, high, _, _ = stop_each(d, se, schedule)
        assert ((low > truth) | (high < truth)).mean() <= 0.065


@pytest.mark.parametrize("scheme", ["obrien-fleming", "anytime"])
def test_many_prompts_that_stop_by_their_own_effect_need_the_allowance_for_bias(scheme: Any) -> None:
    base, truth = np.full(60, 0.35), 0.15
    d, se = simulate(base, base + truth, coupled=False, runs=600, seed=13)
    mean, low, high, naive, _ = stop_each(d, se, Schedule(scheme=scheme, sizes=SIZES))
    missed, naively = ((low > truth) | (high < truth)).mean(), (np.abs(mean - truth) > naive).mean()
    assert missed <= 0.05
    assert naively > 0.5, "a plain interval after such stopping must be seen to fail"


def test_stopping_for_precision_biases_nothing_and_saves_completions_where_texts_agree() -> None:
    base = np.r_[np.full(9, 0.03), np.full(9, 0.4)]
    d, se = simulate(base, base, coupled=False, runs=2000, seed=14)
    _, low, high, _, size = stop_each(d, se, Schedule(scheme="pocock", sizes=SIZES), narrow=0.09)
    assert ((low > 0) | (high < 0)).mean() <= 0.05
    assert size < 170


def test_the_confidence_sequence_covers_at_all_sizes_together() -> None:
    rng = np.random.default_rng(15)
    y = rng.random((3000, 300)) < 0.35
    n = np.arange(1, 301)
    x = y.cumsum(1)
    smooth = (x + 0.5) / (n + 1)
    rho_squared = anytime_rho_squared(300, 0.05)
    half = np.array([anytime_multiplier(float(k), 0.05, rho_squared) for k in n]) * np.sqrt(smooth * (1 - smooth) / n)
    missed = (np.abs(x / n - 0.35) > half)[:, 9:].any(1).mean()
    assert missed <= 0.05


def test_a_large_effect_is_found_with_a_fraction_of_the_completions() -> None:
    d, se = simulate(RATES, RATES + 0.15, coupled=True, runs=2000, seed=16)
    z = np.abs(d.mean(1) / (np.sqrt((se**2).sum(1)) / RATES.size))
    for scheme, most in (("obrien-fleming", 80), ("anytime", 80)):
        crossed = z >= Schedule(scheme=scheme, sizes=SIZES).multipliers(0.05)  # type: ignore[arg-type]
        crossed[:, -1] = True
        size = np.array(SIZES)[crossed.argmax(-1)].mean()
        assert size < most, f"{scheme} needs {size:.0f} of 200"
