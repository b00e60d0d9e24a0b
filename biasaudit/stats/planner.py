"""What a design will find before it is run: standard errors, detectable differences, and what to add first.

SE² = τ²_topic/G + ω²_prompt/P + within/(P·n), df = G − 1 (CONTRACT §3). More completions shrink the last term alone, so
from some number on only more topics help. τ², ω² and within come from a pilot or are assumed.

Source: Miller 2024, arXiv 2411.00640, with topics above prompts; method of moments of the nested analysis of variance
(Searle, Casella & McCulloch 1992, chapter 3).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biasaudit.results import Contrast
from biasaudit.stats.heterogeneity import MIN_TOPICS
from biasaudit.stats.power import detectable, planning_se, power

SAMPLING_SHARE = 0.1
"""Share of the whole variance below which more completions a prompt buy nothing worth having."""
POWER = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Where the variance of the headline difference comes from, each in the unit squared."""

    topic: float
    """τ²: of the true difference between topics."""
    prompt: float
    """ω²: of the true difference between prompts of one topic."""
    within: float
    """Of one completion's difference, for rates [p0·q0 + p1·q1]·(1 − ρ); 0 for exact quantities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one design will find, in the unit; None where a target does not exist."""

    topics: int
    prompts: int
    completions: int
    se_population: float | None
    mde_population: float | None
    se_fixed: float | None
    mde_fixed: float | None
    sampling_share: float
    """Share of the population variance that comes from sampling completions."""
    power: float | None
    """Of the population target (the fixed one where topics are too few) against the effect asked for."""


def assumed_rates(rate: float, *, topic_sd: float, prompt_sd: float, rho: float = 0.0) -> Components:
    """Components of a difference of shares near `rate`.

    Args:
        rate: the share that both arms are near, 0 to 1.
        topic_sd: standard deviation of the true difference between topics, in shares.
        prompt_sd: the same between prompts of one topic.
        rho: correlation of coupled outcomes.
    """
    return Components(topic=topic_sd**2, prompt=prompt_sd**2, within=2 * rate * (1 - rate) * (1 - rho))


def estimated(contrast: Contrast) -> Components | None:
    """Components by the method of moments from a pilot's contrast; None with fewer than two topics.

    Where every topic has one prompt, prompts cannot be told from topics: all spread counts as the topics'.
    """
    rows = [row for row in contrast.prompts if row.difference is not None]
    topics: dict[str, list[float]] = {}
    for row in rows:
        topics.setdefault(row.topic, []).append(row.difference or 0.0)
    if len(topics) < 2:
        return None
    within, completions = _within(contrast)
    noise = within / completions if completions else 0.0
    groups = [np.array(found) for found in topics.values()]
    spare = len(rows) - len(groups)
    inner = sum(float(((found - found.mean()) ** 2).sum()) for found in groups) / spare if spare else noise
    means = np.array([found.mean() for found in groups])
    # Of one topic's mean: what varies inside the topic, sampling included.
    below = float(np.mean([max(inner, noise) / found.size for found in groups]))
    return Components(topic=max(0.0, float(means.var(ddof=1)) - below), prompt=max(0.0, inner - noise), within=within)


def _within(contrast: Contrast) -> tuple[float, float]:
    """Variance of one completion's difference, and the mean completions a prompt; both 0 for exact quantities."""
    if contrast.fixed.note == "no-sampling-error":
        return 0.0, 0.0
    rows = [row for row in contrast.prompts if row.difference is not None]
    counts = [2 / (1 / row.n_tuned + 1 / row.n_reference) for row in rows]
    completions = float(np.mean(counts))
    if contrast.fixed.se is not None and not contrast.corrected:
        return contrast.fixed.se**2 * len(rows) * completions, completions
    pairs = [(row.mean_tuned or 0.0, row.mean_reference or 0.0) for row in rows]
    spread = float(np.mean([up * (1 - up) + down * (1 - down) for up, down in pairs]))
    return max(0.0, spread) * (1 - (contrast.rho or 0.0)), completions


def cell(
    components: Components,
    topics: int,
    prompts: int,
    completions: int,
    effect: float | None = None,
    *,
    alpha: float = 0.05,
) -> Cell:
    """What a design finds.

    Args:
        components: of the variance.
        topics: G.
        prompts: P, over all topics.
        completions: n a prompt, from each arm.
        effect: the true difference whose power is asked for.
        alpha: level of the test.
    """
    whole = planning_se(
        topics=topics,
        prompts=prompts,
        completions=completions,
        within=components.within,
        topic_variance=components.topic,
        prompt_variance=components.prompt,
    )
    sampling = planning_se(topics=topics, prompts=prompts, completions=completions, within=components.within)
    tested = topics >= MIN_TOPICS and whole > 0
    df, se = (topics - 1.0, whole) if tested else (math.inf, sampling)
    return Cell(
        topics=topics,
        prompts=prompts,
        completions=completions,
        se_population=whole if tested else None,
        mde_population=detectable(whole, df=topics - 1, alpha=alpha, target=POWER) if tested else None,
        se_fixed=sampling or None,
        mde_fixed=detectable(sampling, alpha=alpha, target=POWER),
        sampling_share=sampling**2 / whole**2 if whole > 0 else 0.0,
        power=power(effect, se, df=df, alpha=alpha) if effect is not None and se > 0 else None,
    )


def enough_completions(components: Components, topics: int, prompts: int) -> int | None:
    """Completions a prompt from which sampling is less than `SAMPLING_SHARE` of the variance.

    None where no number is: topics and prompts do not vary, so that every completion counts.
    """
    rest = components.topic / topics + components.prompt / prompts
    if components.within == 0:
        return 1
    if rest <= 0:
        return None
    return max(1, math.ceil(components.within / prompts * (1 - SAMPLING_SHARE) / SAMPLING_SHARE / rest))


def enough_topics(
    components: Components,
    prompts_a_topic: float,
    completions: int,
    effect: float,
    *,
    most: int = 200,
    alpha: float = 0.05,
) -> int | None:
    """Fewest topics, with as many prompts each, that find `effect` with 80 % power; None when `most` do not."""
    for topics in range(MIN_TOPICS, most + 1):
        prompts = max(topics, round(topics * prompts_a_topic))
        found = cell(components, topics, prompts, completions, effect, alpha=alpha).power
        if found is not None and found >= POWER:
            return topics
    return None


def grid(
    components: Components,
    *,
    topics: Sequence[int],
    prompts_a_topic: float,
    completions: Sequence[int],
    effect: float | None = None,
    alpha: float = 0.05,
) -> list[Cell]:
    """The table over topics and completions; prompts grow with the topics."""
    return [
        cell(components, count, max(count, round(count * prompts_a_topic)), n, effect, alpha=alpha)
        for count in topics
        for n in completions
    ]


def advice(components: Components, here: Cell, *, alpha: float = 0.05) -> str:
    """What helps more, twice the `topics` or four times the `completions`; `neither` where nothing varies."""
    double = cell(components, 2 * here.topics, 2 * here.prompts, here.completions, alpha=alpha)
    longer = cell(components, here.topics, here.prompts, 4 * here.completions, alpha=alpha)
    first = double.mde_population or double.mde_fixed
    second = (longer.mde_fixed if here.mde_population is None else longer.mde_population) or longer.mde_fixed
    if first is None or second is None:
        return "neither" if first is None else "topics"
    return "topics" if here.mde_population is None or first <= second else "completions"


def as_row(found: Cell) -> dict[str, float | int | None]:
    """The cell for a machine."""
    return dataclasses.asdict(found)
