"""Several labels at once: a joint test of the composition, shares among what can be interpreted, ratios and bounds.

A rate can rise because off-topic text falls, so a difference of one label is never read alone. The conditional share
is a ratio of means over topics; its inference is the delta method on topic means.

Source: Σ(O−E)²/E over strata as in Landis, Heyman & Koch 1978, its p by permutation within prompts, or by swaps within
pairs when coupled; worst-case bounds for missing outcomes, Horowitz & Manski 2000.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.results import Interval
from biasaudit.stats.interval import t_two_sided, t_value
from biasaudit.stats.permutation import DRAWS, TIE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def joint(tuned: Ints, reference: Ints, *, draws: int = DRAWS, rng: np.random.Generator) -> tuple[float, float]:
    """Test that no label's share depends on the arm within any prompt; arms independent.

    Args:
        tuned: counts of labels, shape (prompts, labels).
        reference: the same of the other arm.
        draws: of the permutation.
        rng: its source.

    Returns:
        Σ_k (O_k − E_k)²/E_k over labels, and its p-value (1+b)/(B+1). No varying label gives (0, 1).
    """
    total = tuned + reference
    n1 = tuned.sum(axis=1)
    sizes = total.sum(axis=1)
    kept = (sizes > 0) & (n1 > 0) & (n1 < sizes)
    tuned, total, n1, sizes = tuned[kept], total[kept], n1[kept], sizes[kept]
    expected = (total * (n1 / np.maximum(sizes, 1))[:, None]).sum(axis=0)
    drawn = np.zeros((draws, total.shape[1]))
    for row, first in zip(total, n1, strict=True):
        drawn += rng.multivariate_hypergeometric(row, int(first), size=draws, method="marginals")
    return _chi_square(tuned.sum(axis=0), drawn, expected)


def joint_paired(
    tuned: Sequence[Ints], reference: Sequence[Ints], labels: int, *, draws: int = DRAWS, rng: np.random.Generator
) -> tuple[float, float]:
    """The same test when completions come in pairs under one noise: arms are swapped within pairs.

    Args:
        tuned: per prompt, codes of the labels, shape (n_j,).
        reference: per prompt, those of the other arm, aligned.
        labels: how many labels there are.
        draws: of the permutation.
        rng: its source.
    """
    moves = np.zeros((labels, labels), dtype=np.int64)
    same = np.zeros(labels)
    for first, second in zip(tuned, reference, strict=True):
        np.add.at(moves, (first, second), 1)
    same += np.diag(moves)
    np.fill_diagonal(moves, 0)
    both = moves + moves.T
    expected = same + both.sum(axis=1) / 2
    drawn = np.tile(same, (draws, 1))
    for a in range(labels):
        for b in range(a + 1, labels):
            if both[a, b]:
                to_a = rng.binomial(both[a, b], 0.5, size=draws)
                drawn[:, a] += to_a
                drawn[:, b] += both[a, b] - to_a
    return _chi_square(same + moves.sum(axis=1), drawn, expected)


def _chi_square(observed: Ints | Floats, drawn: Floats, expected: Floats) -> tuple[float, float]:
    """Statistic and Monte-Carlo p; labels that never occur do not count."""
    there = expected > 0
    if not there.any():
        return 0.0, 1.0
    value = float(((observed[there] - expected[there]) ** 2 / expected[there]).sum())
    null = ((drawn[:, there] - expected[there]) ** 2 / expected[there]).sum(axis=1)
    slack = TIE * max(1.0, value)
    return value, float((1 + np.count_nonzero(null >= value - slack)) / (null.size + 1))


def conditional(
    part: Floats, whole: Floats, part_reference: Floats, whole_reference: Floats, *, level: float = 0.95
) -> dict[str, Any] | None:
    """Difference of part/whole between two arms, delta method on topic means.

    Args:
        part: share of the label by topic, shape (G,), first arm.
        whole: share of all that can be interpreted, shape (G,).
        part_reference: as `part`, second arm.
        whole_reference: as `whole`, second arm.
        level: of the interval.

    Returns:
        The two shares, the difference, its interval and p; None when an arm has nothing to interpret.
    """
    if whole.mean() <= 0 or whole_reference.mean() <= 0:
        return None
    share, before = float(part.mean() / whole.mean()), float(part_reference.mean() / whole_reference.mean())
    influence = (part - share * whole) / whole.mean() - (part_reference - before * whole_reference) / (
        whole_reference.mean()
    )
    interval, p = _delta(share - before, influence, level)
    return {"share_tuned": share, "share_reference": before, "difference": share - before, "interval": interval, "p": p}


def ratio(tuned: Floats, reference: Floats, *, level: float = 0.95) -> tuple[float, Interval | None] | None:
    """Ratio of two arms' means, delta method for its logarithm on topic means, shape (G,); None when one is 0."""
    if tuned.mean() <= 0 or reference.mean() <= 0:
        return None
    log = math.log(tuned.mean() / reference.mean())
    interval, _ = _delta(log, tuned / tuned.mean() - reference / reference.mean(), level)
    if interval is None or interval.high > MAX_LOG or interval.low < -MAX_LOG:
        return math.exp(log), None
    return math.exp(log), dataclasses.replace(interval, low=math.exp(interval.low), high=math.exp(interval.high))


MAX_LOG = 50.0
"""A limit of a ratio beyond exp(±50) says nothing."""
MIN_TOPICS = 5


def _delta(centre: float, influence: Floats, level: float) -> tuple[Interval | None, float | None]:
    """t-interval and p from influences, shape (G,), df G − 1; None below five topics or without variation."""
    count = influence.size
    if count < MIN_TOPICS:
        return None, None
    se = float(influence.std(ddof=1)) / math.sqrt(count)
    if se <= 1e-12 * max(1.0, abs(centre)):
        return None, None
    half = t_value(level, count - 1) * se
    interval = Interval(low=centre - half, high=centre + half, level=level, method=f"delta-t{count - 1}")
    return interval, t_two_sided(centre / se, count - 1)


def bounds(cells: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Smallest and largest headline difference that the unscored completions allow, outcomes 0 or 1.

    Args:
        cells: per prompt `topic`, and for both arms successes `x1`, `x0`, scored `n1`, `n0`, unscored `u1`, `u0`.
    """
    low: dict[str, list[float]] = {}
    high: dict[str, list[float]] = {}
    for cell in cells:
        all1, all0 = cell["n1"] + cell["u1"], cell["n0"] + cell["u0"]
        low.setdefault(cell["topic"], []).append(cell["x1"] / all1 - (cell["x0"] + cell["u0"]) / all0)
        high.setdefault(cell["topic"], []).append((cell["x1"] + cell["u1"]) / all1 - cell["x0"] / all0)
    return (
        float(np.mean([np.mean(rows) for rows in low.values()])),
        float(np.mean([np.mean(rows) for rows in high.values()])),
    )
