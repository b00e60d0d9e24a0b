"""From stored human labels to corrected contrasts: which outcome they speak of, and what each method makes of them.

Two arms are corrected by the labels of their own completions and then subtracted; their variances add, for labels are
drawn arm by arm. The population target is the t-test on topic means, each corrected by its own topic's labels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from biasaudit.labels import DEFAULT, Key, LabelSet, decided, label_set
from biasaudit.records import Arm, Measure, ScorerCard
from biasaudit.results import Contrast, Equivalence, Interval, TargetEstimate, TopicEffect
from biasaudit.stats import correction as kernels
from biasaudit.stats.arms import margin_in
from biasaudit.stats.contrast import Topics, deciding, population_estimate
from biasaudit.stats.correction import FEWEST_LABELS, MIN_LABELS, Floats, Moments
from biasaudit.stats.equivalence import tost
from biasaudit.stats.heterogeneity import heterogeneity
from biasaudit.stats.interval import t_two_sided, t_value
from biasaudit.stats.job import HUMAN, Job
from biasaudit.stats.power import detectable
from biasaudit.stats.readings import scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One contrast's labels beside its scores."""

    names: tuple[str, str]
    """Tuned and reference arm."""
    moments: tuple[Moments, Moments]
    topics: Topics
    weights: Floats
    strata: Any
    level: str
    """What a stratum is: `prompt`, `topic`, `arm`, or empty where an arm has too few labels."""
    binary: bool

    @property
    def counts(self) -> tuple[int, int]:
        """Labels of both arms."""
        first, second = (int(arm.labelled.sum()) for arm in self.moments)
        return first, second

    @property
    def enough(self) -> bool:
        """Whether there is any correction at all."""
        return bool(self.level) and min(self.counts) >= FEWEST_LABELS


def of_contrast(job: Job, row: Contrast) -> Labelled | None:
    """The labels that speak of a contrast's outcome; None where nobody gave any, or it is none that can be corrected.

    Completions that the scorer could not read, or that people were divided on, are left out.
    """
    first = job.decodings[0] if job.decodings else None
    measure = next((m for m in job.measures if m.name == row.measure), None)
    arms = {arm.name: arm for arm in job.arms}
    if measure is None or first is None or first.temperature == 0 or row.tuned == row.reference:
        return None
    if row.scorer == HUMAN or row.role == "descriptive" or row.decoding_id != first.decoding_id:
        return None
    said = people(job, job.card(measure), row.outcome)
    if not said:
        return None
    return _gather(job, measure, row, (arms[row.tuned], arms[row.reference]), said)


def people(job: Job, card: ScorerCard, outcome: str) -> dict[Key, float]:
    """Completion -> 1 where people gave a label that means `outcome`, else 0; of the set that holds most labels."""
    sets = [label_set(m.options.get("labels"), m.name) for m in job.battery.measures if m.scorer == HUMAN]
    best: dict[Key, float] = {}
    for labels in {found.set_id: found for found in (*sets, DEFAULT)}.values():
        meant = meaning(outcome, card, labels)
        if meant:
            own = decided(job.labels, labels.set_id).items()
            found = {key: float(word in meant) for key, word in own if word is not None}
            best = max(best, found, key=len)
    return best


def meaning(outcome: str, card: ScorerCard, labels: LabelSet) -> tuple[str, ...]:
    """The labels that people give where the scorer gives `outcome`: of the same name, else of the same side."""
    if outcome == "value":
        if card.unit != "share" or card.sides[0] not in card.labels:
            return ()
        outcome = card.sides[0]
    if outcome in labels.keys:
        return (outcome,)
    if outcome in card.sides:
        return labels.on(("endorse", "refute")[card.sides.index(outcome)])
    # People read no empty text: what they set aside is senseless or off the topic.
    return labels.on("aside") if (outcome,) == tuple(card.aside) and outcome != "empty" else ()


