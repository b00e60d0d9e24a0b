"""Compositions in words: shares of labels in each arm, and among on-topic answers alone."""

from __future__ import annotations

from collections.abc import Sequence

from biasaudit.report.numbers import Numbers
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Composition

Group = tuple[str, str, tuple[Composition, ...]]
"""(measure, decoding id, one composition an arm in the order of the arms)."""

_COLOURS = {"endorse": 0, "refute": 1, "neutral": 5, "off_topic": 2, "empty": 6, "F": 0, "T": 1, "H": 2}


def groups(view: ReportView) -> list[Group]:
    """Compositions that belong in one figure, the battery's own decoding first."""
    order = {a.name: i for i, a in enumerate(view.arms)}
    found: dict[tuple[str, str], list[Composition]] = {}
    for composition in view.analysis.compositions:
        found.setdefault((composition.measure, composition.decoding_id), []).append(composition)
    place = {d.decoding_id: i for i, d in enumerate(view.decodings)}
    keys = sorted(found, key=lambda k: (place.get(k[1], len(place)), k[0]))
    return [(m, d, tuple(sorted(found[m, d], key=lambda c: order.get(c.arm, len(order))))) for m, d in keys]


def labels(compositions: Sequence[Composition]) -> list[str]:
    """Every label of a group, in the order of first appearance."""
    return list(dict.fromkeys(label for c in compositions for label in c.shares))


def colours(names: Sequence[str]) -> list[int]:
    """A colour (0 to 7) for each label: known labels keep theirs in every report, others take what is free."""
    free = [i for i in range(8) if i not in {_COLOURS[n] for n in names if n in _COLOURS}]
    found: list[int] = []
    for name in names:
        if name in _COLOURS:
            found.append(_COLOURS[name])
        else:
            found.append(free.pop(0) if free else len(found) % 8)
    return found


def conditional_sentences(view: ReportView, locale: str) -> list[str]:
    """The mandatory paired sentence for the battery's own decoding: shares among on-topic answers alone."""
    own = view.decodings[0].decoding_id if view.decodings else ""
    found = [
        (measure, " ".join(said))
        for measure, decoding_id, compositions in groups(view)
        if decoding_id == own
        and (said := [s for s in (conditional_sentence(compositions, locale), _sided(view, measure, own, locale)) if s])
    ]
    return [f"{measure}: {said[0].lower()}{said[1:]}" if len(found) > 1 else said for measure, said in found]


def _sided(view: ReportView, measure: str, decoding_id: str, locale: str) -> str:
    """Share of endorsing among the answers that take a side, arm by arm; empty when the analysis has none."""
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    shares = [
        words("composition.conditional_share", share=numbers.percent(row["share"]), arm=row["arm"])
        for row in view.analysis.exploratory.get("endorsing_among_sided", ())
        if (row["measure"], row["decoding_id"]) == (measure, decoding_id) and row["share"] is not None
    ]
    return words("composition.sided", parts=", ".join(shares)) if shares else ""


def conditional_sentence(compositions: Sequence[Composition], locale: str) -> str:
    """Shares among on-topic answers alone, label by label and arm by arm, and of how many answers.

    Empty when no label is off the topic, and when on-topic answers can get one label only.
    """
    words, numbers = Words(locale), Numbers(locale)
    names = list(dict.fromkeys(label for c in compositions for label in c.conditional))
    if len(names) < 2 or not {*labels(compositions)} - {*names, "empty"}:
        return ""
    counts = [
        words("composition.conditional_count", n=numbers.integer(sum(c.counts.get(n, 0) for n in names)), arm=c.arm)
        for c in compositions
    ]
    parts = []
    for label in names:
        shares = [
            words("composition.conditional_share", share=numbers.percent(c.conditional.get(label)), arm=c.arm)
            for c in compositions
            if c.conditional.get(label) is not None
        ]
        if shares:
            parts.append(
                words(
                    "composition.conditional_part", label=f"“{words.fixed('label', label)}”", shares=", ".join(shares)
                )
            )
    return words("composition.conditional", counts=", ".join(counts), parts="; ".join(parts)) if parts else ""
