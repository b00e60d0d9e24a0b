"""Forest plot of the leading contrast: topics with their prompts, and the mean for both targets."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from biasaudit.report import charts, html
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import forest_rows
from biasaudit.report.scale import Scale
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words

TITLE = {"pt": "Efeito por tópico", "en": "Effect by topic"}
ORDER = 20


def render(view: ReportView, locale: str) -> Markup:
    """The figure and its table; empty without topics."""
    contrast = view.leading()
    if contrast is None or not contrast.topics:
        return Markup()
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    scale = Scale.of(contrast, words, numbers)
    names = {"tuned": contrast.tuned, "reference": contrast.reference}
    margin = None if contrast.equivalence is None else contrast.equivalence.margin * scale.factor
    axis = words("forest.axis", unit=scale.unit_words(), **names)
    table: list[dict[str, Any]] = [
        {
            "label": view.topic_title(topic.topic, locale),
            "cells": [
                numbers.integer(topic.prompts),
                scale.level(topic.mean_tuned),
                scale.level(topic.mean_reference),
                scale.bare(topic.difference, signed=True),
                scale.range(topic.interval),
            ],
        }
        for topic in sorted(contrast.topics, key=lambda t: -t.difference)
    ]
    means = (scale.level(contrast.mean_tuned), scale.level(contrast.mean_reference))
    for target, found in (("population", contrast.population), ("fixed", contrast.fixed)):
        effect = scale.bare(contrast.difference, signed=True)
        cells = [numbers.integer(contrast.n_prompts), *means, effect, scale.range(found.interval)]
        table.append({"label": words(f"forest.overall_{target}"), "cells": cells, "total": True})
    return html.render(
        "forest.html",
        locale,
        alpha=view.alpha,
        figure=charts.intervals(forest_rows(contrast, view, scale, words, locale), axis, locale, margin=margin),
        alt=words(
            "forest.alt",
            measure=contrast.measure,
            topics=contrast.n_topics,
            effect=scale.effect(contrast.difference, signed=True),
            up=contrast.moved_up,
            prompts=contrast.n_prompts,
            **names,
        ),
        table=table,
        unit=scale.unit_words(),
        corrected=bool(contrast.corrected),
        margin=None if margin is None else numbers.decimal(margin, scale.digits),
        **names,
    )
