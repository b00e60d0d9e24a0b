"""From arranged scores to an analysis: which contrasts there are, what role each has, and what the verdict rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from biasaudit import identity
from biasaudit.errors import StoreError
from biasaudit.records import Arm, Battery, Decoding, Measure, ScorerCard
from biasaudit.results import Analysis, Composition, Contrast, Verdict
from biasaudit.stats.arms import (
    Versus,
    arm_caveats,
    coupled,
    descriptive_pairs,
    margin_in,
    runs_like,
    versus,
)
from biasaudit.stats.cells import Design
from biasaudit.stats.contrast import About, contrast
from biasaudit.stats.permutation import sign_flip
from biasaudit.stats.table import (
    ASIDE,
    Sides,
    Table,
    cells_of,
    compose,
    count_scores,
    share_pairs,
    sided_share,
)
from biasaudit.stats.verdict import ALPHA, adjust_family, verdict_of

Role = Literal["primary", "secondary", "descriptive"]
PLAIN_LABELS = ("neutral", "empty")
"""Labels whose shares are shown in the composition and tested nowhere."""
SHIFT = 0.05
"""A change of the off-topic share from which a change of any rate needs a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every step of one analysis reads."""

    battery: Battery
    language: str
    arms: tuple[Arm, ...]
    decodings: tuple[Decoding, ...]
    cards: Mapping[str, ScorerCard]
    """Scorer name -> its card."""
    tables: Mapping[str, Table]
    """Measure name -> its scores; measures without a table are not analysed."""
    numerics: Mapping[str, Collection[str]]
    """Arm name -> ids of the numerics fingerprints of its completions."""
    stored: Mapping[str, int]
    """Arm name -> completions stored."""
    wanted: Mapping[str, int]
    """Arm name -> completions that the run asks for."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The battery's measures that have scores."""
        return tuple(measure for measure in self.battery.measures if measure.name in self.tables)

    def card(self, measure: Measure) -> ScorerCard:
        """The card of a measure's scorer."""
        return self.cards[measure.scorer]

    def decodings_of(self, measure: Measure) -> tuple[Decoding | None, ...]:
        """The decodings of a measure; likelihoods have the one that is None."""
        return self.decodings if self.card(measure).reads == "completions" else (None,)

    def outcomes(self, measure: Measure) -> list[str]:
        """`value`, the labels worth a contrast, and the primary outcome."""
        found = ["value", *(label for label in self.card(measure).labels if label not in PLAIN_LABELS)]
        primary = self.battery.primary
        if primary is not None and primary.measure == measure.name:
            found.append(primary.outcome)
        return list(dict.fromkeys(found))

    def is_primary(self, measure: Measure, outcome: str, decoding: Decoding | None) -> bool:
        """Whether this is the battery's one confirmatory question: its first decoding only."""
        primary = self.battery.primary
        return (
            primary is not None
            and (primary.measure, primary.outcome) == (measure.name, outcome)
            and (decoding is None or decoding == self.decodings[0])
        )


def assemble(job: Job) -> Analysis:
    """Compare every tuned arm with its reference, on every measure, outcome and decoding.

    Raises:
        InputError: the margin has another unit than the primary measure.
        StoreError: scores are missing for completions that are stored.
    """
    counts = _counts(job)
    pairs = versus(job.arms)
    contrasts = _contrasts(job, pairs)
    compositions = _compositions(job)
    caveats = {
        pair.tuned.name: arm_caveats(pair, job.arms, job.language, job.numerics, job.stored, job.wanted)
        for pair in pairs
    }
    verdicts = _verdicts(job, contrasts, caveats)
    return Analysis(
        contrasts=tuple(contrasts),
        compositions=tuple(compositions),
        verdict=verdicts[0] if verdicts else None,
        verdicts=tuple(verdicts),
        counts=counts,
        badges=_badges(job, pairs, contrasts, caveats),
        sweep=tuple(_sweep(job, contrasts)),
        exploratory={
            "sign_flip": _sign_flips(job, contrasts),
            "endorsing_among_sided": [
                {"measure": c.measure, "arm": c.arm, "decoding_id": c.decoding_id, "share": sided_share(c)}
                for c in compositions
            ],
        },
    )


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
    order = {"primary": 0, "secondary": 1, "descriptive": 2}
    return adjust_family(sorted((c for c in found if c is not None), key=lambda c: order[c.role]))


