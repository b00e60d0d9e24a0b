"""What stands beside the contrasts: counts that add up, badges, the sweep, and sensitivity tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biasaudit import identity
from biasaudit.errors import StoreError
from biasaudit.results import Contrast
from biasaudit.stats.arms import Versus, coupled, runs_of, versus
from biasaudit.stats.job import HUMAN, Job, decoding_name
from biasaudit.stats.permutation import sign_flip
from biasaudit.stats.table import Sides, cells_of, count_scores, share_pairs


def counts(job: Job) -> dict[str, Any]:
    """Numbers that add up: stored = scored + unscored, for every arm and measure over completions.

    Raises:
        StoreError: they do not.
    """
    models = {(arm.fingerprint, arm.salt) for arm in job.arms}
    by_measure: dict[str, dict[str, dict[str, int]]] = {}
    for measure in job.measures:
        ids = {decoding_name(decoding) for decoding in job.decodings_of(measure)}
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
        "human_labelled": len({label.key for label in job.labels if (label.key[0], label.key[4]) in models}),
        "numerics": len({name for arm in job.arms for name in job.numerics.get(arm.name, ())}),
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


def badges(
    job: Job, pairs: Sequence[Versus], contrasts: Sequence[Contrast], caveats: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The conditions of the run in a word each, for the report's first screen."""
    lead = next((row for row in contrasts if row.role == "primary"), None)
    led = [pair for pair in pairs if lead is not None and pair.tuned.name == lead.tuned] or list(pairs)
    all_caveats = {word for words in caveats.values() for word in words}
    stated = all(arm.language for pair in pairs for arm in (pair.tuned, pair.reference))
    badges: dict[str, Any] = {
        "placebo": any(pair.reference.role == "placebo" and not pair.caveats for pair in led),
        "runs_per_arm": min((runs_of(pair, job.arms) for pair in pairs), default=1),
        "language_match": "language-mismatch" not in all_caveats if stated else None,
        "mixed_numerics": "mixed-numerics" in all_caveats,
    }
    if job.stopping is not None:
        badges["registered_looks"] = True
    if lead is not None:
        if lead.decoding_id and lead.fixed.note != "no-sampling-error":
            badges["coupled"] = lead.coupled
            badges["rho"] = lead.rho
        else:
            badges["no_sampling"] = True
        if job.cards[lead.measure].labels and lead.scorer != HUMAN:
            badges["scorer_corrected"] = bool(lead.corrected)
    return badges


def sweep_rows(job: Job, contrasts: Sequence[Contrast]) -> list[dict[str, Any]]:
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


def sign_flips(job: Job, contrasts: Sequence[Contrast]) -> list[dict[str, Any]]:
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
        if row.role == "primary" and row.population.note != "stopped-by-looks"
    ]
