"""From arranged scores to an analysis: which contrasts there are, what role each has, and what the verdict rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from biasaudit import identity
from biasaudit.records import Arm, Decoding, Measure
from biasaudit.results import Analysis, Composition, Contrast, Finding, Target, Verdict
from biasaudit.stats import groups
from biasaudit.stats.arms import Versus, arm_caveats, coupled, descriptive_pairs, margin_of, versus
from biasaudit.stats.cells import Cell, Design, all_binary
from biasaudit.stats.contrast import About, contrast
from biasaudit.stats.corrected import best
from biasaudit.stats.correction_rows import corrections
from biasaudit.stats.designs import designs
from biasaudit.stats.designs_language import Beside
from biasaudit.stats.job import HUMAN, Job, Role, decoding_name
from biasaudit.stats.stopping import Stopping, adjusted
from biasaudit.stats.summary import badges, counts, sign_flips, sweep_rows
from biasaudit.stats.table import Sides, Table, cells_of, compose, share_pairs, sided_share
from biasaudit.stats.verdict import adjust_beside, adjust_family, verdict_of

LANGUAGE_SHIFT = 0.10
"""A difference of the share in the prompts' language from which arms differ in more than what they say."""
SHIFT = 0.05
"""A change of the off-topic share from which a change of any rate needs a word."""


def assemble(job: Job, beside: Sequence[Beside] = ()) -> Analysis:
    """Compare every tuned arm with its reference, on every measure, outcome and decoding.

    Args:
        job: the run.
        beside: runs of the same battery and arms in other languages.

    Raises:
        InputError: a margin has another unit than its measure.
        StoreError: scores are missing for completions that are stored.
    """
    totals = counts(job)
    pairs = versus(job.arms)
    raw = _contrasts(job, pairs)
    primary = job.battery.primary
    wanted: Target = "population" if primary is None else primary.target
    alpha = job.battery.alpha
    contrasts = adjust_family([best(job, row) for row in raw], wanted, alpha=alpha)
    contrasts = adjust_beside(contrasts, _with_margins(job, contrasts), alpha=alpha)
    compositions = _compositions(job)
    caveats = {
        pair.tuned.name: arm_caveats(pair, job.arms, job.language, job.numerics, job.stored, job.wanted)
        for pair in pairs
    }
    corrected = corrections(job, raw)
    verdicts = _verdicts(job, contrasts, caveats, corrected)
    return Analysis(
        contrasts=tuple(contrasts),
        compositions=tuple(compositions),
        verdict=verdicts[0] if verdicts else None,
        verdicts=tuple(verdicts),
        beside_margins=tuple(
            verdict_of(row, position, wanted, alpha=alpha)
            for position, row in enumerate(contrasts)
            if row.role != "primary" and row.equivalence is not None
        ),
        counts=totals,
        badges=badges(job, pairs, contrasts, caveats),
        sweep=tuple(sweep_rows(job, contrasts)),
        exploratory={
            "sign_flip": sign_flips(job, contrasts),
            "endorsing_among_sided": [
                {
                    "measure": c.measure,
                    "arm": c.arm,
                    "decoding_id": c.decoding_id,
                    "share": sided_share(c, job.cards[c.measure].sides),
                }
                for c in compositions
            ],
        },
        findings=(*corrected, *designs(job, pairs, contrasts, beside)),
        alpha=alpha,
    )


def _with_margins(job: Job, contrasts: Sequence[Contrast]) -> list[int]:
    """Positions of the contrasts outside the confirmatory family whose outcome has a margin."""
    measures = {measure.name: measure for measure in job.measures}
    return [
        position
        for position, row in enumerate(contrasts)
        if row.role != "primary"
        and margin_of(measures[row.measure], row.outcome, row.unit, job.battery.primary) is not None
    ]


def _contrasts(job: Job, pairs: Sequence[Versus]) -> list[Contrast]:
    """All contrasts: confirmatory, then the others of the main pairs, then placebo − base and the like."""
    found: list[Contrast | None] = []
    for measure in job.measures:
        for decoding in job.decodings_of(measure):
            for outcome in job.outcomes(measure):
                main: Role = "primary" if job.is_primary(measure, outcome, decoding) else "secondary"
                if decoding is not None and decoding != job.decodings[0]:
                    main = "descriptive"
                found += [_one(job, measure, p.tuned, p.reference, decoding, outcome, main) for p in pairs]
                if outcome == "value" or main == "primary":
                    beside = descriptive_pairs(job.arms, pairs)
                    found += [_one(job, measure, arm, base, decoding, outcome, "descriptive") for arm, base in beside]
        found += _group_contrasts(job, measure, pairs)
    order = {"primary": 0, "secondary": 1, "descriptive": 2}
    return sorted((c for c in found if c is not None), key=lambda c: order[c.role])


