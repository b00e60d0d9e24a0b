"""Random assignments of one prompt's completions to two arms, as the null hypothesis of equal arms allows them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Masks = npt.NDArray[np.float32]


def memberships(first: int, second: int, draws: int, *, coupled: bool, rng: np.random.Generator) -> Masks:
    """Rows of ones (first arm) and zeros, shape (draws + 1, first + second); row 0 is what was observed.

    Args:
        first: completions of the first arm, which stand first.
        second: completions of the second arm.
        draws: random rows.
        coupled: position k of both arms is one pair: arms are swapped within pairs, else permuted freely.
        rng: their source.
    """
    rows = np.zeros((draws + 1, first + second), dtype=np.float32)
    rows[:, :first] = 1.0
    if coupled:
        kept = rng.integers(0, 2, (draws, first)).astype(np.float32)
        rows[1:, :first], rows[1:, first:] = kept, 1 - kept
    else:
        rows[1:] = rng.permuted(rows[1:], axis=1)
    return rows


def share_as_extreme(statistics: npt.NDArray[np.floating], *, rounding: float = 0.0) -> float:
    """(1 + b)/(B + 1) of values, shape (B + 1,), whose first is the observed one; large is extreme.

    Args:
        statistics: the values.
        rounding: what their arithmetic may be off by: values that near count as equal.
    """
    observed = float(statistics[0])
    slack = 1e-6 * max(float(np.abs(statistics).max(initial=0.0)), 1e-300) + rounding
    return float(np.count_nonzero(statistics >= observed - slack) / statistics.size)
