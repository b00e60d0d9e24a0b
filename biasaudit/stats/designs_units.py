"""Temperatures as findings, and what designs read of an arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from biasaudit import identity
from biasaudit.records import Arm, Decoding, Measure
from biasaudit.results import Contrast, Finding
from biasaudit.stats import factors
from biasaudit.stats.finding import ON_TOPICS, Floats, Subject, if_rare, prompt_differences
from biasaudit.stats.job import Job, decoding_name
from biasaudit.stats.readings import scored
from biasaudit.stats.table import Place


def rng_of(job: Job, *parts: object) -> np.random.Generator:
    """A generator that follows from what is compared."""
    return np.random.default_rng(identity.key64("design", job.battery.name, job.language, *parts))


def subject(job: Job, measure: Measure, outcome: str, tuned: str, reference: str, decoding: Decoding | None) -> Subject:
    """What a finding of these arms is about."""
    card = job.card(measure)
    return Subject(
        measure=measure.name,
        outcome=outcome,
        unit="share" if outcome in card.labels else card.unit,
        tuned=tuned,
        reference=reference,
        decoding_id=decoding_name(decoding),
        language=job.language,
    )


def outcomes(job: Job, measure: Measure) -> list[str]:
    """Outcomes worth a design: labels where a scorer labels, else its value; and the primary outcome."""
    found = job.outcomes(measure)
    primary = job.battery.primary
    asked = primary.outcome if primary is not None and primary.measure == measure.name else ""
    return [name for name in found if name != "value" or len(found) == 1 or asked == "value"]


def values_of(job: Job, measure: Measure, arm: Arm, decoding: Decoding | None, outcome: str) -> dict[Place, Floats]:
    """(prompt id, topic) -> an arm's outcomes, where it has any."""
    table, greedy = job.tables[measure.name], decoding is not None and decoding.temperature == 0
    held = table.of(arm, decoding_name(decoding))
    found = {}
    for place in table.places:
        values = scored(held.get(place), outcome, greedy)[0].values
        if values.size:
            found[place] = values
    return found


def temperatures(job: Job, contrasts: Sequence[Contrast]) -> Iterator[Finding]:
    """How an effect changes with the temperature, for decodings that differ in nothing else; greedy is left out."""
    by_id = {decoding.decoding_id: decoding for decoding in job.decodings if decoding.temperature > 0}
    asked = {(measure.name, outcome) for measure in job.measures for outcome in outcomes(job, measure)}
    grouped: dict[tuple[object, ...], list[Contrast]] = {}
    for row in contrasts:
        decoding = by_id.get(row.decoding_id)
        if decoding is not None and row.tuned != row.reference and (row.measure, row.outcome) in asked:
            rest = dataclasses.replace(decoding, temperature=1.0)
            grouped.setdefault((row.measure, row.outcome, row.tuned, row.reference, rest), []).append(row)
    for rows in grouped.values():
        rows = sorted(rows, key=lambda row: by_id[row.decoding_id].temperature)
        levels = [by_id[row.decoding_id].temperature for row in rows]
        if len(rows) < 2:
            continue
        found = factors.slope_over(levels, [prompt_differences(row) for row in rows], confidence=job.level)
        if found is None:
            continue
        fields, topics, prompts = found
        made = Subject.of(rows[0], decoding_id="", unit=f"{rows[0].unit} per unit of temperature").finding(
            "temperature",
            "slope",
            **fields,
            estimand="mean over topics of the slope of (tuned − reference) over temperature",
            n={
                "temperatures": len(rows),
                "topics": topics,
                "prompts": prompts,
                "completions": sum(row.n_tuned + row.n_reference for row in rows),
            },
            source=ON_TOPICS,
            details={"temperatures": levels, "differences": [row.difference for row in rows]},
        )
        yield if_rare(made, float(np.mean([(each.mean_tuned + each.mean_reference) / 2 for each in rows])))