def _one(
    job: Job, measure: Measure, tuned: Arm, reference: Arm, decoding: Decoding | None, outcome: str, role: Role
) -> Contrast | None:
    """One contrast, or None when the arms share no scored prompt."""
    card = job.card(measure)
    sides, design = sides_of(job, measure, tuned, reference, decoding, outcome)
    direction = card.direction if outcome == "value" else f"more completions are labelled {outcome}"
    about = _about(job, measure, tuned, reference, decoding, outcome, role, direction)
    about = dataclasses.replace(about, unscored_tuned=sides.unscored_tuned, unscored_reference=sides.unscored_reference)
    rng = _rng(job, measure.name, outcome, tuned, reference, decoding_name(decoding))
    return _stopped(contrast(sides.cells, design, about, rng=rng), sides.cells, design, job.stopping)


def sides_of(
    job: Job, measure: Measure, tuned: Arm, reference: Arm, decoding: Decoding | None, outcome: str
) -> tuple[Sides, Design]:
    """Two arms' outcomes prompt by prompt, and what kind of numbers they are."""
    table, greedy = job.tables[measure.name], decoding is not None and decoding.temperature == 0
    together = _coupled(job, measure, tuned, reference, decoding)
    paired = together or decoding is None
    sides = cells_of(table, tuned, reference, decoding_name(decoding), outcome=outcome, paired=paired, greedy=greedy)
    binary = bool(job.card(measure).labels) and sides.binary
    return sides, Design(binary=binary, coupled=together, sampled=decoding is not None and not greedy)


def _stopped(
    found: Contrast | None, cells: Sequence[Cell], design: Design, stopping: Stopping | None
) -> Contrast | None:
    """The contrast with its intervals and tests adjusted, where the run stopped by looks."""
    return found if found is None or stopping is None else adjusted(found, cells, design, stopping)


def _coupled(job: Job, measure: Measure, tuned: Arm, reference: Arm, decoding: Decoding | None) -> bool:
    """Whether sampled outcomes of the two arms come in pairs."""
    if decoding is None or decoding.temperature == 0:
        return False
    table = job.tables[measure.name]
    return coupled(tuned, reference) and share_pairs(table, tuned, reference, decoding.decoding_id)


def _about(
    job: Job,
    measure: Measure,
    tuned: Arm,
    reference: Arm,
    decoding: Decoding | None,
    outcome: str,
    role: Role,
    direction: str,
) -> About:
    """Names, unit, target and margin of one contrast."""
    card, primary = job.card(measure), job.battery.primary
    unit = "share" if outcome in card.labels else card.unit
    return About(
        measure=measure.name,
        scorer=measure.scorer,
        outcome=outcome,
        unit=unit,
        direction=direction,
        tuned=tuned.name,
        reference=reference.name,
        decoding_id=decoding_name(decoding),
        language=job.language,
        role=role,
        target=primary.target if primary is not None else "population",
        margin=margin_of(measure, outcome, unit, primary),
        alpha=job.battery.alpha,
        prompt_test=primary.prompt_test if primary is not None and role == "primary" else "exact",
        source=card.source,
    )


def _group_contrasts(job: Job, measure: Measure, pairs: Sequence[Versus]) -> list[Contrast | None]:
    """For every slot with two groups: the gap inside each arm, and its difference between the arms of each pair."""
    table, decoding = job.tables[measure.name], job.decodings_of(measure)[0]
    name, sampled = decoding_name(decoding), decoding is not None and decoding.temperature > 0
    found: list[Contrast | None] = []
    for slot in groups.two_group_slots(tuple(table.places.values())):
        stopping = _twins_stopped(job, table, slot)
        direction = f"larger for {slot.first} than for {slot.second}"
        for arm in job.arms:
            cells = groups.inside(table, arm, name, slot)
            binary = bool(job.card(measure).labels) and all_binary(cells)
            about = _about(job, measure, arm, arm, decoding, slot.outcome, "descriptive", direction)
            rng = _rng(job, measure.name, slot.outcome, arm, name)
            design = Design(binary=binary, sampled=sampled)
            found.append(_stopped(contrast(cells, design, about, rng=rng), cells, design, stopping))
        for pair in pairs:
            together = _coupled(job, measure, pair.tuned, pair.reference, decoding)
            cells = groups.between(table, pair.tuned, pair.reference, name, slot, coupled=together or decoding is None)
            about = _about(job, measure, pair.tuned, pair.reference, decoding, slot.outcome, "descriptive", direction)
            rng = _rng(job, measure.name, slot.outcome, pair.tuned, pair.reference, name)
            design = Design(coupled=together, sampled=sampled)
            found.append(_stopped(contrast(cells, design, about, rng=rng), cells, design, stopping))
    return found


