"""What the arms copied from the training corpus: shares and lengths, their null levels, and the longest copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from biasaudit.report import curves, html, text
from biasaudit.report.numbers import MISSING, Numbers
from biasaudit.report.rows import decoding_words
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words

TITLE = {"pt": "Texto copiado do corpus de treino", "en": "Text copied from the training corpus"}
ORDER = 55


def render(view: ReportView, locale: str) -> Markup:
    """One block a measure of copying; empty without any."""
    if not view.copying:
        return Markup()
    blocks = [_block(view, name, found, locale) for name, found in view.copying.items()]
    return html.render("copying.html", locale, alpha=view.alpha, blocks=blocks)


def _block(view: ReportView, measure: str, found: Mapping[str, Any], locale: str) -> dict[str, Any]:
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    rows = [
        {
            "arm": row["arm"],
            "decoding": decoding_words(view, row["decoding_id"], words, numbers),
            **_cells(row, numbers),
        }
        for row in found["arms"]
    ]
    if found["held_out"]:
        rows.append(
            {"arm": words("copying.held_out"), "decoding": MISSING, **_cells(found["held_out"], numbers), "times": []}
        )
    return {
        "measure": measure,
        "lead": _lead(found, words, numbers),
        "corpora": [_corpus(corpus, words, numbers) for corpus in found["corpora"]],
        "missing": words("copying.missing", names=", ".join(found["missing"])) if found["missing"] else "",
        "at_least": numbers.integer(found["at_least"]),
        "figure": _figure(found, words, locale),
        "alt": words("copying.alt", measure=measure, k=numbers.integer(found["at_least"])),
        "rows": rows,
        "times": any(row["copied_any"] for row in rows),
        "longest": [_copy(entry, numbers) for entry in found["longest"] if entry["tokens"] > 0],
    }


def _lead(found: Mapping[str, Any], words: Words, numbers: Numbers) -> str:
    """Every arm's share in a sentence, under the first decoding."""
    if not found["arms"]:
        return ""
    first = found["arms"][0]["decoding_id"]
    shares = [
        words("copying.share_of", arm=row["arm"], share=numbers.percent(row["share"], 2))
        for row in found["arms"]
        if row["decoding_id"] == first
    ]
    return words("copying.lead", k=numbers.integer(found["at_least"]), shares="; ".join(shares))


def _corpus(corpus: Mapping[str, Any], words: Words, numbers: Numbers) -> str:
    holes = {
        "name": corpus["name"], "documents": numbers.integer(corpus["documents"]),
        "tokens": numbers.integer(corpus["tokens"]),
    }  # fmt: skip
    said = words("copying.corpus", **holes)
    return f"{said} {words('copying.masked' if corpus['masked'] else 'copying.not_masked')}"


def _cells(row: Mapping[str, Any], numbers: Numbers) -> dict[str, Any]:
    """Numbers of one arm, as they are shown."""
    return {
        "cells": [
            numbers.integer(row["completions"]),
            numbers.percent(row["share"], 2),
            *(numbers.integer(quantile["tokens"]) for quantile in row["quantiles"]),
        ],
        "personal": [
            numbers.integer(row["leaking"]) if "leaking" in row else MISSING,
            numbers.integer(row["placeholders"]) if "placeholders" in row else MISSING,
        ],
        "times": [numbers.integer(entry["completions"]) for entry in row.get("times", ())],
        "copied_any": row["copied"] > 0 and "times" in row,
    }


def _figure(found: Mapping[str, Any], words: Words, locale: str) -> Markup:
    """Share of completions with a span of each length or more, by arm; the first decoding."""
    first = found["arms"][0]["decoding_id"] if found["arms"] else ""
    rows = [(row["arm"], row["lengths"]) for row in found["arms"] if row["decoding_id"] == first]
    if found["held_out"]:
        rows.append((words("copying.held_out"), found["held_out"]["lengths"]))
    if not any(lengths for _, lengths in rows):
        return Markup()
    lines = [curves.Curve(label, _at_least(lengths)) for label, lengths in rows]
    axes = (words("copying.axis_x"), words("copying.axis_y"))
    return curves.curves(lines, axes, locale, mark=found["at_least"])


def _at_least(lengths: Any) -> tuple[tuple[float, float], ...]:
    """(length, share of completions that reach it), ascending."""
    total = sum(count for _, count in lengths)
    left, points = total, []
    for length, count in sorted(lengths):
        points.append((float(length), left / total))
        left -= count
    return tuple(points)


def _copy(entry: Mapping[str, Any], numbers: Numbers) -> dict[str, Any]:
    """One long copy, and the training message that holds it."""
    where = [entry["corpus"], *(str(entry[key]) for key in ("channel", "source") if entry[key])]
    if entry["offset"] is not None:
        where.append(f"byte {entry['offset']}")
    return {
        "arm": entry["arm"],
        "tokens": numbers.integer(entry["tokens"]),
        "times": numbers.integer(entry["times"]) if entry["times"] else MISSING,
        "completion": _excerpt(entry["completion"]),
        "training": _excerpt(entry["training"]),
        "where": text.plain(" · ".join(where)),
    }


def _excerpt(part: Mapping[str, Any]) -> Markup:
    before, behind = ("…" if cut else "" for cut in part["cut"])
    start, stop = part["span"]
    shown = text.show(f"{before}{part['text']}{behind}", [(start + len(before), stop + len(before))])
    return Markup("<bdi>{}</bdi>").format(shown)
