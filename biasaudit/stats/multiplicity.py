"""Adjusted p-values: Holm for the confirmatory family, Benjamini–Hochberg for exploratory tables.

Source: Holm 1979; Benjamini & Hochberg 1995.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (family-wise error)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(p.size)
    stepped = p[order] * np.arange(p.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini–Hochberg adjusted p-values, in the order given (false discovery rate)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty(p.size)
    stepped = p[order] * p.size / np.arange(p.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(stepped))
    return [float(value) for value in adjusted]


def adjust_present(
    p_values: Sequence[float | None], method: Callable[[Sequence[float]], list[float]]
) -> list[float | None]:
    """Apply `method` to the p-values that exist; the others stay None and are no part of the family."""
    adjusted = iter(method([p for p in p_values if p is not None]))
    return [None if p is None else next(adjusted) for p in p_values]
