"""Rare outcomes as findings: the calibrated interval and p beside Student's t. Shown, and never decided on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from biasaudit.results import Contrast, Finding, PromptEffect
from biasaudit.stats.designs_units import rng_of, values_of
from biasaudit.stats.finding import Subject
from biasaudit.stats.job import Job
from biasaudit.stats.rare import Calibrated, Counts, calibrate
from biasaudit.stats.rows import HEADLINE
from biasaudit.stats.verdict import adjust_family

SOURCE = "Efron 1981; Hall 1992; Davison & Hinkley 1997; Carpenter 1999"


def rare(job: Job, contrasts: Sequence[Contrast]) -> Iterator[Finding]:
    """One row a contrast of sampled rates that are rare, or nearly certain, and have Student's interval.

    None where looks stopped the run, where people's labels correct the rates, and for gaps between groups.
    """
    made: dict[int, tuple[Calibrated, Counts]] = {}
    for position, row in enumerate(contrasts):
        if row.population.interval is not None and not row.corrected and _sampled_rate(job, row):
            counts = counts_of(row)
            if counts.rare:
                rng = rng_of(job, "rare", row.measure, row.outcome, row.tuned, row.reference, row.decoding_id)
                made[position] = (calibrate(counts, rng=rng), counts)
    family = adjust_family(
        [
            dataclasses.replace(row, population=dataclasses.replace(row.population, p=made[position][0].p))
            if position in made
            else row
            for position, row in enumerate(contrasts)
        ],
        alpha=job.battery.alpha,
    )
    for position, (calibrated, counts) in made.items():
        adjusted = family[position].population.p_adjusted
        yield _finding(contrasts[position], position, calibrated, counts, adjusted, job.battery.alpha)


def counts_of(row: Contrast) -> Counts:
    """Successes and completions by topic, of prompts that both arms answered."""
    topics: dict[str, list[PromptEffect]] = {}
    for prompt in row.prompts:
        if prompt.difference is not None:
            topics.setdefault(prompt.topic, []).append(prompt)
    n1, n0 = (
        np.array([sum(getattr(p, f"n_{arm}") for p in held) for held in topics.values()], dtype=np.float64)
        for arm in ("tuned", "reference")
    )
    rate1, rate0 = (
        np.array([np.mean([getattr(p, f"mean_{arm}") for p in held]) for held in topics.values()])
        for arm in ("tuned", "reference")
    )
    return Counts(x1=rate1 * n1, n1=n1, x0=rate0 * n0, n0=n0)


def _sampled_rate(job: Job, row: Contrast) -> bool:
    """Whether every outcome is a 0 or a 1 that was drawn; gaps between groups have an outcome of their own."""
    measure = next(measure for measure in job.measures if measure.name == row.measure)
    decoding = next((found for found in job.decodings if found.decoding_id == row.decoding_id), None)
    labels = job.card(measure).labels
    if decoding is None or decoding.temperature == 0 or not labels or row.tuned == row.reference:
        return False
    if row.outcome != "value":
        return row.outcome in labels
    arms = [arm for arm in job.arms if arm.name in (row.tuned, row.reference)]
    held = [values_of(job, measure, arm, decoding, row.outcome) for arm in arms]
    return all(bool(np.isin(values, (0.0, 1.0)).all()) for side in held for values in side.values())


def _finding(
    row: Contrast, position: int, calibrated: Calibrated, counts: Counts, p_adjusted: float | None, alpha: float
) -> Finding:
    """The calibrated interval and p of one contrast, with Student's; both p-values after Holm where there is a family.

    `p_adjusted` of the row stays empty: it is the headline's hypothesis again, not one more.
    """
    student, interval = row.population, row.population.interval
    assert interval is not None
    made = calibrated.interval(1 - alpha)
    decides = {
        "student": student.p if student.p_adjusted is None else student.p_adjusted,
        "calibrated": calibrated.p if p_adjusted is None else p_adjusted,
    }
    return Subject.of(row).finding(
        "rare",
        "calibrated",
        estimand=HEADLINE,
        target="population",
        estimate=row.difference,
        interval=made,
        p=calibrated.p,
        n={"topics": row.n_topics, "prompts": row.n_prompts, "completions": row.n_tuned + row.n_reference},
        method=f"{student.method}, calibrated for a rare outcome",
        source=SOURCE,
        note="" if made is not None else "too-few-successes",
        details={
            "contrast": position,
            "role": row.role,
            "rate": counts.mean,
            "student": {"low": interval.low, "high": interval.high, "p": student.p},
            "after_holm": decides,
            "family_size": student.family_size,
            "alpha": alpha,
            "apart": len({p is not None and p < alpha for p in decides.values()}) == 2,
        },
    )
