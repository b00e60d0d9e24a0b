"""Permutation tests: what the labels of the arms could have done by chance alone.

The null hypothesis is sharp: within every prompt the arm makes no difference to any completion. So these p-values
belong to the FIXED target only, except `sign_flip`, which flips whole topics.

Source: the exact stratified test equals R's `mantelhaen.test(exact=TRUE)`; the exact paired test of a binary outcome is
McNemar's; Monte-Carlo p-values are (1+b)/(B+1) (Phipson & Smyth 2010); sign flips of clusters after Canay, Romano &
Shaikh 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TIE = 1e-9
"""Relative slack under which two probabilities or statistics count as equal."""
NEGLIGIBLE = 1e-20
"""Probabilities below this, at the ends of a convolution, are dropped."""
DRAWS = 9_999
EXACT_FLIPS = 16
"""Up to this many non-zero units all 2^k signs are enumerated."""
CHUNK_BYTES = 64 * 2**20


def _hypergeometric(total: int, marked: int, drawn: int) -> tuple[int, Floats]:
    """Smallest support point and the pmf of the marked among `drawn` of `total`."""
    low, high = max(0, drawn + marked - total), min(drawn, marked)
    k = np.arange(low, high + 1, dtype=np.float64)
    log = _log_choose(marked, k) + _log_choose(total - marked, drawn - k)
    log = log - _log_choose(total, np.float64(drawn))
    pmf = np.exp(log)
    return low, pmf / pmf.sum()


def _log_choose(n: int, k: Floats | np.float64) -> Floats:
    """Log of the binomial coefficient."""
    value: Floats = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return value


def _trim(start: int, pmf: Floats) -> tuple[int, Floats]:
    """Drop negligible ends, so that thousands of prompts stay cheap."""
    kept = np.flatnonzero(pmf > NEGLIGIBLE)
    return start + int(kept[0]), pmf[kept[0] : kept[-1] + 1]


def _two_sided(start: int, pmf: Floats, observed: int) -> float:
    """Sum of the probabilities that are no larger than the observed one's."""
    place = observed - start
    if not 0 <= place < pmf.size:
        return NEGLIGIBLE * pmf.size
    p = float(pmf[pmf <= pmf[place] * (1 + TIE)].sum())
    return min(1.0, p)


def stratified_exact(x1: Sequence[int], n1: Sequence[int], x0: Sequence[int], n0: Sequence[int]) -> float:
    """Exact two-sided p-value that arm and binary outcome are unrelated within every prompt.

    The statistic is the total Σ x1; given each prompt's margins it is a sum of independent hypergeometric counts.

    Args:
        x1: successes of the first arm, one a prompt.
        n1: completions of the first arm, one a prompt.
        x0: successes of the second arm.
        n0: completions of the second arm.
    """
    start, pmf = 0, np.ones(1)
    for a, m, b, n in zip(x1, n1, x0, n0, strict=True):
        low, stratum = _hypergeometric(m + n, a + b, m)
        start, pmf = _trim(start + low, np.convolve(pmf, stratum))
    return _two_sided(start, pmf, int(sum(x1)))


def unconditional(x1: int, n1: int, x0: int, n0: int, test: str) -> float:
    """Two-sided p-value that two independent rates are equal, for arms whose total of successes was not fixed.

    Args:
        x1: successes of the first arm.
        n1: completions of the first arm.
        x0: successes of the second arm.
        n0: completions of the second arm.
        test: `barnard` (pooled Wald statistic) or `boschloo` (Fisher's p as the statistic); both by scipy.

    Source: Barnard 1945; Boschloo 1970.
    """
    from scipy.stats import barnard_exact, boschloo_exact  # half a second, which other audits do not pay

    if x1 + x0 in (0, n1 + n0):
        return 1.0
    found = (barnard_exact if test == "barnard" else boschloo_exact)([[x1, x0], [n1 - x1, n0 - x0]])
    return min(1.0, float(found.pvalue))


def paired_exact(up: int, down: int) -> float:
    """Exact two-sided p-value of McNemar's test: arms swap within pairs, so discordant pairs are fair coins.

    Swapping within prompts gives Σ Binomial(discordant_j, ½) = Binomial(Σ discordant_j, ½): only the totals matter.
    """
    n = up + down
    k = np.arange(n + 1, dtype=np.float64)
    pmf = np.exp(_log_choose(n, k) - n * np.log(2.0))
    return _two_sided(0, pmf, up)


