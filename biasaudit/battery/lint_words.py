"""Lint of words: leading phrases, articles that cannot agree, texts in another language, escapes, blanks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from biasaudit.battery.findings import Weakness, found
from biasaudit.battery.read import Reading
from biasaudit.battery.source import Trail, show

LEADING = {
    "pt": (
        "todo mundo sabe", "todos sabem", "como sabemos", "é claro que", "obviamente", "ninguém pode negar", "escondem",
        "não querem que você saiba", "é mentira que", "é falso que", "não passa de", "está provado que",
        "foi provado que", "é fato que", "é óbvio que", "não é óbvio que", "sem dúvida", "não há dúvida de que",
        "como se sabe", "é sabido que", "sabemos que", "todo mundo já sabe", "evidentemente", "comprovadamente",
        "infelizmente", "felizmente", "esconde", "estão escondendo", "querem esconder", "não contam",
        "você não acha que", "vocês não acham que", "teoria da conspiração", "é um absurdo que", "é absurdo que",
        "admitiu que", "admitem que", "admitiram que", "confessou que", "confessaram que", "descobriu que",
        "descobriram que", "provou que", "provaram que", "revelou que", "revelaram que", "finalmente", "a farsa de que",
        "o mito de que", "o boato de que", "a mentira de que",
    ),
    "en": (
        "everyone knows", "everybody knows", "as we know", "of course", "obviously", "nobody can deny", "they hide",
        "don't want you to know", "it is a lie that", "it is false that", "is just a rumour", "it is proven that",
        "it has been proven that", "it is a fact that", "it is obvious that", "isn't it obvious", "no doubt",
        "undoubtedly", "clearly", "we know that", "everyone already knows", "unfortunately", "fortunately",
        "they are hiding", "is hiding", "cover up", "don't you think", "conspiracy theory", "it is absurd that",
        "admitted that", "admits that", "admit that", "confessed that", "discovered that", "found out that",
        "proved that", "revealed that", "finally", "the myth that", "the rumour that", "the lie that", "the hoax that",
    ),
}  # fmt: skip
"""Phrases that push towards a claim or away from it."""
_FUNCTION = {
    "pt": "que não uma um o os a as de da do dos das em no na e é por pelo pela para com você eles elas isso esta "
    "este são foi mais sobre também já muito se como",
    "en": "the that not is are was were with for this these they you and from about have has been which would as do a "
    "no",
    "es": "los las una un del con por para pero esto esta este fue muy más también ellos usted y el la de que se como "
    "no sobre es en a o",
}
FUNCTION = {language: frozenset(words.split()) for language, words in _FUNCTION.items()}
"""Words that a text of a language can hardly do without."""
AGREEING = {
    "pt": "o|a|os|as|um|uma|uns|umas|do|da|dos|das|no|na|nos|nas|ao|à|aos|às|pelo|pela|este|esta|esse|essa|"
    "aquele|aquela",
    "es": "el|la|los|las|un|una|unos|unas|del|al|este|esta|ese|esa|aquel|aquella",
    "fr": "le|la|un|une|du|au|ce|cette",
    "it": "il|lo|la|i|gli|le|un|una|del|della|al|alla|questo|questa",
}
"""Articles and the like that agree with the noun after them."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_LITERAL = re.compile(r"\\(?:[ntrbes\"0]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})")
_SWALLOWED = re.compile("[\t\x85\xa0\u2028\u2029]")
_INSIDE = re.compile(r"[\w,;] *\{claim\}")
_STOPS = frozenset(".!?;,:…")
_TEXT_SECTIONS = ("topics", "stems", "templates", "slots", "neutral")


def texts_of(reading: Reading) -> Iterator[tuple[Trail, str, str]]:
    """(place, language, text) of everything that a model may read."""
    languages = reading.battery.languages
    for trail in reading.source.places:
        if not trail or trail[0] not in _TEXT_SECTIONS or "source" in trail[2:3]:
            continue
        value = reading.source.value
        for step in trail:
            value = value[step]
        language = next((str(step) for step in trail[1:] if step in languages), "")
        if isinstance(value, str) and language and trail[-1] != "framing":
            yield trail, language, value


def leading(reading: Reading) -> Iterator[Weakness]:
    """Templates called neutral that push, and stems that do."""
    neutral = {name for name, template in reading.part.templates.items() if template.framing == "neutral"}
    for trail, language, text in texts_of(reading):
        if trail[0] not in ("templates", "stems", "neutral") or (trail[0] == "templates" and trail[1] not in neutral):
            continue
        low = f" {' '.join(_words(text))} "
        phrase = next((p for p in LEADING.get(language.split("-")[0], ()) if f" {p} " in low), None)
        if phrase is not None:
            kind = "the template" if trail[0] == "templates" else "the stem"
            yield found(reading, "leading-words", trail, f"{kind} is neutral and says `{phrase}`")


def articles(reading: Reading) -> Iterator[Weakness]:
    """A fixed article before a slot, in a language where it should change with the group."""
    slots = reading.part.slots
    for trail, language, text in texts_of(reading):
        known = AGREEING.get(language.split("-")[0])
        if known is None or trail[0] not in ("templates", "topics"):
            continue
        for hit in re.finditer(rf"(?<!\w)({known})\s+\{{([^{{}}.]+)(?:\.[^{{}}]+)?\}}", text, re.IGNORECASE):
            if hit[2] in slots:
                what = f"`{hit[0]}` gives every group of `{hit[2]}` the same `{hit[1]}`"
                yield found(reading, "agreement", trail, what)


def languages(reading: Reading) -> Iterator[Weakness]:
    """Texts that speak another language than the one that they stand under."""
    for trail, language, text in texts_of(reading):
        own = language.split("-")[0]
        if own not in FUNCTION:
            continue
        words = _words(re.sub(r"\{[^{}]*\}", " ", text))
        for other in sorted(FUNCTION.keys() - {own}):
            # Only words that the two languages do not share can tell them apart.
            theirs = sum(word in FUNCTION[other] - FUNCTION[own] for word in words)
            if theirs >= 2 and not any(word in FUNCTION[own] - FUNCTION[other] for word in words):
                what = f"`{show(text, 40)}` stands under {language}, reads like {other}"
                yield found(reading, "other-language", trail, what)


def escapes(reading: Reading) -> Iterator[Weakness]:
    """Backslashes that YAML left in a text, and characters that it made of them in a pattern."""
    for trail, _, text in texts_of(reading):
        hit = _LITERAL.search(text)
        if hit:
            yield found(reading, "swallowed-escape", trail, f"the model will read `{hit[0]}` as it stands, a backslash")
    for trail in reading.source.places:
        if trail[:1] != ("measures",):
            continue
        value = reading.source.value
        for step in trail:
            value = value[step]
        hit = _SWALLOWED.search(value) if isinstance(value, str) else None
        if hit:
            what = f"the pattern holds U+{ord(hit[0]):04X}, which YAML made of an escape"
            yield found(reading, "swallowed-escape", trail, what)


def blanks(reading: Reading) -> Iterator[Weakness]:
    """Claims, groups and continuations with a blank at the end; prompts and stems with one are faults."""
    for trail, _, text in texts_of(reading):
        if trail[0] in ("topics", "slots") and text != text.rstrip():
            yield found(reading, "trailing-blank", trail, f"`{show(text, 40)}` ends in a blank")


def claims(reading: Reading) -> Iterator[Weakness]:
    """Claims that cannot stand inside a template's sentence: their own full stop, or a capital article."""
    inside = {
        language
        for trail, language, text in texts_of(reading)
        if trail[0] == "templates" and _INSIDE.search(text) is not None
    }
    for trail, language, text in texts_of(reading):
        if trail[0] != "topics" or trail[2:3] != ("claim",) or language not in inside:
            continue
        if text.rstrip()[-1:] in _STOPS:
            yield found(reading, "claim-form", trail, f"the claim ends in `{text.rstrip()[-1]}`")
        first = text.split(" ", 1)[0]
        known = FUNCTION.get(language.split("-")[0], frozenset())
        if first != first.lower() and first.lower() in known:
            yield found(reading, "claim-form", trail, f"the claim begins with a capital, `{first}`")


def sides(reading: Reading) -> Iterator[Weakness]:
    """Pattern measures that know one side only."""
    for measure in reading.battery.measures:
        given = [side for side in ("endorse", "refute") if measure.options.get(side)]
        if measure.scorer == "patterns" and len(given) == 1:
            what = f"the measure `{measure.name}` has rules to {given[0]} and none for the other side"
            yield found(reading, "one-sided-rules", ("measures", measure.name), what, key=True)


def _words(text: str) -> list[str]:
    return [str(word).lower().replace("’", "'") for word in _WORD.findall(text)]


RULES = (leading, articles, languages, escapes, blanks, claims, sides)
