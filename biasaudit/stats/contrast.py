"""The default contrast: one difference between two arms, with both targets.

Estimand: unweighted mean over topics of the mean over a topic's prompts of (tuned − reference). FIXED asks about
exactly these prompts and knows sampling error only; POPULATION asks about prompts like these, through the spread of
topic means. Both centre on the estimand (CONTRACT §3).

Source: t on cluster means, Ibragimov & Müller 2010; the sampling part is in `cells` and `permutation`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from biasaudit.results import Contrast, Equivalence, Heterogeneity, Interval, Target, TargetEstimate, TopicEffect
from biasaudit.stats import interval as intervals
from biasaudit.stats import permutation
from biasaudit.stats.cells import Cell, Design, PromptTest, correlation, discordant, prompt_table, variance
from biasaudit.stats.equivalence import tost
from biasaudit.stats.heterogeneity import MIN_TOPICS, heterogeneity
from biasaudit.stats.power import detectable

Floats = npt.NDArray[np.float64]

NOTES = (
    "no-sampling-error",
    "no-variation-between-topics",
    "no-variation-within-prompts",
    "too-few-topics",
    "too-few-completions",
    "stopped-by-looks",
)
"""Every word that `TargetEstimate.note` may hold."""
EQUAL = 1e-12
"""A spread below this share of the largest topic effect is rounding, not variation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the numbers mean: names that pass through to the contrast."""

    measure: str
    scorer: str
    outcome: str
    unit: str
    direction: str
    tuned: str
    reference: str
    decoding_id: str
    language: str
    role: Literal["primary", "secondary", "descriptive"]
    target: Target = "population"
    """The target that the battery asks for."""
    margin: float | None = None
    alpha: float = 0.05
    """Of the tests; intervals hold 1 − `alpha`."""
    prompt_test: PromptTest = "exact"
    unscored_tuned: int = 0
    unscored_reference: int = 0
    source: str = ""

    @property
    def level(self) -> float:
        """Of the intervals."""
        return 1 - self.alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Cells gathered by topic, in the order in which topics first appear."""

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    """Per topic, positions of its cells."""

    def means(self, values: Floats) -> Floats:
        """Unweighted mean of `values`, shape (P,), inside each topic: shape (G,)."""
        return np.array([values[list(rows)].mean() for rows in self.members])

    def weights(self, cells: int) -> Floats:
        """Weight of each cell in the headline, shape (P,): 1 / (G · cells of its topic)."""
        weights = np.zeros(cells)
        for rows in self.members:
            weights[list(rows)] = 1 / (len(self.members) * len(rows))
        return weights


def gather(cells: Sequence[Cell]) -> Topics:
    """Group `cells` by topic."""
    found: dict[str, list[int]] = {}
    for row, cell in enumerate(cells):
        found.setdefault(cell.topic, []).append(row)
    return Topics(names=tuple(found), members=tuple(tuple(rows) for rows in found.values()))


def contrast(cells: Sequence[Cell], design: Design, about: About, *, rng: np.random.Generator) -> Contrast | None:
    """Estimate one contrast; None when no prompt has outcomes in both arms.

    Args:
        cells: one a prompt; coupled cells hold aligned pairs.
        design: what kind of numbers they are.
        about: names, role, target and margin.
        rng: for Monte-Carlo permutations.

    Raises:
        ValueError: when the design says coupled and a cell's arms differ in length.
    """
    full = [cell for cell in cells if cell.full]
    if not full:
        return None
    if design.coupled and any(cell.tuned.size != cell.reference.size for cell in full):
        raise ValueError("coupled cells must hold pairs")
    topics = gather(full)
    tuned = np.array([cell.tuned.mean() for cell in full])
    reference = np.array([cell.reference.mean() for cell in full])
    effects = topics.means(tuned - reference)
    errors = [variance(cell, design) for cell in full]
    fixed = _fixed(full, design, topics, errors, about.level, rng)
    population = population_estimate(effects, level=about.level)
    if design.binary and population.interval is not None:
        population = dataclasses.replace(population, interval=intervals.of_difference(population.interval))
    decisive = fixed if deciding(population, about.target) == "fixed" else population
    return Contrast(
        measure=about.measure,
        scorer=about.scorer,
        outcome=about.outcome,
        unit=about.unit,
        direction=about.direction,
        tuned=about.tuned,
        reference=about.reference,
        decoding_id=about.decoding_id,
        language=about.language,
        role=about.role,
        mean_tuned=float(topics.means(tuned).mean()),
        mean_reference=float(topics.means(reference).mean()),
        difference=float(effects.mean()),
        fixed=fixed,
        population=population,
        heterogeneity=_heterogeneity(full, design, topics, effects, errors, about.level),
        equivalence=_equivalence(float(effects.mean()), decisive, about, binary=design.binary),
        mde=None if decisive.se is None else detectable(decisive.se, df=_df(decisive), alpha=about.alpha),
        n_topics=len(topics.names),
        n_prompts=len(full),
        n_tuned=sum(cell.tuned.size for cell in full),
        n_reference=sum(cell.reference.size for cell in full),
        unscored_tuned=about.unscored_tuned,
        unscored_reference=about.unscored_reference,
        moved_up=sum(cell.difference > 0 for cell in full),
        coupled=design.coupled,
        rho=correlation(full) if design.coupled else None,
        prompts=prompt_table(cells, design, level=about.level, test=about.prompt_test),
        topics=_topic_table(topics, tuned, reference, errors, design, about.level),
        source=about.source,
    )


