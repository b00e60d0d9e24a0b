"""The rows of the table that corrections give: rates arm by arm, differences for both targets, the validity card."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from biasaudit.results import Contrast, Finding, Interval, Target, TargetEstimate
from biasaudit.stats import correction as kernels
from biasaudit.stats.corrected import Labelled, estimate, of_contrast
from biasaudit.stats.correction import MIN_LABELS, Moments
from biasaudit.stats.finding import Subject
from biasaudit.stats.interval import of_difference, of_rate, wilson
from biasaudit.stats.job import Job

DESIGN = "correction"
SOURCES = {
    "ppi": "Angelopoulos, Duchi & Zrnic 2023 (PPI++), stratified by prompt",
    "rogan-gladen": "Rogan & Gladen 1978, delta method",
    "human-only": "mean of the labels, stratified by prompt",
    "raw": "as in the contrasts",
}
"""Method -> where it comes from, in the order in which methods are shown."""


def corrections(job: Job, contrasts: Sequence[Contrast]) -> list[Finding]:
    """Rows of every contrast between two arms whose labels people gave too.

    Args:
        job: with the labels of the run.
        contrasts: all of them; those between the main pairs, on a scorer's labels, under the first decoding, count.
    """
    found: list[Finding] = []
    seen: set[tuple[str, str, str]] = set()
    for row in contrasts:
        labelled = None if _told_already(row, contrasts) else of_contrast(job, row)
        if labelled is None:
            continue
        for place, arm in enumerate(labelled.names):
            if (row.measure, row.outcome, arm) not in seen:
                seen.add((row.measure, row.outcome, arm))
                found += _arm_rows(Subject.of(row, tuned=arm, reference=""), labelled, place, job.level)
        found += _difference_rows(row, labelled, job.level, stopped=job.stopping is not None)
    return found


def _told_already(row: Contrast, contrasts: Sequence[Contrast]) -> bool:
    """Whether a label's share is the value itself: a rate need not be corrected twice."""
    return (
        row.outcome == "value"
        and row.role != "primary"
        and any(
            other.outcome != "value"
            and (other.measure, other.tuned, other.reference, other.decoding_id)
            == (row.measure, row.tuned, row.reference, row.decoding_id)
            and (other.mean_tuned, other.mean_reference) == (row.mean_tuned, row.mean_reference)
            for other in contrasts
        )
    )


def _difference_rows(row: Contrast, labelled: Labelled, level: float, *, stopped: bool) -> list[Finding]:
    """Tuned minus reference by every method, both targets; no interval but the scorer's is adjusted for looks."""
    subject = Subject.of(row)
    found = [_row(subject, labelled, "raw", row.difference, part, {}) for part in (row.fixed, row.population)]
    for method in ("ppi", "rogan-gladen", "human-only"):
        numbers = estimate(labelled, method, level=level) if labelled.enough else None
        if numbers is None:
            note = "too-few-labels" if not labelled.enough else "scorer-no-better-than-chance"
            note = note if labelled.binary or note == "too-few-labels" else "not-a-rate"
            parts = [TargetEstimate(target=t, interval=None, p=None, note=note) for t in get_args(Target)]
            found += [_row(subject, labelled, method, None, part, {}) for part in parts]
            continue
        details = {**numbers.details, "means": numbers.means}
        for part in (numbers.fixed, numbers.population):
            shown = dataclasses.replace(part, interval=None, p=None, note="stopped-by-looks") if stopped else part
            found.append(_row(subject, labelled, method, numbers.difference, shown, details))
    return found


def _row(
    subject: Subject,
    labelled: Labelled,
    method: str,
    difference: float | None,
    part: TargetEstimate,
    details: Mapping[str, Any],
) -> Finding:
    tuned, reference = labelled.counts
    note = part.note
    if not note and method != "raw" and min(labelled.counts) < MIN_LABELS:
        note = "few-labels"
    return subject.finding(
        DESIGN,
        method,
        estimand="mean over topics of the mean over prompts of tuned − reference, as people would label",
        target=part.target,
        estimate=difference,
        interval=of_difference(part.interval) if part.interval is not None and labelled.binary else part.interval,
        p=part.p,
        n={
            "topics": len(labelled.topics.names),
            "prompts": int(labelled.weights.size),
            "labels_tuned": tuned,
            "labels_reference": reference,
        },
        method=part.method or method,
        source=SOURCES[method],
        note=note,
        details={**details, "strata": labelled.level} if method != "raw" else details,
    )


def _arm_rows(subject: Subject, labelled: Labelled, place: int, level: float) -> list[Finding]:
    """One arm's rates by every method, and how its scorer and its people agree: the validity card."""
    arm = labelled.moments[place]
    rates: dict[str, tuple[float, float] | None] = {}
    if labelled.enough:
        for name, weight in (("ppi", None), ("human-only", 0.0)):
            one = kernels.ppi(arm, labelled.weights, labelled.strata, weight=weight)
            rates[name] = (float(one.mean), float(one.variance))
    inverse = kernels.rogan_gladen_arm(arm, labelled.weights) if labelled.binary else None
    if inverse is not None:
        rates["raw"] = (float(inverse.raw), float(inverse.sampling))
        usable = labelled.enough and math.isfinite(inverse.rate) and math.isfinite(inverse.variance)
        rates["rogan-gladen"] = (float(inverse.rate), float(inverse.variance)) if usable else None
    levels = {"topics": len(labelled.topics.names), "prompts": int(labelled.weights.size)}
    levels |= {"completions": int((arm.labelled + arm.unlabelled).sum()), "labels": labelled.counts[place]}
    found = [
        subject.finding(
            DESIGN,
            f"rate-{name}",
            estimand="mean over topics of the mean over prompts, in one arm",
            target="fixed",
            estimate=min(1.0, max(0.0, value[0])) if labelled.binary else value[0],
            interval=_limits(*value, name, level, binary=labelled.binary),
            n=levels,
            method=name,
            source=SOURCES[name],
        )
        for name in SOURCES
        if (value := rates.get(name)) is not None
    ]
    return [*found, *([_validity(subject, arm, levels, level)] if labelled.binary else [])]


def _limits(rate: float, variance: float, method: str, level: float, *, binary: bool) -> Interval | None:
    """Of one arm's rate, which no correction takes below 0 or above 1."""
    if variance <= 0:
        return None
    found = kernels.z_interval(rate, variance, level=level, method=method)
    return of_rate(found) if binary else found


def _validity(subject: Subject, arm: Moments, levels: Mapping[str, int], level: float) -> Finding:
    """How often scorer and people say the same of one arm's labelled completions."""
    n, yes, called, both = (int(part.sum()) for part in (arm.labelled, arm.y, arm.f, arm.yf))
    agreed = n - yes - called + 2 * both
    chance = (yes * called + (n - yes) * (n - called)) / n**2
    return subject.finding(
        DESIGN,
        "agreement",
        estimand="share of labelled completions on which scorer and people agree, in one arm",
        target="fixed",
        estimate=agreed / n,
        interval=wilson(agreed, n, level=level),
        n=levels,
        method="Wilson",
        source="Wilson 1927; Cohen 1960",
        details={
            "both": both,
            "scorer_only": called - both,
            "people_only": yes - both,
            "neither": n - yes - called + both,
            "sensitivity": both / yes if yes else None,
            "specificity": (n - yes - called + both) / (n - yes) if n > yes else None,
            "kappa": (agreed / n - chance) / (1 - chance) if chance < 1 else None,
        },
    )
