"""Robust companions of numeric scores, tests on the texts themselves, and distinctive words, as findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from biasaudit.records import Arm, Decoding, Measure, Prompt
from biasaudit.results import Contrast, Finding
from biasaudit.stats import robust as kernels
from biasaudit.stats import texts as distances
from biasaudit.stats.arms import Versus, coupled
from biasaudit.stats.cells import Cell, Design
from biasaudit.stats.contrast import About, contrast, gather
from biasaudit.stats.designs_units import rng_of, subject
from biasaudit.stats.finding import ON_TOPICS, Subject
from biasaudit.stats.job import Job, decoding_name
from biasaudit.stats.multiplicity import benjamini_hochberg
from biasaudit.stats.table import cells_of
from biasaudit.stats.words import distinctive, without_echo

CHANGED = "text-changed"
"""The note of every test on texts: none of them says that bias changed."""


def robust(job: Job, pairs: Sequence[Versus]) -> Iterator[Finding]:
    """Cliff's delta, Brunner–Munzel and the tail, for sampled numeric measures."""
    for measure in job.measures:
        decoding = job.decodings_of(measure)[0]
        if job.card(measure).labels or decoding is None or decoding.temperature == 0:
            continue
        for pair in pairs:
            sides = cells_of(
                job.tables[measure.name], pair.tuned, pair.reference, decoding_name(decoding), outcome="value",
                paired=False,
            )  # fmt: skip
            cells = [cell for cell in sides.cells if cell.full]
            if cells and not sides.binary:
                yield from _robust(job, measure, pair, decoding, cells)


def _robust(job: Job, measure: Measure, pair: Versus, decoding: Decoding, cells: Sequence[Cell]) -> Iterator[Finding]:
    """One measure's rows for two arms."""
    row = subject(job, measure, "value", pair.tuned.name, pair.reference.name, decoding)
    ranked = []
    for cell in cells:
        up, down = kernels.centred_ranks(cell.tuned, cell.reference)
        ranked.append(dataclasses.replace(cell, tuned=up, reference=down))
    rng = rng_of(job, "robust", measure.name, pair.tuned.name, pair.reference.name)
    delta = contrast(ranked, Design(), _about(row, "delta", job.battery.alpha), rng=rng)
    assert delta is not None
    several = [cell for cell in cells if min(cell.tuned.size, cell.reference.size) > 1]
    tests = [kernels.brunner_munzel(cell.tuned, cell.reference) for cell in several]
    known = [test.p for test in tests if test.p is not None]
    adjusted = benjamini_hochberg(known)
    details = {
        "brunner_munzel": {
            "prompts": len(known),
            "below_05": sum(p < 0.05 for p in known),
            "below_05_bh": sum(p < 0.05 for p in adjusted),
            "least_p": min(known, default=None),
        },
        "p_fixed": delta.fixed.p,
        "fixed_method": delta.fixed.method,
    }
    yield _row(
        dataclasses.replace(row, unit="Cliff's delta"), "cliff-delta",
        "mean over topics of P(tuned > reference) − P(tuned < reference) within a prompt",
        delta, "Cliff 1993", details,
    )  # fmt: skip
    threshold = kernels.tail_threshold([cell.reference for cell in cells])
    tails = [
        dataclasses.replace(
            cell,
            tuned=(cell.tuned > threshold).astype(np.float64),
            reference=(cell.reference > threshold).astype(np.float64),
        )
        for cell in cells
    ]
    tail = contrast(tails, Design(binary=True), _about(row, "share", job.battery.alpha), rng=rng)
    assert tail is not None
    pooled = [np.concatenate([getattr(cell, side) for cell in cells]) for side in ("tuned", "reference")]
    ends = [float(np.quantile(values, kernels.TAIL)) for values in pooled]
    weights = gather(cells).weights(len(cells))
    drawn = kernels.ridges([[getattr(cell, side) for cell in cells] for side in ("tuned", "reference")], weights)
    yield _row(
        dataclasses.replace(row, unit="share"), "tail",
        "difference of the shares above the reference arm's 95th percentile", tail, ON_TOPICS,
        {"threshold": threshold, "percentile_tuned": ends[0], "percentile_reference": ends[1],
         "share_tuned": tail.mean_tuned, "share_reference": tail.mean_reference, "p_fixed": tail.fixed.p,
         "unit": row.unit, "ridges": drawn},
    )  # fmt: skip


