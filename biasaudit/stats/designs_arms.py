"""Several trained models: runs of one condition, and doses, as findings.

What an arm is stands in its card: `condition` (a word) and `dose` (a number), declared on the command line or in the
card of the model; without a declared condition, arms with the same base, corpora, tokens, steps and rate are one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from biasaudit.records import Arm, Decoding, Measure
from biasaudit.results import Contrast, Finding
from biasaudit.stats import dose
from biasaudit.stats.arms import Versus, condition_of
from biasaudit.stats.contrast import population_estimate
from biasaudit.stats.designs_units import outcomes, rng_of, subject, values_of
from biasaudit.stats.finding import Floats, Subject, by_topic, if_rare
from biasaudit.stats.job import Job, decoding_name
from biasaudit.stats.runs import over_runs
from biasaudit.stats.table import Place


def dose_of(arm: Arm) -> float | None:
    """The dose that an arm's card declares."""
    found = arm.card.get("dose")
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def runs(job: Job, pairs: Sequence[Versus], contrasts: Sequence[Contrast]) -> Iterator[Finding]:
    """Conditions with two or more trained models: their effects together; one model under two names counts once."""
    conditions: dict[object, list[Versus]] = {}
    for pair in pairs:
        condition = condition_of(pair.tuned)
        own = conditions.setdefault(condition, []) if condition is not None else None
        if own is not None and all(pair.tuned.fingerprint != held.tuned.fingerprint for held in own):
            own.append(pair)
    for measure in job.measures:
        name = decoding_name(job.decodings_of(measure)[0])
        for outcome in outcomes(job, measure):
            for own in conditions.values():
                held = [
                    row
                    for pair in own
                    for row in contrasts
                    if (row.measure, row.outcome, row.decoding_id) == (measure.name, outcome, name)
                    and (row.tuned, row.reference) == (pair.tuned.name, pair.reference.name)
                ]
                if len(held) > 1:
                    yield from _runs(job, held)


def _runs(job: Job, rows: Sequence[Contrast]) -> Iterator[Finding]:
    """One condition's row."""
    effects = [{topic.topic: topic.difference for topic in row.topics} for row in rows]
    topics = [name for name in effects[0] if all(name in other for other in effects[1:])]
    if not topics:
        return
    table = np.array([[effect[name] for name in topics] for effect in effects])
    references = list(dict.fromkeys(row.reference for row in rows))
    tuned = ", ".join(row.tuned for row in rows)
    rng = rng_of(job, "runs", rows[0].measure, rows[0].outcome, tuned)
    found = over_runs(table, references=len(references), rng=rng, level=job.level)
    yield Subject.of(rows[0], tuned=tuned, reference=", ".join(references)).finding(
        "runs",
        "mean-over-runs",
        estimand="mean over trained models of the headline difference",
        target="runs",
        estimate=found.difference,
        interval=found.interval,
        p=found.p_runs,
        n={"runs": len(rows), "references": len(references), "topics": len(topics), "prompts": rows[0].n_prompts},
        method=found.method,
        source="Sellam et al. 2021",
        note=found.note,
        details={
            "arms": [row.tuned for row in rows],
            "differences": [row.difference for row in rows],
            "spread": found.spread,
            "p_topics": found.p_topics,
            "p_both": found.p_both,
        },
    )


def doses(job: Job) -> Iterator[Finding]:
    """The trend over declared doses, for every measure and outcome; one model under two names counts once.

    A model was trained on one dose, so one that is said to have two has none.
    """
    known = [(arm, level) for arm in job.arms if (level := dose_of(arm)) is not None]
    said: dict[str, set[float]] = {}
    for arm, level in known:
        said.setdefault(arm.fingerprint, set()).add(level)
    one = {arm.fingerprint: (arm, level) for arm, level in reversed(known) if len(said[arm.fingerprint]) == 1}
    found = list(one.values())[::-1]
    if len({level for _, level in found}) < 2:
        return
    for measure in job.measures:
        decoding = job.decodings_of(measure)[0]
        for outcome in outcomes(job, measure):
            yield from _dose(job, measure, decoding, outcome, found)


def _described(
    held: Sequence[tuple[Arm, float, dict[Place, Floats]]], shared: Sequence[Place]
) -> dict[str, float] | None:
    """Cochran and Armitage's z and p over all completions, where outcomes are 0 or 1 and not all alike."""
    pooled = [np.concatenate([values[place] for place in shared]) for _, _, values in held]
    if not all(bool(np.isin(values, (0.0, 1.0)).all()) for values in pooled):
        return None
    z, p = dose.cochran_armitage(
        np.array([values.sum() for values in pooled]),
        np.array([float(values.size) for values in pooled]),
        np.array([level for _, level, _ in held]),
    )
    return {"z": z, "p": p} if np.isfinite(z) else None


def _limits(means: Floats, level: float) -> list[float] | None:
    """Ends of the t-interval of one arm's topic means, shape (G,)."""
    found = population_estimate(means, level=level).interval
    return None if found is None else [found.low, found.high]


def _dose(
    job: Job, measure: Measure, decoding: Decoding | None, outcome: str, arms: Sequence[tuple[Arm, float]]
) -> Iterator[Finding]:
    """One trend; an arm without outcomes does not count."""
    held = [(arm, level, values_of(job, measure, arm, decoding, outcome)) for arm, level in arms]
    held = [entry for entry in held if entry[2]]
    if len({level for _, level, _ in held}) < 2:
        return
    shared = [place for place in held[0][2] if all(place in other for _, _, other in held)]
    if not shared:
        return
    topics = [by_topic({place: float(values[place].mean()) for place in shared}) for _, _, values in held]
    table = np.array([list(column.values()) for column in topics]).T
    names = [arm.name for arm, _, _ in held]
    rng = rng_of(job, "dose", measure.name, outcome, *names)
    trend = dose.trend(np.array([level for _, level, _ in held]), table, rng=rng, level=job.level)
    row = subject(job, measure, outcome, ", ".join(names), "", decoding)
    made = row.finding(
        "dose",
        "slope",
        estimand="mean over topics of the OLS slope of the outcome over the dose",
        target="population",
        estimate=trend.slope,
        interval=trend.interval,
        p=trend.p,
        n={
            "models": len(held),
            "doses": len(trend.doses),
            "topics": table.shape[0],
            "prompts": len(shared),
            "completions": sum(values[place].size for _, _, values in held for place in shared),
        },
        method=f"larger of t on {table.shape[0]} topic slopes and {trend.method_runs}",
        source="Berger 1982",
        note=trend.note,
        details={
            "arms": names,
            "arm_doses": [level for _, level, _ in held],
            "arm_means": table.mean(axis=0).tolist(),
            "arm_limits": [_limits(column, job.level) for column in table.T],
            "p_prompts": trend.p_prompts,
            "p_sign_flip": trend.p_sign_flip,
            "p_runs": trend.p_runs,
            "least_p": trend.least_p,
            "lack_of_fit": trend.lack_of_fit,
            "cochran_armitage": _described(held, shared),
            "doses": list(trend.doses),
            "means": list(trend.means),
            "isotonic": list(trend.isotonic),
            "without": [list(entry) for entry in trend.without],
        },
    )
    yield if_rare(made, float(table.mean())) if decoding is not None and decoding.temperature > 0 else made
