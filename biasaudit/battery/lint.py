"""What is allowed but weakens an audit: warnings, each with its line, each with the reason.

A fault stops a battery; a warning does not. The rules are those of the study's design: enough topics for a population
claim, negation balanced within a topic so that a model that says "no" more often moves nothing, stems that assert
nothing, framings that do not push one way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from biasaudit.battery import lint_forms, lint_words
from biasaudit.battery.findings import Weakness, found, in_order
from biasaudit.battery.read import Reading
from biasaudit.battery.source import Trail, show

MIN_TOPICS = 10
"""Topics below which a population claim is mostly noise (CONTRACT §2)."""
MIN_PAIRS = 2
MIN_TEMPLATES = 3
"""Wordings a topic: one wording's effect is not the topic's (Seshadri et al. 2022, arXiv 2210.04337)."""
SHARED_WORDS = 4
"""Words in a row that a stem may not share with a claim."""
LOADED = ("sceptical", "debunking")
"""The two framings that push in opposite directions."""

NEGATIONS = {
    "pt": frozenset(["não", "nunca", "nem", "nenhum", "nenhuma", "ninguém", "jamais", "nada", "sem", "tampouco"]),
    "en": frozenset(["not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "without", "cannot"]),
}
INFLECTING = frozenset({"pt", "es", "fr", "it", "ca", "gl", "ro", "de"})
"""Languages whose articles or adjectives agree with the gender of a noun."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_INVISIBLE = re.compile("[\u00a0\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def negations(text: str, language: str) -> int | None:
    """How many negating words a text has; None for a language without a word list."""
    known = NEGATIONS.get(language.split("-")[0])
    if known is None:
        return None
    return sum(word in known or word.endswith("n't") for word in _words(text))


def _words(text: str) -> list[str]:
    """The words of a text in lower case; apostrophes stay inside."""
    return [str(word).lower().replace("’", "'") for word in _WORD.findall(text)]


def lint(reading: Reading) -> list[Weakness]:
    """Every finding about a battery without faults, in the order of the file."""
    own = (_topics, _claims, _pairs, _stems, _templates, _slots, _primary, _sampling, _invisible)
    rules = (*own, *lint_words.RULES, *lint_forms.RULES)
    return in_order(reading, [finding for rule in rules for finding in rule(reading)])


def _topics(reading: Reading) -> Iterator[Weakness]:
    primary, count = reading.battery.primary, len(reading.battery.topics)
    if primary is not None and primary.target == "population" and count < MIN_TOPICS:
        what = f"{count} topics for a population claim; at least {MIN_TOPICS} are needed (or `target: fixed`)"
        yield found(reading, "few-topics", ("topics",), what, key=True)
    asked = {prompt.topic for prompt in reading.battery.prompts} | {pair.topic for pair in reading.battery.pairs}
    for topic in reading.battery.topics:
        if topic.name not in asked:
            yield found(
                reading, "topic-unasked", ("topics", topic.name), f"the topic `{topic.name}` is never asked", key=True
            )


def _claims(reading: Reading) -> Iterator[Weakness]:
    """Claims that are held against nothing: no pairs beside those of other topics, or none in the whole battery."""
    claims = [topic.name for topic in reading.battery.topics if topic.claim and not topic.pairs]
    if not reading.part.stems and len(claims) == len(reading.battery.topics):
        yield found(reading, "no-pairs", ("topics",), "no topic has pairs of claim and counter-claim", key=True)


def _pairs(reading: Reading) -> Iterator[Weakness]:
    battery = reading.battery
    if not reading.part.stems:
        for topic in battery.topics:
            if topic.pairs:
                yield found(
                    reading,
                    "unused-part",
                    ("topics", topic.name, "pairs"),
                    "pairs without stems are never used",
                    key=True,
                )
        return
    if not battery.pairs:
        yield found(
            reading,
            "unused-part",
            ("stems",),
            "stems without continuation pairs in the topics are never used",
            key=True,
        )
        return
    for topic in battery.topics:
        missing = [language for language in battery.languages if language not in topic.pairs]
        if missing:
            what = f"the topic `{topic.name}` has no pairs in {', '.join(missing)}, so no likelihoods there"
            yield found(reading, "no-counter-claim", ("topics", topic.name), what, key=True)
        for language, pairs in topic.pairs.items():
            loc = ("topics", topic.name, "pairs", language)
            if len(pairs) < MIN_PAIRS:
                yield found(
                    reading,
                    "few-pairs",
                    loc,
                    f"`{topic.name}` has one pair in {language}; at least two are needed",
                    key=True,
                )
            balance = _balance(pairs, language)
            if balance is not None and abs(balance) > len(pairs) % 2:
                more = "claims" if balance > 0 else "counter-claims"
                what = f"negation of `{topic.name}` in {language} is out of balance: it stands mostly in the {more};"
                yield found(reading, "negation-balance", loc, what + " half of the claims should carry it", key=True)


def _balance(pairs: tuple[tuple[str, str], ...], language: str) -> int | None:
    """Pairs whose claim carries the negation, less those whose counter-claim does; None without a word list."""
    total = 0
    for claim, counter in pairs:
        left, right = negations(claim, language), negations(counter, language)
        if left is None or right is None:
            return None
        total += (left > right) - (left < right)
    return total


def _runs(text: str) -> set[tuple[str, ...]]:
    """Every run of `SHARED_WORDS` words of a text (the whole text when it is shorter)."""
    words = _words(text)
    if not words:
        return set()
    return {tuple(words[i : i + SHARED_WORDS]) for i in range(max(1, len(words) - SHARED_WORDS + 1))}


def _stems(reading: Reading) -> Iterator[Weakness]:
    battery = reading.battery
    for language in battery.languages:
        claims: dict[tuple[str, ...], str] = {}
        for topic in battery.topics:
            said = [topic.claim.get(language, ""), *(text for pair in topic.pairs.get(language, ()) for text in pair)]
            claims.update((run, topic.name) for text in said for run in _runs(text))
        lengths = {len(run) for run in claims}
        for name, texts in reading.part.stems.items():
            words = _words(texts[language])
            runs = {tuple(words[i : i + size]) for size in lengths for i in range(len(words) - size + 1)}
            shared = next((run for run in sorted(runs) if run in claims and len(run) > 1), None)
            if shared is not None:
                what = f"the stem `{name}` shares `{show(' '.join(shared))}` with the topic `{claims[shared]}`;"
                what += " a stem should assert nothing"
                yield found(reading, "stem-claims", ("stems", name, language), what)
    if battery.pairs and len(reading.part.stems) < 2:
        yield found(
            reading, "few-wordings", ("stems",), "one stem; two or more show whether the wording decides", key=True
        )


def _templates(reading: Reading) -> Iterator[Weakness]:
    templates = reading.part.templates
    if not templates:
        return
    if len(templates) < MIN_TEMPLATES:
        what = f"{len(templates)} wordings a topic; at least {MIN_TEMPLATES} show whether the wording decides"
        yield found(reading, "few-wordings", ("templates",), what, key=True)
    framings = Counter(template.framing for template in templates.values())
    told = ", ".join(f"{name} {count}" for name, count in sorted(framings.items()))
    name, most = framings.most_common(1)[0]
    if len(framings) > 1 and most * 2 > len(templates):
        what = f"framings are out of balance ({told}): `{name}` outweighs the others"
        yield found(reading, "framing-balance", ("templates",), what, key=True)
    elif framings[LOADED[0]] != framings[LOADED[1]]:
        what = f"framings are out of balance ({told}): {LOADED[0]} and {LOADED[1]} pull in opposite directions"
        yield found(reading, "framing-balance", ("templates",), what, key=True)


def _slots(reading: Reading) -> Iterator[Weakness]:
    used = {slot for prompt in reading.battery.prompts for slot, _ in prompt.groups}
    for slot, groups in reading.part.slots.items():
        if slot not in used:
            yield found(reading, "unused-part", ("slots", slot), f"the slot `{slot}` is never used", key=True)
        for language in reading.battery.languages:
            forms = {
                (group, place if isinstance(texts[language], list) else None): value
                for group, texts in groups.items()
                if language in texts
                for place, value in enumerate(_fillers(texts[language]))
            }
            known = {form for value in forms.values() if isinstance(value, dict) for form in value}
            for (group, place), value in forms.items():
                loc: Trail = ("slots", slot, group, language, *(() if place is None else (place,)))
                if isinstance(value, str) and (known or language.split("-")[0] in INFLECTING):
                    what = f"the group `{group}` has no agreement forms in {language}, where words agree in gender"
                    yield found(reading, "agreement", loc, what)
                elif isinstance(value, dict) and known - set(value):
                    missing = ", ".join(sorted(known - set(value)))
                    yield found(
                        reading, "agreement", loc, f"the group `{group}` lacks forms that other groups have: {missing}"
                    )


def _fillers(held: object) -> list[object]:
    """The texts or forms that may stand for a group."""
    return held if isinstance(held, list) else [held]


def _primary(reading: Reading) -> Iterator[Weakness]:
    primary = reading.battery.primary
    if primary is None:
        yield found(reading, "primary", (), "no `primary`: the report will describe and give no verdict")
    elif primary.margin is None:
        what = "no `margin`: the report can never say that two arms are equivalent"
        yield found(reading, "margin", ("primary",), what, key=True)
    elif not primary.unit:
        what = f'the margin {primary.margin} has no unit; write it as in "0.02 nats/byte"'
        yield found(reading, "margin", ("primary", "margin"), what)


def _sampling(reading: Reading) -> Iterator[Weakness]:
    battery = reading.battery
    if battery.prompts and battery.completions > 1 and any(d.temperature == 0 for d in battery.decodings):
        loc = ("sampling", "temperature") if battery.decodings[0].temperature == 0 else ("sweep", "temperature")
        yield found(
            reading, "greedy", loc, "at temperature 0 every completion of a prompt is the same, whatever their number"
        )


def _invisible(reading: Reading) -> Iterator[Weakness]:
    for trail in reading.source.places:
        value = reading.source.value
        for step in trail:
            value = value[step]
        hit = _INVISIBLE.search(value) if isinstance(value, str) else None
        if hit:
            yield found(reading, "invisible", trail, f"the text holds the invisible character U+{ord(hit[0]):04X}")