def _about(row: Subject, unit: str, alpha: float) -> About:
    """What `contrast` wants to know."""
    names = {**dataclasses.asdict(row), "unit": unit}
    return About(**names, scorer="", direction="", role="descriptive", alpha=alpha)


def _row(row: Subject, name: str, estimand: str, found: Contrast, source: str, details: dict[str, Any]) -> Finding:
    """A contrast of transformed outcomes as a finding."""
    return row.finding(
        "robust",
        name,
        estimand=estimand,
        target="population",
        estimate=found.difference,
        interval=found.population.interval,
        p=found.population.p,
        n={
            "topics": found.n_topics,
            "prompts": found.n_prompts,
            "completions": found.n_tuned + found.n_reference,
        },
        method=found.population.method,
        source=source,
        note=found.population.note,
        details=details,
    )


def texts(job: Job, pairs: Sequence[Versus]) -> Iterator[Finding]:
    """Distances, classifier and words, where completions are at hand; first decoding."""
    if not job.texts or not job.decodings or job.decodings[0].temperature == 0:
        return
    asked = [(pair.tuned, pair.reference, False) for pair in pairs]
    main = {frozenset((pair.tuned.name, pair.reference.name)) for pair in pairs}
    asked += [
        (second, first, True)
        for k, first in enumerate(job.arms)
        for second in job.arms[k + 1 :]
        if first.fingerprint == second.fingerprint and frozenset((first.name, second.name)) not in main
    ]
    halved: set[str] = set()
    for tuned, reference, null in asked:
        strata = _strata(job, tuned, reference)
        if strata is None:
            continue
        null = null or tuned.fingerprint == reference.fingerprint
        yield from _text_rows(job, tuned.name, reference.name, strata, null="same-model" if null else "")
        if reference.name not in halved:
            held = job.texts[reference.name]
            prompts = _prompts(job, held)
            own = distances.halves([list(held[p.prompt_id].values()) for p in prompts], [p.topic for p in prompts])
            yield from _distance_rows(job, reference.name, reference.name, own, "split-half")
            halved.add(reference.name)
        if not null:
            yield from _lengths(job, tuned.name, reference.name, strata)
            found = _words(job, tuned.name, reference.name, strata)
            yield from () if found is None else (found,)


def _prompts(job: Job, held: Any) -> list[Prompt]:
    """The battery's prompts that `held` answers."""
    return [p for p in job.battery.prompts if p.language == job.language and held.get(p.prompt_id)]


def _strata(job: Job, tuned: Arm, reference: Arm) -> distances.Strata | None:
    """Completions of both arms, prompt by prompt, echoes stripped; pairs aligned where arms share their noise."""
    up, down = job.texts.get(tuned.name, {}), job.texts.get(reference.name, {})
    prompts = [p for p in _prompts(job, up) if down.get(p.prompt_id)]
    if not prompts:
        return None
    together = coupled(tuned, reference)
    first, second = [], []
    for prompt in prompts:
        one, other = up[prompt.prompt_id], down[prompt.prompt_id]
        shared = [index for index in one if index in other]
        rows = (shared, shared) if together else (list(one), list(other))
        first.append(tuple(without_echo(one[index], prompt.text) for index in rows[0]))
        second.append(tuple(without_echo(other[index], prompt.text) for index in rows[1]))
    return distances.Strata(
        topics=tuple(p.topic for p in prompts), first=tuple(first), second=tuple(second), coupled=together
    )


def _text_subject(job: Job, tuned: str, reference: str, unit: str) -> Subject:
    """Texts have no measure."""
    return Subject(
        measure="", outcome="text", unit=unit, tuned=tuned, reference=reference,
        decoding_id=decoding_name(job.decodings[0]), language=job.language,
    )  # fmt: skip