def deciding(population: TargetEstimate, wanted: Target) -> Target:
    """The target that a verdict rests on: the one asked for, or FIXED where POPULATION has no interval."""
    if wanted == "population" and population.interval is None:
        return "fixed"
    return wanted


def population_estimate(effects: Floats, *, level: float = 0.95) -> TargetEstimate:
    """t-interval on topic means, shape (G,), df = G − 1: prompts like these."""
    count = effects.size
    method = f"t on {count} topic means"
    if count < MIN_TOPICS:
        return TargetEstimate(target="population", interval=None, p=None, method=method, note="too-few-topics")
    spread = float(effects.std(ddof=1))
    if spread <= EQUAL * float(np.abs(effects).max()):
        note = "no-variation-between-topics"
        return TargetEstimate(target="population", interval=None, p=None, method=method, note=note)
    centre, se, df = float(effects.mean()), spread / math.sqrt(count), count - 1
    return TargetEstimate(
        target="population",
        interval=intervals.around(centre, intervals.t_value(level, df) * se, level=level, method=f"t{df}"),
        p=intervals.t_two_sided(centre / se, df),
        df=float(df),
        se=se,
        method=method,
    )


def _fixed(
    cells: Sequence[Cell],
    design: Design,
    topics: Topics,
    errors: Sequence[float | None],
    level: float,
    rng: np.random.Generator,
) -> TargetEstimate:
    """Sampling error alone: exactly these prompts."""
    if not design.sampled:
        return TargetEstimate(target="fixed", interval=None, p=None, method="exact value", note="no-sampling-error")
    weights = topics.weights(len(cells))
    p, method = _fixed_p(cells, design, weights, rng)
    known = [error for error in errors if error is not None]
    if len(known) < len(errors):
        return TargetEstimate(target="fixed", interval=None, p=p, method=method, note="too-few-completions")
    se = math.sqrt(float((weights**2 * np.array(known)).sum()))
    if se <= 0:
        return TargetEstimate(target="fixed", interval=None, p=p, method=method, note="no-variation-within-prompts")
    centre = float((weights * np.array([cell.difference for cell in cells])).sum())
    name = "paired-" if design.coupled else "stratified-"
    name += "add-half" if design.binary else "z"
    interval = intervals.around(centre, intervals.z_value(level) * se, level=level, method=name)
    if design.binary:
        interval = intervals.of_difference(interval)
    return TargetEstimate(target="fixed", interval=interval, p=p, se=se, method=method)


