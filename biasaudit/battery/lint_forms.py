"""Lint of forms: pairs that differ in more than a claim, stems that end, words without a blank, broken letters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from biasaudit.battery.findings import Weakness, found
from biasaudit.battery.lint_words import FUNCTION, texts_of
from biasaudit.battery.read import Reading
from biasaudit.battery.source import show

_ENDINGS = ".!?…"
_MOJIBAKE = re.compile("Ã[\u0080-\u00bf]|â€|Â[\u00a0-\u00bf]|\ufffd")
_WORD = re.compile(r"[^\W\d_]+")
LONG = 4
"""Letters from which a word of a title may name a subject."""


def pairs(reading: Reading) -> Iterator[Weakness]:
    """Claims and counter-claims that end or begin differently, and pairs that stand twice."""
    for language in reading.battery.languages:
        seen: dict[tuple[str, ...], str] = {}
        for topic, part in reading.part.topics.items():
            for place, pair in enumerate((part.pairs or {}).get(language, ())):
                loc = ("topics", topic, "pairs", language, place)
                ends = [text.rstrip()[-1:] if text.rstrip()[-1:] in _ENDINGS else "" for text in pair]
                if ends[0] != ends[1]:
                    what = f"one ends in `{ends[0] or ends[1]}` and the other does not"
                    what = what if not all(ends) else f"one ends in `{ends[0]}`, the other in `{ends[1]}`"
                    yield found(reading, "pair-form", loc, f"claim and counter-claim: {what}")
                if tuple(pair) in seen:
                    what = f"the pair `{show(pair[0].strip(), 40)}` stands here and in the topic `{seen[tuple(pair)]}`"
                    yield found(reading, "repeated-pair", loc, what)
                seen.setdefault(tuple(pair), topic)


def stems(reading: Reading) -> Iterator[Weakness]:
    """Stems that end in a full stop though continuations begin small, and neutral stems that name the subject."""
    for language in reading.battery.languages:
        small = any(
            text.lstrip()[:1].islower()
            for topic in reading.battery.topics
            for pair in topic.pairs.get(language, ())
            for text in pair
        )
        for name, texts in reading.part.stems.items():
            if small and texts[language][-1:] in _ENDINGS:
                what = f"the stem `{name}` ends in `{texts[language][-1]}`, and continuations begin with a small letter"
                yield found(reading, "stem-form", ("stems", name, language), what)
        titles = [reading.battery.title.get(language, "")]
        titles += [topic.title.get(language, "") for topic in reading.battery.topics]
        named = {word for title in titles for word in _subjects(title, language)}
        shared = sorted(_subjects((reading.part.neutral or {}).get(language, ""), language) & named)
        if shared:
            what = f"the neutral stem says `{shared[0]}`, which a title names too"
            yield found(reading, "neutral-subject", ("neutral", language), what)


def _subjects(text: str, language: str) -> set[str]:
    """Words of a text that may name a subject."""
    common = FUNCTION.get(language.split("-")[0], frozenset())
    return {word for word in _WORD.findall(text.lower()) if len(word) >= LONG and word not in common}


def rules(reading: Reading) -> Iterator[Weakness]:
    """Rules that stand on both sides of a measure, and declared words of the next token without their blank."""
    for measure in reading.battery.measures:
        loc = ("measures", measure.name)
        if measure.scorer == "patterns":
            both = set(_listed(measure.options.get("endorse"))) & set(_listed(measure.options.get("refute")))
            for rule in sorted(both):
                yield found(reading, "both-sides", loc, f"`{show(rule, 40)}` endorses and refutes alike", key=True)
        bare = [word for word in _listed(measure.options.get("words")) if word[:1].isalnum()]
        if measure.scorer == "nexttoken" and bare and reading.battery.prompts:
            yield found(reading, "word-blank", loc, f"the word `{show(bare[0], 40)}` has no leading blank", key=True)


def _listed(option: object) -> list[str]:
    """The texts of an option, of every language."""
    held = option.values() if isinstance(option, dict) else [option]
    return [text for texts in held if isinstance(texts, list) for text in texts if isinstance(text, str)]


def letters(reading: Reading) -> Iterator[Weakness]:
    """Letters that were saved in one encoding and read in another, and letters whose accent stands alone."""
    for trail, _, text in texts_of(reading):
        composed = unicodedata.normalize("NFC", text)
        if composed != text:
            place = next(at for at, (new, old) in enumerate(zip(composed, text, strict=False)) if new != old)
            what = f"`{composed[place]}` is written as a letter and an accent of its own"
            yield found(reading, "decomposed", trail, what)
        hit = _MOJIBAKE.search(text)
        if hit:
            yield found(reading, "mojibake", trail, f"the text holds `{hit[0]}`, which was another letter once")


RULES = (pairs, stems, rules, letters)
