"""What forest, sweep and tables share: rows of a contrast for the figures, and decodings in words."""

from __future__ import annotations

from collections.abc import Sequence

from biasaudit.records import Decoding
from biasaudit.report.charts import Row, RowKind
from biasaudit.report.numbers import MINUS, NO_BREAK, Numbers
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


def outcome_words(contrast: Contrast, words: Words) -> str:
    """A contrast's measure, with its outcome where that is not the value: `stance: endorses`."""
    if contrast.outcome == "value":
        return contrast.measure
    return f"{contrast.measure}: {group_words(words.fixed('label', contrast.outcome))}"


def group_words(outcome: str) -> str:
    """A gap between groups with room around its minus sign; any other outcome as it stands."""
    return outcome.replace(MINUS, f"{NO_BREAK}{MINUS}{NO_BREAK}")


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


def sweep_contrasts(view: ReportView) -> list[Sequence[Contrast]]:
    """Questions under every decoding that they were asked under; those with fewer than two are left out.

    The leading question alone; where no decoding touches it (likelihoods), the first outcome of every measure that
    reads completions: its first label, else its value.
    """
    lead = view.leading()
    if lead is None:
        return []
    asked: dict[tuple[str, str], list[Contrast]] = {}
    for c in view.analysis.contrasts:
        if c.decoding_id and (c.tuned, c.reference) == (lead.tuned, lead.reference):
            asked.setdefault((c.measure, c.outcome), []).append(c)
    swept = {key: rows for key, rows in asked.items() if len({c.decoding_id for c in rows}) > 1}
    if lead.decoding_id:
        return [rows for key, rows in swept.items() if key == (lead.measure, lead.outcome)]
    outcomes: dict[str, str] = {}
    for measure, outcome in swept:
        if outcomes.get(measure, "value") == "value":
            outcomes[measure] = outcome
    return [swept[key] for key in outcomes.items()]


def _short(x: float, numbers: Numbers) -> str:
    return numbers.decimal(x, len(f"{x:g}".partition(".")[2]))