def sign_flip(units: Floats, *, draws: int = DRAWS, rng: np.random.Generator) -> float:
    """Two-sided p-value that independent units are symmetric around zero; the statistic is their sum.

    Args:
        units: shape (K,), already weighted; zeros are allowed and carry no information.
        draws: random sign vectors when more than `EXACT_FLIPS` units are not zero.
        rng: source of the signs.
    """
    units = units[units != 0.0]
    if units.size == 0:
        return 1.0
    threshold = abs(float(units.sum())) * (1 - TIE)
    if units.size <= EXACT_FLIPS:
        sums = np.zeros(1)
        for unit in units:
            sums = np.concatenate([sums + unit, sums - unit])
        return float(np.mean(np.abs(sums) >= threshold))
    extreme = 0
    chunk = max(1, CHUNK_BYTES // (4 * units.size))
    total = float(units.sum())
    doubled = (2.0 * units).astype(np.float64)
    width = (units.size + 7) // 8
    for first in range(0, draws, chunk):
        rows = min(chunk, draws - first)
        bits = np.unpackbits(rng.integers(0, 256, (rows, width), dtype=np.uint8), axis=1, count=units.size)
        extreme += int(np.count_nonzero(np.abs(bits @ doubled - total) >= threshold))
    return (1 + extreme) / (draws + 1)


def within_prompts(
    tuned: Sequence[Floats],
    reference: Sequence[Floats],
    weights: Floats,
    *,
    draws: int = DRAWS,
    rng: np.random.Generator,
) -> float:
    """Monte-Carlo two-sided p-value of a weighted mean difference, labels permuted within each prompt.

    Args:
        tuned: per prompt, the values of the first arm, shape (n1_j,).
        reference: per prompt, the values of the second arm, shape (n0_j,).
        weights: shape (P,), the weight of each prompt's mean difference.
        draws: permutations.
        rng: source of the permutations.
    """
    sizes = [(y1.size, y0.size) for y1, y0 in zip(tuned, reference, strict=True)]
    pooled = [np.concatenate([y1, y0]) for y1, y0 in zip(tuned, reference, strict=True)]
    units = [
        float(weight) * (1 / n1 + 1 / n0) * (values - values.mean())
        for values, weight, (n1, n0) in zip(pooled, weights, sizes, strict=True)
    ]
    observed = sum(float(unit[:n1].sum()) for unit, (n1, _) in zip(units, sizes, strict=True))
    statistics = np.zeros(draws)
    wide = []
    for unit, size in zip(units, sizes, strict=True):
        values, counts = np.unique(unit, return_counts=True)
        if values.size > 2:
            wide.append((unit, size))
        elif values.size == 2:
            high = rng.hypergeometric(counts[1], counts[0], size[0], size=draws)
            statistics += high * values[1] + (size[0] - high) * values[0]
    _add_permuted(statistics, wide, rng)
    slack = TIE * max(abs(observed), float(np.abs(statistics).max(initial=0.0)))
    extreme = int(np.count_nonzero(np.abs(statistics) >= abs(observed) - slack))
    return (1 + extreme) / (draws + 1)


def _add_permuted(
    statistics: Floats, prompts: Sequence[tuple[Floats, tuple[int, int]]], rng: np.random.Generator
) -> None:
    """Add to each draw, shape (B,), what a random choice of n1 out of n1 + n0 values sums to, prompt by prompt.

    All prompts share one set of random orders, each prompt going through it in an order of its own: every draw of
    every prompt stays a uniform choice, at a fraction of the time. A uniform order of many items orders the first few
    of them uniformly, so that prompts of all sizes can share it.
    """
    if not prompts:
        return
    sizes = {size for _, size in prompts}
    most = max(n1 + n0 for n1, n0 in sizes)
    rows = max(1, CHUNK_BYTES // (most * (4 + 8 * len(sizes))))
    for first in range(0, statistics.size, rows):
        part = statistics[first : first + rows]
        orders = rng.permuted(np.tile(np.arange(most, dtype=np.int32), (part.size, 1)), axis=1)
        banks = {size: _first_of(orders, *size) for size in sorted(sizes)}
        for unit, size in prompts:
            part += (banks[size] @ unit)[rng.permutation(part.size)]


def _first_of(orders: npt.NDArray[np.int32], n1: int, n0: int) -> Floats:
    """Ones for the `n1` out of `n1` + `n0` items that come first in each order, shape (draws, n1 + n0), else zeros."""
    places = orders[:, : n1 + n0]
    last = np.partition(places, n1 - 1, axis=1)[:, n1 - 1]
    return (places <= last[:, None]).astype(np.float64)