def _gather(
    job: Job, measure: Measure, row: Contrast, arms: tuple[Arm, Arm], said: Mapping[Key, float]
) -> Labelled | None:
    """Scores and labels of both arms, over the prompts that both have."""
    table = job.tables[measure.name]
    held = [table.of(arm, row.decoding_id) for arm in arms]
    places = [place for place in table.places if all(place in own for own in held)]
    outcomes = [[scored(own[place], row.outcome)[0] for place in places] for own in held]
    kept = [at for at in range(len(places)) if all(own[at].keys.size for own in outcomes)]
    given = [_by_prompt(arm, row.decoding_id, said) for arm in arms]
    if not kept or not all(given):
        return None
    sides, binary = [], True
    for own, labels in zip(outcomes, given, strict=True):
        values, rows, marks = [], [], []
        for at in kept:
            keys, here = own[at].keys, labels.get(places[at][0], {})
            there = np.flatnonzero(np.isin(keys, np.fromiter(here, dtype=np.int64, count=len(here))))
            values.append(own[at].values)
            rows.append(there)
            marks.append(np.array([here[int(keys[k])] for k in there], dtype=np.float64))
        binary = binary and all(bool(np.isin(v, (0.0, 1.0)).all()) for v in values)
        sides.append(kernels.moments(values, rows, marks))
    members: dict[str, list[int]] = {}
    for new, at in enumerate(kept):
        members.setdefault(places[at][1], []).append(new)
    topics = Topics(names=tuple(members), members=tuple(map(tuple, members.values())))
    strata = kernels.stratify([side.labelled for side in sides], topics.members)
    return Labelled(
        names=(row.tuned, row.reference),
        moments=(sides[0], sides[1]),
        topics=topics,
        weights=topics.weights(len(kept)),
        strata=None if strata is None else strata[0],
        level="" if strata is None else strata[1],
        binary=binary,
    )


def _by_prompt(arm: Arm, decoding: str, said: Mapping[Key, float]) -> dict[str, dict[int, float]]:
    """Prompt id -> index -> label, of one arm; a run has one seed, so that indices are keys."""
    found: dict[str, dict[int, float]] = {}
    for (fingerprint, prompt, decoded, _, salt, index), value in said.items():
        if (fingerprint, salt, decoded) == (arm.fingerprint, arm.salt, decoding):
            found.setdefault(prompt, {})[index] = value
    return found


# ---------------------------------------------------------------------------- estimates


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A method's difference, for both targets."""

    means: tuple[float, float]
    difference: float
    variance: float
    fixed: TargetEstimate
    population: TargetEstimate
    topics: tuple[Floats, Floats]
    """Every topic's corrected mean, in each arm."""
    details: Mapping[str, Any]


def estimate(labelled: Labelled, method: str, *, level: float = 0.95) -> Estimate | None:
    """Correct both arms and subtract.

    Args:
        labelled: with enough labels.
        method: `ppi`, `rogan-gladen` or `human-only`.
        level: of the intervals.

    Returns:
        None where Rogan–Gladen does not exist: a score that is not 0 or 1, or a scorer no better than chance in an arm.
    """
    if method == "rogan-gladen":
        return _inverted(labelled, level)
    weight = 0.0 if method == "human-only" else None
    sides = [kernels.ppi(arm, labelled.weights, labelled.strata, weight=weight) for arm in labelled.moments]
    means = tuple(labelled.topics.means(side.prompts) for side in sides)
    return _estimate(
        method,
        (float(sides[0].mean), float(sides[1].mean)),
        (float(sides[0].variance), float(sides[1].variance)),
        (means[0], means[1]),
        None if labelled.level == "arm" else 0.0,
        {} if method == "human-only" else {"weights": [float(side.weight) for side in sides]},
        level,
    )


def _inverted(labelled: Labelled, level: float) -> Estimate | None:
    """Rogan–Gladen; the errors of sensitivity and specificity are one for all topics, so they are added to the t."""
    sides = [kernels.rogan_gladen_arm(arm, labelled.weights) for arm in labelled.moments]
    if not labelled.binary or not all(math.isfinite(side.variance) and math.isfinite(side.rate) for side in sides):
        return None
    means = []
    for arm, side in zip(labelled.moments, sides, strict=True):
        raw = (arm.f + arm.g) / (arm.labelled + arm.unlabelled)
        means.append(labelled.topics.means(kernels.rogan_gladen(raw, side.sensitivity, side.specificity)))
    details = {
        "sensitivity": [float(side.sensitivity) for side in sides],
        "specificity": [float(side.specificity) for side in sides],
    }
    return _estimate(
        "rogan-gladen",
        (float(sides[0].rate), float(sides[1].rate)),
        (float(sides[0].variance), float(sides[1].variance)),
        (means[0], means[1]),
        float(sides[0].shared + sides[1].shared),
        details,
        level,
    )