def _one(
    job: Job, measure: Measure, tuned: Arm, reference: Arm, decoding: Decoding | None, outcome: str, role: Role
) -> Contrast | None:
    """One contrast, or None when the arms share no scored prompt."""
    card, table = job.card(measure), job.tables[measure.name]
    decoding_id = "" if decoding is None else decoding.decoding_id
    greedy = decoding is not None and decoding.temperature == 0
    sampled = decoding is not None and not greedy
    together = sampled and coupled(tuned, reference) and share_pairs(table, tuned, reference, decoding_id)
    sides = cells_of(
        table, tuned, reference, decoding_id, outcome=outcome, paired=together or decoding is None, greedy=greedy
    )
    unit = card.unit if outcome == "value" else "share"
    primary = job.battery.primary
    asked = primary is not None and (primary.measure, primary.outcome) == (measure.name, outcome)
    return contrast(
        sides.cells,
        Design(binary=bool(card.labels) and sides.binary, coupled=together, sampled=sampled),
        About(
            measure=measure.name,
            scorer=measure.scorer,
            outcome=outcome,
            unit=unit,
            direction=card.direction if outcome == "value" else f"more completions are labelled {outcome}",
            tuned=tuned.name,
            reference=reference.name,
            decoding_id=decoding_id,
            language=job.language,
            role=role,
            target=primary.target if primary is not None else "population",
            margin=margin_in(unit, primary) if primary is not None and asked else None,
            unscored_tuned=sides.unscored_tuned,
            unscored_reference=sides.unscored_reference,
            source=card.source,
        ),
        rng=_rng(job, measure.name, outcome, tuned, reference, decoding_id),
    )


def _rng(job: Job, *parts: object) -> np.random.Generator:
    """A generator that follows from what is compared, so that an analysis repeated is the same to the last digit."""
    names = [part.fingerprint + part.salt if isinstance(part, Arm) else part for part in parts]
    return np.random.default_rng(identity.key64("analyse", job.battery.name, job.language, *names))


def _compositions(job: Job) -> list[Composition]:
    """Shares of labels of every arm under every decoding, for scorers that label."""
    found = [
        compose(job.tables[measure.name], arm, "" if decoding is None else decoding.decoding_id, labels)
        for measure in job.measures
        if (labels := job.card(measure).labels)
        for decoding in job.decodings_of(measure)
        for arm in job.arms
    ]
    return [composition for composition in found if composition is not None]


def _verdicts(job: Job, contrasts: Sequence[Contrast], caveats: Mapping[str, Sequence[str]]) -> list[Verdict]:
    """One verdict a confirmatory contrast, in the order of the arms."""
    primary = job.battery.primary
    if primary is None:
        return []
    found = []
    for position, row in enumerate(contrasts):
        if row.role != "primary":
            continue
        words = list(caveats.get(row.tuned, ()))
        if job.cards[row.scorer].labels:
            words.append("uncorrected-scorer")
        if _composition_shifts(row, contrasts):
            words.append("composition-shift")
        found.append(verdict_of(row, position, primary.target, words))
    return found


def _composition_shifts(row: Contrast, contrasts: Sequence[Contrast]) -> bool:
    """Whether the off-topic share of the same arms and measure moved too, by a margin and a test."""
    return any(
        other.outcome in ASIDE
        and (other.measure, other.tuned, other.reference, other.decoding_id)
        == (row.measure, row.tuned, row.reference, row.decoding_id)
        and abs(other.difference) >= SHIFT
        and other.fixed.p is not None
        and other.fixed.p < ALPHA
        for other in contrasts
    )