def _text_rows(job: Job, tuned: str, reference: str, strata: distances.Strata, *, null: str) -> Iterator[Finding]:
    """Distances and classifier of two arms."""
    yield from _distance_rows(job, tuned, reference, strata, null)
    found = distances.classified(strata, rng=rng_of(job, "c2st", tuned, reference))
    if found is not None:
        yield _text_row(job, tuned, reference, "c2st", strata, found, null)


def _lengths(job: Job, tuned: str, reference: str, strata: distances.Strata) -> Iterator[Finding]:
    """How much longer one arm's texts are: many scores move with the length alone. It describes, so it has no p."""
    cells = [
        Cell(
            prompt_id=str(number),
            topic=topic,
            tuned=np.array([float(len(text.split())) for text in first]),
            reference=np.array([float(len(text.split())) for text in second]),
        )
        for number, (topic, first, second) in enumerate(zip(strata.topics, strata.first, strata.second, strict=True))
    ]
    row = _text_subject(job, tuned, reference, "words")
    about = _about(row, "words", job.battery.alpha)
    # Not sampled, as far as `contrast` needs to know: the permutations of a p that nobody reads take their time.
    found = contrast(cells, Design(sampled=False), about, rng=rng_of(job, "length", tuned, reference))
    if found is not None:
        means = {"mean_tuned": found.mean_tuned, "mean_reference": found.mean_reference}
        estimand = "mean over topics of the difference in words a completion"
        made = _row(row, "length", estimand, found, ON_TOPICS, means)
        yield dataclasses.replace(made, design="text", p=None, note=made.note or CHANGED)


def _distance_rows(job: Job, tuned: str, reference: str, strata: distances.Strata, null: str) -> Iterator[Finding]:
    """Energy distance and MMD."""
    for name, found in distances.distances_apart(strata, rng=rng_of(job, "text", tuned, reference, null)).items():
        yield _text_row(job, tuned, reference, name, strata, found, null)


_TEXT = {
    "energy": ("energy distance of character n-grams within prompts", "distance", "Székely & Rizzo 2013"),
    "mmd": ("squared maximum mean discrepancy of character n-grams within prompts", "MMD²", "Gretton et al. 2012"),
    "c2st": ("AUC of a classifier on prompts that it did not see", "AUC", "Lopez-Paz & Oquab 2017"),
}


def _text_row(
    job: Job,
    tuned: str,
    reference: str,
    name: str,
    strata: distances.Strata,
    found: distances.TextTest,
    null: str,
) -> Finding:
    """One test on texts; a null comparison has no p in the family."""
    estimand, unit, source = _TEXT[name]
    swapped = "arms swapped within pairs" if strata.coupled else "permutation within prompts, Monte Carlo"
    return _text_subject(job, tuned, reference, unit).finding(
        "text",
        name,
        estimand=estimand,
        target="fixed",
        estimate=found.value,
        p=found.p,
        family="null" if null else "exploratory",
        n={"topics": len(set(strata.topics)), "prompts": len(strata.topics), "completions": found.n},
        method=swapped,
        source=source,
        note=CHANGED,
        details={"null": null} if null else {},
    )


def _words(job: Job, tuned: str, reference: str, strata: distances.Strata) -> Finding | None:
    """The words that tell two arms apart."""
    found = distinctive(strata, rng=rng_of(job, "words", tuned, reference), level=job.level)
    if found is None:
        return None
    return _text_subject(job, tuned, reference, "z").finding(
        "words",
        "largest-z",
        estimand="largest |z| of any word's log-odds with a Dirichlet prior",
        target="fixed",
        estimate=max(abs(word.z) for word in found.words),
        p=found.p,
        n={
            "topics": len(set(strata.topics)),
            "prompts": len(strata.topics),
            "completions": found.n,
            "words": found.vocabulary,
        },
        method="largest |z| under permutation within prompts",
        source="Monroe, Colaresi & Quinn 2008; Westfall & Young 1993",
        note=CHANGED,
        details={
            "threshold": found.threshold,
            "words": [dataclasses.asdict(word) for word in found.words],
            "cloud": [list(pair) for pair in found.cloud],
        },
    )
