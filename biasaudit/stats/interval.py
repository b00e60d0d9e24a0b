"""Intervals and smoothed variances of rates: the sampling part of every contrast.

Unit: rates, 0 to 1, and differences of rates, −1 to 1.
Source: Wilson 1927; Newcombe 1998, Stat Med 17:857 and 17:873 (method 10); Bonett & Price 2012 for the pseudo-counts on
discordant pairs. We depart from the last: half a count a cell, and the centre stays the observed difference, so that
both targets of a contrast centre on one number (CONTRACT §3).
"""

from __future__ import annotations

import dataclasses
import math
from typing import overload

import numpy as np
import numpy.typing as npt
from scipy import special

from biasaudit.results import Interval

Floats = npt.NDArray[np.float64]


def z_value(level: float) -> float:
    """Standard normal quantile that leaves (1 − `level`)/2 in each tail."""
    return float(special.ndtri(0.5 + level / 2))


def t_value(level: float, df: float) -> float:
    """Student quantile with `df` degrees of freedom that leaves (1 − `level`)/2 in each tail."""
    return float(special.stdtrit(df, 0.5 + level / 2))


def t_two_sided(statistic: float, df: float) -> float:
    """Two-sided p-value of a t statistic; infinite `df` is the normal."""
    return 2 * float(special.ndtr(-abs(statistic)) if math.isinf(df) else special.stdtr(df, -abs(statistic)))


def around(centre: float, half_width: float, *, level: float = 0.95, method: str) -> Interval:
    """The interval `centre` ± `half_width`."""
    return Interval(low=centre - half_width, high=centre + half_width, level=level, method=method)


def of_difference(interval: Interval) -> Interval:
    """The interval cut at −1 and 1, where differences of rates end."""
    return dataclasses.replace(interval, low=max(-1.0, interval.low), high=min(1.0, interval.high))


def of_rate(interval: Interval) -> Interval:
    """The interval cut at 0 and 1, where rates end."""
    return dataclasses.replace(interval, low=min(1.0, max(0.0, interval.low)), high=max(0.0, min(1.0, interval.high)))


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson score interval of a rate.

    Raises:
        ValueError: unless 0 ≤ `successes` ≤ `n` and `n` ≥ 1.
    """
    if not (n >= 1 and 0 <= successes <= n):
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got {successes} of {n}")
    z = z_value(level)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At the ends the formula is exact in algebra, not in floating point.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(low=low, high=high, level=level, method="wilson")


def newcombe(x1: int, n1: int, x0: int, n0: int, *, level: float = 0.95) -> Interval:
    """Newcombe's square-and-add interval of x1/n1 − x0/n0, arms independent."""
    first, second = wilson(x1, n1, level=level), wilson(x0, n0, level=level)
    p1, p0 = x1 / n1, x0 / n0
    difference = p1 - p0
    low = difference - math.hypot(p1 - first.low, second.high - p0)
    high = difference + math.hypot(first.high - p1, p0 - second.low)
    return Interval(low=low, high=high, level=level, method="newcombe")


@overload
def smoothed_variance(successes: float, n: float) -> float: ...
@overload
def smoothed_variance(successes: Floats, n: Floats | float) -> Floats: ...
def smoothed_variance(successes: float | Floats, n: float | Floats) -> float | Floats:
    """Sampling variance of a rate with half a count added to both cells: 0 of n and n of n do not give 0."""
    smoothed = (successes + 0.5) / (n + 1)
    return smoothed * (1 - smoothed) / n


@overload
def paired_variance(up: float, down: float, n: float) -> float: ...
@overload
def paired_variance(up: Floats, down: Floats, n: Floats | float) -> Floats: ...
def paired_variance(up: float | Floats, down: float | Floats, n: float | Floats) -> float | Floats:
    """Sampling variance of the mean of y1 − y0 over `n` pairs, half a count added to each discordant cell.

    Args:
        up: pairs with y1 = 1 and y0 = 0.
        down: pairs with y1 = 0 and y0 = 1.
        n: pairs, the concordant ones too.
    """
    rise, fall = (up + 0.5) / (n + 1), (down + 0.5) / (n + 1)
    return (rise + fall - (rise - fall) ** 2) / n


def paired_difference(up: int, down: int, n: int, *, level: float = 0.95) -> Interval:
    """Interval of the difference of two paired rates, cut at −1 and 1."""
    centre = (up - down) / n
    half = z_value(level) * math.sqrt(paired_variance(up, down, n))
    return Interval(low=max(-1.0, centre - half), high=min(1.0, centre + half), level=level, method="paired-add-half")
