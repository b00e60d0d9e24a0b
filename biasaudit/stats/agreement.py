"""How far people agree: Cohen κ, Fleiss κ, Krippendorff α, Gwet AC1, with intervals by bootstrap over items.

Every coefficient is a function of sums over items, so a bootstrap draw is a row of item weights: `weights` below, shape
(draws, items); the estimate is the draw whose weights are all 1. Undefined values (everybody said one and the same) are
NaN here and None in what is reported.

Sources: Cohen 1960, doi:10.1177/001316446002000104; Fleiss 1971, doi:10.1037/h0031619, with Gwet's extension to items
of unequal numbers of raters; Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; Gwet 2008,
doi:10.1348/000711006X126600.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from biasaudit.results import Interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DRAWS = 2000
TABLES = 9999
FEWEST = 10
"""Items below which a bootstrap knows nothing."""
EXTREME = 0.8
"""Share of one label from which chance agreement eats κ and α, so that AC1 is shown beside them."""


def label_counts(codes: Ints, labels: int) -> Floats:
    """How often every item got each label.

    Args:
        codes: label of each item by each rater, shape (items, raters); -1 is none.
        labels: how many there are.

    Returns:
        Shape (items, labels).
    """
    return np.stack([(codes == label).sum(axis=1) for label in range(labels)], axis=1).astype(np.float64)


def cohen_kappa(codes: Ints, labels: int, weights: Floats | None = None) -> Floats:
    """Cohen's κ of two raters, over the items that both labelled.

    Args:
        codes: shape (items, 2); -1 is none.
        labels: how many there are.
        weights: shape (draws, items).

    Returns:
        Shape (draws,).
    """
    both = (codes >= 0).all(axis=1)
    pairs = np.zeros((codes.shape[0], labels * labels))
    pairs[np.flatnonzero(both), codes[both, 0] * labels + codes[both, 1]] = 1
    table = (_ones(codes, weights) @ pairs).reshape(-1, labels, labels)
    total = table.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(table, axis1=1, axis2=2) / total
        expected = (table.sum(axis=1) * table.sum(axis=2)).sum(axis=1) / total**2
        return _ratio(observed - expected, 1 - expected)


def fleiss_kappa(counts: Floats, weights: Floats | None = None) -> Floats:
    """Fleiss' κ; items that fewer than two labelled say nothing of agreement.

    Args:
        counts: shape (items, labels), from `label_counts`.
        weights: shape (draws, items).

    Returns:
        Shape (draws,).
    """
    observed, shares = _agreeing(counts, _ones(counts, weights))
    expected = (shares**2).sum(axis=1)
    return _ratio(observed - expected, 1 - expected)


def gwet_ac1(counts: Floats, weights: Floats | None = None) -> Floats:
    """Gwet's AC1: like `fleiss_kappa`, with a chance agreement that stays small where one label is almost all."""
    observed, shares = _agreeing(counts, _ones(counts, weights))
    expected = (shares * (1 - shares)).sum(axis=1) / (counts.shape[1] - 1)
    return _ratio(observed - expected, 1 - expected)


def krippendorff_alpha(counts: Floats, values: Sequence[float] | None = None, weights: Floats | None = None) -> Floats:
    """Krippendorff's α: nominal, or interval where every label has a value.

    Args:
        counts: shape (items, labels), from `label_counts`.
        values: of the labels, for the interval metric.
        weights: shape (draws, items).

    Returns:
        Shape (draws,).
    """
    labels = counts.shape[1]
    raters = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(labels)
    there = raters >= 2
    pairs = np.where(there[:, None, None], pairs, 0) / np.where(there, raters - 1, 1)[:, None, None]
    coincidences = (_ones(counts, weights) @ pairs.reshape(len(counts), -1)).reshape(-1, labels, labels)
    if values is None:
        distance = 1 - np.eye(labels)
    else:
        points = np.asarray(values, dtype=np.float64)
        distance = (points[:, None] - points[None, :]) ** 2
    margins = coincidences.sum(axis=2)
    total = margins.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = (coincidences * distance).sum(axis=(1, 2)) / total
        chance = np.einsum("bi,bj,ij->b", margins, margins, distance) / (total * (total - 1))
        return 1 - _ratio(seen, chance)


