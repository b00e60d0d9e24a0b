"""Families of secondary outcomes: which may be opened at all, and what stands inside them.

The confirmatory family is Holm's (`verdict.adjust_family`). Secondary outcomes form one family a measure: Simes'
p-value of each family, families selected by Benjamini–Hochberg at q, and inside the R selected of m families
Benjamini–Hochberg at q·R/m, so that the average false discovery rate over the selected families is at most q.
Everything else is one exploratory family under Benjamini–Hochberg. None of this reaches a verdict.

Source: Simes 1986; Benjamini & Bogomolov 2014.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biasaudit.stats.multiplicity import benjamini_hochberg

Q = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """One family after the gate."""

    simes: float
    adjusted: float
    """Simes' p, Benjamini–Hochberg over the families."""
    selected: bool
    inside: tuple[float | None, ...]
    """Adjusted p-values in the order given, to be compared with q; None in a family that was not selected."""


def simes(p_values: Sequence[float]) -> float:
    """Simes' p-value that all null hypotheses of a family hold.

    Raises:
        ValueError: an empty family.
    """
    if not p_values:
        raise ValueError("a family needs a p-value")
    p = np.sort(np.asarray(p_values, dtype=np.float64))
    return float(min(1.0, (p * p.size / np.arange(1, p.size + 1)).min()))


def gate(families: Mapping[str, Sequence[float]], *, q: float = Q) -> dict[str, Gated]:
    """Select families by Simes' p and Benjamini–Hochberg, then adjust inside the selected ones.

    Args:
        families: name -> its p-values; empty families are left out.
        q: false discovery rate.
    """
    named = {name: list(values) for name, values in families.items() if values}
    alone = [simes(values) for values in named.values()]
    adjusted = benjamini_hochberg(alone) if alone else []
    chosen = [value <= q for value in adjusted]
    factor = len(named) / max(1, sum(chosen))
    return {
        name: Gated(
            simes=single,
            adjusted=over,
            selected=open_,
            inside=tuple(min(1.0, value * factor) for value in benjamini_hochberg(values))
            if open_
            else (None,) * len(values),
        )
        for (name, values), single, over, open_ in zip(named.items(), alone, adjusted, chosen, strict=True)
    }
