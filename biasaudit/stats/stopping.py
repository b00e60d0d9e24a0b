"""What stopping by looks does to a contrast: repeated intervals and p-values, and no claim beyond these prompts.

Every prompt's estimate is widened by the boundary of the look at which it was last counted, and the prompts add up as
independent errors do. Where a prompt may stop because its own estimate is large, that estimate is too large on
average, and over many prompts such errors do not average out; so the interval of their mean reaches further towards 0
by the most that they can amount to (`sequential.stopping_bias`). The repeated p-value is the level at which the
interval just touches 0 (Jennison & Turnbull 1989, JRSS B 51:305).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from biasaudit.results import Contrast, Equivalence, Interval, PromptEffect, TargetEstimate, TopicEffect
from biasaudit.stats import interval as intervals
from biasaudit.stats.cells import Cell, Design, variance
from biasaudit.stats.contrast import Topics, gather
from biasaudit.stats.multiplicity import adjust_present, benjamini_hochberg
from biasaudit.stats.power import detectable
from biasaudit.stats.sequential import Schedule

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """How far each prompt was followed, and by which schedule."""

    schedule: Schedule
    looks: Mapping[str, int]
    """Prompt id -> position of the look at which it was last counted."""
    bias: float = 0.0
    """`sequential.stopping_bias` where prompts stop by their own effect; 0 where they do not."""

    @property
    def method(self) -> str:
        """How the intervals are called."""
        if self.schedule.scheme == "anytime":
            return "confidence sequence"
        return f"repeated interval over {len(self.schedule.sizes)} looks"

    def positions(self, cells: Sequence[Cell]) -> Ints:
        """The look of each cell, shape (P,)."""
        return np.array([self.looks.get(cell.prompt_id, 0) for cell in cells], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A weighted sum of prompts' differences as it stands after looks."""

    difference: float
    errors: Floats
    """Shape (P,): weight times standard error."""
    looks: Ints
    schedule: Schedule
    above: float
    """By how much estimates that stopped above 0 may be too large on average."""
    below: float

    @property
    def se(self) -> float:
        """Standard error as if the sizes had been fixed."""
        return math.sqrt(float((self.errors**2).sum()))

    def interval(self, alpha: float, method: str) -> Interval:
        """The repeated interval at level 1 − `alpha`."""
        half = self.schedule.half_width(self.errors, self.looks, alpha)
        low, high = self.difference - half - self.above, self.difference + half + self.below
        return Interval(low=low, high=high, level=1 - alpha, method=method)

    def level_of(self, width: float) -> float:
        """The level at which the interval, without its allowance for bias, reaches `width` to each side."""
        return self.schedule.level_of(width, self.errors, self.looks)

    @property
    def p(self) -> float:
        """The repeated p-value of no difference."""
        return self.level_of(abs(self.difference) - (self.above if self.difference > 0 else self.below))

    def p_inside(self, margin: float) -> float:
        """The repeated p-value of both one-sided tests against ±`margin`."""
        width = min(margin - self.difference - self.below, margin + self.difference - self.above)
        return self.level_of(width) / 2 if width > 0 else 1.0


def follow(cells: Sequence[Cell], weights: Floats, design: Design, stopping: Stopping) -> Followed | None:
    """The weighted sum of `cells`, all full; None when a sampling error cannot be known or there is none."""
    variances = [variance(cell, design) for cell in cells]
    known = [found for found in variances if found is not None]
    if not cells or len(known) < len(variances):
        return None
    errors = weights * np.sqrt(np.array(known))
    if not errors.any():
        return None
    looks, differences = stopping.positions(cells), np.array([cell.difference for cell in cells])
    early = looks < len(stopping.schedule.sizes) - 1
    return Followed(
        difference=float((weights * differences).sum()),
        errors=errors,
        looks=looks,
        schedule=stopping.schedule,
        above=stopping.bias * float(errors[early & (differences > 0)].sum()),
        below=stopping.bias * float(errors[early & (differences < 0)].sum()),
    )


def overall(cells: Sequence[Cell], design: Design, stopping: Stopping) -> Followed | None:
    """The headline difference over the full ones of `cells`: unweighted over topics, then over a topic's prompts."""
    full = [cell for cell in cells if cell.full]
    return follow(full, gather(full).weights(len(full)), design, stopping) if full else None


