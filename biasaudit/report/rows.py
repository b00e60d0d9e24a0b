"""What forest, sweep and tables share: rows of a contrast for the figures, and decodings in words."""

from __future__ import annotations

from collections.abc import Sequence

from biasaudit.records import Decoding
from biasaudit.report.charts import Row, RowKind
from biasaudit.report.numbers import Numbers
from biasaudit.report.scale import Scale
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Contrast, Interval


def interval_row(kind: RowKind, label: str, value: float | None, interval: Interval | None, scale: Scale) -> Row:
    """A row in shown units."""
    shown = None if value is None else value * scale.factor
    if interval is None:
        return Row(kind, label, shown)
    return Row(kind, label, shown, interval.low * scale.factor, interval.high * scale.factor)


def forest_rows(contrast: Contrast, view: ReportView, scale: Scale, words: Words, locale: str) -> list[Row]:
    """Topics by size of effect, each with its prompts below; then the means for both targets."""
    rows: list[Row] = []
    for topic in sorted(contrast.topics, key=lambda t: -t.difference):
        title = view.topic_title(topic.topic, locale)
        rows.append(interval_row("topic", title, topic.difference, topic.interval, scale))
        own = [p for p in contrast.prompts if p.topic == topic.topic and p.difference is not None]
        own.sort(key=lambda p: -(p.difference or 0.0))
        rows += [interval_row("prompt", "", p.difference, p.interval, scale) for p in own]
    mean = contrast.difference
    population = words("forest.overall_population")
    rows.append(interval_row("population", population, mean, contrast.population.interval, scale))
    rows.append(interval_row("fixed", words("forest.overall_fixed"), mean, contrast.fixed.interval, scale))
    if contrast.heterogeneity is not None and contrast.heterogeneity.prediction is not None:
        prediction = contrast.heterogeneity.prediction
        rows.append(interval_row("prediction", words("forest.prediction"), None, prediction, scale))
    return rows


def decoding_words(view: ReportView, decoding_id: str, words: Words, numbers: Numbers) -> str:
    """A decoding as the settings that differ from drawing from the model's own distribution."""
    if not decoding_id:
        return words("decoding.likelihood")
    decoding = view.decoding(decoding_id)
    return words("decoding.unknown", x=decoding_id[:8]) if decoding is None else describe(decoding, words, numbers)


def describe(decoding: Decoding, words: Words, numbers: Numbers, *, full: bool = False) -> str:
    """One decoding in words; with its length and stop strings when `full`."""
    if decoding.temperature == 0:
        parts = [words("decoding.greedy")]
    else:
        parts = [words("decoding.temperature", x=_short(decoding.temperature, numbers))]
    if decoding.top_k:
        parts.append(words("decoding.top_k", x=decoding.top_k))
    if decoding.top_p < 1:
        parts.append(words("decoding.top_p", x=_short(decoding.top_p, numbers)))
    if decoding.min_p > 0:
        parts.append(words("decoding.min_p", x=_short(decoding.min_p, numbers)))
    if decoding.repetition_penalty != 1:
        parts.append(words("decoding.repetition_penalty", x=_short(decoding.repetition_penalty, numbers)))
    if full:
        parts.append(words("decoding.max_new_tokens", x=decoding.max_new_tokens))
        if decoding.stop:
            parts.append(words("decoding.stop", x=len(decoding.stop)))
    return ", ".join(parts)


def sweep_contrasts(view: ReportView) -> Sequence[Contrast]:
    """The leading question under every decoding that it was asked under; empty with fewer than two."""
    lead = view.leading()
    if lead is None:
        return ()
    same = [
        c
        for c in view.analysis.contrasts
        if (c.measure, c.outcome, c.tuned, c.reference) == (lead.measure, lead.outcome, lead.tuned, lead.reference)
    ]
    return same if len({c.decoding_id for c in same}) > 1 else ()


def _short(x: float, numbers: Numbers) -> str:
    return numbers.decimal(x, len(f"{x:g}".partition(".")[2]))
