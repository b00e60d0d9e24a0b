"""Every design beside the plain contrast, run over one job: rows for the results table, none of them in a verdict.

Confirmatory tests are Holm's family of the contrasts. Here secondary contrasts pass the Simes gate, and everything
exploratory stands under Benjamini–Hochberg, but for what tests the headline's hypothesis again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from biasaudit.results import Contrast, Finding, TargetEstimate
from biasaudit.stats.arms import Versus
from biasaudit.stats.contrast import deciding
from biasaudit.stats.designs_arms import doses, runs
from biasaudit.stats.designs_labels import composition, curve
from biasaudit.stats.designs_language import Beside, languages
from biasaudit.stats.designs_rare import rare
from biasaudit.stats.designs_scores import robust, texts
from biasaudit.stats.designs_slots import slots
from biasaudit.stats.designs_units import temperatures
from biasaudit.stats.families import Q, gate
from biasaudit.stats.finding import Subject
from biasaudit.stats.job import Job
from biasaudit.stats.multiplicity import adjust_present, benjamini_hochberg

DESIGNS = (
    "rare", "composition", "runs", "dose", "temperature", "slots", "language", "robust", "text", "words", "families",
    "curve",
)  # fmt: skip
"""Words that `Finding.design` may hold."""


def designs(
    job: Job, pairs: Sequence[Versus], contrasts: Sequence[Contrast], beside: Sequence[Beside] = ()
) -> tuple[Finding, ...]:
    """All designs that the job's arms, battery and decodings, and runs in other languages, make possible."""
    found = [
        *composition(job, pairs),
        *runs(job, pairs, contrasts),
        *doses(job),
        *temperatures(job, contrasts),
        *slots(job, pairs),
        *languages(job, pairs, beside, contrasts),
        *robust(job, pairs),
        *texts(job, pairs),
        *secondary(contrasts),
    ]
    return (*rare(job, contrasts), *_under_bh(found), *curve(job, pairs))


def secondary(contrasts: Sequence[Contrast]) -> Iterator[Finding]:
    """Secondary contrasts, one family a measure, through the Simes gate."""
    families: dict[str, list[tuple[int, Contrast, TargetEstimate, float]]] = {}
    for position, row in enumerate(contrasts):
        estimate = _decisive(row)
        if row.role == "secondary" and estimate.p is not None:
            families.setdefault(row.measure, []).append((position, row, estimate, estimate.p))
    gated = gate({name: [entry[3] for entry in rows] for name, rows in families.items()})
    for name, rows in families.items():
        family = gated[name]
        for (position, row, estimate, p), inside in zip(rows, family.inside, strict=True):
            yield Subject.of(row).finding(
                "families",
                "secondary",
                estimand="difference of the contrast at this position",
                target=estimate.target,
                estimate=row.difference,
                interval=estimate.interval,
                p=p,
                p_adjusted=inside,
                family="secondary",
                n={"families": len(families), "tests": len(rows), "topics": row.n_topics, "prompts": row.n_prompts},
                method=f"Simes gate, then Benjamini–Hochberg at {Q:g}",
                source="Benjamini & Bogomolov 2014",
                note="" if family.selected else "family-not-selected",
                details={"contrast": position, "simes": family.simes, "simes_adjusted": family.adjusted},
            )


def _decisive(row: Contrast) -> TargetEstimate:
    """The estimate that speaks for a contrast whose target nobody asked for."""
    return row.fixed if deciding(row.population, "population") == "fixed" else row.population


def _under_bh(found: Sequence[Finding]) -> list[Finding]:
    """The rows, exploratory p-values adjusted together by Benjamini–Hochberg."""
    open_ = [row.p if row.family == "exploratory" else None for row in found]
    adjusted = adjust_present(open_, benjamini_hochberg)
    return [
        row if p is None else dataclasses.replace(row, p_adjusted=p) for row, p in zip(found, adjusted, strict=True)
    ]
