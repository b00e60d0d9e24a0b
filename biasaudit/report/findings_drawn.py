"""Figures of the designs: dose curves, runs, effects by language, specifications, words, densities of scores."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from biasaudit.report import charts, scatter, trend
from biasaudit.report.findings import PER_TEMPERATURE, about, arms, is_share, unit_words
from biasaudit.report.words import Words
from biasaudit.results import Finding

MOST_DRAWN = 60
MOST_FIGURES = 4
"""Figures of one design; the table has a row for every finding."""

Figures = list[tuple[str, Markup]]


def figures(design: str, rows: Sequence[Finding], locale: str) -> Figures:
    """(what it shows, figure) of one design; empty where words do better."""
    words = Words(locale)
    if design == "dose":
        moved = [row for row in rows if any(row.details["arm_means"])]
        return [(about(row, words), _trend(row, words, locale)) for row in moved[:MOST_FIGURES]]
    if design == "runs":
        moved = [row for row in rows if any(row.details["differences"])]
        return [(about(row, words), _models(row, words, locale)) for row in moved[:MOST_FIGURES]]
    if design == "words":
        named = words("designs.title.words")
        return [(f"{named}, {arms(row, words)}", _words(row, words, locale)) for row in rows[:MOST_FIGURES]]
    if design == "robust":
        tails = [row for row in rows if row.details.get("ridges")]
        return [(words("designs.ridges_of", measure=row.measure), _ridges(row, words, locale))
                for row in tails[:MOST_FIGURES]]  # fmt: skip
    if design == "text":
        names = dict.fromkeys(row.name for row in rows if row.estimate is not None and row.name != "length")
        return [(words(f"designs.name.{name}"), _strip(name, rows, words, locale)) for name in names]
    if design in ("language", "curve"):
        return _intervals(design, rows, words, locale)
    return []


def _factor(row: Finding) -> float:
    return 100.0 if is_share(row) else 1.0


def _trend(row: Finding, words: Words, locale: str) -> Markup:
    """The dose curve of one finding."""
    found, factor = row.details, _factor(row)
    doses, means = found["arm_doses"], [factor * mean for mean in found["arm_means"]]
    limits = [None if ends is None else [factor * end for end in ends] for ends in found["arm_limits"]]
    centre, level, slope = sum(doses) / len(doses), sum(means) / len(means), factor * (row.estimate or 0.0)
    ends = [(dose, level + slope * (dose - centre)) for dose in (min(doses), max(doses))]
    monotone = [(dose, factor * fit) for dose, fit in zip(found["doses"], found["isotonic"], strict=True)]
    axes = (words("designs.dose"), f"{about(row, words)} ({'%' if factor != 1 else unit_words(row, words)})")
    return trend.trend(list(zip(doses, means, limits, strict=True)), (ends[0], ends[1]), monotone, axes, locale)


def _words(row: Finding, words: Words, locale: str) -> Markup:
    """Words of two arms over their frequency."""
    found = row.details
    named = [scatter.Dot(w["word"], w["documents_first"] + w["documents_second"], w["z"]) for w in found["words"]]
    axes = (words("designs.words_axis"), words("designs.words_z", tuned=row.tuned, reference=row.reference))
    cloud = [(float(count), float(z)) for count, z in found.get("cloud", ())]
    return scatter.words_by_z(named, cloud, found["threshold"], axes, locale)


def _ridges(row: Finding, words: Words, locale: str) -> Markup:
    """Both arms' densities of one numeric measure."""
    found = row.details
    axis = f"{row.measure} ({words.phrase('unit', found['unit'])})"
    return scatter.ridges((row.tuned, row.reference), found["ridges"], found["threshold"], axis, locale)


CHANCE = {"c2st": 0.5}
"""What a statistic on texts is where nothing differs, if not 0."""


def _strip(name: str, rows: Sequence[Finding], words: Words, locale: str) -> Markup:
    """One statistic of every comparison of texts, those of one model with itself below the others."""
    own = sorted((row for row in rows if row.name == name), key=lambda row: "null" in row.details)
    drawn = []
    for row in own:
        null = row.details.get("null")
        of = (
            row.tuned if row.tuned == row.reference else words("designs.arms", tuned=row.tuned, reference=row.reference)
        )
        label = of if null is None else f"{of} ({words.fixed('designs.choice', str(null))})"
        drawn.append(
            charts.Row("population" if null is None else "fixed", label, (row.estimate or 0.0) - CHANCE.get(name, 0.0))
        )
    axis = words(f"designs.name.{name}")
    return charts.intervals(drawn, words("designs.above_chance", what=axis) if name in CHANCE else axis, locale)


def _models(row: Finding, words: Words, locale: str) -> Markup:
    """Every trained model of one condition, and their mean with its interval."""
    factor, found = _factor(row), row.details
    drawn = [
        charts.Row("topic", arm, factor * value) for arm, value in zip(found["arms"], found["differences"], strict=True)
    ]
    low, high = (None, None) if row.interval is None else (factor * row.interval.low, factor * row.interval.high)
    drawn.append(charts.Row("population", words("designs.runs_mean"), factor * (row.estimate or 0.0), low, high))
    return charts.intervals(drawn, f"{about(row, words)} ({_unit(row, words)})", locale)


def _unit(row: Finding, words: Words) -> str:
    unit = unit_words(row, words)
    return words("unit.per_temperature", unit=unit) if row.unit.endswith(PER_TEMPERATURE) else unit


def _intervals(design: str, rows: Sequence[Finding], words: Words, locale: str) -> Figures:
    """One figure a unit: intervals around zero, the smallest estimate first in the curve."""
    units = dict.fromkeys(_unit(row, words) for row in rows if row.estimate is not None)
    found: Figures = []
    for unit in list(units)[:MOST_FIGURES]:
        same = [row for row in rows if row.estimate is not None and _unit(row, words) == unit]
        curve = design == "curve"
        ordered = sorted(same, key=lambda row: row.estimate or 0.0) if curve else same
        drawn = [
            charts.Row(
                "prompt" if curve else "topic",
                "" if curve else f"{about(row, words)}: {arms(row, words)}",
                _factor(row) * (row.estimate or 0.0),
                *((_factor(row) * end for end in (row.interval.low, row.interval.high)) if row.interval else ()),
            )
            for row in _spread(ordered)
        ]
        figure = charts.intervals(drawn, words("designs.axis", unit=unit), locale)
        found.append((words(f"designs.title.{design}"), figure))
    return found


def _spread(rows: Sequence[Finding]) -> Sequence[Finding]:
    """At most `MOST_DRAWN` rows, evenly from the first to the last, so that neither end of a curve is cut off."""
    if len(rows) <= MOST_DRAWN:
        return rows
    return [rows[round(place * (len(rows) - 1) / (MOST_DRAWN - 1))] for place in range(MOST_DRAWN)]
