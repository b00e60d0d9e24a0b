"""Robust companions of a mean difference: Cliff's delta, Brunner–Munzel, and what happens in the tail.

Always inside one prompt: pooled over prompts, ranks measure the level of the prompt.

Densities for a figure (`ridges`) describe; they weigh prompts as the headline does.

Source: Cliff 1993; Brunner & Munzel 2000 (equal to scipy's `brunnermunzel`, but defined where a group does not vary).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.stats.interval import t_two_sided, t_value

Floats = npt.NDArray[np.float64]

TAIL = 0.95
"""The tail begins at this quantile of the reference arm's outcomes, all prompts together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superiority:
    """How often one sample's value is the larger, ties half."""

    share: float
    """P(X > Y) + ½ P(X = Y)."""
    statistic: float | None
    """None where both samples are constant."""
    df: float | None
    p: float | None
    low: float | None
    high: float | None
    """95 % limits of `share`, cut at 0 and 1."""


def midranks(values: Floats) -> Floats:
    """Ranks from 1, ties at their mean, shape of `values` (n,)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[place], dtype=np.float64)


def cliff(x: Floats, y: Floats) -> float:
    """Cliff's delta: P(X > Y) − P(X < Y), shapes (n,) and (m,)."""
    order = np.sort(y)
    below = np.searchsorted(order, x, side="left").sum()
    above = y.size * x.size - np.searchsorted(order, x, side="right").sum()
    return float((below - above) / (x.size * y.size))


def brunner_munzel(x: Floats, y: Floats) -> Superiority:
    """Test that P(X > Y) + ½ P(X = Y) = ½, variances unequal; t with Satterthwaite's df.

    Args:
        x: shape (n,), at least two values.
        y: shape (m,), at least two values.

    Raises:
        ValueError: fewer than two values.
    """
    n, m = x.size, y.size
    if min(n, m) < 2:
        raise ValueError(f"need two values a sample, got {n} and {m}")
    ranks = midranks(np.concatenate([x, y]))
    placed_x, placed_y = ranks[:n] - midranks(x), ranks[n:] - midranks(y)
    share = float(placed_x.mean()) / m
    v_x, v_y = float(placed_x.var(ddof=1)) / m**2 / n, float(placed_y.var(ddof=1)) / n**2 / m
    if v_x + v_y <= 0:
        return Superiority(share=share, statistic=None, df=None, p=None, low=None, high=None)
    se = math.sqrt(v_x + v_y)
    df = (v_x + v_y) ** 2 / (v_x**2 / (n - 1) + v_y**2 / (m - 1))
    half = t_value(0.95, df) * se
    statistic = (share - 0.5) / se
    return Superiority(
        share=share,
        statistic=statistic,
        df=df,
        p=t_two_sided(statistic, df),
        low=max(0.0, share - half),
        high=min(1.0, share + half),
    )


def centred_ranks(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Midranks of both samples together, scaled so that the difference of their means is Cliff's delta.

    Labels may be permuted over them: pooled ranks do not depend on labels.
    """
    total = x.size + y.size
    ranks = 2 * midranks(np.concatenate([x, y])) / total
    return ranks[: x.size], ranks[x.size :]


def tail_threshold(reference: Sequence[Floats]) -> float:
    """Where the tail begins: a quantile of the reference arm, prompts together."""
    return float(np.quantile(np.concatenate(list(reference)), TAIL))


QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
GRID = 81
"""Points of a drawn density."""
BINS = 640
"""Values are counted in so many bins before they are smoothed: eight a point of the grid."""


def ridges(samples: Sequence[Sequence[Floats]], weights: Floats) -> dict[str, Any] | None:
    """Densities of several arms on one grid with one bandwidth, so that only the data differ; and their quantiles.

    Args:
        samples: arm by arm, each prompt's values, shape (n_jk,); prompts in the same order.
        weights: shape (P,), what each prompt counts.

    Returns:
        `low` and `high` of the grid, `bandwidth` (Silverman 1986, rule of thumb on all values together), a row of
        `densities` and one of `quantiles` (at `QUANTILES`) an arm; None where nothing varies.
    """
    pooled = np.concatenate([values for arm in samples for values in arm])
    low, high = float(pooled.min()), float(pooled.max())
    quarters = np.quantile(pooled, (0.25, 0.75))
    spreads = [float(pooled.std()), float(quarters[1] - quarters[0]) / 1.34]
    width = (high - low) / BINS
    if width <= 0 or not math.isfinite(width):
        return None
    bandwidth = max(0.9 * min(s for s in spreads if s > 0) * pooled.size**-0.2, 2 * width)
    centres = low + width * (np.arange(BINS) + 0.5)
    grid = np.linspace(low, high, GRID)
    kernel = np.exp(-0.5 * ((grid[:, None] - centres) / bandwidth) ** 2) / (bandwidth * math.sqrt(2 * math.pi))
    densities, quantiles = [], []
    for arm in samples:
        values = np.concatenate(list(arm))
        shares = np.concatenate([np.full(own.size, w / own.size) for own, w in zip(arm, weights, strict=True)])
        counted = np.histogram(values, bins=BINS, range=(low, high), weights=shares)[0]
        densities.append([float(f"{x:.4g}") for x in kernel @ counted])
        order = np.argsort(values, kind="stable")
        reached = np.cumsum(shares[order]) - shares[order] / 2
        quantiles.append(np.interp(QUANTILES, reached, values[order]).tolist())
    return {"low": low, "high": high, "bandwidth": bandwidth, "densities": densities, "quantiles": quantiles}
