"""Two one-sided tests: the only way to say that nothing of interest changed.

Source: Schuirmann 1987. The margin must stand in the battery before anything is sampled.
"""

from __future__ import annotations

import math

from biasaudit.results import Equivalence, Interval
from biasaudit.stats.interval import t_two_sided, t_value, z_value


def tost(difference: float, se: float, margin: float, *, df: float = math.inf, alpha: float = 0.05) -> Equivalence:
    """Test that a difference lies inside (−`margin`, `margin`).

    Args:
        difference: estimate, in the measure's unit.
        se: its standard error, above 0.
        margin: half-width of the equivalence region, above 0, same unit.
        df: degrees of freedom of `se`; infinite gives the normal.
        alpha: level of each one-sided test; the interval has level 1 − 2·`alpha`.

    Raises:
        ValueError: when `se` or `margin` is not above 0.
    """
    if se <= 0 or margin <= 0:
        raise ValueError(f"need a standard error and a margin above 0, got {se} and {margin}")
    nearest = (margin - abs(difference)) / se
    tail = t_two_sided(nearest, df) / 2
    p = tail if nearest >= 0 else 1 - tail
    half = (z_value(1 - 2 * alpha) if math.isinf(df) else t_value(1 - 2 * alpha, df)) * se
    interval = Interval(low=difference - half, high=difference + half, level=1 - 2 * alpha, method="tost")
    return Equivalence(margin=margin, p=p, interval=interval, equivalent=p < alpha)