def _estimate(
    method: str,
    means: tuple[float, float],
    variances: tuple[float, float],
    topics: tuple[Floats, Floats],
    shared: float | None,
    details: Mapping[str, Any],
    level: float,
) -> Estimate:
    difference, variance = means[0] - means[1], sum(variances)
    se = math.sqrt(variance)
    fixed = TargetEstimate(
        target="fixed",
        interval=kernels.z_interval(difference, variance, level=level, method=method) if se > 0 else None,
        p=t_two_sided(difference / se, math.inf) if se > 0 else None,
        se=se or None,
        method=f"{method}, variances of the arms added",
        note="" if se > 0 else "no-variation-within-prompts",
    )
    return Estimate(
        means=means,
        difference=difference,
        variance=variance,
        fixed=fixed,
        population=_population(topics[0] - topics[1], shared, method, level),
        topics=topics,
        details=details,
    )


def _population(effects: Floats, shared: float | None, method: str, level: float) -> TargetEstimate:
    """The t-test on corrected topic means, with `shared` variance added; None: topics share one correction."""
    plain = population_estimate(effects, level=level)
    if shared is None:
        return TargetEstimate(target="population", interval=None, p=None, method=plain.method, note="too-few-labels")
    if plain.se is None or plain.df is None or not shared:
        return plain
    centre, se = float(effects.mean()), math.sqrt(plain.se**2 + shared)
    half = t_value(level, plain.df) * se
    return TargetEstimate(
        target="population",
        interval=Interval(low=centre - half, high=centre + half, level=level, method=f"{method}-t{plain.df:g}"),
        p=t_two_sided(centre / se, plain.df),
        df=plain.df,
        se=se,
        method=plain.method,
    )


def best(job: Job, row: Contrast) -> Contrast:
    """A confirmatory contrast as PPI++ corrects it, or as it was where there are too few labels for that.

    Means, difference, both targets, topics and heterogeneity become those of people's labels; prompts stay the
    scorer's, for a prompt has too few labels of its own.

    Args:
        job: with the labels of the run.
        row: any contrast; only primary ones are changed.
    """
    labelled = of_contrast(job, row) if row.role == "primary" and job.stopping is None else None
    primary = job.battery.primary
    if primary is None or labelled is None or not labelled.enough or min(labelled.counts) < MIN_LABELS:
        return row
    found = estimate(labelled, "ppi", level=job.level)
    if found is None or labelled.level == "arm":
        return row
    decisive = found.fixed if deciding(found.population, primary.target) == "fixed" else found.population
    df = math.inf if decisive.df is None else decisive.df
    variances = _topic_variances(labelled, found)
    effects = found.topics[0] - found.topics[1]
    return dataclasses.replace(
        row,
        corrected="ppi",
        mean_tuned=found.means[0],
        mean_reference=found.means[1],
        difference=found.difference,
        fixed=found.fixed,
        population=found.population,
        heterogeneity=heterogeneity(effects, variances, level=job.level),
        equivalence=_equivalence(found.difference, decisive, margin_in(row.unit, primary), job.battery.alpha),
        mde=None if decisive.se is None else detectable(decisive.se, df=df, alpha=job.battery.alpha),
        topics=tuple(_topic_effects(labelled, found, variances, job.level)),
    )


def _topic_effects(labelled: Labelled, found: Estimate, variances: Floats, level: float) -> Iterator[TopicEffect]:
    """Every topic's corrected difference; its interval holds sampling and labelling error only."""
    rows = zip(labelled.topics.names, labelled.topics.members, *found.topics, variances, strict=True)
    for name, members, up, down, variance in rows:
        centre, known = float(up - down), float(variance)
        yield TopicEffect(
            topic=name,
            prompts=len(members),
            mean_tuned=float(up),
            mean_reference=float(down),
            difference=centre,
            interval=kernels.z_interval(centre, known, level=level, method="ppi") if known > 0 else None,
        )


def _equivalence(difference: float, decisive: TargetEstimate, margin: float | None, alpha: float) -> Equivalence | None:
    if margin is None or decisive.se is None:
        return None
    return tost(difference, decisive.se, margin, df=math.inf if decisive.df is None else decisive.df, alpha=alpha)


def _topic_variances(labelled: Labelled, found: Estimate) -> Floats:
    """Variance of every topic's corrected difference, under the arms' own λ."""
    variances = []
    for members in labelled.topics.members:
        rows = np.array(members)
        weights = np.full(rows.size, 1 / rows.size)
        strata = np.unique(labelled.strata[rows], return_inverse=True)[1]
        variances.append(
            sum(
                float(kernels.ppi(arm.of(rows), weights, strata, weight=weight).variance)
                for arm, weight in zip(labelled.moments, found.details["weights"], strict=True)
            )
        )
    return np.array(variances)