def _fixed_p(cells: Sequence[Cell], design: Design, weights: Floats, rng: np.random.Generator) -> tuple[float, str]:
    """p-value of the sharp null, and the name of its test.

    The statistic is always the headline difference. Where every completion weighs the same, that is the total of a
    binary outcome, whose distribution is a plain convolution. Where topics differ in prompts, or prompts in
    completions, the total answers another question and may even have the other sign.
    """
    plain = design.binary and _equal_weights(cells, design, weights)
    if plain and design.coupled:
        moves = [discordant(cell) for cell in cells]
        p = permutation.paired_exact(sum(up for up, _ in moves), sum(down for _, down in moves))
        return p, "arms swapped within pairs, exact"
    if plain:
        counts = [
            (int(cell.tuned.sum()), cell.tuned.size, int(cell.reference.sum()), cell.reference.size) for cell in cells
        ]
        x1, n1, x0, n0 = zip(*counts, strict=True)
        return permutation.stratified_exact(x1, n1, x0, n0), "permutation within prompts, exact"
    if design.coupled:
        units = [w / cell.tuned.size * (cell.tuned - cell.reference) for w, cell in zip(weights, cells, strict=True)]
        return permutation.sign_flip(np.concatenate(units), rng=rng), "arms swapped within pairs"
    p = permutation.within_prompts([cell.tuned for cell in cells], [cell.reference for cell in cells], weights, rng=rng)
    return p, "permutation within prompts, Monte Carlo"


def _equal_weights(cells: Sequence[Cell], design: Design, weights: Floats) -> bool:
    """Whether moving any one completion moves the headline difference by the same amount."""
    sizes = [1 / cell.tuned.size + (0.0 if design.coupled else 1 / cell.reference.size) for cell in cells]
    moves = weights * np.array(sizes)
    return bool(np.ptp(moves) <= permutation.TIE * moves.max())


def _topic_errors(topics: Topics, errors: Sequence[float | None]) -> list[float | None]:
    """Sampling variance of each topic's mean difference."""
    found: list[float | None] = []
    for rows in topics.members:
        known = [error for row in rows if (error := errors[row]) is not None]
        found.append(sum(known) / len(rows) ** 2 if len(known) == len(rows) else None)
    return found


def _heterogeneity(
    cells: Sequence[Cell],
    design: Design,
    topics: Topics,
    effects: Floats,
    errors: Sequence[float | None],
    level: float,
) -> Heterogeneity | None:
    """Spread between topics beyond sampling; for exact quantities, beyond the spread of a topic's own items."""
    if design.sampled:
        known = [error for error in _topic_errors(topics, errors) if error is not None]
        return heterogeneity(effects, np.array(known), level=level) if len(known) == effects.size else None
    variances = []
    for rows in topics.members:
        items = np.concatenate([_item_differences(cells[row]) for row in rows])
        if items.size < 2:
            return None
        variances.append(float(items.var(ddof=1)) / items.size)
    return heterogeneity(effects, np.array(variances), level=level)


def _item_differences(cell: Cell) -> Floats:
    """Differences item by item where the arms hold the same items, else the one difference of means."""
    if cell.tuned.size == cell.reference.size:
        return cell.tuned - cell.reference
    return np.array([cell.difference])


def _topic_table(
    topics: Topics, tuned: Floats, reference: Floats, errors: Sequence[float | None], design: Design, level: float
) -> tuple[TopicEffect, ...]:
    """One row a topic; its interval holds sampling error only."""
    rows = zip(
        topics.names,
        topics.members,
        topics.means(tuned),
        topics.means(reference),
        _topic_errors(topics, errors),
        strict=True,
    )
    z = intervals.z_value(level)

    def limits(difference: float, error: float) -> Interval:
        found = intervals.around(difference, z * math.sqrt(error), level=level, method="fixed")
        return intervals.of_difference(found) if design.binary else found

    return tuple(
        TopicEffect(
            topic=name,
            prompts=len(members),
            mean_tuned=float(up),
            mean_reference=float(down),
            difference=float(up - down),
            interval=limits(float(up - down), error) if design.sampled and error else None,
        )
        for name, members, up, down, error in rows
    )


def _df(estimate: TargetEstimate) -> float:
    """Degrees of freedom, infinite for the normal."""
    return math.inf if estimate.df is None else estimate.df


def _equivalence(difference: float, decisive: TargetEstimate, about: About, *, binary: bool) -> Equivalence | None:
    """TOST for the deciding target; None without a margin or a standard error."""
    if about.margin is None or decisive.se is None:
        return None
    found = tost(difference, decisive.se, about.margin, df=_df(decisive), alpha=about.alpha)
    return dataclasses.replace(found, interval=intervals.of_difference(found.interval)) if binary else found
