"""One prompt's outcomes in two arms, and what sampling error they carry.

A cell is the smallest unit that statistics see. Coupled cells hold pairs: position k of both arms is the same
completion index under the same noise, so their difference is what varies (Benz et al. 2025, arXiv 2502.01754).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from biasaudit.results import Interval, PromptEffect
from biasaudit.stats import interval as intervals
from biasaudit.stats.multiplicity import adjust_present, benjamini_hochberg
from biasaudit.stats.permutation import paired_exact, stratified_exact, unconditional

Floats = npt.NDArray[np.float64]

ROUNDING = 1e-12
"""Means that differ by less than this share of them are equal: the same numbers summed in another order."""


PromptTest = Literal["exact", "barnard", "boschloo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One prompt's scored outcomes in both arms."""

    prompt_id: str
    topic: str
    tuned: Floats
    """Shape (n1,), in the measure's unit."""
    reference: Floats
    """Shape (n0,); aligned with `tuned` when the design is coupled."""
    template: str = ""
    framing: str = ""

    @property
    def full(self) -> bool:
        """Whether both arms have something here; other cells stand in the table and nowhere else."""
        return self.tuned.size > 0 and self.reference.size > 0

    @property
    def difference(self) -> float:
        """Mean of tuned minus mean of reference; 0 where only rounding tells them apart, so that it has no sign."""
        tuned, reference = float(self.tuned.mean()), float(self.reference.mean())
        return 0.0 if math.isclose(tuned, reference, rel_tol=ROUNDING) else tuned - reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What kind of numbers the cells hold."""

    binary: bool = False
    """Every outcome is 0 or 1."""
    coupled: bool = False
    """Cells hold pairs under one noise."""
    sampled: bool = True
    """False for exact quantities (likelihoods, greedy decoding), which have no sampling error."""


def variance(cell: Cell, design: Design) -> float | None:
    """Sampling variance of the cell's difference; 0.0 when nothing was sampled, None when it cannot be known."""
    if not design.sampled:
        return 0.0
    if design.binary and design.coupled:
        up, down = discordant(cell)
        return intervals.paired_variance(up, down, cell.tuned.size)
    if design.binary:
        return sum(intervals.smoothed_variance(int(y.sum()), y.size) for y in (cell.tuned, cell.reference))
    if min(cell.tuned.size, cell.reference.size) < 2:
        return None
    if design.coupled:
        return float((cell.tuned - cell.reference).var(ddof=1)) / cell.tuned.size
    return float(cell.tuned.var(ddof=1)) / cell.tuned.size + float(cell.reference.var(ddof=1)) / cell.reference.size


def all_binary(cells: Sequence[Cell]) -> bool:
    """Whether every outcome is 0 or 1."""
    return all(bool(np.isin(y, (0.0, 1.0)).all()) for cell in cells for y in (cell.tuned, cell.reference))


def discordant(cell: Cell) -> tuple[int, int]:
    """Pairs that went up and pairs that went down."""
    moved = cell.tuned - cell.reference
    return int(np.count_nonzero(moved > 0)), int(np.count_nonzero(moved < 0))


def correlation(cells: Sequence[Cell]) -> float | None:
    """Correlation of paired outcomes within prompts: centred on each prompt's means, then pooled."""
    both = first = second = 0.0
    for cell in cells:
        y1, y0 = cell.tuned - cell.tuned.mean(), cell.reference - cell.reference.mean()
        both += float(y1 @ y0)
        first += float(y1 @ y1)
        second += float(y0 @ y0)
    if first <= 0 or second <= 0:
        return None
    return both / math.sqrt(first * second)


def prompt_table(
    cells: Sequence[Cell], design: Design, *, level: float = 0.95, test: PromptTest = "exact"
) -> tuple[PromptEffect, ...]:
    """One row a cell, with its own interval and p-value; the p-values are BH-adjusted and exploratory.

    Args:
        cells: one a prompt.
        design: what kind of numbers they hold.
        level: of the intervals.
        test: of binary outcomes of independent arms; Barnard's and Boschloo's take half a second a prompt.
    """
    tests = [_test(cell, design, level, test) for cell in cells]
    adjusted = adjust_present([p for _, p in tests], benjamini_hochberg)
    return tuple(
        PromptEffect(
            prompt_id=cell.prompt_id,
            topic=cell.topic,
            template=cell.template,
            framing=cell.framing,
            n_tuned=cell.tuned.size,
            n_reference=cell.reference.size,
            mean_tuned=float(cell.tuned.mean()) if cell.tuned.size else None,
            mean_reference=float(cell.reference.mean()) if cell.reference.size else None,
            difference=cell.difference if cell.full else None,
            interval=found,
            p=p,
            p_adjusted=q,
            rho=correlation([cell]) if design.coupled and cell.full else None,
        )
        for cell, (found, p), q in zip(cells, tests, adjusted, strict=True)
    )


def _test(cell: Cell, design: Design, level: float, test: PromptTest) -> tuple[Interval | None, float | None]:
    """Interval and p-value of one prompt by itself."""
    if not (cell.full and design.sampled):
        return None, None
    n1, n0 = cell.tuned.size, cell.reference.size
    if design.binary and design.coupled:
        up, down = discordant(cell)
        return intervals.paired_difference(up, down, n1, level=level), paired_exact(up, down)
    if design.binary:
        x1, x0 = int(cell.tuned.sum()), int(cell.reference.sum())
        p = stratified_exact([x1], [n1], [x0], [n0]) if test == "exact" else unconditional(x1, n1, x0, n0, test)
        return intervals.newcombe(x1, n1, x0, n0, level=level), p
    return _numeric_test(cell, design, level)


def _numeric_test(cell: Cell, design: Design, level: float) -> tuple[Interval | None, float | None]:
    """Paired t, or Welch's t, of one prompt."""
    error = variance(cell, design)
    if error is None or error <= 0:
        return None, None
    n1, n0 = cell.tuned.size, cell.reference.size
    if design.coupled:
        df, method = n1 - 1.0, "paired-t"
    else:
        v1, v0 = cell.tuned.var(ddof=1) / n1, cell.reference.var(ddof=1) / n0
        df, method = float(error**2 / (v1**2 / (n1 - 1) + v0**2 / (n0 - 1))), "welch-t"
    se = math.sqrt(error)
    p = intervals.t_two_sided(cell.difference / se, df)
    half = intervals.t_value(level, df) * se
    return intervals.around(cell.difference, half, level=level, method=method), p