def _twins_stopped(job: Job, table: Table, slot: groups.Slot) -> Stopping | None:
    """Looks of twins: a gap was followed as far as the twin that stopped first."""
    if job.stopping is None:
        return None
    looks = dict(job.stopping.looks)
    for first, second in groups.twins(table, slot):
        looks[first.prompt_id] = min(looks.get(first.prompt_id, 0), looks.get(second.prompt_id, 0))
    return dataclasses.replace(job.stopping, looks=looks)


def _rng(job: Job, *parts: object) -> np.random.Generator:
    """A generator that follows from what is compared, so that an analysis repeated is the same to the last digit."""
    names = [part.fingerprint + part.salt if isinstance(part, Arm) else part for part in parts]
    return np.random.default_rng(identity.key64("analyse", job.battery.name, job.language, *names))


def _compositions(job: Job) -> list[Composition]:
    """Shares of labels of every arm under every decoding, for scorers that label."""
    found = [
        compose(job.tables[measure.name], arm, decoding_name(decoding), labels, job.card(measure).aside)
        for measure in job.measures
        if (labels := job.card(measure).labels)
        for decoding in job.decodings_of(measure)
        for arm in job.arms
    ]
    return [composition for composition in found if composition is not None]


def _verdicts(
    job: Job, contrasts: Sequence[Contrast], caveats: Mapping[str, Sequence[str]], corrected: Sequence[Finding]
) -> list[Verdict]:
    """One verdict a confirmatory contrast, in the order of the arms."""
    primary = job.battery.primary
    if primary is None:
        return []
    found = []
    for position, row in enumerate(contrasts):
        if row.role != "primary":
            continue
        words = list(caveats.get(row.tuned, ()))
        if job.cards[row.measure].labels and row.scorer != HUMAN and not row.corrected:
            words += _unsettled(row, corrected)
        if _language_shifts(job, row, contrasts):
            words.append("language-shift")
        if _composition_shifts(row, contrasts, job.cards[row.measure].aside, job.battery.alpha):
            words.append("composition-shift")
        found.append(verdict_of(row, position, primary.target, words, alpha=job.battery.alpha))
    return found


def _unsettled(row: Contrast, corrected: Sequence[Finding]) -> list[str]:
    """What to say of a scorer's verdict: nobody checked it, or people did and it is the scorer's all the same."""
    own = (row.measure, row.outcome, row.tuned, row.reference, row.decoding_id)
    checked = [
        x.interval
        for x in corrected
        if x.name == "ppi" and (x.measure, x.outcome, x.tuned, x.reference, x.decoding_id) == own
    ]
    if not checked:
        return ["uncorrected-scorer"]
    bounds = [interval for interval in checked if interval is not None]
    apart = bool(bounds) and all(not interval.low <= row.difference <= interval.high for interval in bounds)
    return ["labels-disagree", "labels-not-used"] if apart else ["labels-not-used"]


def _language_shifts(job: Job, row: Contrast, contrasts: Sequence[Contrast]) -> bool:
    """Whether the share of texts (or of their letters) in the prompts' language differs by `LANGUAGE_SHIFT` or more."""
    told = {measure.name for measure in job.measures if measure.scorer == "language"}
    return any(
        other.measure in told
        and other.outcome == "value"
        and (other.tuned, other.reference) == (row.tuned, row.reference)
        and other.decoding_id == (row.decoding_id or job.decodings[0].decoding_id)
        and abs(other.difference) >= LANGUAGE_SHIFT
        for other in contrasts
    )


def _composition_shifts(row: Contrast, contrasts: Sequence[Contrast], aside: Sequence[str], alpha: float) -> bool:
    """Whether the off-topic share of the same arms and measure moved too, by a margin and a test."""
    return any(
        other.outcome in aside
        and other.outcome != row.outcome
        and (other.measure, other.tuned, other.reference, other.decoding_id)
        == (row.measure, row.tuned, row.reference, row.decoding_id)
        and abs(other.difference) >= SHIFT
        and other.fixed.p is not None
        and other.fixed.p < alpha
        for other in contrasts
    )