def percent_agreement(counts: Floats, weights: Floats | None = None) -> Floats:
    """Share of pairs of raters that agree, item by item, then their mean; shape (draws,)."""
    return _agreeing(counts, _ones(counts, weights))[0]


def with_interval(
    statistic: Callable[[Floats], Floats],
    items: int,
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    level: float = 0.95,
) -> tuple[float | None, Interval | None]:
    """A coefficient and its percentile interval by bootstrap over items.

    Args:
        statistic: weights of shape (draws, items) -> values of shape (draws,).
        items: how many there are.
        rng: of the bootstrap.
        draws: of it.
        level: of the interval.

    Returns:
        None for what is undefined; no interval for fewer than `FEWEST` items, where more than one draw in twenty is
        undefined, or where nothing differs between items, of which a bootstrap would make a certainty.
    """
    estimate = float(statistic(np.ones((1, items)))[0]) if items else float("nan")
    if not np.isfinite(estimate):
        return None, None
    found = statistic(rng.multinomial(items, np.full(items, 1 / items), size=draws).astype(np.float64))
    found = found[np.isfinite(found)]
    if items < FEWEST or found.size < 0.95 * draws or found.min() == found.max():
        return estimate, None
    low, high = np.quantile(found, ((1 - level) / 2, (1 + level) / 2))
    return estimate, Interval(low=float(low), high=float(high), level=level, method=f"bootstrap over {items} items")


def stratified_chi2(
    tables: Sequence[Ints], *, rng: np.random.Generator, draws: int = TABLES
) -> tuple[float, float | None]:
    """Do labels depend on where they were given? Σ (O−E)²/E over strata, and p by tables of the same margins.

    Args:
        tables: one of counts, shape (places, labels), for every stratum.
        rng: of the draws.
        draws: tables a stratum.

    Returns:
        The statistic, and p = (1 + draws at least as large) / (1 + draws); None when nothing can vary.
    """
    from scipy.stats import random_table  # half a second, which an analysis without labels does not pay

    observed, drawn = 0.0, np.zeros(draws)
    varies = False
    for table in tables:
        kept = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
        if min(kept.shape) < 2:
            continue
        varies = True
        rows, columns = kept.sum(axis=1), kept.sum(axis=0)
        expected = np.outer(rows, columns) / kept.sum()
        observed += float(((kept - expected) ** 2 / expected).sum())
        random = random_table(rows, columns, seed=rng).rvs(size=draws)
        drawn += ((random - expected) ** 2 / expected).sum(axis=(1, 2))
    if not varies:
        return 0.0, None
    return observed, float((1 + (drawn >= observed * (1 - 1e-9)).sum()) / (1 + draws))


def prevalence(counts: Floats) -> float:
    """Share of the most frequent label; 0 without labels."""
    total = counts.sum()
    return float(counts.sum(axis=0).max() / total) if total else 0.0


def _agreeing(counts: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Observed agreement, shape (draws,), and shares of labels, shape (draws, labels)."""
    raters = counts.sum(axis=1)
    there = raters >= 2
    pairs = np.where(there, (counts * (counts - 1)).sum(axis=1), 0) / np.where(there, raters * (raters - 1), 1)
    shares = counts / np.maximum(raters, 1)[:, None] * there[:, None]
    total = weights @ there.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights @ pairs / total, weights @ shares / total[:, None]


def _ones(rows: npt.NDArray[np.generic], weights: Floats | None) -> Floats:
    return np.ones((1, rows.shape[0])) if weights is None else weights


def _ratio(above: Floats, below: Floats) -> Floats:
    """`above / below`; NaN where nothing is left to explain."""
    found = np.full(above.shape, np.nan)
    np.divide(above, below, out=found, where=below > 1e-12)
    return found