def alone(cell: Cell, design: Design, stopping: Stopping) -> Followed | None:
    """One prompt by itself: its repeated interval holds at every look, so nothing is allowed for bias."""
    if not cell.full:
        return None
    return follow([cell], np.ones(1), design, dataclasses.replace(stopping, bias=0.0))


def adjusted(found: Contrast, cells: Sequence[Cell], design: Design, stopping: Stopping) -> Contrast:
    """`found` with every interval and test adjusted for the looks; likelihoods and greedy texts stay as they are.

    Args:
        found: made from `cells` as if sizes had been fixed.
        cells: one a prompt.
        design: what kind of numbers they are.
        stopping: how far each prompt was followed.
    """
    if not design.sampled:
        return found
    whole, full = overall(cells, design, stopping), [cell for cell in cells if cell.full]
    spread = found.heterogeneity
    return dataclasses.replace(
        found,
        fixed=_fixed(found.fixed, whole, design, stopping),
        population=TargetEstimate(
            target="population", interval=None, p=None, method=found.population.method, note="stopped-by-looks"
        ),
        heterogeneity=None if spread is None else dataclasses.replace(spread, prediction=None),
        equivalence=_equivalence(found.equivalence, whole, design, stopping),
        mde=_mde(whole),
        prompts=_prompts(found.prompts, cells, design, stopping),
        topics=_topics(found.topics, full, gather(full), design, stopping),
    )


def _fixed(before: TargetEstimate, whole: Followed | None, design: Design, stopping: Stopping) -> TargetEstimate:
    if whole is None or before.interval is None:
        return dataclasses.replace(before, interval=None, p=None)
    return dataclasses.replace(
        before,
        interval=_cut(whole.interval(stopping.schedule.alpha, stopping.method), design),
        p=whole.p,
        se=whole.se,
        method="repeated p-value",
    )


def _equivalence(
    before: Equivalence | None, whole: Followed | None, design: Design, stopping: Stopping
) -> Equivalence | None:
    if before is None or whole is None:
        return None
    p = whole.p_inside(before.margin)
    alpha = stopping.schedule.alpha
    interval = _cut(whole.interval(2 * alpha, stopping.method), design)
    return Equivalence(margin=before.margin, p=p, interval=interval, equivalent=p < alpha)


def _mde(whole: Followed | None) -> float | None:
    """Smallest detectable difference, as far as the run went, against the boundary that it met."""
    if whole is None:
        return None
    widened = whole.schedule.half_width(whole.errors, whole.looks, whole.schedule.alpha) / whole.se
    found = detectable(whole.se, alpha=2 * float(special.ndtr(-widened)))
    return None if found is None else found + max(whole.above, whole.below)


def _prompts(
    rows: Sequence[PromptEffect], cells: Sequence[Cell], design: Design, stopping: Stopping
) -> tuple[PromptEffect, ...]:
    alpha = stopping.schedule.alpha
    found = [alone(cell, design, stopping) for cell in cells]
    tests = [None if one is None else one.p for one in found]
    adjusted_p = adjust_present(tests, benjamini_hochberg)
    return tuple(
        dataclasses.replace(
            row,
            interval=None if one is None else _cut(one.interval(alpha, stopping.method), design),
            p=p,
            p_adjusted=q,
        )
        for row, one, p, q in zip(rows, found, tests, adjusted_p, strict=True)
    )


def _cut(interval: Interval, design: Design) -> Interval:
    return intervals.of_difference(interval) if design.binary else interval


def _topics(
    rows: Sequence[TopicEffect], full: Sequence[Cell], topics: Topics, design: Design, stopping: Stopping
) -> tuple[TopicEffect, ...]:
    found = []
    for row, members in zip(rows, topics.members, strict=True):
        cells = [full[place] for place in members]
        one = follow(cells, np.full(len(cells), 1 / len(cells)), design, stopping)
        made = None if one is None else _cut(one.interval(stopping.schedule.alpha, stopping.method), design)
        found.append(dataclasses.replace(row, interval=made))
    return tuple(found)
