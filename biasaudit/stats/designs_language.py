"""The language of the prompts as a paired factor: the same arms, topics and question, asked in two languages.

A model is never held against another on prompts of another language but so: each language gives a difference of two
arms on every topic, and the topics' differences of these differences are tested.

Source: t on cluster means, Ibragimov & Müller 2010.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from biasaudit.results import Contrast, Finding
from biasaudit.stats.arms import Versus
from biasaudit.stats.designs_units import outcomes
from biasaudit.stats.factors import between_levels
from biasaudit.stats.finding import ON_TOPICS, Subject
from biasaudit.stats.job import Job

Question = tuple[str, str, str, str, str]
"""(measure, outcome, tuned arm, reference arm, decoding id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one contrast found in another language."""

    topics: Mapping[str, float]
    """Topic -> mean over its prompts of (tuned − reference)."""
    prompts: int
    completions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A finished run of the same battery and arms in another language."""

    run: str
    language: str
    effects: Mapping[Question, Effect]


def question(row: Contrast) -> Question:
    """By what a contrast is found again in another run."""
    return row.measure, row.outcome, row.tuned, row.reference, row.decoding_id


def effect(row: Contrast) -> Effect:
    """What another run keeps of a contrast."""
    topics = {topic.topic: topic.difference for topic in row.topics}
    return Effect(topics=topics, prompts=row.n_prompts, completions=row.n_tuned + row.n_reference)


def languages(
    job: Job, pairs: Sequence[Versus], beside: Sequence[Beside], contrasts: Sequence[Contrast]
) -> Iterator[Finding]:
    """Every contrast of a pair of arms that both languages have, this run's minus the other's."""
    asked = {(measure.name, outcome) for measure in job.measures for outcome in outcomes(job, measure)}
    held = {(pair.tuned.name, pair.reference.name) for pair in pairs}
    rows = [row for row in contrasts if (row.measure, row.outcome) in asked and (row.tuned, row.reference) in held]
    for other in beside:
        for row in rows:
            there, here = other.effects.get(question(row)), effect(row)
            found = None if there is None else between_levels(here.topics, there.topics, confidence=job.level)
            if there is None or found is None:
                continue
            fields, topics = found
            shared = [topic for topic in here.topics if topic in there.topics]
            yield Subject.of(row).finding(
                "language",
                "between-languages",
                **fields,
                estimand="mean over topics of (tuned − reference) in this language less the same in the other",
                n={
                    "languages": 2,
                    "topics": topics,
                    "prompts": row.n_prompts + there.prompts,
                    "completions" if row.decoding_id else "likelihoods": here.completions + there.completions,
                },
                source=ON_TOPICS,
                details={
                    "languages": [job.language, other.language],
                    "differences": [
                        sum(held[topic] for topic in shared) / len(shared) for held in (here.topics, there.topics)
                    ],
                    "run": other.run,
                },
            )
