"""Corrections by human labels: raw, corrected and people's own side by side, and each arm's validity card."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from biasaudit.report import charts, html
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import interval_row, outcome_words
from biasaudit.report.scale import Scale
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Contrast, Finding, Interval

TITLE = {"pt": "Correção por rótulos humanos", "en": "Correction by human labels"}
ORDER = 36
DESIGN = "correction"
METHODS = ("raw", "ppi", "rogan-gladen", "human-only")
KINDS: tuple[charts.RowKind, charts.RowKind] = ("population", "fixed")


def render(view: ReportView, locale: str) -> Markup:
    """One part a contrast that labels speak of; empty where there are none."""
    found = [row for row in view.analysis.findings if row.design == DESIGN]
    parts = []
    for _, own in itertools.groupby((row for row in found if row.reference), key=_question):
        rows = list(own)
        contrast = next((c for c in view.analysis.contrasts if _question(c) == _question(rows[0])), None)
        if contrast is not None:
            beside = [r for r in found if not r.reference and r.tuned in (contrast.tuned, contrast.reference)]
            beside = [r for r in beside if (r.measure, r.outcome) == (contrast.measure, contrast.outcome)]
            parts.append(_part(contrast, rows, beside, locale))
    return html.render("correction.html", locale, alpha=view.alpha, parts=parts) if parts else Markup()


def _question(row: Finding | Contrast) -> tuple[str, str, str, str, str]:
    return (row.measure, row.outcome, row.tuned, row.reference, row.decoding_id)


def _part(contrast: Contrast, rows: Sequence[Finding], beside: Sequence[Finding], locale: str) -> dict[str, Any]:
    """One contrast: figure, table of methods, rates and validity card."""
    words, numbers = Words(locale), Numbers(locale)
    scale = Scale.of(contrast, words, numbers)
    arms = (contrast.tuned, contrast.reference)
    by = {(row.name, row.target): row for row in rows}
    names = {"tuned": arms[0], "reference": arms[1], "measure": outcome_words(contrast, words)}
    return {
        "title": words("correction.title", **names),
        "lead": _lead(contrast, by, scale, words),
        "figure": _figure(by, words("correction.axis", unit=scale.unit_words(), **names), scale, words, locale),
        "cut": scale.kind == "share" and any(_beyond(row.interval) for row in by.values()),
        "alt": words("correction.alt", **names),
        "unit": scale.unit_words(),
        "methods": [
            (words.fixed("correction.method", name), _cells(by, name, scale, numbers, words))
            for name in METHODS
            if (name, "fixed") in by
        ],
        "arms": arms,
        "rates": _rates(arms, beside, scale, words),
        "validity": [_validity(row, numbers, words) for row in beside if row.name == "agreement"],
    }


def _lead(contrast: Contrast, by: dict[tuple[str, str], Finding], scale: Scale, words: Words) -> list[str]:
    """Sentences: what raw and corrected say, and whether the verdict rests on the corrected one."""
    raw, corrected = by["raw", "fixed"], by["ppi", "fixed"]
    counts = {"tuned": contrast.tuned, "reference": contrast.reference}
    counts |= {key: scale.numbers.integer(corrected.n[f"labels_{key[2:]}"]) for key in ("n_tuned", "n_reference")}
    if corrected.estimate is None:
        return [words("correction.lead_none", **counts)]
    effects = {"raw": scale.effect(raw.estimate, signed=True), "ppi": scale.effect(corrected.estimate, signed=True)}
    said = [words("correction.lead", **counts, **effects)]
    said.append(words("correction.rests_corrected" if contrast.corrected else "correction.rests_raw"))
    if corrected.note == "few-labels":
        said.append(words("correction.few"))
    return said


def _figure(by: dict[tuple[str, str], Finding], axis: str, scale: Scale, words: Words, locale: str) -> Markup:
    """Every method's difference for both targets."""
    rows = []
    for name in METHODS:
        for kind in KINDS:
            row = by.get((name, kind))
            if row is not None and row.estimate is not None:
                label = words.fixed("correction.method", name) if kind == KINDS[0] else ""
                rows.append(interval_row(kind, label, row.estimate, _shown(row.interval, scale), scale))
    return charts.intervals(rows, axis, locale)


def _beyond(interval: Interval | None) -> bool:
    """Whether an interval reaches past what a difference of shares can be, as an inverted one may."""
    return interval is not None and (interval.low < -1.0 or interval.high > 1.0)


def _shown(interval: Interval | None, scale: Scale) -> Interval | None:
    """What is drawn: of shares the possible part, so that one useless interval does not flatten all others."""
    if interval is None or scale.kind != "share" or not _beyond(interval):
        return interval
    low, high = (min(1.0, max(-1.0, end)) for end in (interval.low, interval.high))
    return dataclasses.replace(interval, low=low, high=high)


def _cells(by: dict[tuple[str, str], Finding], name: str, scale: Scale, numbers: Numbers, words: Words) -> list[str]:
    """Difference, both intervals with their p, and why one is missing."""
    fixed, population = by[name, "fixed"], by[name, "population"]
    notes = dict.fromkeys(words.fixed("correction.note", row.note) for row in (fixed, population) if row.note)
    return [
        scale.bare(fixed.estimate, signed=True),
        scale.range(population.interval),
        numbers.p(population.p),
        scale.range(fixed.interval),
        numbers.p(fixed.p),
        "; ".join(notes),
    ]


def _rates(arms: Sequence[str], beside: Sequence[Finding], scale: Scale, words: Words) -> list[tuple[str, list[str]]]:
    """Each method's rate in each arm, with its interval."""
    found = []
    for name in METHODS:
        cells = []
        for arm in arms:
            row = next((r for r in beside if (r.tuned, r.name) == (arm, f"rate-{name}")), None)
            cells += (
                [scale.level(row.estimate), scale.range(_possible(row.interval))] if row is not None else ["–", "–"]
            )
        found.append((words.fixed("correction.method", name), cells))
    return found


def _possible(interval: Interval | None) -> Interval | None:
    """The part of a share's interval that a share can have."""
    if interval is None:
        return None
    low, high = (min(1.0, max(0.0, end)) for end in (interval.low, interval.high))
    return dataclasses.replace(interval, low=low, high=high)


def _validity(row: Finding, numbers: Numbers, words: Words) -> tuple[str, list[str]]:
    """How scorer and people agree on one arm's labelled completions."""
    counts = [numbers.integer(row.details[key]) for key in ("both", "scorer_only", "people_only", "neither")]
    low_high = "–"
    if row.interval is not None:
        low, high = numbers.percent(row.interval.low), numbers.percent(row.interval.high)
        low_high = words("number.range", low=low, high=high)
    shares = [numbers.percent(row.details[key]) for key in ("sensitivity", "specificity")]
    kappa = row.details["kappa"]
    agreed = [numbers.percent(row.estimate), low_high, *shares, numbers.decimal(kappa, 2) if kappa is not None else "–"]
    return row.tuned, [numbers.integer(row.n["labels"]), *counts, *agreed]
