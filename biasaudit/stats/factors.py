"""Effects across a second factor: temperatures, languages, groups of a slot.

Every factor is paired: the same topics (or templates) stand under each of its levels, so the unit is the topic's own
difference of differences. A model is never compared with another on prompts of another language except so.

Source: t on cluster means, Ibragimov & Müller 2010; more than two groups are exchanged inside their topic, with the
between-group sum of squares as statistic (the range of group means is biased upwards).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.stats.finding import on_topics
from biasaudit.stats.interval import t_two_sided
from biasaudit.stats.permutation import DRAWS, TIE

Floats = npt.NDArray[np.float64]

Effects = Mapping[tuple[str, str], float]
"""(prompt id, topic) -> difference of two arms on that prompt."""


def slope_over(
    levels: Sequence[float], effects: Sequence[Effects], *, confidence: float = 0.95
) -> tuple[dict[str, Any], int, int] | None:
    """Change of an effect when a numeric factor grows by 1; with two levels that is their difference over the gap.

    Args:
        levels: of the factor, all different.
        effects: one mapping a level.
        confidence: of the interval.

    Returns:
        Fields of a finding, topics and prompts; None when no prompt stands under all levels.
    """
    shared = [key for key in effects[0] if all(key in other for other in effects[1:])]
    if not shared or len(set(levels)) < 2:
        return None
    x = np.asarray(levels, dtype=np.float64)
    centred = x - x.mean()
    table = np.array([[effect[key] for effect in effects] for key in shared])
    slopes = table @ centred / float(centred @ centred)
    means = _by_topic([topic for _, topic in shared], slopes)
    return on_topics(means, level=confidence), means.size, len(shared)


def between_levels(
    first: Mapping[str, float], second: Mapping[str, float], *, confidence: float = 0.95
) -> tuple[dict[str, Any], int] | None:
    """Difference of differences between two levels of a factor, paired by topic.

    Args:
        first: topic -> difference of two arms, under the first level.
        second: the same under the second level.
        confidence: of the interval.

    Returns:
        Fields of a finding, and the topics that both have; None when there are none.
    """
    shared = [topic for topic in first if topic in second]
    if not shared:
        return None
    effects = np.array([first[topic] - second[topic] for topic in shared])
    return on_topics(effects, level=confidence), len(shared)


def groups_apart(table: Floats, *, draws: int = DRAWS, rng: np.random.Generator) -> tuple[float, float]:
    """Do k groups differ? Group names are permuted inside each unit.

    Args:
        table: shape (units, groups): mean outcome (or difference of two arms) of each group's prompts in a topic, or
            in a template where there is one topic only.
        draws: of the permutation.
        rng: its source.

    Returns:
        Standard deviation of the group means (population formula), and the p-value of the between-group sum of squares.
    """
    centred = table - table.mean(axis=1, keepdims=True)
    observed = float((centred.mean(axis=0) ** 2).sum())
    total = np.zeros((draws, table.shape[1]))
    for row in centred:
        total += rng.permuted(np.tile(row, (draws, 1)), axis=1)
    null = ((total / table.shape[0]) ** 2).sum(axis=1)
    slack = TIE * max(observed, float(null.max(initial=0.0)), 1e-300)
    p = float((1 + np.count_nonzero(null >= observed - slack)) / (draws + 1))
    return float(np.sqrt(observed / table.shape[1])), p


def over_fillers(table: Floats) -> dict[str, float | None]:
    """P of a gap when both wordings and the names that fill the slot are samples: t on each, and the larger of both.

    Args:
        table: shape (units, fillers), the gap of each filler in each topic (or template of a single topic). A test that
            takes the fillers as given rejects twice too often (METHODS §2.7).
    """
    by_wording, by_filler = _t(table.mean(axis=1)), _t(table.mean(axis=0))
    both = None if by_wording is None or by_filler is None else max(by_wording, by_filler)
    return {"wordings": by_wording, "fillers": by_filler, "both": both}


def _t(values: Floats) -> float | None:
    """P of the one-sample t; None without spread."""
    if values.size < 2:
        return None
    se = float(values.std(ddof=1)) / np.sqrt(values.size)
    if se <= 1e-12 * max(float(np.abs(values).max()), 1e-300):
        return None
    return t_two_sided(float(values.mean()) / se, values.size - 1)


def _by_topic(topics: Sequence[str], values: Floats) -> Floats:
    """Unweighted mean inside each topic, in the order of first appearance."""
    names = list(dict.fromkeys(topics))
    places = np.array([names.index(topic) for topic in topics])
    return np.asarray(np.bincount(places, weights=values) / np.bincount(places), dtype=np.float64)