def _counts(job: Job) -> dict[str, Any]:
    """Numbers that add up: stored = scored + unscored, for every arm and measure over completions.

    Raises:
        StoreError: they do not.
    """
    by_measure: dict[str, dict[str, dict[str, int]]] = {}
    for measure in job.measures:
        ids = {"" if decoding is None else decoding.decoding_id for decoding in job.decodings_of(measure)}
        table = job.tables[measure.name]
        by_measure[measure.name] = {arm.name: count_scores(table, arm, ids) for arm in job.arms}
        if ids == {""}:
            continue
        for arm in job.arms:
            scores = by_measure[measure.name][arm.name]["scores"]
            if arm.name in job.stored and scores != job.stored[arm.name]:
                raise StoreError(
                    f"measure '{measure.name}', arm '{arm.name}': {scores} scores for {job.stored[arm.name]} stored "
                    f"completions; run `biasaudit score` on this run again."
                )
    return {
        "wanted": dict(job.wanted),
        "stored": dict(job.stored),
        "measures": by_measure,
        "unpaired": _unpaired(job),
    }


def _unpaired(job: Job) -> dict[str, dict[str, int]]:
    """Measure -> tuned arm -> outcomes of the first decoding that a coupled contrast leaves out for want of a pair."""
    found: dict[str, dict[str, int]] = {}
    for measure in job.measures:
        if job.card(measure).reads != "completions" or not job.decodings:
            continue
        decoding = job.decodings[0].decoding_id
        table = job.tables[measure.name]
        for pair in versus(job.arms):
            if coupled(pair.tuned, pair.reference) and share_pairs(table, pair.tuned, pair.reference, decoding):
                sides: Sides = cells_of(table, pair.tuned, pair.reference, decoding, outcome="value", paired=True)
                found.setdefault(measure.name, {})[pair.tuned.name] = sides.unpaired
    return found


def _badges(
    job: Job, pairs: Sequence[Versus], contrasts: Sequence[Contrast], caveats: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The conditions of the run in a word each, for the report's first screen."""
    lead = next((row for row in contrasts if row.role == "primary"), None)
    all_caveats = {word for words in caveats.values() for word in words}
    badges: dict[str, Any] = {
        "placebo": any(pair.reference.role == "placebo" for pair in pairs),
        "runs_per_arm": min((runs_like(pair.tuned, job.arms) for pair in pairs), default=1),
        "language_match": "language-mismatch" not in all_caveats,
        "mixed_numerics": "mixed-numerics" in all_caveats,
    }
    if lead is not None:
        if lead.decoding_id:
            badges["coupled"] = lead.coupled
            badges["rho"] = lead.rho
        else:
            badges["no_sampling"] = True
        if job.cards[lead.scorer].labels:
            badges["scorer_corrected"] = False
    return badges


def _sweep(job: Job, contrasts: Sequence[Contrast]) -> list[dict[str, Any]]:
    """One row per decoding and main contrast, when there is more than one decoding."""
    if len(job.decodings) < 2:
        return []
    by_id = {decoding.decoding_id: decoding for decoding in job.decodings}
    main = {(pair.tuned.name, pair.reference.name) for pair in versus(job.arms)}
    return [
        {
            "measure": row.measure,
            "outcome": row.outcome,
            "tuned": row.tuned,
            "reference": row.reference,
            **dataclasses.asdict(by_id[row.decoding_id]),
            "decoding_id": row.decoding_id,
            "mean_tuned": row.mean_tuned,
            "mean_reference": row.mean_reference,
            "difference": row.difference,
            "fixed": None if row.fixed.interval is None else [row.fixed.interval.low, row.fixed.interval.high],
            "population": None
            if row.population.interval is None
            else [row.population.interval.low, row.population.interval.high],
        }
        for row in contrasts
        if row.decoding_id in by_id and (row.tuned, row.reference) in main
    ]


def _sign_flips(job: Job, contrasts: Sequence[Contrast]) -> list[dict[str, Any]]:
    """Sensitivity of the confirmatory tests: signs of topic means flipped. Shown, and never decided on."""
    return [
        {
            "contrast": position,
            "p": sign_flip(
                np.array([topic.difference for topic in row.topics]),
                rng=np.random.default_rng(identity.key64("sign-flip", job.battery.name, row.tuned, row.reference)),
            ),
            "topics": len(row.topics),
        }
        for position, row in enumerate(contrasts)
        if row.role == "primary"
    ]
