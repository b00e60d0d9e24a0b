"""Arms with their fingerprints and cards, decodings, and the run's manifest, numerics included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from biasaudit.identity import plain as plain_json
from biasaudit.report import html
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import describe
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words

TITLE = {"pt": "Braços e manifesto", "en": "Arms and manifest"}
ORDER = 90
MAX_VALUE = 600
"""Characters of one value in the table; the whole manifest stands below it."""
MAX_ENTRIES = 200
"""Entries of the table: a large run names thousands of files, which are left to the manifest itself."""
MAX_WHOLE = 200_000
"""Characters of the whole manifest shown."""


def render(view: ReportView, locale: str) -> Markup:
    """Arms, decodings, the manifest's entries as a table, and the whole manifest as JSON text."""
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    arms = [
        {
            "name": arm.name,
            "role": words(f"role.{arm.role}"),
            "spec": arm.spec,
            "weights": arm.fingerprint,
            "tokenizer": arm.tokenizer_fingerprint,
            "language": arm.language,
            "card": flatten(arm.card),
            "corpus": view.corpora.get(arm.name),
            "named": _corpora(arm.card, words),
        }
        for arm in view.arms
    ]
    settings, used = numerics(view.manifest), view.analysis.counts.get("numerics")
    whole = json.dumps(plain_json(view.manifest), indent=2, sort_keys=True, ensure_ascii=False)
    return html.render(
        "manifest.html",
        locale,
        alpha=view.alpha,
        arms=arms,
        decodings=[(describe(d, words, numbers, full=True), d.decoding_id) for d in view.decodings],
        battery=[
            (words("manifest.battery"), f"{view.battery.name} v{view.battery.version}"),
            (words("manifest.battery_hash"), view.battery.battery_hash),
            (words("manifest.seed"), str(view.battery.seed)),
        ],
        numerics=used if isinstance(used, int) else 0,
        held=len(settings),
        entries=flatten(view.manifest)[:MAX_ENTRIES],
        whole=whole if len(whole) <= MAX_WHOLE else whole[:MAX_WHOLE] + "\n…",
    )


def _corpora(card: Mapping[str, Any], words: Words) -> str:
    """What is said of an arm without a data card: the corpora that its own card names, if any."""
    listed = card.get("corpora")
    found = [entry.get("name") for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    names = ", ".join(name[:80] for name in found[:5] if isinstance(name, str))
    return words("manifest.data_card_named", corpora=names) if names else words("manifest.data_card_none")


def numerics(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The numerical settings of a manifest: id -> what was set; empty when it names none."""
    found = manifest.get("numerics", {})
    return found if isinstance(found, Mapping) else {}


def flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """(dotted key, value as text) of a nested mapping; lists stay one value, long values are cut."""
    rows: list[tuple[str, str]] = []
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping) and inner:
            rows += flatten(inner, f"{name}.")
            continue
        text = inner if isinstance(inner, str) else json.dumps(plain_json(inner), ensure_ascii=False)
        rows.append((name, text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"))
    return rows
